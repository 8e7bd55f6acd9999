"""MSRA-TD500 gt: one file a picture, one line of text a line: `index difficult x y width height angle`.

The box is turned about its center by the angle, in radians, clockwise. Difficult lines are ignored, as the data set's
evaluation does. There are no texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import NUMBER, numbered, numbers, turned_box
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".gt",)


def recognize(head: Head) -> str:
    """Why this looks like MSRA-TD500, or nothing."""
    if head.suffix in SUFFIXES and head.per_picture and head.lines and all(_fits(line.split()) for line in head.lines):
        return "gt files, one a picture, of index, difficulty, box and angle"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _fits(fields: Sequence[str]) -> bool:
    return len(fields) == 7 and all(map(NUMBER.fullmatch, fields)) and fields[1] in ("0", "1")


def _parse(text: str, name: str) -> Page:
    page = Page()
    for number, line in numbered(text):
        fields = line.split()
        if not _fits(fields):
            found = f"found {line[:60]!r}, expected index, 0 or 1 for its difficulty, x, y, width, height and angle"
            page.fault(number, "invalid-line", found)
            continue
        x, y, width, height, angle = numbers(fields[2:])
        if not all(abs(value) < 1e12 for value in (x, y, width, height, angle)):
            page.fault(number, "huge-number", f"found {line[:60]!r}, expected numbers of a picture")
            continue
        page.add(
            number, turned_box((x + width / 2, y + height / 2, width, height, angle)), None, ignore=fields[1] == "1"
        )
    return page
