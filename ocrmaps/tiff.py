"""Pages of TIFF files: `scan.tif#2` names the second page of `scan.tif`, wherever a picture file can be named.

So do `shard.tar#1.jpg` and `rows.parquet#3`, the pictures inside archives and tables (`ocrmaps.members`).

A page is read as a file of its own: the same bytes, with a header that names this page as the first. So decoders,
fingerprints and digests need no page number.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ocrmaps import members
from ocrmaps.files import open_regular, read_regular

SUFFIXES = (".tif", ".tiff")
MAX_PAGES = 65_535
"""As far as a chain of pages is followed: six bytes make another one."""
_PAGE = re.compile(r"(.+)#([0-9]{1,9})")


def page_of(name: str) -> tuple[str, int]:
    """(file, page) of a picture's name; pages count from 1.

    >>> page_of("scan.tif#2"), page_of("scan.tif")
    (('scan.tif', 2), ('scan.tif', 1))
    """
    match = None if members.split(name) else _PAGE.fullmatch(name)
    return (match[1], int(match[2])) if match and int(match[2]) >= 1 else (name, 1)


def file_of(path: str) -> str:
    """The file that a picture's path means: itself, or the one that it names a page, a member or a row of."""
    if "#" not in path:
        return path
    inside = members.split(path)
    if inside:
        return path if os.path.lexists(path) else inside[0]
    file, _ = page_of(path)
    return path if file == path or not file.lower().endswith(SUFFIXES) or os.path.lexists(path) else file


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a picture lies in a file that is not its own: some of its bytes, or all of them with another header."""

    start: int = 0
    nbytes: int | None = None
    """None for all bytes from `start`."""
    at: int = 0
    header: bytes = b""
    """Stands at `at` in place of what the file has there."""

    def of(self, data: bytes) -> bytes:
        """The picture as a file of its own, from the bytes that `start` and `nbytes` name."""
        return data[: self.at] + self.header + data[self.at + len(self.header) :]


def inside(path: str) -> Inside | members.TableRow:
    """Where a page of a TIFF, a member of a tar archive or a picture in a table lies in its file.

    An OSError says what was found where there is no such page, member or row.
    """
    file, member = file_of(path), members.split(path)
    if member is not None:
        place = (members.place if file.lower().endswith(".tar") else members.row_place)(*member)
        return place if isinstance(place, members.TableRow) else Inside(*place)
    with open_regular(file) as handle:
        layout, starts = _layout(handle), list(_starts(handle))
    page = page_of(path)[1]
    if layout is None or page > len(starts):
        raise OSError(errno.EINVAL, f"it has {len(starts)} pages, no page {page}", path)
    at, number, _, _ = layout
    return Inside(at=at, header=struct.pack(number, starts[page - 1]))


def read_picture(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture file, or of what lies in one as a file of its own; an OSError says what else was found."""
    named = os.fspath(path)
    file = file_of(named)
    if file == named:
        return read_regular(file)
    member = members.split(named)
    if member is not None:
        return members.read(*member)
    page = inside(named)
    assert isinstance(page, Inside)  # it is no member
    return page.of(read_regular(file))


def has_page(path: str) -> bool:
    """Whether a path that is no file names a page, a member or a row of one."""
    if "#" not in path:  # nearly every name; missing pictures are asked for by the ten thousand
        return False
    inside = members.split(path)
    if inside:
        return members.holds(*inside)
    file = file_of(path)
    return file != path and page_of(path)[1] <= count_pages(file)


def count_pages(path: str | os.PathLike[str]) -> int:
    """How many pages a TIFF has by its directories; 0 where it is none or cannot be read. Pixels are not read."""
    try:
        with open_regular(path) as file:
            return sum(1 for _ in _starts(file))
    except (OSError, ValueError):
        return 0


def _layout(file: BinaryIO) -> tuple[int, str, str, int] | None:
    """(where the first directory is named, format of that number and of a count, bytes of an entry), by the header."""
    file.seek(0)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    version = struct.unpack(f"{order}H", head[2:4])[0]
    return {42: (4, f"{order}I", f"{order}H", 12), 43: (8, f"{order}Q", f"{order}Q", 20)}.get(version)


def _starts(file: BinaryIO) -> Iterator[int]:
    """Where the directory of each page begins; a damaged chain ends where it breaks."""
    layout = _layout(file)
    if layout is None:
        return
    at, number, count, entry = layout
    seen: set[int] = set()
    while (start := _number(file, at, number)) and start not in seen and len(seen) < MAX_PAGES:
        entries = _number(file, start, count)
        if entries is None:
            return
        seen.add(start)
        yield start
        at = start + struct.calcsize(count) + entries * entry


def _number(file: BinaryIO, at: int, form: str) -> int | None:
    try:
        file.seek(at)
        return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])
    except (struct.error, OSError, OverflowError, ValueError):
        return None
