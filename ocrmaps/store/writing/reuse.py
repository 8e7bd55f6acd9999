"""What older versions of a store hold already: rows by fingerprint, shards by the rows in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ocrmaps.errors import StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.layout import ShardKey, canvas_name
from ocrmaps.store.places.cache import Store
from ocrmaps.store.reader import Reader
from ocrmaps.store.writing.plan import PlannedRow
from ocrmaps.store.writing.provenance import Origins
from ocrmaps.store.writing.tasks import CODES, OUTCOMES, CopyRow


class _Place(NamedTuple):
    reader: int
    row: int


class _OldShard(NamedTuple):
    files: tuple[str, ...]
    """One per array."""
    by: tuple[str, ...]
    """Names of what drew its rows."""


def _prove(reader: Reader) -> None:
    """Read, and so prove, every column that copying relies on."""
    for table, columns in (
        (reader.rows, ("canvas", "position", "chunk_offset", "chunk_nbytes", "chunk_digest")),
        (reader.shards, ("canvas", "index", "nbytes", "digest")),
        (reader.polygons, ("row_offsets", "outcome")),
    ):
        for column in columns:
            table[column]


class Known:
    """Rows of committed versions, kept open so that nobody removes them meanwhile; a context manager.

    Everything found here is checked again when it is copied; a version that cannot be opened is only passed over.
    """

    def __init__(self, store: Store, wanted: Iterable[bytes]) -> None:
        self.passed_over: dict[str, str] = {}
        """Versions that could not be used, and why."""
        self._readers: list[Reader] = []
        self._places: dict[bytes, _Place] = {}
        self._shards: dict[tuple[int, ShardKey], _OldShard] = {}
        self._filled: dict[int, Counter[tuple[int, int]]] = {}
        """Rows in each shard of an older version, by canvas and index."""
        self._origins: list[Origins] = []
        missing = set(wanted)
        for version in store.versions():
            if not missing:
                break
            try:
                reader = Reader(store.version(version))
            except StoreError as error:
                self.passed_over[version] = str(error)
                continue
            try:
                packed = reader.rows["fingerprint"].tobytes()
                found = {key: i for i in range(len(reader)) if (key := packed[32 * i : 32 * i + 32]) in missing}
                origins = Origins(reader.manifest.recorded)
                if found:
                    _prove(reader)
            except StoreError as error:
                self.passed_over[version] = str(error)
                reader.close()
                continue
            if not found:
                reader.close()
                continue
            missing -= found.keys()
            self._places.update({key: _Place(len(self._readers), row) for key, row in found.items()})
            self._readers.append(reader)
            self._origins.append(origins)

    def __enter__(self) -> Known:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def __contains__(self, fingerprint: bytes) -> bool:
        return fingerprint in self._places

    @property
    def folder(self) -> Path | None:
        """That of the newest version with rows that are known, if there is one."""
        return self._readers[0].folder if self._readers else None

    @property
    def identities(self) -> dict[str, dict[str, Any]]:
        """What drew the known rows, by name."""
        return {name: body for origins in self._origins for name, body in origins.bodies.items()}

    def reuse(self, rows: Sequence[PlannedRow]) -> list[CopyRow | None]:
        """Where the bytes of these rows are, None for each that is to be drawn."""
        out: list[CopyRow | None] = [None] * len(rows)
        places = [(i, place) for i, row in enumerate(rows) if (place := self._places.get(row.fingerprint)) is not None]
        for number in sorted({place.reader for _, place in places}):
            chosen = [(i, place.row) for i, place in places if place.reader == number]
            for (i, _), copy in zip(chosen, self._copies(number, [row for _, row in chosen]), strict=True):
                unknown = max(copy.outcomes, default=0) >= len(OUTCOMES)  # it knows outcomes that we do not: draw again
                out[i] = None if unknown or len(copy.outcomes) != len(rows[i].sample.polygons) else copy
        return out

    def shard(self, rows: Sequence[PlannedRow], rows_per_shard: int) -> tuple[tuple[str, str], ...]:
        """Files and digests of an older shard with exactly these rows in these slots, or nothing."""
        places = [self._places.get(row.fingerprint) for row in rows]
        first = places[0]
        if first is None or any(place is None or place.reader != first.reader for place in places):
            return ()
        reader = self._readers[first.reader]
        if reader.manifest.rows_per_shard != rows_per_shard:
            return ()
        numbers = np.array([place.row for place in places if place is not None])
        canvases, positions = reader.rows["canvas"][numbers], reader.rows["position"][numbers]
        key = reader.shard_of(first.row)
        if (canvases != canvases[0]).any() or (positions // rows_per_shard != key.index).any():
            return ()
        if (positions % rows_per_shard).tolist() != [row.position % rows_per_shard for row in rows]:
            return ()
        if self._rows_in(first.reader, int(canvases[0]), key.index) != len(rows):
            return ()
        return tuple(zip(self._shard(first.reader, key).files, reader.shard_digests(key), strict=True))

    def _copies(self, number: int, rows: Sequence[int]) -> list[CopyRow]:
        """Rows of one older version, as it holds them."""
        reader, at = self._readers[number], np.array(rows)
        names = reader.manifest.written["outcomes"]
        codes = reader.polygons["outcome"]
        if names[: len(OUTCOMES)] != list(OUTCOMES):
            codes = np.array([CODES.get(name, len(OUTCOMES)) for name in names], np.uint8)[codes]
        first, last = (reader.polygons["row_offsets"][at + i].tolist() for i in (0, 1))
        table = reader.rows
        digests = table["chunk_digest"][at].tobytes().hex()
        size = len(digests) // len(rows)
        places = np.stack([table["chunk_offset"][at], table["chunk_nbytes"][at].astype(np.uint64)], axis=2)
        out = []
        for i, (row, own) in enumerate(zip(rows, places.reshape(len(rows), -1).tolist(), strict=True)):
            shard = self._shard(number, reader.shard_of(row))
            out.append(
                CopyRow(
                    files=shard.files,
                    places=tuple(own),
                    digests=digests[size * i : size * (i + 1)],
                    outcomes=codes[first[i] : last[i]].tobytes(),
                    by=shard.by,
                )
            )
        return out

    def _shard(self, number: int, key: ShardKey) -> _OldShard:
        """What is known of a shard of an older version."""
        if (number, key) not in self._shards:
            folder = self._readers[number].folder
            self._shards[number, key] = _OldShard(
                files=tuple(os.fspath(folder / key.path(array)) for array in ARRAYS),
                by=self._origins[number].of(canvas_name(key.canvas), key.index),
            )
        return self._shards[number, key]

    def _rows_in(self, number: int, canvas: int, index: int) -> int:
        """Rows that an older shard holds; a shard with more than ours is not ours."""
        reader = self._readers[number]
        if number not in self._filled:
            shards = reader.rows["position"] // reader.manifest.rows_per_shard
            self._filled[number] = Counter(zip(reader.rows["canvas"].tolist(), shards.tolist(), strict=True))
        return self._filled[number][canvas, index]
