"""Writes csv tables whose cells no spreadsheet takes for a formula, and reads such cells back as they were.

Text that begins with `=`, `+`, `-`, `@`, a tab or a line break gets an apostrophe in front, as does text that begins
with apostrophes and then one of these: so every text comes back. Numbers are no formulas and stay as they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ocrmaps.limits import MAX_BYTES, MOST_POINTS, MOST_TEXTS

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")
_SPECIAL = re.compile(r"[,\"\r\n]")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)")


class Numbers(str):
    """Text that is made of numbers by us, such as the points of an outline: never in need of an apostrophe."""


def guarded(text: str) -> str:
    """Text as a cell that is never a formula.

    >>> [guarded(t) for t in ("=1+1", "-1.5", "-x", "'=1", "it's")]
    ["'=1+1", '-1.5', "'-x", "''=1", "it's"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def plain(cell: str) -> str:
    """The text that `guarded` made a cell of.

    >>> [plain(guarded(t)) for t in ("=1+1", "-1.5", "-x", "'=1", "it's")]
    ['=1+1', '-1.5', '-x', "'=1", "it's"]
    """
    return cell[1:] if _GUARDED.match(cell) else cell


def cell(value: Any, *, raw: bool = False) -> str:
    """One value as a cell; floats read back as the same number, points are `x,y x,y ...`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return " ".join(f"{x!r},{y!r}" for x, y in value)
    if isinstance(value, str) and not raw and not isinstance(value, Numbers):
        return guarded(value)
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Iterable[Any]], *, raw: bool = False) -> str:
    """A csv table. `raw` leaves text as it is, for programs that need it so; a spreadsheet may then run what it says.

    >>> table(["text", "number"], [["=1+1", -1.5]])
    "text,number\\n'=1+1,-1.5\\n"
    """
    lines = [columns, *([cell(value, raw=raw) for value in row] for row in rows)]
    return "".join(f"{','.join(map(_quoted, line))}\n" for line in lines)


@contextmanager
def long_cells() -> Iterator[None]:
    """Let the csv module read cells of any length: the outlines of a dense page in one are longer than it expects."""
    before = csv.field_size_limit(MAX_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _quoted(text: str) -> str:
    """As the csv module does it, which leaves a carriage return bare where lines end otherwise."""
    return '"{}"'.format(text.replace('"', '""')) if _SPECIAL.search(text) else text


def polygons_in(cell: str) -> Iterator[list[str]]:
    """The words of each polygon in a cell `x1 y1 x2 y2 ...|x1 y1 ...`; ValueError for more than any picture has.

    >>> list(polygons_in("1 2 3|4 5")), list(polygons_in(" "))
    ([['1', '2', '3'], ['4', '5']], [])
    """
    count = cell.count("|") + 1
    if count > MOST_TEXTS:
        raise ValueError(f"found {count} outlines of one picture, expected at most {MOST_TEXTS}")
    for part in cell.split("|") if cell.strip() else ():
        words = part.split(maxsplit=2 * MOST_POINTS)
        if len(words) > 2 * MOST_POINTS:
            raise ValueError(f"found an outline of over {MOST_POINTS} points")
        yield words
