"""Gives shards to those workers of a dask cluster that can draw them: each is asked first, and unfit ones get none.

A worker is fit if its code and libraries are those of this process and it reaches the cache and the pictures. Workers
may come and go: newcomers are asked, and shards whose workers are all gone are given to others. Only as many shards as
keep the fit workers busy for about a second are with the cluster at a time: they go out and their receipts come back
many to a request, and none waits for a worker that will not come back.
"""

from __future__ import annotations

import math
import os
import platform
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ocrmaps.errors import OcrmapsError, Problem, StoreError, reason
from ocrmaps.members import TABLES
from ocrmaps.pipelines.mounts import NONE, Mounts
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.places.objects import read_object
from ocrmaps.store.places.urls import bucket_and_key
from ocrmaps.store.writing.provenance import code_files, differences, identity, identity_name
from ocrmaps.store.writing.tasks import ShardTask, build_shard
from ocrmaps.tiff import file_of

WAIT_SECONDS = 60.0
"""How long a cluster may be without a worker that can draw."""
_SAY_SECONDS, _LOOK_SECONDS, _TICK_SECONDS = 2.0, 1.0, 0.1
_FETCH_SECONDS = 5.0
_AHEAD_SECONDS, _LEAST_AHEAD, _MOST_AHEAD = 1.0, 2, 32
"""Work that a thread of a worker has in hand and waiting, and the shards that this may be."""
_FETCHES = 16
"""Receipts that are asked for at a time: the client joins them in few requests."""
_FOLDERS = 64
"""Folders of pictures that a worker is asked about."""

