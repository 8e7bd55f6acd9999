"""Rows into the caller's memory with few Python steps: what a training loop reads, many threads at once.

For each array of a row: one positioned read into the thread's own buffer, one digest over it, one unpacking straight
into the row handed in; all three let other threads run. Packed bytes are read, not mapped: the bytes that are unpacked
are then the bytes that were proven, and a file that somebody cuts short is an error with a name instead of the end of
the process. Anything unusual is read again by the strict `Reader`, whose job is to say what is wrong.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.files import open_at_once
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.ahead import ReadAhead
from ocrmaps.store.far.rows import Ahead
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import ROW_DIGEST, row_digest
from ocrmaps.store.format.layout import ShardKey, row_shape
from ocrmaps.store.indexes import Indexes
from ocrmaps.store.places.patience import LOOKS
from ocrmaps.store.reader import Reader


def shards_within(files: int) -> int:
    """How many shards may stay open, of four files each: a quarter of the files that a process may have.

    >>> shards_within(1024), shards_within(20_000), shards_within(resource.RLIM_INFINITY)
    (64, 1250, 4096)
    """
    return 4096 if files == resource.RLIM_INFINITY else max(16, min(4096, files // 16))


OPEN_SHARDS = shards_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
_BYTE = np.dtype(np.uint8)
LOOKED_AT = 8
"""Open shards of which one is closed where there is no room for another."""
_IN_MEMORY = os.RWF_NOWAIT if hasattr(os, "RWF_NOWAIT") else 0
"""Read only what the page cache holds."""


class FastReader:
    """Any row of an open version, read by any number of threads; the reader stays open as long as this is used.

    Every byte is checked as `Reader` checks it: the shard's length and index when it is first touched, then each row
    against its length and, unless `check_digests` is off, its digest.
    """

    def __init__(self, reader: Reader, *, check_digests: bool = True, open_shards: int | None = None) -> None:
        self._reader = reader
        self._most_open = open_shards
        """Shards that may stay open; OPEN_SHARDS where nothing is said."""
        self._far = reader.far_rows()
        # Of a version in object storage only the digest tells a row that is here from one that is not.
        self._check = check_digests or self._far is not None
        manifest, tables = reader.manifest, reader.rows
        self._packings = [packing(manifest.codecs[array]) for array in ARRAYS]
        self._shapes = [[row_shape(array, canvas) for array in ARRAYS] for canvas in manifest.canvases]
        # The columns themselves: of a million rows a copy in a handier form is 100 MB.
        self._canvas, self._position = tables["canvas"], tables["position"]
        self._offset, self._nbytes = tables["chunk_offset"], tables["chunk_nbytes"]
        self._digests = tables["chunk_digest"].reshape(len(self._canvas), -1)
        self._largest = int(self._nbytes.max(initial=0))
        self._names = [
            [f"{reader.folder}/{ShardKey(canvas, 0).path(array)}".rsplit("c.0", 1) for array in ARRAYS]
            for canvas in manifest.canvases
        ]
        """What stands before and after the number of a shard in the names of its files, by canvas and array."""
        self._per_shard = manifest.rows_per_shard
        shards = [-(-positions // self._per_shard) for positions in manifest.positions]
        self._first = [sum(shards[:canvas]) for canvas in range(len(shards))]
        """Shards are counted over all canvases: the number of each canvas's first."""
        # In object storage the tables know every offset; another request a file would prove nothing of a row.
        self._checked = bytearray([self._far is not None]) * sum(shards)
        """Shards whose length and index were compared with the tables, which is done when one is first touched."""
        self._indexes = None if self._far is not None else Indexes(reader, self._first)
        self._shards: dict[int, _OpenShard] = {}
        self._turns: list[int] = []
        """Numbers of the shards that are open, in no order."""
        self._next_turn = 0
        self._seen = [0] * sum(shards)
        """How often a row of each shard was read in this pass."""
        self._opening = threading.Lock()
        self._own = threading.local()
        self._coming: ReadAhead | None = None

    def read_rows(self, rows: Sequence[int], out: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Fill `out[array][i]` with row `rows[i]`, for all four arrays.

        `out` has (at least `len(rows)`, *row shape) uint8 C-contiguous arrays; the rows share that canvas. After an
        error `out` holds whatever was written so far.
        """
        targets = [out[array] for array in ARRAYS]
        for i, row in enumerate(rows):
            self.read_into(row, [target[i] for target in targets])

    def read_into(self, row: int, targets: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Fill the four arrays, in the order of `ARRAYS`, with one row."""
        far = self._far
        if far is None:
            return self._read(row, targets)
        for look in range(LOOKS):
            if 0 <= row < len(self._canvas):
                far.need(row)
            try:
                return self._read(row, targets)
            except StoreCorrupt:  # removed or damaged since it came: then it comes again
                if look == LOOKS - 1:
                    raise
                far.forget(row)
                with self._opening:
                    self._shards.pop(self._shard(row, int(self._canvas[row])), None)
        return None

    def ahead(self, rows: Iterable[int]) -> Ahead | ReadAhead:
        """Bring these rows in this order before they are read, from object storage or a disk; `stop` ends it."""
        if self._far is not None:
            return Ahead(self._far, rows)
        self._seen = [0] * len(self._seen)
        self._coming = ReadAhead(rows, self._advise, most_rows=OPEN_SHARDS // 2)
        return self._coming

    def _read(self, row: int, targets: Sequence[npt.NDArray[np.uint8]]) -> None:
        if not 0 <= row < len(self._canvas):
            raise IndexError(f"{self._reader.folder}: row {row} of {len(self._canvas)}")
        # Unpacking has emptied the processor's caches of all this: each step less counts more than it seems.
        canvas: int = self._canvas.item(row)
        shard = self._shard(row, canvas)
        open_shard = self._shards.get(shard) or self._open(canvas, shard)
        if not self._checked[shard]:
            self._check_index(canvas, shard, open_shard.handles)
            self._checked[shard] = True
        self._seen[shard] += 1
        handles, shapes, scratch = open_shard.handles, self._shapes[canvas], self._scratch()
        offsets, lengths = self._offset[row].tolist(), self._nbytes[row].tolist()
        digests = self._digests[row].tobytes()
        for number, target in enumerate(targets):
            if target.shape != shapes[number] or target.dtype != _BYTE or not target.flags.c_contiguous:
                raise self._misfit(row, number, target)
            nbytes, unpack = lengths[number], self._packings[number]
            # Raw rows are read to where they belong; they are proven there.
            in_place = unpack.cname is None and nbytes == target.nbytes
            packed = target.reshape(-1).data if in_place else scratch[:nbytes]
            try:
                found = self._pread(handles[number], packed, offsets[number])
            except OSError as error:
                raise self._diagnosis(row, number, f"a read that failed ({error.strerror})") from error
            if found != nbytes:
                raise self._diagnosis(row, number, f"{found} bytes instead of {nbytes}")
            if self._check and row_digest(packed) != digests[ROW_DIGEST * number : ROW_DIGEST * (number + 1)]:
                raise self._diagnosis(row, number, "another digest")
            if not in_place:
                try:
                    unpack.decode_own(packed, target)
                except StoreCorrupt as error:
                    raise self._diagnosis(row, number, str(error)) from error

    def _pread(self, handle: int, into: memoryview, offset: int) -> int:
        """Read and say how much there was; where the disk has to be waited for, whoever reads ahead is told."""
        if self._coming is None:
            return os.preadv(handle, [into], offset)
        try:
            found = os.preadv(handle, [into], offset, _IN_MEMORY)
            if found == len(into):
                return found
        except BlockingIOError:
            pass
        except OSError:  # a file system that cannot say what is in memory, or a fault that the next read shows
            pass
        self._coming.found_cold()
        return os.preadv(handle, [into], offset)

    def _advise(self, row: int) -> int:
        """Ask the system to read a row soon; its packed bytes."""
        canvas = int(self._canvas[row])
        shard = self._shard(row, canvas)
        opened = self._shards.get(shard)
        if opened is None:
            opened = self._open(canvas, shard)
            if self._indexes is not None and not self._checked[shard]:
                for handle, offset in zip(opened.handles, self._indexes.starts(shard), strict=True):
                    os.posix_fadvise(handle, offset, self._indexes.nbytes, os.POSIX_FADV_WILLNEED)
        lengths = self._nbytes[row].tolist()
        for handle, offset, nbytes in zip(opened.handles, self._offset[row].tolist(), lengths, strict=True):
            os.posix_fadvise(handle, offset, nbytes, os.POSIX_FADV_WILLNEED)
        return sum(lengths)

    def close(self) -> None:
        """Forget the open files; one that a thread is reading closes when that read ends."""
        with self._opening:
            self._shards.clear()
            self._turns.clear()

    def _shard(self, row: int, canvas: int) -> int:
        """The number of a row's shard over all canvases."""
        position: int = self._position.item(row)
        return self._first[canvas] + position // self._per_shard

    def _scratch(self) -> memoryview:
        """Memory of this thread's own, as large as the largest row of any array."""
        whole: memoryview | None = getattr(self._own, "scratch", None)
        if whole is None:
            whole = self._own.scratch = memoryview(bytearray(self._largest))
        return whole

    def _open(self, canvas: int, shard: int) -> _OpenShard:
        index = shard - self._first[canvas]
        opened = _OpenShard()
        for before, after in self._names[canvas]:
            try:
                opened.handles.append(open_at_once(f"{before}c.{index}{after}"))
            except OSError as error:
                raise StoreCorrupt(
                    f"{before}c.{index}{after}: cannot be read ({error.strerror})", hint=self._reader.hint
                ) from error
        if self._far is not None:
            os.utime(opened.handles[0])
        with self._opening:
            kept = self._shards.get(shard)
            if kept is None:
                self._make_room(shard)
                kept = self._shards[shard] = opened
            return kept

    def _make_room(self, shard: int) -> None:
        """Enter a shard in place of another where as many are open as may be.

        Of a few in turn the one goes of which most rows were read: in an epoch that shows each row once, it has the
        fewest left to be opened for.
        """
        most = self._most_open or OPEN_SHARDS
        if len(self._turns) < most:
            self._turns.append(shard)
            return
        few = self._turns[self._next_turn : self._next_turn + LOOKED_AT]
        goes = max(few, key=self._seen.__getitem__)
        self._shards.pop(goes, None)
        self._turns[self._next_turn + few.index(goes)] = shard
        self._next_turn = (self._next_turn + len(few)) % len(self._turns)

    def _check_index(self, canvas: int, shard: int, handles: Sequence[int]) -> None:
        """Compare the index of each file of a shard with the table of rows."""
        assert self._indexes is not None
        if self._indexes.hold(shard, handles):
            return
        slots, rows = self._indexes.rows(shard)
        key = ShardKey(self._reader.manifest.canvases[canvas], shard - self._first[canvas])
        for number, (handle, array) in enumerate(zip(handles, ARRAYS, strict=True)):
            found = self._reader.read_tail(handle, key, array)[slots]
            wrong = (found[:, 0] != self._offset[rows, number]) | (found[:, 1] != self._nbytes[rows, number])
            if wrong.any():
                raise self._diagnosis(
                    int(rows[wrong][0]), number, "an index entry that disagrees with the table of rows"
                )

    def _misfit(self, row: int, number: int, target: npt.NDArray[Any]) -> StoreError:
        shape = self._shapes[int(self._canvas[row])][number]
        return StoreError(
            f"row {row} ({self._reader.name(row)}) of {ARRAYS[number]} is uint8 {shape}; its buffer is {target.dtype} "
            f"{target.shape}{'' if target.flags.c_contiguous else ', not contiguous'}",
            hint="rows of one call must share a canvas",
        )

    def _diagnosis(self, row: int, number: int, seen: str) -> StoreError:
        """The strict reader's error for this place; where it finds nothing wrong, two reads of one place differed."""
        array = ARRAYS[number]
        if self._far is not None:
            return StoreCorrupt(
                f"{self._reader.folder}: row {row} ({self._reader.name(row)}), {array}: found {seen}, although it was "
                "brought again and again: suspect the disk or the memory",
                hint=self._reader.hint,
            )
        try:
            self._reader.read_row(row, [array])
        except StoreError as error:
            return error
        return StoreCorrupt(
            f"store {self._reader.folder.parent.name}, version {self._reader.folder.name}, row {row} "
            f"({self._reader.name(row)}), {array}: found {seen}; a second read was sound: suspect the disk, its "
            "connection or the memory",
            hint=self._reader.hint,
        )


class _OpenShard:
    """The four open files of a shard; they close when the last thread that uses them lets go."""

    __slots__ = ("handles",)

    def __init__(self) -> None:
        self.handles: list[int] = []

    def __del__(self) -> None:
        for handle in self.handles:
            os.close(handle)
