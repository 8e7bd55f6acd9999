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
from ocrmaps.store.far.parts import LOOKS
from ocrmaps.store.far.rows import Ahead
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import ROW_DIGEST, row_digest
from ocrmaps.store.format.layout import ShardKey, row_shape
from ocrmaps.store.reader import Reader


def shards_within(files: int) -> int:
    """How many shards may stay open, of four files each: a quarter of the files that a process may have.

    >>> shards_within(1024), shards_within(20_000), shards_within(resource.RLIM_INFINITY)
    (64, 1250, 4096)
    """
    return 4096 if files == resource.RLIM_INFINITY else max(16, min(4096, files // 16))


OPEN_SHARDS = shards_within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
_N = len(ARRAYS)
_BYTE = np.dtype(np.uint8)


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
        manifest = reader.manifest
        self._packings = [packing(manifest.codecs[array]) for array in ARRAYS]
        self._shapes = [[row_shape(array, canvas) for array in ARRAYS] for canvas in manifest.canvases]
        # All that a read needs in one table: one look-up of plain numbers per row, the digests as one run of bytes.
        tables, position = reader.rows, reader.rows["position"].astype(np.int64)
        place = [tables["canvas"], position // manifest.rows_per_shard, position % manifest.rows_per_shard]
        self._places = np.column_stack([*place, tables["chunk_offset"], tables["chunk_nbytes"]]).astype(np.int64)
        self._digests = tables["chunk_digest"].reshape(len(position), -1)
        self._names = [
            [f"{reader.folder}/{ShardKey(canvas, 0).path(array)}".rsplit("c.0", 1) for array in ARRAYS]
            for canvas in manifest.canvases
        ]
        """What stands before and after the number of a shard in the names of its files, by canvas and array."""
        self._indices: dict[tuple[int, int], list[npt.NDArray[np.uint64]]] = {}
        """Checked when a shard is first touched, and small: kept when its files are closed."""
        self._shards: dict[tuple[int, int], _OpenShard] = {}
        self._opening = threading.Lock()
        self._own = threading.local()

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
            if 0 <= row < len(self._places):
                far.need(row)
            try:
                return self._read(row, targets)
            except StoreCorrupt:  # removed or damaged since it came: then it comes again
                if look == LOOKS - 1:
                    raise
                far.forget(row)
                with self._opening:
                    self._shards.pop((int(self._places[row, 0]), int(self._places[row, 1])), None)
        return None

    def ahead(self, rows: Iterable[int]) -> Ahead | None:
        """Begin to bring these rows in this order, where the version lies in object storage; `stop` ends it."""
        return None if self._far is None else Ahead(self._far, rows)

    def _read(self, row: int, targets: Sequence[npt.NDArray[np.uint8]]) -> None:
        if not 0 <= row < len(self._places):
            raise IndexError(f"{self._reader.folder}: row {row} of {len(self._places)}")
        canvas, shard, position, *chunks = self._places[row].tolist()
        open_shard = self._shards.get((canvas, shard)) or self._open(canvas, shard)
        digests = self._digests[row].tobytes()
        scratch = self._scratch(max(chunks[_N:]))
        shapes = self._shapes[canvas]
        for number, target in enumerate(targets):
            if target.shape != shapes[number] or target.dtype != _BYTE or not target.flags.c_contiguous:
                raise self._misfit(row, number, target)
            offset, nbytes = chunk = [chunks[number], chunks[_N + number]]
            if open_shard.indices and open_shard.indices[number][position] != chunk:
                raise self._diagnosis(row, number, "an index entry that disagrees with the table of rows")
            unpack = self._packings[number]
            # Raw rows are read to where they belong; they are proven there.
            in_place = unpack.cname is None and nbytes == target.nbytes
            packed = target.reshape(-1).data if in_place else scratch[:nbytes]
            try:
                found = os.preadv(open_shard.handles[number], [packed], offset)
            except OSError as error:
                raise self._diagnosis(row, number, f"a read that failed ({error.strerror})") from error
            if found != nbytes:
                raise self._diagnosis(row, number, f"{found} bytes instead of {nbytes}")
            if self._check and row_digest(packed) != digests[ROW_DIGEST * number : ROW_DIGEST * (number + 1)]:
                raise self._diagnosis(row, number, "another digest")
            if not in_place:
                try:
                    unpack.decode(packed, target)
                except StoreCorrupt as error:
                    raise self._diagnosis(row, number, str(error)) from error

    def close(self) -> None:
        """Forget the open files; one that a thread is reading closes when that read ends."""
        with self._opening:
            self._shards.clear()

    def _scratch(self, nbytes: int) -> memoryview:
        """At least so much memory of this thread's own, as large as the largest row it has read."""
        whole: memoryview | None = getattr(self._own, "scratch", None)
        if whole is None or len(whole) < nbytes:
            whole = self._own.scratch = memoryview(bytearray(nbytes + nbytes // 4))
        return whole

    def _open(self, canvas: int, shard: int) -> _OpenShard:
        with self._opening:
            known = self._shards.get((canvas, shard))
            if known is not None:
                return known
            opened = _OpenShard()
            for before, after in self._names[canvas]:
                try:
                    opened.handles.append(open_at_once(f"{before}c.{shard}{after}"))
                except OSError as error:
                    raise StoreCorrupt(
                        f"{before}c.{shard}{after}: cannot be read ({error.strerror})", hint=self._reader.hint
                    ) from error
            checked = self._indices.get((canvas, shard))
            if self._far is not None:
                checked = []  # the tables know every offset; another request a file would prove nothing of a row
                os.utime(opened.handles[0])
            elif checked is None:
                key = ShardKey(self._reader.manifest.canvases[canvas], shard)
                checked = [self._reader.read_tail(h, key, a) for h, a in zip(opened.handles, ARRAYS, strict=True)]
                self._indices[canvas, shard] = checked
            opened.indices = [index.tolist() for index in checked]
            # Oldest first: with a random order any other choice would be as good, and dearer.
            while len(self._shards) >= (self._most_open or OPEN_SHARDS):
                del self._shards[next(iter(self._shards))]
            self._shards[canvas, shard] = opened
            return opened

    def _misfit(self, row: int, number: int, target: npt.NDArray[Any]) -> StoreError:
        shape = self._shapes[int(self._places[row, 0])][number]
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
    """The four open files of a shard with their indices; they close when the last thread that uses them lets go."""

    __slots__ = ("handles", "indices")

    def __init__(self) -> None:
        self.handles: list[int] = []
        self.indices: list[list[list[int]]] = []
        """[offset, length] of each row, by array."""

    def __del__(self) -> None:
        for handle in self.handles:
            os.close(handle)
