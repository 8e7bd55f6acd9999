"""Pictures that lie inside a file: `shard.tar#a/1.jpg` is a member of an archive, `rows.parquet#3` that of a row.

Archives are plain tar files, tables Parquet or Arrow with a column of pictures as Hugging Face writes it, `bytes` and
`path`. Rows count from 1. Nothing is unpacked to disk, and nothing in a file is run.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ocrmaps.files import open_regular

TABLES = (".parquet", ".arrow")
SUFFIXES = (".tar", *TABLES)
MOST_MEMBERS = 1_000_000
"""Files in one archive, and rows in one table."""
MOST_BYTES = 2 * 2**30
"""Of pictures that are read together: those of one row group."""
HELD_BYTES = 256 * 2**20
"""Of row groups that stay in memory: rows come in the order of their names, `#1000` between `#100` and `#101`."""
BLOCK = 2**20
"""Bytes of a table elsewhere that are fetched and proven together."""
_PROOF, _LOOKS = 16, 6
_NAME = re.compile(r"(.+?\.(?:tar|parquet|arrow))#(.+)", re.IGNORECASE | re.DOTALL)
_TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, IndexError, ArithmeticError, UnicodeError)


@dataclass(frozen=True, slots=True)
class FarFile:
    """A table that lies elsewhere and is read by pieces."""

    name: str
    stamp: tuple[int, int, int]
    """As `os.stat` tells it of a copy: length first, the rest is another one where the file is."""
    proofs: bytes
    """Of each of its blocks: damaged tables end the process inside pyarrow, so none gets that far."""
    fetch: Callable[[str, int, int], bytes]
    """(name, start, length) -> bytes."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A picture that lies in a table packed with others."""

    number: int
    """Counts from 1."""
    stamp: tuple[int, int, int]
    proofs: bytes
    """Both of the table, as `FarFile` has them."""


class _Table(NamedTuple):
    opened: Any
    """A `ParquetFile`, or an Arrow table."""
    rows: int
    base: int = 0
    """Where an Arrow file begins in memory."""


def split(path: str) -> tuple[str, str] | None:
    """(file, what lies in it) of a picture's name, None where it names a file of its own.

    >>> split("a/shard.tar#x/1.jpg"), split("scan.tif#2")
    (('a/shard.tar', 'x/1.jpg'), None)
    """
    match = _NAME.fullmatch(path) if "#" in path else None
    return (match[1], match[2]) if match else None


def read(file: str, key: str) -> bytes:
    """The bytes of a picture inside a file; an OSError says what else was found."""
    if file.lower().endswith(".tar"):
        at, size = place(file, key)
        with open_regular(file) as handle:
            handle.seek(at)
            return handle.read(size)
    return _found(file, int(key) if key.isascii() and key.isdigit() and len(key) < 10 else 0)


def place(file: str, key: str) -> tuple[int, int]:
    """Where a member of a tar archive begins, and how long it is; an OSError says what else was found."""
    found = archived(file).get(key)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "the archive has no such member", f"{file}#{key}")
    return found


def holds(file: str, key: str) -> bool:
    """Whether a file has such a picture, as far as its index tells."""
    try:
        if file.lower().endswith(".tar"):
            return key in archived(file)
        return key.isascii() and key.isdigit() and 1 <= int(key[:10]) <= rows(file)
    except OSError:
        return False


def archived(file: str) -> Mapping[str, tuple[int, int]]:
    """Where each regular file of a tar archive begins, and how long it is; an OSError for what is no such archive."""
    return _index(file, *_stamp(file))


