"""Rows of a version in a place, brought into its stand-in before they are used: many requests in flight, ranges joined.

What is wanted of one shard file at a time travels in one request where little lies between; a file that is small
travels whole. Bytes are proven against the digests of the rows they were fetched for before they are written; rows that
the stand-in holds already are proven once in each process, and again whenever they are used.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.parts import sending_again
from ocrmaps.store.far.version import FarVersion
from ocrmaps.store.format.identity import row_digest
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.places.patience import LOOKS
from ocrmaps.store.places.standin import Quota, write_part

T = TypeVar("T")
IN_FLIGHT = 64
"""Requests at a time."""
GROUP = 64
"""Rows that are planned together: what joins their ranges."""
FIRST_GROUPS = (8, 16, 32)
"""Rows that come alone before the next are asked for: else the first batch shares the link with all that follows it."""
GAP = 128 * 2**10
"""Bytes between two ranges that travel along rather than cost a request of their own."""
WHOLE = 2**20
"""A shard file up to this length travels whole."""
LARGEST = 4 * 2**20
"""Ranges are not joined beyond this: several requests side by side are faster."""
AHEAD = 256 * 2**20
"""Bytes that are asked for before their turn, or a quarter of the quota."""


@dataclass(eq=False)
class _Coming:
    """One row on its way."""

    row: int
    left: int = 0
    """Arrays that are not here yet."""
    future: Future[None] = field(default_factory=Future)


@dataclass(eq=False)
class _Request:
    """One range of one file, and the rows that wait for it with the number of the array they want."""

    path: str
    start: int
    nbytes: int
    wanted: list[tuple[_Coming, int]] = field(default_factory=list)


class FarRows:
    """Brings rows of one version into its stand-in; safe to share between threads."""

    def __init__(
        self, far: FarVersion, rows: Any, shards: Any, canvases: Sequence[tuple[int, int]], rows_per_shard: int
    ) -> None:
        self._far, self._canvases = far, canvases
        self._canvas = rows["canvas"].astype(np.int64)
        self._shard = rows["position"].astype(np.int64) // rows_per_shard
        self._offset, self._nbytes, self._digest = rows["chunk_offset"], rows["chunk_nbytes"], rows["chunk_digest"]
        pairs = zip(shards["canvas"].tolist(), shards["index"].tolist(), strict=True)
        self._lengths = dict(zip(pairs, shards["nbytes"].tolist(), strict=True))
        _refuse_quota(far, self._lengths.values())
        self._have: npt.NDArray[np.bool_] = np.zeros(len(self._canvas), dtype=bool)
        """Rows that this process has proven in the files as they were then."""
        self._inodes: dict[tuple[int, int], list[int]] = {}
        self._coming: dict[int, _Coming] = {}
        self._requests: dict[tuple[str, int, int], _Request] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="ocrmaps-far")
        cache = far.folder.parent.parent
        self._quota = Quota(cache, far.mark.quota, self._removed)
        self.ahead_bytes = AHEAD if far.mark.quota is None else min(AHEAD, far.mark.quota // 4)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def nbytes(self, row: int) -> int:
        """Packed bytes of a row."""
        return int(self._nbytes[row].sum())

    def need(self, row: int) -> None:
        """Return when the stand-in holds this row."""
        if not self._have[row]:
            self.fetch([row])[0].result()

    def forget(self, row: int) -> None:
        """Believe nothing of this row any more: it was read and was not what it should be."""
        self._have[row] = False
        with self._lock:
            self._inodes.pop(self._key(row), None)

    def packed(self, row: int, number: int) -> bytes:
        """The stored bytes of one array of a row, proven."""
        path = self._path(row, number)
        for _ in range(LOOKS):
            self.need(row)
            data = _read(self._far.folder / path, int(self._offset[row, number]), int(self._nbytes[row, number]))
            if data is not None and row_digest(data) == self._digest[row, number].tobytes():
                return data
            self.forget(row)
        raise StoreCorrupt(
            f"{self._far.folder / path}: what is written there is not what is read: suspect the disk or the memory"
        )

    def fetch(self, rows: Sequence[int]) -> list[Future[None]]:
        """Have these rows brought; a future each, done when the stand-in holds the row."""
        futures: list[Future[None]] = []
        mine: list[_Coming] = []
        with self._lock:
            for row in rows:
                self._check_files(self._key(row))
                known = self._coming.get(row)
                if known is None:
                    known = _Coming(row)
                    if self._have[row]:
                        known.future.set_result(None)
                    else:
                        self._coming[row] = known
                        mine.append(known)
                futures.append(known.future)
        absent = []
        for coming in mine:
            missing = [number for number in range(len(ARRAYS)) if not self._held(coming.row, number)]
            coming.left = len(missing)
            if missing:
                absent.append((coming, missing))
            else:
                self._done(coming, None)
        self._ask(absent)
        return futures

    def _ask(self, absent: list[tuple[_Coming, list[int]]]) -> None:
        """Plan requests for these rows and send them; ranges of one file that lie close are one request."""
        by_file: dict[tuple[int, int, int], list[tuple[int, int, _Coming]]] = {}
        for coming, missing in absent:
            row = coming.row
            for number in missing:
                start = int(self._offset[row, number])
                place = (*self._key(row), number)
                by_file.setdefault(place, []).append((start, start + int(self._nbytes[row, number]), coming))
        new = []
        with self._lock:
            for (canvas, shard, number), ranges in by_file.items():
                path = ShardKey(self._canvases[canvas], shard).path(ARRAYS[number])
                length = self._lengths[canvas, shard][number]
                for start, end, members in joined(ranges, length):
                    key = (path, start, end - start)
                    request = self._requests.get(key)
                    if request is None:
                        request = self._requests[key] = _Request(*key)
                        new.append((request, length))
                    request.wanted += [(coming, number) for coming in members]
        for request, length in new:
            self._pool.submit(self._carry_out, request, length)

    def _carry_out(self, request: _Request, length: int) -> None:
        error: Exception | None = None
        try:
            data = self._proven(request)
            inode = write_part(self._far.folder / request.path, length, request.start, data)
        except Exception as problem:  # whoever waits for the row must hear of it, whatever it is
            error = problem
        with self._lock:
            del self._requests[request.path, request.start, request.nbytes]
            wanted = list(request.wanted)
            if error is None and wanted:
                inodes = self._inodes.setdefault(self._key(wanted[0][0].row), [0] * len(ARRAYS))
                inodes[wanted[0][1]] = inode
        for coming, _ in wanted:
            with self._lock:
                coming.left -= 1
                left = coming.left
            if error is not None or left == 0:
                self._done(coming, error)
        if error is None:
            self._quota.wrote(request.nbytes)

    def _proven(self, request: _Request) -> bytes:
        """The bytes of a range, in which every row that waits for them is right."""
        for _ in range(LOOKS):
            try:
                data = self._far.place.range(f"{self._far.there}/{request.path}", request.start, request.nbytes)
            except FileNotFoundError as error:
                raise StoreCorrupt(
                    f"{self._far.name}/{request.path}: the file is missing",
                    hint=sending_again(self._far.mark.url, self._far.there),
                ) from error
            with self._lock:
                wanted = list(request.wanted)
            wrong = [(c.row, number) for c, number in wanted if not self._right(c.row, number, data, request.start)]
            if not wrong:
                return data
        row, number = wrong[0]
        raise StoreCorrupt(
            f"{self._far.name}/{request.path} at byte {int(self._offset[row, number])}: row {row}, {ARRAYS[number]}: "
            f"found another digest than {self._digest[row, number].tobytes().hex()} in {LOOKS} looks",
            hint=f"`ocrmaps verify {self._far.there} --root {self._far.mark.url}` lists all damage",
        )

    def _right(self, row: int, number: int, data: bytes, start: int) -> bool:
        at = int(self._offset[row, number]) - start
        part = memoryview(data)[at : at + int(self._nbytes[row, number])]
        return row_digest(part) == self._digest[row, number].tobytes()

    def _done(self, coming: _Coming, error: Exception | None) -> None:
        with self._lock:
            first = self._coming.get(coming.row) is coming
            if first:
                del self._coming[coming.row]
                self._have[coming.row] = error is None
        if first and error is None:
            coming.future.set_result(None)
        elif first:
            coming.future.set_exception(error)

    def _held(self, row: int, number: int) -> bool:
        """Whether the stand-in has this array of a row, by its digest."""
        path = self._far.folder / self._path(row, number)
        data = _read(path, int(self._offset[row, number]), int(self._nbytes[row, number]))
        return data is not None and row_digest(data) == self._digest[row, number].tobytes()

    def _check_files(self, key: tuple[int, int]) -> None:
        """Forget a shard whose files another process has removed or made anew since they were proven."""
        known = self._inodes.get(key)
        found = []
        for array in ARRAYS:
            try:
                found.append(os.stat(self._far.folder / ShardKey(self._canvases[key[0]], key[1]).path(array)).st_ino)
            except FileNotFoundError:
                found.append(0)
        if known != found:
            if known is not None and any(was not in (0, now) for was, now in zip(known, found, strict=True)):
                self._have[(self._canvas == key[0]) & (self._shard == key[1])] = False
            self._inodes[key] = found

    def _removed(self, path: Path) -> None:
        """A shard file went because of the quota."""
        with suppress(ValueError):
            parts = path.relative_to(self._far.folder).parts
            height, _, width = parts[0].removeprefix("canvas-").partition("x")
            canvas, shard = list(self._canvases).index((int(height), int(width))), int(parts[2].split(".")[1])
            with self._lock:
                self._have[(self._canvas == canvas) & (self._shard == shard)] = False

    def _key(self, row: int) -> tuple[int, int]:
        return int(self._canvas[row]), int(self._shard[row])

    def _path(self, row: int, number: int) -> str:
        canvas, shard = self._key(row)
        return ShardKey(self._canvases[canvas], shard).path(ARRAYS[number])


class Ahead:
    """Brings rows in the order in which they will be needed, so far ahead as `FarRows.ahead_bytes` allows."""

    def __init__(self, far: FarRows, order: Iterable[int]) -> None:
        self._far, self._order = far, order
        self._changed = threading.Condition()
        self._waiting: dict[int, int] = {}
        """Bytes asked for whose row was not used yet."""
        self._used: set[int] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ocrmaps-loader-ahead", daemon=True)
        self._thread.start()

    def used(self, row: int) -> None:
        """This row has had its turn."""
        with self._changed:
            if self._waiting.pop(row, None) is None:
                self._used.add(row)
            self._changed.notify()

    def stop(self) -> None:
        """End; what was asked for still comes, into the stand-in."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        rows = iter(self._order)
        for size in chain(FIRST_GROUPS, repeat(GROUP)):
            group = list(islice(rows, size))
            if not group or not self._ask(group, alone=size < GROUP):
                return

    def _ask(self, group: list[int], *, alone: bool) -> bool:
        with self._changed:
            while sum(self._waiting.values()) > self._far.ahead_bytes and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return False
            wanted = [row for row in group if row not in self._used]
            self._used -= set(group)
            self._waiting |= {row: self._far.nbytes(row) for row in wanted}
        with suppress(RuntimeError):  # the version was closed meanwhile
            coming = self._far.fetch(wanted)
            while alone and not self._stopped and wait(coming, timeout=0.1).not_done:
                pass
        return True


