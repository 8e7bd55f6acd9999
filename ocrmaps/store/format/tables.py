"""The small tables of a version (rows, shards, polygons) as plain Zarr columns, checked against the manifest when read.

A column is one uncompressed chunk. It is read whole on first use, or in pieces by who needs it once; its digest is
compared, and the array handed out is read-only. Nothing is mapped, so a file that somebody truncates later cannot crash
the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import StoreCorrupt, StoreError, StoreFormat, reason
from ocrmaps.files import open_regular, read_regular
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.identity import FILE_DIGEST, ROW_DIGEST, FileDigest, file_digest
from ocrmaps.store.format.layout import column_metadata, group_metadata
from ocrmaps.store.format.sense import column_fault
from ocrmaps.store.places import posix as disk

Columns = Mapping[str, npt.NDArray[Any]]
_N = len(ARRAYS)
TRANSFORM = ("orientation", "raw_h", "raw_w", "resized_h", "resized_w", "offset_x", "offset_y")
"""What the `transform` column holds; the canvas has its own column."""
TABLES: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "rows": {
        "id_offsets": ("uint64", ()),
        "id_bytes": ("uint8", ()),
        "split": ("uint8", ()),
        "source": ("uint16", ()),
        "frame": ("uint8", ()),
        "canvas": ("uint16", ()),
        "position": ("uint32", ()),
        "transform": ("int32", (len(TRANSFORM),)),
        "picture": ("uint8", (32,)),
        "annotation": ("uint8", (32,)),
        "fingerprint": ("uint8", (32,)),
        "chunk_offset": ("uint64", (_N,)),
        "chunk_nbytes": ("uint32", (_N,)),
        "chunk_digest": ("uint8", (_N, ROW_DIGEST)),
    },
    "shards": {
        "canvas": ("uint16", ()),
        "index": ("uint32", ()),
        "nbytes": ("uint64", (_N,)),
        "digest": ("uint8", (_N, FILE_DIGEST)),
    },
    "polygons": {
        "row_offsets": ("uint64", ()),
        "offsets": ("uint64", ()),
        "points": ("float64", (2,)),
        "ignore": ("uint8", ()),
        "outcome": ("uint8", ()),
        "has_text": ("uint8", ()),
        "text_offsets": ("uint64", ()),
        "text_bytes": ("uint8", ()),
    },
}
"""Columns by table: type and the shape of one entry. `*_offsets` have one entry more than what they delimit."""

PIECE = 2**20
"""Bytes of a column that are read and proven at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What the manifest states of a column: enough to prove the file."""

    dtype: str
    shape: tuple[int, ...]
    digest: str

    def as_dict(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": list(self.shape), "digest": self.digest}

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def column_path(table: str, name: str, shape: Sequence[int]) -> str | None:
    """The one chunk of a column, relative to the version; None for an empty column, which has no file."""
    if 0 in shape:
        return None
    return f"{table}/{name}/c" + ".0" * len(shape)


def table_metadata(table: str, columns: Mapping[str, Column]) -> dict[str, dict[str, Any]]:
    """`zarr.json` documents of a table by path."""
    out = {f"{table}/zarr.json": group_metadata({})}
    for name, column in columns.items():
        out[f"{table}/{name}/zarr.json"] = column_metadata(column.shape, column.dtype)
    return out


class SmallFiles:
    """Writes the files of a staging tree that are no shards; those that an older version has, too, get a second name.

    Nobody sees them before the commit, and whoever commits syncs what is not in `linked`.
    """

    def __init__(self, root: Path, older: Path | None = None) -> None:
        self._root, self._older = root, older
        self.linked: set[str] = set()
        """Files of the older version: they are on the disk already."""
        self._made: set[str] = set()
        """Folders that are there."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file in place of any earlier attempt."""
        folder, file = path.rpartition("/")[0], self._root / path
        if folder not in self._made:
            disk.make_folder(file.parent, durable=False)
            self._made.add(folder)
        disk.unlink(file)
        if self._older is not None and self._link(self._older / path, file, data):
            self.linked.add(path)
        else:
            self.linked.discard(path)
            disk.write_new(file, [data], durable=False)

    def _link(self, older: Path, path: Path, data: bytes) -> bool:
        try:
            if read_regular(older) != data:
                return False
            disk.link(older, path)
        except (OSError, StoreError):  # no such file, or a file system without links
            return False
        return True


