"""SROIE csv or txt: one file a receipt, one line of text a line: `x1,y1,x2,y2,x3,y3,x4,y4,text`, always a quad.

Everything behind the eighth comma is the text, verbatim. There is no ignore mark. The published files are mostly
ASCII; a file that is not UTF-8 is read as latin-1, which the reading notes for each such file.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import leading, numbered, numbers, tail
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".csv", ".txt")


def recognize(head: Head) -> str:
    """Why this looks like SROIE, or nothing. `.txt` files of this shape are read as ICDAR unless told otherwise."""
    if not head.per_picture or head.suffix != ".csv" or not head.lines:
        return ""
    fits = all(leading(line.split(",")) >= 8 for line in head.lines)
    return "csv files, one a picture, with 8 numbers and a text on each line" if fits else ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide, latin1=True)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _parse(text: str, name: str) -> Page:
    page = Page()
    for number, line in numbered(text):
        fields = line.split(",")
        count = leading(fields[:8])
        if count < 8:
            broken = f", then {fields[count][:40]!r}" if count < len(fields) else ""
            page.fault(number, "invalid-line", f"found {count} numbers{broken}; expected 8 numbers, then the text")
        else:
            page.add(number, numbers(fields[:8]), tail(fields, 8), ignore=False)
    return page
