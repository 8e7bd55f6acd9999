"""Strict reading of one version: every row that comes out hashes to the manifest, or an error names the place.

The manifest and the digests of the tables lead to one length and digest per row and array; files are read by position
into memory (never mapped, so a file cut short by somebody cannot crash the process), checked, then unpacked.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps import inline
from ocrmaps.canonical import CanonicalTransform
from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.files import open_at_once, read_regular
from ocrmaps.geometry import FRAMES, PolygonSet, Size
from ocrmaps.recipe import ARRAYS, Recipe
from ocrmaps.store.far.parts import small_by_path
from ocrmaps.store.far.rows import FarRows
from ocrmaps.store.far.version import far_version
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import file_digest, row_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, ShardKey, list_files, row_shape
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.format.shards import ABSENT, index_nbytes, read_index
from ocrmaps.store.format.tables import Table, unpack_text, unpack_texts
from ocrmaps.store.places import lock
from ocrmaps.store.places.cache import local_folder
from ocrmaps.store.writing.plan import SPLITS
from ocrmaps.text import typed

Out = Mapping[str, npt.NDArray[np.uint8]]
"""Arrays by name, (number of rows, *row shape) uint8 C-contiguous, to be filled."""
OPEN_FILES = 256
FIRST = ("rows/id", "rows/split", "rows/canvas", "rows/position", "rows/chunk", "shards/")
"""Beginnings of the paths of what a loader needs first: they come together."""


class Reader:
    """One version, open for reading by any number of threads; a context manager.

    While it is open, `gc` and `clear` leave the version alone.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = local_folder(folder)
        self.far = far_version(self.folder)
        """What stands behind the folder where the version lies in object storage; None on a disk."""
        verify, repair = (typed("ocrmaps", word, self.folder) for word in ("verify", "repair"))
        self.hint = f"{verify} lists all damage, {repair} rebuilds it"
        if self.far is not None:
            self.hint = f"`ocrmaps verify {self.far.there} --root {self.far.mark.url}` lists all damage"
            self.far.bring_manifest()
        self._lease = lock.lease(self.folder / MANIFEST)
        try:
            self.manifest = read_manifest(self.folder, hint=self.hint)
            self._small = {} if self.far is None else small_by_path(self.manifest)
            bring = None if self.far is None else self._bring
            self.rows, self.shards, self.polygons = (
                Table(
                    self.folder,
                    name,
                    self.manifest.columns(name),
                    written=self.manifest.written,
                    hint=self.hint,
                    bring=bring,
                )
                for name in ("rows", "shards", "polygons")
            )
            if self.far is not None:
                first = [part for path, part in self._small.items() if path.startswith(FIRST) and "/c.0" in path]
                self.far.bring_all(first)
        except BaseException:
            os.close(self._lease)
            raise
        self._files = _Files(OPEN_FILES)
        self._tails: dict[tuple[str, str], npt.NDArray[np.uint64]] = {}
        self._shard_keys: npt.NDArray[np.uint64] | None = None
        self._far_rows: FarRows | None = None
        self._making = threading.Lock()

    def __len__(self) -> int:
        return self.rows.length("canvas")

    def __fspath__(self) -> str:
        """An open version stands for its folder, wherever a path is expected."""
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Reader({self.folder.parent.name}/{self.folder.name}): {len(self)} rows"

    def _repr_html_(self) -> str:
        """What the version holds, for notebooks."""
        splits = {name: len(self.select(name)) for name in SPLITS}
        counts = np.bincount(self.rows["canvas"], minlength=len(self.manifest.canvases)).tolist()
        rows = {
            "rows": len(self),
            "splits": ", ".join(f"{name or 'no split'} {n}" for name, n in splits.items() if n),
            "canvases": ", ".join(f"{h}x{w} {n}" for (h, w), n in zip(self.manifest.canvases, counts, strict=True)),
            "polygons": len(self.polygons["ignore"]),
            "root digest": self.root_digest,
            "folder": self.folder,
        }
        return inline.facts(f"{self.folder.parent.name}/{self.folder.name}", rows)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up files and the mark of being in use; closing twice is fine."""
        self._files.close()
        if self._far_rows is not None:
            self._far_rows.close()
        if self._lease >= 0:
            os.close(self._lease)
            self._lease = -1

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """What every `zarr.json` of the version must be, byte for byte."""
        return self.manifest.documents()

    @property
    def root_digest(self) -> str:
        return self.manifest.root_digest

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def canvases(self) -> tuple[Size, ...]:
        return self.manifest.canvases

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the build, with the paths it had then."""
        return self.manifest.recipe

    @property
    def title(self) -> str:
        """STORE/VERSION."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def id(self, row: int) -> str:
        return unpack_text(self.rows["id_offsets"], self.rows["id_bytes"], row)

    def ids(self, split: str | None = None) -> list[str]:
        """Sample ids in row order, of one split or all."""
        every = unpack_texts(self.rows["id_offsets"], self.rows["id_bytes"])
        return every if split is None else [every[row] for row in self.select(split).tolist()]

    def select(self, split: str | None = None) -> npt.NDArray[np.int64]:
        """Row numbers of one split, or of all."""
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        return np.flatnonzero(self.rows["split"] == SPLITS.index(split)).astype(np.int64)

    def name(self, row: int) -> str:
        """How messages call a row: split, source and id."""
        source = self.manifest.written["sources"][int(self.rows["source"][row])]
        return "/".join(p for p in (SPLITS[int(self.rows["split"][row])], source, self.id(row)) if p)

    def canvas(self, row: int) -> Size:
        return self.manifest.canvases[int(self.rows["canvas"][row])]

    def transform(self, row: int) -> CanonicalTransform:
        """The decision that rendering took for this row."""
        orientation, raw_h, raw_w, h, w, x, y = self.rows["transform"][row].tolist()
        return CanonicalTransform(
            orientation=orientation, raw_size=(raw_h, raw_w), resized=(h, w), offset=(x, y), canvas=self.canvas(row)
        )

    def polygon_set(self, row: int, *, texts: bool = True) -> PolygonSet:
        """The annotation of this row in the frame of its source; without its texts for who reads outlines only."""
        first, last = self.polygons["row_offsets"][row : row + 2].tolist()
        offsets = self.polygons["offsets"][first : last + 1].astype(np.int64)
        has_text = self.polygons["has_text"][first:last] & texts
        return PolygonSet(
            points=self.polygons["points"][offsets[0] : offsets[-1]],
            offsets=offsets - offsets[0],
            ignore=self.polygons["ignore"][first:last],
            texts=tuple(
                unpack_text(self.polygons["text_offsets"], self.polygons["text_bytes"], i) if stated else None
                for i, stated in enumerate(has_text.tolist(), first)
            ),
            frame=FRAMES[int(self.rows["frame"][row])],  # type: ignore[arg-type]
        )

    def outcomes(self, row: int) -> tuple[str, ...]:
        """What became of each polygon of this row when its maps were drawn."""
        first, last = self.polygons["row_offsets"][row : row + 2].tolist()
        names = self.manifest.written["outcomes"]
        return tuple(names[code] for code in self.polygons["outcome"][first:last].tolist())

    def ledger(self) -> Iterator[dict[str, Any]]:
        """What was skipped, repaired, masked or clipped, line by line."""
        data = self._read_whole(LEDGER)
        stated = self.manifest.written["ledger"]["digest"]
        if file_digest(data).hex() != stated:
            raise StoreCorrupt(f"{self.folder / LEDGER}: its digest is not {stated}", hint=self.hint)
        return (json.loads(line) for line in data.splitlines())

    def sizes(self) -> dict[str, int]:
        """Every file of the version with its length, as the disk or the place lists them."""
        return list_files(self.folder) if self.far is None else self.far.sizes()

    def far_rows(self) -> FarRows | None:
        """What brings rows of a version in object storage; None on a disk."""
        if self.far is None:
            return None
        with self._making:
            if self._far_rows is None:
                self._far_rows = FarRows(
                    self.far, self.rows, self.shards, self.manifest.canvases, self.manifest.rows_per_shard
                )
            return self._far_rows

    def _bring(self, path: str) -> None:
        assert self.far is not None
        self.far.bring(self._small[path])

    def _read_whole(self, path: str) -> bytes:
        if self.far is not None:
            self._bring(path)
        try:
            return read_regular(self.folder / path)
        except OSError as error:
            raise StoreCorrupt(f"{self.folder / path}: cannot be read ({error.strerror})", hint=self.hint) from error

    def read_row(self, row: int, arrays: Sequence[str] = ARRAYS) -> dict[str, npt.NDArray[np.uint8]]:
        """One row as new arrays."""
        out = {a: np.empty((1, *row_shape(a, self.canvas(row))), dtype=np.uint8) for a in arrays}
        self.read_rows([row], out)
        return {name: array[0] for name, array in out.items()}

    def read_rows(self, rows: Sequence[int] | npt.NDArray[np.integer[Any]], out: Out) -> None:
        """Fill `out[array][i]` with row `rows[i]`; all rows must be on the canvas that `out` was shaped for."""
        for array in out:
            number = ARRAYS.index(array)
            for i, row in enumerate(rows):
                self._read_into(int(row), array, number, out[array][i])

    def packed(self, row: int, array: str) -> bytes:
        """The stored bytes of one row of one array, proven."""
        number = ARRAYS.index(array)
        if not 0 <= row < len(self):
            raise IndexError(f"{self.folder}: row {row} of {len(self)}")
        far = self.far_rows()
        if far is not None:
            return far.packed(row, number)
        key = self.shard_of(row)
        path = key.path(array)
        offset = int(self.rows["chunk_offset"][row, number])
        nbytes = int(self.rows["chunk_nbytes"][row, number])
        try:
            tail = self._tail(key, array)
        except StoreCorrupt as error:
            raise StoreCorrupt(f"{self._said(row, array)}: {error}", hint=self.hint) from error
        stored = tail[int(self.rows["position"][row]) % self.manifest.rows_per_shard].tolist()
        if stored != [offset, nbytes]:
            said = "no such row" if stored[0] == ABSENT else f"offset {stored[0]} and {stored[1]} bytes"
            raise self._damage(
                row, array, path, offset, f"the shard's index has {said}, expected {offset} and {nbytes}"
            )
        with self._files.open(self.folder / path) as handle:
            data = os.pread(handle, nbytes, offset)
        if len(data) != nbytes:
            raise self._damage(row, array, path, offset, f"found {len(data)} bytes, expected {nbytes}")
        expected = self.rows["chunk_digest"][row, number].tobytes()
        found = row_digest(data)
        if found != expected:
            raise self._damage(row, array, path, offset, f"found digest {found.hex()}, expected {expected.hex()}")
        return data

    def shard_of(self, row: int) -> ShardKey:
        return ShardKey(self.canvas(row), int(self.rows["position"][row]) // self.manifest.rows_per_shard)

    def shard_digests(self, key: ShardKey) -> tuple[str, ...]:
        """Digests of the files of a shard, in the order of `ARRAYS`."""
        return tuple(d.tobytes().hex() for d in self.shards["digest"][self.shard_number(key)])

    def shard_number(self, key: ShardKey) -> int:
        """The place of a shard in the table of shards, which has them by canvas and index."""
        if self._shard_keys is None:
            self._shard_keys = _shard_key(self.shards["canvas"], self.shards["index"])
        wanted = _shard_key(self.manifest.canvases.index(key.canvas), key.index)
        number = int(np.searchsorted(self._shard_keys, wanted))
        if number == len(self._shard_keys) or self._shard_keys[number] != wanted:
            raise StoreCorrupt(f"{self.folder}: the table of shards has no {key}", hint=self.hint)
        return number

    def _read_into(self, row: int, array: str, number: int, target: npt.NDArray[np.uint8]) -> None:
        shape = row_shape(array, self.canvas(row)) if 0 <= row < len(self) else target.shape
        if target.shape != shape or target.dtype != np.uint8 or not target.flags.c_contiguous:
            raise StoreError(
                f"row {row} ({self.name(row)}) of {array} has shape {shape}; its buffer has shape {target.shape}, "
                f"type {target.dtype}{'' if target.flags.c_contiguous else ', not contiguous'}",
                hint="rows of one call must share a canvas",
            )
        data = self.packed(row, array)
        try:
            packing(self.manifest.codecs[array]).decode(data, target)
        except StoreCorrupt as error:
            raise self._damage(row, array, self.shard_of(row).path(array), 0, str(error)) from error

    def _tail(self, key: ShardKey, array: str) -> npt.NDArray[np.uint64]:
        """The index of a shard file, read and checked once: what other Zarr readers see must agree with our tables."""
        path = key.path(array)
        known = self._tails.get((path, array))
        if known is not None:
            return known
        try:
            with self._files.open(self.folder / path) as handle:
                index = self._tails[path, array] = self.read_tail(handle, key, array)
                return index
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreCorrupt(f"{self.folder / path}: cannot be read ({error.strerror})", hint=self.hint) from error

    def read_tail(self, handle: int, key: ShardKey, array: str) -> npt.NDArray[np.uint64]:
        """Check the index of a shard file that is open, whose length must be the recorded one."""
        path, rows = key.path(array), self.manifest.rows_per_shard
        expected = int(self.shards["nbytes"][self.shard_number(key), ARRAYS.index(array)])
        tail_nbytes = index_nbytes(rows)
        try:
            found = os.fstat(handle).st_size
            if found != expected:
                raise StoreCorrupt(f"found {found} bytes, expected {expected}")
            return read_index(os.pread(handle, tail_nbytes, expected - tail_nbytes), rows, expected)
        except StoreCorrupt as error:
            raise StoreCorrupt(f"{self.folder / path}: {error}", hint=self.hint) from error
        except OSError as error:
            raise StoreCorrupt(f"{self.folder / path}: cannot be read ({error.strerror})", hint=self.hint) from error

    def _damage(self, row: int, array: str, path: str, offset: int, what: str) -> StoreCorrupt:
        return StoreCorrupt(f"{self._said(row, array)}: {self.folder / path} at byte {offset}: {what}", hint=self.hint)

    def _said(self, row: int, array: str) -> str:
        """One array of one row, as messages call it."""
        return f"store {self.folder.parent.name}, version {self.folder.name}, row {row} ({self.name(row)}), {array}"


def _shard_key(canvas: Any, index: Any) -> Any:
    """One number for canvas and index of a shard, in their order."""
    return np.asarray(canvas, np.uint64) << np.uint64(32) | np.asarray(index, np.uint64)


class _Files:
    """A bounded number of open files; one that is in use is never closed under its user."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: OrderedDict[Path, list[int]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, path: Path) -> Iterator[int]:
        with self._lock:
            entry = self._open.get(path)
            if entry is None:
                entry = self._open[path] = [open_at_once(path), 0]
            self._open.move_to_end(path)
            entry[1] += 1
        try:
            yield entry[0]
        finally:
            with self._lock:
                entry[1] -= 1
                self._trim(self._limit)

    def close(self) -> None:
        with self._lock:
            self._trim(0)

    def _trim(self, limit: int) -> None:
        if len(self._open) <= limit:
            return
        for path in list(self._open):  # the one used longest ago comes first
            if self._open[path][1] == 0:
                os.close(self._open.pop(path)[0])
                if len(self._open) <= limit:
                    return
