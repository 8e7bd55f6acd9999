"""Runs the shards of a build with Dask: on threads of this process, on processes, or on any cluster.

Only kilobyte receipts come back, and the client alone records them. A task may run twice and a worker may die: a shard
is written whole, under another temporary name each time, and its bytes are the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ocrmaps.errors import StoreError, reason
from ocrmaps.pipelines.crew import WAIT_SECONDS, draw_on, terms_of
from ocrmaps.pipelines.mounts import NONE, Mounts
from ocrmaps.store.far.source import copy_of
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.sources import Progress
from ocrmaps.store.writing.tasks import ShardTask, build_shard
from ocrmaps.store.writing.team import Team

_SAFE = "PYTHONSAFEPATH"
ANSWER_SECONDS = 10
"""How long a named scheduler may take to answer."""
_START_SECONDS = 600.0
_LINKS = 16
"""Shards of an older version that are linked in one go."""


def run_tasks(
    building: Building,
    *,
    workers: int,
    scheduler: str = "threads",
    wait_workers: float = WAIT_SECONDS,
    mounts: Mounts = NONE,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Run every shard that is still missing and record its receipt as it arrives."""
    costs = building.missing()
    total = sum(len(rows) for rows in building.plan.shards.values())
    done = total - sum(len(building.plan.shards[key]) for key in costs)
    nbytes = failed = 0

    def say() -> None:
        if progress is not None:
            progress(f"drawing, {nbytes / 1e6:.0f} MB, {failed} failed", done, total)

    def record(receipts: Sequence[dict[str, Any]]) -> None:
        nonlocal done, nbytes, failed
        building.record(*receipts)
        done += sum(len(receipt["rows"]) for receipt in receipts)
        nbytes += sum(n for receipt in receipts for n, _ in receipt["files"].values())
        failed += sum(row["how"] == "failed" for receipt in receipts for row in receipt["rows"])
        say()

    say()
    linked = {key for key, cost in costs.items() if not cost and building.linked(key)}
    drawn = [key for key in costs if key not in linked]
    # Giving files a second name is little work: it fills the gaps that drawing leaves, and receipts share one sync.
    rest = [key for key in costs if key in linked]
    links = [rest[i : i + _LINKS] for i in range(0, len(rest), _LINKS)]
    if scheduler == "threads":
        _on_threads([[key] for key in drawn] + links, building.task, workers, record)
        return
    _on_threads(links, building.task, workers, record)
    if drawn:
        mounts = _fetching(building, mounts)
        pictures = (str(row.path) for key in drawn for row in building.plan.shards[key] if not building.knows(row))
        with _cluster(scheduler, min(workers, len(drawn))) as client:
            # Processes of this machine are on their way from the start: how long they load is the machine's affair.
            draw_on(
                client, drawn, building.task, record,
                terms=terms_of(pictures, building.folders, mounts),
                wait=max(wait_workers, _START_SECONDS) if scheduler == "processes" else wait_workers,
                say=announce or (lambda line: None),
            )  # fmt: skip


def _fetching(building: Building, mounts: Mounts) -> Mounts:
    """The same with copies of places in object storage called by their URLs: workers fetch what they draw."""
    copies = dict(found for read in building.plan.sources if (found := copy_of(read.source.pictures)) is not None)
    return replace(mounts, fetched=tuple((os.fspath(folder), url) for folder, url in copies.items()))


def _on_threads(
    batches: Sequence[Sequence[ShardKey]],
    make: Callable[[ShardKey], ShardTask],
    workers: int,
    record: Callable[[Sequence[dict[str, Any]]], None],
) -> None:
    if not batches:
        return
    from dask.callbacks import Callback
    from dask.threaded import get

    stop = threading.Event()
    waiting = deque(batches)
    team = Team(workers)

    def build_next() -> list[dict[str, Any]]:
        with team.room:
            try:
                keys = waiting.popleft()
            except IndexError:
                team.help()
                return []
            return [build_shard(make(key), stop, team) for key in keys]

    def take(receipts: list[dict[str, Any]]) -> None:
        record(receipts)
        receipts.clear()  # Dask holds every result to the end

    # Dask chooses the order of independent keys; that of the batches is ours, the most work first. At the end whoever
    # finds no batch helps with what others have begun.
    graph = {f"shards-{i}": (build_next,) for i in range(len(batches) + workers - 1)}
    arrived = Callback(posttask=lambda key, result, graph, state, worker: take(result))
    # Twice as many threads as work at a time: the others wait for the disk.
    pool = ThreadPoolExecutor(2 * workers)
    try:
        with arrived:
            get(graph, list(graph), pool=pool, num_workers=2 * workers)
    except BaseException:
        stop.set()  # rows in progress are finished, shards in progress are not
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cluster(scheduler: str, workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler != "processes":
        _expect_scheduler(scheduler)
        try:
            client = Client(scheduler, timeout=ANSWER_SECONDS)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"no dask scheduler answers at {scheduler} ({reason(error)})", hint="start one with `dask scheduler`"
            ) from error
        with client:
            yield client
        return
    with _imports_of_this_process():
        try:
            # No dashboard, and its server on any free port of this machine alone: builds beside each other share none.
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, silence_logs=logging.ERROR,
                dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
            )  # fmt: skip
        except RuntimeError as error:
            raise StoreError(
                f"the worker processes did not start ({error})", hint="run it again, or use --scheduler threads"
            ) from error
        with cluster, Client(cluster) as client:
            yield client


def _expect_scheduler(address: str) -> None:
    """Refuse an address at which something else listens: dask's client would wait for its greeting for ever."""
    from distributed import Security
    from distributed.core import rpc

    async def ask() -> Any:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as there:
            return (await there.identity())["type"]

    try:
        with ThreadPoolExecutor(1) as own:  # this thread may have a loop of its own, as notebooks do
            found = own.submit(asyncio.run, asyncio.wait_for(ask(), ANSWER_SECONDS)).result()
    except TimeoutError:
        found = f"nothing that says what it is within {ANSWER_SECONDS} s"
    except Exception as error:  # whatever listens there may say anything
        raise StoreError(
            f"no dask scheduler answers at {address} ({reason(error)})", hint="start one with `dask scheduler`"
        ) from error
    if found != "Scheduler":
        raise StoreError(
            f"no dask scheduler answers at {address}: found {found}",
            hint="name the address that `dask scheduler` prints, not its dashboard's (8787) or a worker's",
        )


@contextmanager
def _imports_of_this_process() -> Iterator[None]:
    """Keep processes that start from importing out of the working folder first, where files of strangers may lie."""
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before