def _stamp(file: str | FarFile) -> tuple[int, int, int]:
    if isinstance(file, FarFile):
        return file.stamp
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=64)
def _index(file: str, size: int, *stamp: int) -> dict[str, tuple[int, int]]:
    out: dict[str, tuple[int, int]] = {}
    try:
        with open_regular(file) as handle, tarfile.open(fileobj=handle, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
                if member.isreg() and not member.issparse() and member.offset_data + member.size <= size:
                    out[member.name.removeprefix("./")] = (member.offset_data, member.size)
                if len(out) > MOST_MEMBERS:
                    raise OSError(errno.E2BIG, f"the archive has over {MOST_MEMBERS} members", file)
    except _TAR_ERRORS as error:
        raise OSError(errno.EINVAL, f"this is no tar archive that can be read: {error}", file) from None
    return out


def rows(file: str | FarFile) -> int:
    """Rows of a table; an OSError where it cannot be read."""
    return _table(file, *_stamp(file)).rows


def table(file: str | FarFile) -> Any:
    """The opened table: a `ParquetFile`, or an Arrow table; an OSError where it cannot be read."""
    return _table(file, *_stamp(file)).opened


def row_place(file: str, key: str) -> tuple[int, int] | TableRow:
    """Where the picture of a row begins in its file, and how long it is, if it lies there as it is.

    So it does in Arrow files that were not compressed.
    """
    stamp = _stamp(file)
    if not holds(file, key):
        raise FileNotFoundError(errno.ENOENT, "the table has no such row", f"{file}#{key}")
    found = _table(file, *stamp)
    bare = None if file.lower().endswith(".parquet") else _bare(found, int(key) - 1, stamp[0])
    return bare or TableRow(int(key), stamp, _proofs(file, *stamp))


def _bare(table: _Table, at: int, size: int) -> tuple[int, int] | None:
    """Where the bytes of a row's picture are in an Arrow file of this size; None where they were unpacked from it."""
    import pyarrow

    name = picture_column(table.opened.schema)
    for chunk in table.opened.column(name).chunks if name else ():
        if at >= len(chunk):
            at -= len(chunk)
            continue
        column = chunk.field("bytes") if pyarrow.types.is_struct(chunk.type) else chunk
        wide = pyarrow.types.is_large_binary(column.type)
        if not wide and not pyarrow.types.is_binary(column.type):
            return None
        _, offsets, data = column.buffers()
        start, end = memoryview(offsets).cast("q" if wide else "i")[column.offset + at :][:2]
        start, end = start + data.address - table.base, end + data.address - table.base
        return (start, end - start) if 0 <= start < end <= size else None
    return None


def read_far(url: str, row: TableRow, fetch: Callable[[str, int, int], bytes]) -> bytes:
    """The picture of a row of a table elsewhere, for which only its row group is fetched; OSErrors as from `read`."""
    return _found(FarFile(url, row.stamp, row.proofs, fetch), row.number)


@lru_cache(maxsize=16)
def _proofs(file: str, *stamp: int) -> bytes:
    with open_regular(file) as handle:
        return b"".join(map(_proof, iter(lambda: handle.read(BLOCK), b"")))


def _proof(block: bytes) -> bytes:
    return hashlib.blake2b(block, digest_size=_PROOF).digest()


def _found(file: str | FarFile, row: int) -> bytes:
    named = f"{_name(file)}#{row}"
    found = _of_row(file, row, named)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "the table has no picture in this row", named)
    return found


@lru_cache(maxsize=16)
def _table(file: str | FarFile, *stamp: int) -> _Table:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        hint = 'reading tables needs pyarrow, which is not installed: pip install "ocrmaps[parquet]"'
        raise OSError(errno.ENOSYS, hint, _name(file)) from None
    if not isinstance(file, FarFile):
        with open_regular(file):  # a regular file, not a pipe
            pass
    try:
        if _name(file).lower().endswith(".parquet"):
            opened = pyarrow.parquet.ParquetFile(_Pieces(file) if isinstance(file, FarFile) else file)
            return _Table(opened, int(opened.metadata.num_rows))
        mapped = pyarrow.PythonFile(_Pieces(file), "r") if isinstance(file, FarFile) else pyarrow.memory_map(file)
        try:
            opened = pyarrow.ipc.open_stream(mapped).read_all()
        except pyarrow.ArrowInvalid:
            opened = pyarrow.ipc.open_file(mapped).read_all()
        mapped.seek(0)
        base = 0 if isinstance(file, FarFile) else mapped.read_buffer().address
        return _Table(opened, int(opened.num_rows), base)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        message = f"this is no table that can be read: {str(error).splitlines()[0][:200] if str(error) else 'damaged'}"
        raise OSError(errno.EINVAL, message, _name(file)) from None


