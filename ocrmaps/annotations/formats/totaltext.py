"""Total-Text txt: one file a picture, outlines of any number of points, `#` means ignore.

Two spellings: `x: [[1 2 3]], y: [[4 5 6]], ornt: [u'c'], transcriptions: [u'text']` (may break over lines), and
`x1,y1,...,xn,yn,text`, where every leading number is a coordinate.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import NUMBER, leading, numbered, numbers, tail, unquoted
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".txt",)
PREFIXES = ("poly_gt_", "gt_")
MARKS = ("#", "###")

_STRING = r"""[uUbB]?(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")"""
_STRINGS = rf"\[\s*(?:{_STRING}(?:\s*,)?\s*)*\]"
_RECORD = re.compile(
    rf"x:\s*\[\[([^\[\]]*)\]\]\s*,\s*y:\s*\[\[([^\[\]]*)\]\]"
    rf"(?:\s*,\s*ornt:\s*({_STRINGS}))?(?:\s*,\s*transcriptions:\s*({_STRINGS}))?",
    re.DOTALL,
)
_ONE_STRING = re.compile(_STRING, re.DOTALL)
_START = re.compile(r"^[ \t]*(?=x:\s*\[\[)", re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}


def recognize(head: Head) -> str:
    """Why this looks like Total-Text, or nothing. Comma-separated lines are read as ICDAR unless told otherwise."""
    if head.per_picture and head.lines and _START.match(head.lines[0]):
        return "text files, one a picture, with `x: [[...]], y: [[...]]` records"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide, prefixes=PREFIXES)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _parse(text: str, name: str) -> Page:
    return _records(text) if _START.search(text) else _lines(text)


def _lines(text: str) -> Page:
    page = Page()
    for number, line in numbered(text):
        fields = line.split(",")
        lead = leading(fields)
        count = lead - lead % 2
        if count < 6:
            broken = f", then {fields[lead][:40]!r}" if lead < len(fields) else ""
            page.fault(number, "invalid-line", f"found {lead} numbers{broken}; expected 3 points or more")
            continue
        rest = tail(fields, count)
        content = None if rest is None else unquoted(rest)
        ignored = content is not None and content.strip() in MARKS
        page.add(number, numbers(fields[:count]), None if ignored else content, ignore=ignored)
    return page


def _records(text: str) -> Page:
    page = Page()
    starts = [match.end() for match in _START.finditer(text)]
    breaks = [i for i, letter in enumerate(text) if letter == "\n"]
    if text[: starts[0]].strip():
        page.fault(1, "invalid-line", f"found {shown(text[: starts[0]].strip())}, expected `x: [[...]], y: [[...]]`")
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line = bisect_right(breaks, start) + 1
        match = _RECORD.fullmatch(text[start:end].strip())
        if match is None:
            message = f"found {shown(text[start:end].strip())}, expected x, y, ornt and transcriptions in brackets"
            page.fault(line, "invalid-line", message)
            continue
        _record(page, line, match[1], match[2], _strings(match[3]), _strings(match[6]))
    return page


def _record(page: Page, line: int, xs: str, ys: str, ornt: list[str] | None, words: list[str] | None) -> None:
    columns = [xs.replace(",", " ").split(), ys.replace(",", " ").split()]
    for name, column in zip("xy", columns, strict=True):
        wrong = [field for field in column if not NUMBER.fullmatch(field)]
        if wrong:
            page.fault(line, "wrong-type", f"found {shown(wrong[0])} in {name}, expected numbers")
            return
    if len(columns[0]) != len(columns[1]):
        message = f"found {len(columns[0])} numbers in x and {len(columns[1])} in y, expected as many"
        page.fault(line, "odd-count", message)
        return
    text = ",".join(words) if words else None
    ignored = text in MARKS or ornt == ["#"] or words == []
    if ornt:
        page.unused["ornt"] = page.unused.get("ornt", 0) + 1
    points = [[float(x), float(y)] for x, y in zip(*columns, strict=True)]
    page.add(line, points, None if text in MARKS else text, ignore=ignored)


def _strings(listing: str | None) -> list[str] | None:
    if listing is None:
        return None
    return [_ESCAPE.sub(_resolve, match[1] or match[2] or "") for match in _ONE_STRING.finditer(listing[1:-1])]


def _resolve(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _NAMED.get(match[4], match[4])
    value = int(code, 16)
    return chr(value) if value < 0x110000 else "\ufffd"