Record = Callable[[Sequence[dict[str, Any]]], None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What drawing the shards of one build takes."""

    own: Mapping[str, Any]
    """The identity of this process, with the digests of its files."""
    folders: tuple[str, ...]
    """Must be there and take new files."""
    pictures: tuple[str, ...]
    """One of each folder; must be readable."""
    mounts: Mounts = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    key: ShardKey
    workers: frozenset[str]
    """Addresses that may draw it."""


def terms_of(pictures: Iterable[str] = (), folders: Sequence[str] = (), mounts: Mounts = NONE) -> Terms:
    """What drawing these pictures into these folders asks of a worker; paths are those of this machine."""
    first: dict[str, str] = {}
    for picture in pictures:
        if os.path.dirname(picture) not in first:
            first[os.path.dirname(picture)] = file_of(picture)
    mounts.require_use([*folders, *first])
    return Terms(
        own={**identity(), "files": code_files()},
        folders=tuple(map(mounts.there, folders)),
        pictures=tuple(map(mounts.there, first.values()))[:_FOLDERS],
        mounts=mounts,
    )


def examine(folders: Sequence[str], pictures: Sequence[str]) -> dict[str, Any]:
    """Runs on a worker: what it is, and what it cannot reach."""
    missing = [f"no folder {f} that it may write to" for f in folders if not os.access(f, os.R_OK | os.W_OK | os.X_OK)]
    lacking = []
    silent: set[str] = set()
    """Buckets that were asked in vain: each request takes half a minute of tries."""
    for picture in pictures:
        far = bucket_and_key(picture)
        if picture.lower().endswith(TABLES) and find_spec("pyarrow") is None:
            lacking.append(f"cannot read {picture} without pyarrow: pip install 'ocrmaps[parquet]' there")
        try:
            if far is None:
                with open(picture, "rb") as file:
                    file.read(1)
            elif far[0] not in silent:
                read_object(*far, nbytes=1)
        except FileNotFoundError as error:
            found = f"cannot read {picture} ({reason(error)})"
            if far is None:
                missing.append(found)
            else:
                lacking.append(f"{found}: build again, the source changed; or it is another place there: AWS_ENDPOINT")
        except OSError as error:
            missing.append(f"cannot read {picture} ({reason(error)})")
        except OcrmapsError as error:
            silent |= set(far[:1]) if far else set()
            lacking.append(f"cannot read {picture} ({error}): {error.hint}, on that host")
    return {"host": platform.node(), **identity(), "files": code_files(), "missing": missing, "lacking": lacking}


def faults(terms: Terms, told: Mapping[str, Any]) -> list[str]:
    """Why a worker that told this about itself must not draw, and what to do about it."""
    other = differences(terms.own, told)
    found = [f"{', '.join(other)}: install the same ocrmaps and libraries there, then restart it"] if other else []
    found += told["lacking"][:3]
    if told["missing"]:
        missing, mounts = ", ".join(told["missing"][:3]), terms.mounts
        found.append(
            f"{missing}, though --map says that {mounts} there: mount it so, or correct --map"
            if mounts.pairs
            else f"{missing}: mount the cache and the pictures there under the same paths, or say what they are called "
            "there with --map /here=/there"
        )
    return found


def shard_on_worker(task: ShardTask) -> tuple[str, str, dict[str, Any]]:
    """Runs on a worker: its address, its host and the receipt; errors name both."""
    from distributed import get_worker

    address, host = get_worker().address, platform.node()
    try:
        return address, host, build_shard(task)
    except OcrmapsError as error:
        raise type(error)(f"worker {address} on host {host}: {error}", hint=error.hint) from None


def fetched(future: Any) -> Any:
    """The result of a task, its error raised, or None where the worker that has it went away before it was fetched.

    The scheduler has such a task run again where it may run; where no such worker is left, it would be waited for
    for ever.
    """
    if future.status != "finished":
        return future.result() if future.status == "error" else None
    try:
        return future.result(timeout=_FETCH_SECONDS)
    except TimeoutError:
        return None


class Crew:
    """The workers of one cluster, as far as they have been asked."""

    def __init__(self, client: Any, terms: Terms, *, wait: float, say: Say) -> None:
        self._client, self._terms, self._wait, self._say = client, terms, wait, say
        self._asked: dict[str, Any] = {}
        self._aside: dict[str, str] = {}
        self._told: set[str] = set()
        self._looked = 0.0
        self._pace = _AHEAD_SECONDS / _LEAST_AHEAD
        """Seconds that a shard takes, of late."""
        self._alone: float | None = None
        """Since when no worker can draw."""
        self.present: dict[str, int] = {}
        """Threads by address."""
        self.fit: set[str] = set()

    @property
    def room(self) -> int:
        """Shards that the fit workers can have at a time."""
        ahead = math.ceil(_AHEAD_SECONDS / max(self._pace, 1e-3))
        return min(_MOST_AHEAD, max(_LEAST_AHEAD, ahead)) * sum(self.present[address] for address in self.fit)

    def note(self, seconds: float) -> None:
        """Take in how long a shard took."""
        self._pace += 0.1 * (seconds - self._pace)

    def look(self) -> None:
        """See who is there, ask newcomers, judge answers; an error where nobody has been able to draw for too long."""
        now = time.monotonic()
        if not self.fit or now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
            self.present = {address: int(worker["nthreads"]) for address, worker in workers.items()}
            self.fit &= self.present.keys()
            self._aside = {address: why for address, why in self._aside.items() if address in self.present}
            for address in self.present.keys() - self.fit - self._asked.keys() - self._aside.keys():
                self._asked[address] = self._ask(address)
        for address, future in list(self._asked.items()):
            if address not in self.present or future.done():
                del self._asked[address]
                if address in self.present:
                    self._judge(address, future)
                else:
                    future.cancel()
        self._be_patient(now)

    def _ask(self, address: str) -> Any:
        return self._client.submit(
            examine, self._terms.folders, self._terms.pictures, key=f"examine-{uuid.uuid4().hex}", pure=False,
            workers=[address], allow_other_workers=False, priority=1_000_000,
        )  # fmt: skip

    def _judge(self, address: str, future: Any) -> None:
        if future.status == "error":
            error = future.exception()
            why = f"it cannot run this ocrmaps ({type(error).__name__}: {error}): install the same ocrmaps there"
            self.put_aside(address, "", why)
            return
        told = fetched(future)
        if told is None:
            return  # it went away just now, or is asked again
        why = "; ".join(faults(self._terms, told))
        if why:
            self.put_aside(address, told["host"], why)
        else:
            self.fit.add(address)

    def put_aside(self, address: str, host: str, why: str) -> None:
        """Give no more work to a worker, and say so once for all workers of a host with the same fault."""
        self.fit.discard(address)
        self._aside[address] = f"host {host}: {why}" if host else why
        if self._aside[address] not in self._told:
            self._told.add(self._aside[address])
            where = f"{address} on host {host}" if host else address
            self._say(f"WARNING: worker {where} gets no work: {why}")

    def accepts(self, address: str, host: str, receipt: Mapping[str, Any]) -> bool:
        """Whether a shard was drawn by the code and libraries of this process; if not, its worker is put aside."""
        drawn_by = receipt["drawn_by"]
        if identity_name(drawn_by) == identity_name(self._terms.own):
            return True
        why = ", ".join(differences({k: self._terms.own[k] for k in ("tools", "code")}, drawn_by))
        self.put_aside(address, host, f"{why}: install the same ocrmaps and libraries there, then restart it")
        return False

    def _be_patient(self, now: float) -> None:
        if self.fit:
            self._alone = None
            return
        if self._alone is None:
            self._alone = now
        scheduler = self._client.scheduler.address
        waited = now - self._alone
        line = f"no worker at {scheduler} yet: waiting up to {self._wait:.0f} s for one (`dask worker {scheduler}`)"
        if not self.present and waited >= min(_SAY_SECONDS, self._wait / 2) and line not in self._told:
            self._told.add(line)
            self._say(line)
        if waited >= self._wait:
            unheard = [Problem(loc=a, message="has not answered yet", kind="worker") for a in self._asked]
            unfit = [Problem(loc=a, message=w, kind="worker") for a, w in self._aside.items()]
            raise StoreError(
                f"no worker of {scheduler} can draw after {self._wait:.0f} s"
                + ("" if self.present else ", none is there"),
                problems=[*unfit, *unheard],
                hint=f"start one with `dask worker {scheduler}`, or wait longer (--wait-workers); the same command "
                "resumes the build",
            )


def draw_on(
    client: Any,
    keys: Sequence[ShardKey],
    make: Callable[[ShardKey], ShardTask],
    record: Record,
    *,
    terms: Terms,
    wait: float,
    say: Say,
) -> None:
    """Draw shards on the fit workers of a cluster, and record receipts as they arrive; `make` gives a shard's task."""
    from distributed import wait as wait_for

    crew = Crew(client, terms, wait=wait, say=say)
    waiting = deque(keys)
    given: dict[Any, _Given] = {}

    def give() -> None:
        """Send as many shards as there is room for, in one request."""
        window = [waiting.popleft() for _ in range(min(len(waiting), crew.room - len(given)))]
        workers = sorted(crew.fit)
        names = [f"{key}-{uuid.uuid4().hex}" for key in window]
        tasks = [terms.mounts.task(make(key)) for key in window]
        futures = client.map(shard_on_worker, tasks, key=names, pure=False, retries=2, workers=workers)
        given.update({f: _Given(key=key, workers=frozenset(workers)) for f, key in zip(futures, window, strict=True)})

    try:
        with ThreadPoolExecutor(_FETCHES) as fetchers:
            while waiting or given:
                crew.look()
                for future, what in list(given.items()):
                    if not what.workers & crew.present.keys():  # nobody is left who may draw it
                        client.cancel([future], force=True)
                        waiting.appendleft(given.pop(future).key)
                if waiting and len(given) < crew.room:
                    give()
                if not given:
                    time.sleep(_TICK_SECONDS)
                    continue
                try:
                    done = list(wait_for(list(given), timeout=_TICK_SECONDS, return_when="FIRST_COMPLETED").done)
                except TimeoutError:
                    continue
                receipts = []
                for future, answer in zip(done, fetchers.map(fetched, done), strict=True):
                    if answer is None:
                        continue
                    key = given.pop(future).key
                    address, host, receipt = answer
                    crew.note(receipt["seconds"])
                    if crew.accepts(address, host, receipt):
                        receipts.append(receipt)
                    else:
                        waiting.append(key)
                record(receipts)
    except BaseException as error:
        client.cancel(list(given), force=True)
        if isinstance(error, OcrmapsError | KeyboardInterrupt) or not isinstance(error, Exception):
            raise
        raise StoreError(
            f"the cluster gave up on a shard: {type(error).__name__}: {error}",
            hint="look at the workers' logs (memory?); the same command resumes with what is proven",
        ) from error
