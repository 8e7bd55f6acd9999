"""DOTA txt: one file a picture, one outline a line: `x1 y1 x2 y2 x3 y3 x4 y4 category difficult`.

Lines `imagesource:` and `gsd:` may stand in front. A difficult outline (1 or 2) is ignored, as the DOTA evaluation
does; so is one of a category called ignore, illegible, `###` and the like. Other categories are counted; texts: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import NUMBER, numbered, numbers
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".txt",)
_HEADER = ("imagesource:", "gsd:", "acquisition dates:")
_DIFFICULTIES = ("0", "1", "2")


def recognize(head: Head) -> str:
    """Why this looks like DOTA, or nothing."""
    lines = [line for line in head.lines if not line.lower().startswith(_HEADER)]
    if not head.per_picture or head.suffix not in SUFFIXES or not lines:
        return ""
    if all(_fits(line.split()) for line in lines):
        return "text files, one a picture, with 8 numbers, a category and a difficulty on each line"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _parse(text: str, name: str) -> Page:
    page = Page()
    page.unused["category"] = 0
    for number, line in numbered(text):
        if line.lower().startswith(_HEADER):
            continue
        fields = line.split()
        if not _fits(fields):
            found = f"found {line[:60]!r}, expected 8 numbers, a category and 0, 1 or 2 for its difficulty"
            page.fault(number, "invalid-line", found)
            continue
        marked = fields[8].lower() in IGNORE
        page.unused["category"] += not marked
        page.add(number, numbers(fields[:8]), None, ignore=marked or fields[-1] in ("1", "2"))
    return page


def _fits(fields: Sequence[str]) -> bool:
    """8 numbers, a category that is none, and perhaps the difficulty."""
    if len(fields) not in (9, 10) or not all(map(NUMBER.fullmatch, fields[:8])) or NUMBER.fullmatch(fields[8]):
        return False
    return len(fields) == 9 or fields[9] in _DIFFICULTIES
