"""Pictures that lie inside a file: `shard.tar#a/1.jpg` is a member of an archive, `rows.parquet#3` that of a row.

Archives are plain tar files, tables Parquet or Arrow with a column of pictures as Hugging Face writes it, `bytes` and
`path`. Rows count from 1. Nothing is unpacked to disk, and nothing in a file is run.
"""

from __future__ import annotations

import errno
import os
import re
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ocrmaps.files import open_regular

TABLES = (".parquet", ".arrow")
SUFFIXES = (".tar", *TABLES)
MOST_MEMBERS = 1_000_000
"""Files in one archive, and rows in one table."""
MOST_BYTES = 2 * 2**30
"""Of pictures that are read together: those of one row group."""
_NAME = re.compile(r"(.+?\.(?:tar|parquet|arrow))#(.+)", re.IGNORECASE | re.DOTALL)
_TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, IndexError, ArithmeticError, UnicodeError)


def split(path: str) -> tuple[str, str] | None:
    """(file, what lies in it) of a picture's name, None where it names a file of its own.

    >>> split("a/shard.tar#x/1.jpg"), split("scan.tif#2")
    (('a/shard.tar', 'x/1.jpg'), None)
    """
    match = _NAME.fullmatch(path) if "#" in path else None
    return (match[1], match[2]) if match else None


def read(file: str, key: str) -> bytes:
    """The bytes of a picture inside a file; an OSError says what else was found."""
    named = f"{file}#{key}"
    if file.lower().endswith(".tar"):
        at, size = place(file, key)
        with open_regular(file) as handle:
            handle.seek(at)
            return handle.read(size)
    found = _of_row(file, int(key), named) if key.isascii() and key.isdigit() and len(key) < 10 else None
    if not found:
        raise FileNotFoundError(errno.ENOENT, "the table has no picture in this row", named)
    return found


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


def _stamp(file: str) -> tuple[int, int, int]:
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


def rows(file: str) -> int:
    """Rows of a table; an OSError where it cannot be read."""
    return int(_table(file, *_stamp(file))[1])


def table(file: str) -> Any:
    """The opened table: a `ParquetFile`, or an Arrow table; an OSError where it cannot be read."""
    return _table(file, *_stamp(file))[0]


@lru_cache(maxsize=16)
def _table(file: str, *stamp: int) -> tuple[Any, int]:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        hint = 'reading tables needs pyarrow, which is not installed: pip install "ocrmaps[parquet]"'
        raise OSError(errno.ENOSYS, hint, file) from None
    with open_regular(file):  # a regular file, not a pipe
        pass
    try:
        if file.lower().endswith(".parquet"):
            opened = pyarrow.parquet.ParquetFile(file)
            return opened, int(opened.metadata.num_rows)
        mapped = pyarrow.memory_map(file)
        try:
            opened = pyarrow.ipc.open_stream(mapped).read_all()
        except pyarrow.ArrowInvalid:
            opened = pyarrow.ipc.open_file(mapped).read_all()
        return opened, int(opened.num_rows)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        message = f"this is no table that can be read: {str(error).splitlines()[0][:200] if str(error) else 'damaged'}"
        raise OSError(errno.EINVAL, message, file) from None


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


def _of_row(file: str, row: int, named: str) -> bytes | None:
    """The picture of a row that counts from 1."""
    opened = table(file)
    if not 1 <= row <= rows(file):
        return None
    try:
        return _picture(file, opened, row, named)
    except IndexError:  # a damaged table has fewer rows than it says
        return None


def _picture(file: str, opened: Any, row: int, named: str) -> bytes | None:
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
            return _bytes(_group(file, group, column, named, *_stamp(file))[at].as_py())
        at -= size
    return None


@lru_cache(maxsize=2)
def _group(file: str, group: int, column: str, named: str, *stamp: int) -> Any:
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
