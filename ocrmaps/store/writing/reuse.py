"""What older versions of a store hold already: rows by fingerprint, shards by the rows in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.layout import ShardKey, canvas_name
from ocrmaps.store.places.cache import Store
from ocrmaps.store.reader import Reader
from ocrmaps.store.writing.provenance import Origins
from ocrmaps.store.writing.tasks import OUTCOMES, CopyRow, RowTask, ShardTask

_CODES = {name: code for code, name in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True)
class _Place:
    reader: int
    row: int


def _tables(reader: Reader) -> npt.NDArray[np.uint8]:
    """Read, and so prove, every column that copying relies on; returns the fingerprints of the rows."""
    for table, columns in (
        (reader.rows, ("canvas", "position", "chunk_offset", "chunk_nbytes", "chunk_digest")),
        (reader.shards, ("canvas", "index", "nbytes", "digest")),
        (reader.polygons, ("row_offsets", "outcome")),
    ):
        for column in columns:
            table[column]
    return reader.rows["fingerprint"]


class Known:
    """Rows of committed versions, kept open so that nobody removes them meanwhile; a context manager.

    Everything found here is checked again when it is copied; a version that cannot be opened is only passed over.
    """

    def __init__(self, store: Store, wanted: Iterable[bytes]) -> None:
        self.passed_over: dict[str, str] = {}
        """Versions that could not be used, and why."""
        self._readers: list[Reader] = []
        self._places: dict[bytes, _Place] = {}
        self._paths: dict[tuple[int, ShardKey], tuple[str, ...]] = {}
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
                fingerprints, origins = _tables(reader), Origins(reader.manifest.recorded)
            except StoreError as error:
                self.passed_over[version] = str(error)
                reader.close()
                continue
            used = False
            packed = fingerprints.tobytes()
            for row in range(len(fingerprints)):
                key = packed[32 * row : 32 * row + 32]
                if key in missing:
                    missing.discard(key)
                    self._places[key] = _Place(len(self._readers), row)
                    used = True
            if used:
                self._readers.append(reader)
                self._origins.append(origins)
            else:
                reader.close()

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
    def identities(self) -> dict[str, dict[str, Any]]:
        """What drew the known rows, by name."""
        return {name: body for origins in self._origins for name, body in origins.bodies.items()}

    def reuse(self, task: ShardTask) -> ShardTask:
        """The same task with every known row to be copied, or the whole shard linked if an older one equals it."""
        places = [self._places.get(bytes.fromhex(row.fingerprint)) for row in task.rows]
        copies = [
            None if place is None else self._copy(place, row) for row, place in zip(task.rows, places, strict=True)
        ]
        rows = tuple(
            row if copy is None else replace(row, copy=copy) for row, copy in zip(task.rows, copies, strict=True)
        )
        task = replace(task, rows=rows)
        if any(row.copy is None for row in rows):
            return task
        return replace(task, linked=self._whole_shard(task, [p for p in places if p is not None]))

    def _copy(self, place: _Place, row: RowTask) -> CopyRow | None:
        reader = self._readers[place.reader]
        first, last = reader.polygons["row_offsets"][place.row : place.row + 2].tolist()
        outcomes = tuple(reader.polygons["outcome"][first:last].tolist())
        names = reader.manifest.written["outcomes"]
        if names[: len(OUTCOMES)] != list(OUTCOMES):
            outcomes = tuple(_CODES.get(names[code], len(OUTCOMES)) for code in outcomes)
        if len(outcomes) != len(row.polygons) or max(outcomes, default=0) >= len(OUTCOMES):
            return None  # it knows outcomes that we do not: draw again
        offsets, nbytes = (reader.rows[column][place.row].tolist() for column in ("chunk_offset", "chunk_nbytes"))
        digests = reader.rows["chunk_digest"][place.row].tobytes().hex()
        size = len(digests) // len(ARRAYS)
        hexes = [digests[i : i + size] for i in range(0, len(digests), size)]
        chunks = tuple(zip(offsets, nbytes, hexes, strict=True))
        key = reader.shard_of(place.row)
        by = self._origins[place.reader].of(canvas_name(key.canvas), key.index)
        return CopyRow(files=self._files(place.reader, key), chunks=chunks, outcomes=outcomes, by=by)

    def _files(self, number: int, key: ShardKey) -> tuple[str, ...]:
        """Where an older version keeps the arrays of one shard."""
        if (number, key) not in self._paths:
            folder = self._readers[number].folder
            self._paths[number, key] = tuple(os.fspath(folder / key.path(array)) for array in ARRAYS)
        return self._paths[number, key]

    def _whole_shard(self, task: ShardTask, places: Sequence[_Place]) -> tuple[tuple[str, str], ...]:
        """Files and digests of an older shard with exactly these rows in these slots, or nothing."""
        reader = self._readers[places[0].reader]
        if len({place.reader for place in places}) > 1 or reader.manifest.rows_per_shard != task.rows_per_shard:
            return ()
        key = reader.shard_of(places[0].row)
        if any(reader.shard_of(place.row) != key for place in places):
            return ()
        slots = [int(reader.rows["position"][place.row]) % task.rows_per_shard for place in places]
        if slots != [row.slot for row in task.rows] or self._rows_in(reader, key) != len(places):
            return ()
        return tuple(zip(self._files(places[0].reader, key), reader.shard_digests(key), strict=True))

    @staticmethod
    def _rows_in(reader: Reader, key: ShardKey) -> int:
        """Rows that an older shard holds; a shard with more than ours is not ours."""
        canvas = reader.manifest.canvases.index(key.canvas)
        positions = reader.rows["position"][reader.rows["canvas"] == canvas]
        return int((positions // reader.manifest.rows_per_shard == key.index).sum())
