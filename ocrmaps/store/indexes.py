"""Proves the indexes of shard files against the tables of a version: one digest for the ends of a shard's four files.

A shard's index is checked when the shard is first touched. With few rows to a shard that is what a first epoch costs,
so what the ends of the files have to be is worked out for many shards at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreCorrupt
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.identity import FILE_DIGEST, file_digest
from ocrmaps.store.format.shards import ABSENT, index_nbytes, tail_of
from ocrmaps.store.reader import Reader

_NO_ROW = 0xFFFF_FFFF
_AT_ONCE = 1024
"""Rows whose entries are worked out together."""
_UNKNOWN = bytes(FILE_DIGEST)


class Indexes:
    """What the indexes of a version's shards have to be; shards are counted over all canvases."""

    def __init__(self, reader: Reader, first: Sequence[int]) -> None:
        """`first` is the number of each canvas's first shard."""
        self._folder, self._hint, self._shards = reader.folder, reader.hint, reader.shards
        self._offset, self._nbytes = reader.rows["chunk_offset"], reader.rows["chunk_nbytes"]
        self._per_shard, self._first = reader.manifest.rows_per_shard, np.array(first, np.int64)
        self.nbytes = index_nbytes(self._per_shard)
        # As many shards as the manifest says, before memory is taken for their places.
        self._number = len(self._shards["index"])
        self._rows_at = self._rows_by_place(
            reader.rows["canvas"], reader.rows["position"], np.array(reader.manifest.positions, np.int64)
        )
        self._proofs = bytearray(FILE_DIGEST * self._number)
        """A digest for each shard; zeros where none was worked out, or the tables contradict each other."""

    def hold(self, shard: int, handles: Sequence[int]) -> bool:
        """Whether the four open files have the lengths and, byte for byte, the ends that follow from the tables."""
        place = slice(FILE_DIGEST * shard, FILE_DIGEST * (shard + 1))
        if self._proofs[place] == _UNKNOWN:
            self._work_out(shard)
        ends = []
        try:
            for handle, start in zip(handles, self.starts(shard), strict=True):
                # One byte more than there should be is asked for, so that a longer file shows.
                ends.append(end := os.pread(handle, self.nbytes + 1, start))
                # Each has its length, too: a byte too many in one file could stand for one too few in the next.
                if len(end) != self.nbytes:
                    return False
        except OSError:
            return False
        return file_digest(b"".join(ends)) == self._proofs[place]

    def starts(self, shard: int) -> list[int]:
        """Where the index of each file of a shard begins; it has `nbytes` bytes."""
        starts: list[int] = (self._shards["nbytes"][shard].astype(np.int64) - self.nbytes).tolist()
        return starts

    def rows(self, shard: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint32]]:
        """The places of a shard that have a row, and those rows."""
        at = self._rows_at[shard * self._per_shard : (shard + 1) * self._per_shard]
        places = np.flatnonzero(at != _NO_ROW)
        return places, at[places]

    def _rows_by_place(
        self, canvas: npt.NDArray[np.uint16], position: npt.NDArray[np.uint32], positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint32]:
        """The row in each place of each shard, `_NO_ROW` where there is none."""
        at: npt.NDArray[np.uint32] = np.full(self._number * self._per_shard, _NO_ROW, np.uint32)
        if (position < positions[canvas]).all():
            at[self._first[canvas] * self._per_shard + position] = np.arange(len(canvas), dtype=np.uint32)
        if int((at != _NO_ROW).sum()) != len(canvas):
            raise StoreCorrupt(
                f"{self._folder}: found rows that share a place or have none, expected one place for each",
                hint=self._hint,
            )
        return at

    def _work_out(self, shard: int) -> None:
        """Set the proofs of a shard and of those beside it."""
        many = max(1, _AT_ONCE // self._per_shard)
        start = shard // many * many
        some = slice(start, min(start + many, self._number))
        numbers = np.arange(some.start, some.stop)
        at = self._rows_at[some.start * self._per_shard : some.stop * self._per_shard].reshape(-1, self._per_shard)
        there = (at != _NO_ROW)[..., None]
        rows = np.where(at != _NO_ROW, at, 0)
        lengths = np.where(there, self._nbytes[rows], 0).astype(np.uint64)
        ends = lengths.cumsum(axis=1)
        offsets = ends - lengths
        canvas = np.searchsorted(self._first, numbers, side="right") - 1
        sound = (
            ((offsets == self._offset[rows]) | ~there).all(axis=(1, 2))
            & (ends[:, -1] + np.uint64(self.nbytes) == self._shards["nbytes"][some]).all(axis=1)
            & (self._shards["canvas"][some] == canvas)
            & (self._shards["index"][some] == numbers - self._first[canvas])
        )
        entries = np.where(there[..., None], np.stack([offsets, lengths], axis=-1), np.uint64(ABSENT))
        # Shard after shard, in each the four indexes.
        data = entries.transpose(0, 2, 1, 3).astype("<u8").tobytes()
        each = 16 * self._per_shard
        whole = len(ARRAYS) * each
        for number in np.flatnonzero(sound).tolist():
            starts = range(number * whole, (number + 1) * whole, each)
            proof = file_digest(b"".join([tail_of(data[index : index + each]) for index in starts]))
            place = FILE_DIGEST * (start + number)
            self._proofs[place : place + FILE_DIGEST] = proof