def joined(ranges: list[tuple[int, int, T]], length: int) -> list[tuple[int, int, list[T]]]:
    """(start, end, who) of the requests for (start, end, who wants it) of one file of that length.

    >>> joined([(0, 10, 7), (20, 30, 8), (5_000_000, 5_000_100, 9)], 6_000_000)
    [(0, 30, [7, 8]), (5000000, 5000100, [9])]
    >>> joined([(20, 30, 8)], 4000)
    [(0, 4000, [8])]
    """
    if length <= WHOLE:
        return [(0, length, [who for _, _, who in ranges])]
    out: list[tuple[int, int, list[T]]] = []
    for start, end, who in sorted(ranges, key=lambda r: r[:2]):
        if out and start - out[-1][1] <= GAP and end - out[-1][0] <= LARGEST:
            out[-1] = (out[-1][0], max(end, out[-1][1]), [*out[-1][2], who])
        else:
            out.append((start, end, [who]))
    return out


def _refuse_quota(far: FarVersion, shards: Iterable[Sequence[int]]) -> None:
    """Refuse a quota that cannot hold what one row brings along: it would be removed before it is read."""
    least = max((sum(-(-min(n, LARGEST) // 4096) * 4096 for n in files) for files in shards), default=0)
    if far.mark.quota is not None and far.mark.quota < least:
        raise StoreError(
            f"OCRMAPS_QUOTA_MB: found {far.mark.quota / 1e6:g}, expected at least {math.ceil(least / 1e6)}: so many MB "
            f"come along with one row of {far.name}",
            hint="raise it, or leave it out: then a twentieth of the disk stays free",
        )


def _read(path: Path, offset: int, nbytes: int) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.pread(handle, nbytes, offset)
    finally:
        os.close(handle)