def _name(file: str | FarFile) -> str:
    return file.name if isinstance(file, FarFile) else file


class _Pieces(io.RawIOBase):
    """Fetches those bytes of a file that are read."""

    def __init__(self, file: FarFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.stamp[0]}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._file.stamp[0] - self._at)
        size = left if size is None or size < 0 else min(size, left)
        first, last = self._at // BLOCK, -(-(self._at + size) // BLOCK)
        start = self._at - first * BLOCK
        data = self._proven(first, last)[start : start + size] if size else b""
        self._at += len(data)
        return data

    def _proven(self, first: int, last: int) -> bytes:
        """Some blocks, looked at several times before they are called wrong: a connection may have changed them."""
        file, end = self._file, min(last * BLOCK, self._file.stamp[0])
        for _ in range(_LOOKS):
            data = file.fetch(file.name, first * BLOCK, end - first * BLOCK)
            found = b"".join(_proof(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK))
            if found == file.proofs[first * _PROOF : last * _PROOF]:
                return data
        raise OSError(errno.EIO, "its bytes are others than when the build began", file.name)


def picture_column(schema: Any) -> str | None:
    """The column that holds pictures: the one called image, else the first that has `bytes` and `path`, or bytes."""
    import pyarrow

    found = [
        field.name
        for field in schema
        if pyarrow.types.is_binary(field.type)
        or pyarrow.types.is_large_binary(field.type)
        or (pyarrow.types.is_struct(field.type) and {f.name for f in field.type} >= {"bytes", "path"})
    ]
    return next((name for name in found if name == "image"), found[0] if found else None)


def _of_row(file: str | FarFile, row: int, named: str) -> bytes | None:
    """The picture of a row that counts from 1."""
    opened = table(file)
    if not 1 <= row <= rows(file):
        return None
    try:
        return _picture(file, opened, row, named)
    except IndexError:  # a damaged table has fewer rows than it says
        return None


def _picture(file: str | FarFile, opened: Any, row: int, named: str) -> bytes | None:
    at = row - 1
    if not hasattr(opened, "metadata"):
        column = picture_column(opened.schema)
        return None if column is None else _bytes(opened.column(column)[at].as_py())
    column = picture_column(opened.schema_arrow)
    if column is None:
        return None
    for group in range(opened.metadata.num_row_groups):
        size = opened.metadata.row_group(group).num_rows
        if at < size:
            return _bytes(_groups.get(file, group, column, named)[at].as_py())
        at -= size
    return None


class _Groups:
    """The pictures of the row groups that were read last."""

    def __init__(self) -> None:
        self._held: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def get(self, file: str | FarFile, group: int, column: str, named: str) -> Any:
        key = (file, _stamp(file), group, column)
        with self._lock:
            found = self._held.pop(key, None)
        if found is None:
            found = _group(file, group, column, named)
        with self._lock:
            self._held[key] = found
            while len(self._held) > 1 and sum(column.nbytes for column in self._held.values()) > HELD_BYTES:
                del self._held[next(iter(self._held))]
        return found


_groups = _Groups()


def _group(file: str | FarFile, group: int, column: str, named: str) -> Any:
    import pyarrow

    opened = table(file)
    meta = opened.metadata.row_group(group)
    size = meta.total_byte_size
    if size > MOST_BYTES:
        raise OSError(errno.E2BIG, f"its row group has {size} bytes, at most {MOST_BYTES} are read", named)
    try:
        return opened.read_row_group(group, columns=[column], use_threads=False).column(column)
    except (pyarrow.ArrowException, ValueError, MemoryError) as error:
        raise OSError(errno.EINVAL, f"the table cannot be read: {str(error)[:200]}", named) from None


def _bytes(value: Any) -> bytes | None:
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else None