def write_table(files: SmallFiles, table: str, columns: Columns) -> dict[str, Column]:
    """Write the columns of a table, to be synced by the caller; types and entry shapes are those of `TABLES`.

    Their `zarr.json` follow from what is returned (`table_metadata`).
    """
    written: dict[str, Column] = {}
    for name, (dtype, entry) in TABLES[table].items():
        array = np.ascontiguousarray(columns[name], dtype=np.dtype(dtype).newbyteorder("<"))
        if array.shape[1:] != entry:
            raise ValueError(f"{table}/{name}: entries of shape {array.shape[1:]}, expected {entry}")
        written[name] = Column(dtype=dtype, shape=array.shape, digest=file_digest(array).hex())
        path = column_path(table, name, array.shape)
        if path is not None:
            files.write(path, array.tobytes())
    return written


class Table:
    """The verified columns of one table of a version; safe to share between threads."""

    def __init__(
        self,
        root: Path,
        table: str,
        columns: Mapping[str, Column],
        *,
        written: Mapping[str, Any],
        hint: str = "",
        bring: Callable[[str], None] | None = None,
    ) -> None:
        expected = TABLES[table]
        if set(columns) != set(expected):
            raise StoreFormat(f"{root}: table {table} has columns {sorted(columns)}, expected {sorted(expected)}")
        self._root, self._table, self._columns, self._hint = root, table, dict(columns), hint
        self._written = written
        self._bring = bring
        """Called with the path of a file before it is first read, where files come from elsewhere."""
        self._loaded: dict[str, npt.NDArray[Any]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The whole column, read-only; StoreCorrupt where the file is not what the manifest states."""
        loaded = self._loaded.get(name)
        if loaded is None:
            with self._lock:
                loaded = self._loaded.get(name)
                if loaded is None:
                    loaded = self._loaded[name] = self._load(name)
        return loaded

    def length(self, name: str) -> int:
        """Entries of a column as the manifest states them, without reading it."""
        return self._columns[name].shape[0]

    @property
    def nbytes_held(self) -> int:
        """Memory of the columns that were read so far."""
        return sum(column.nbytes for column in self._loaded.values())

    def digest(self, name: str) -> str:
        """The digest of a column as the manifest states it: columns with one digest hold the same."""
        return self._columns[name].digest

    def prove(self, name: str) -> None:
        """Check a column as reading it does, and keep nothing of it."""
        for _ in self.pieces(name):
            pass

    def pieces(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """A column from front to back; a piece is valid until the next is asked for.

        Nothing is proven before the end: what is wrong is raised after the last piece.
        """
        length, entries = self.length(name), self._entries(name)
        if (loaded := self._loaded.get(name)) is not None:
            yield from (loaded[start : start + entries] for start in range(0, length, entries))
        elif length:
            with self._opened(name) as opened:
                yield from self._walk(name, opened, self._memory(name, min(entries, length)))

    def _load(self, name: str) -> npt.NDArray[Any]:
        length = self.length(name)
        if not length:
            return self._memory(name, 0)
        with self._opened(name) as opened:
            whole = self._memory(name, length)
            for _ in self._walk(name, opened, whole):
                pass
        whole.flags.writeable = False
        return whole

    def _memory(self, name: str, entries: int) -> npt.NDArray[Any]:
        column = self._columns[name]
        return np.empty((entries, *column.shape[1:]), np.dtype(column.dtype).newbyteorder("<"))

    def _entries(self, name: str) -> int:
        """Entries of a column that are read at a time."""
        column = self._columns[name]
        return max(1, PIECE * column.shape[0] // max(1, column.nbytes))

    def _file(self, name: str) -> Path:
        return self._root / (column_path(self._table, name, self._columns[name].shape) or "")

    @contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        """The file of a column that has entries, which has its length."""
        file, nbytes = self._file(name), self._columns[name].nbytes
        if self._bring is not None:
            self._bring(file.relative_to(self._root).as_posix())
        try:
            with open_regular(file) as opened:
                there = os.fstat(opened.fileno()).st_size
                # Looked at first, because memory is taken for what is asked for.
                if there != nbytes:
                    raise StoreCorrupt(f"{file}: found {there} bytes, expected {nbytes}", hint=self._hint)
                yield opened
        except FileNotFoundError as error:
            raise StoreCorrupt(f"{file}: the file is missing, expected {nbytes} bytes", hint=self._hint) from error
        except OSError as error:
            raise StoreCorrupt(f"{file}: cannot be read ({reason(error)})", hint=self._hint) from error

    def _walk(self, name: str, opened: BinaryIO, memory: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Read a column piece by piece into memory for all of it, or for one piece at a time, and prove it.

        A piece is proven while it is in the processor's cache: beyond that each byte costs more.
        """
        column, where, file = self._columns[name], f"{self._table}/{name}", self._file(name)
        length, entries = column.shape[0], min(len(memory), self._entries(name))
        state, fault, before = FileDigest(), "", 0
        for start in range(0, length, entries):
            place = start % len(memory)
            piece = memory[place : place + min(entries, length - start)]
            there = opened.readinto(piece.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
            if there != piece.nbytes:
                raise StoreCorrupt(f"{file}: it was cut short while it was read", hint=self._hint)
            state.passing(piece.reshape(-1).view(np.uint8).data)
            fault = fault or column_fault(self._written, where, piece, start=start, before=before)
            before = piece[-1]
            yield piece
        found = state.digest().hex()
        if found != column.digest:
            raise StoreCorrupt(f"{file}: found digest {found}, expected {column.digest}", hint=self._hint)
        if fault:
            raise StoreCorrupt(f"{file}: {fault}", hint=self._hint)


def pack_texts(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Texts as one run of UTF-8 and the offsets (n + 1) between them.

    >>> offsets, data = pack_texts(["a", "", "é"])
    >>> offsets.tolist(), unpack_text(offsets, data, 2)
    ([0, 1, 1, 3], 'é')
    """
    # Annotations may hold lone surrogates (undecodable bytes kept by a reader): they come back as they went in.
    data = "".join(texts).encode("utf-8", "surrogatepass")
    lengths = list(map(len, texts))
    if sum(lengths) != len(data):  # not ASCII alone
        lengths = [len(t) if t.isascii() else len(t.encode("utf-8", "surrogatepass")) for t in texts]
    return np.cumsum([0, *lengths], dtype=np.uint64), np.frombuffer(data, dtype=np.uint8)


def unpack_text(offsets: npt.NDArray[np.uint64], data: npt.NDArray[np.uint8], index: int) -> str:
    try:
        return data[int(offsets[index]) : int(offsets[index + 1])].tobytes().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise StoreCorrupt(f"text {index} of a table is no UTF-8 ({error.reason})") from error


def unpack_texts(offsets: npt.NDArray[np.uint64], data: npt.NDArray[np.uint8]) -> list[str]:
    """All texts of a column, some ten times as fast as one by one.

    >>> unpack_texts(*pack_texts(["a", "", "b\u00e9"]))
    ['a', '', 'b\u00e9']
    """
    whole = data.tobytes()
    if not whole.isascii():
        return [unpack_text(offsets, data, index) for index in range(len(offsets) - 1)]
    text, bounds = whole.decode("ascii"), offsets.tolist()
    return [text[start:end] for start, end in pairwise(bounds)]
