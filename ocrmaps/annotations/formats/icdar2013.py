"""ICDAR 2013 boxes: one file a picture: `x0,y0,x1,y1,"text"` (test) or `x0 y0 x1 y1 "text"` (training).

All lines of a file use the same separator. Boxes become quads, clockwise from the top left; `###` means ignore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import NUMBER, box, is_share_line, leading, numbered, numbers, unquoted
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".txt",)
PREFIXES = ("gt_",)
MARK = "###"

_NUMBER = NUMBER.pattern
_COMMAS = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*(?:,(.*))?", re.DOTALL)
_BLANKS = re.compile(rf"\s*({_NUMBER})[ \t]+({_NUMBER})[ \t]+({_NUMBER})[ \t]+({_NUMBER})(?:[ \t]+(.*))?", re.DOTALL)
_STYLES = {"commas": _COMMAS, "blanks": _BLANKS}


def recognize(head: Head) -> str:
    """Why this looks like ICDAR 2013 boxes, or nothing."""
    if not head.per_picture or head.suffix not in SUFFIXES or not head.lines:
        return ""
    if all(map(is_share_line, head.lines)):
        return ""  # YOLO
    for style, pattern in _STYLES.items():
        matches = [pattern.fullmatch(line) for line in head.lines]
        if all(match and not _more_numbers(match.group(5), style) for match in matches):
            return f"text files, one a picture, with 4 numbers separated by {style} in front of each line"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide, prefixes=PREFIXES)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _more_numbers(rest: str | None, style: str) -> bool:
    """Whether four or more further numbers follow: then the line may as well be a quad."""
    if rest is None:
        return False
    fields = rest.split(",") if style == "commas" else rest.split()
    return leading([field.strip() for field in fields]) >= 4


def _parse(text: str, name: str) -> Page:
    page = Page()
    lines = list(numbered(text))
    fitting = {style: sum(bool(p.fullmatch(line)) for _, line in lines) for style, p in _STYLES.items()}
    style = max(fitting, key=lambda name: fitting[name])
    for number, line in lines:
        if is_share_line(line):
            message = f"found {line[:60]!r}, a class number and shares of the picture's sides as in YOLO"
            page.fault(number, "invalid-line", message + "; read with --format yolo")
            continue
        match = _STYLES[style].fullmatch(line)
        if match is None:
            others = [name for name, pattern in _STYLES.items() if pattern.fullmatch(line)]
            message = f"found {line[:60]!r}, expected 4 numbers separated by {style}, then the text"
            if others:
                message = f"found numbers separated by {others[0]}, expected {style} as on the other lines of this file"
            page.fault(number, "invalid-line", message)
            continue
        x0, y0, x1, y1 = numbers(match.groups()[:4])
        rest = match.group(5)
        if _more_numbers(rest, style):
            message = "found an ambiguous line: 8 numbers or more, a quad or a box with a text of numbers; "
            page.fault(number, "ambiguous-line", message + "expected the text in quotes, or read with --format icdar")
        elif x1 < x0 or y1 < y0:
            message = f"found a box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}), expected left top right bottom"
            page.fault(number, "invalid-box", message + "; x, y, width, height is another format")
        else:
            content = None if rest is None else unquoted(rest.removeprefix(" ") if style == "commas" else rest)
            ignored = content is not None and content.strip() == MARK
            page.add(number, box(x0, y0, x1, y1), None if ignored else content, ignore=ignored)
    return page
