"""Total-Text .mat: one MATLAB file a picture, whose `polygt` has a row an outline: x:, xs, y:, ys, text, orientation.

The text `#` means ignore. Orientations are counted. The file is read by a small parser of ours.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.totaltext import MARKS, PREFIXES
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.annotations.grammar.documents import documents, picture_of
from ocrmaps.annotations.grammar.matlab import variables
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".mat",)
_NAMES = ("polygt", "gt")


def recognize(head: Head) -> str:
    """Why this looks like Total-Text in MATLAB files, or nothing."""
    return "MATLAB files, one a picture" if head.suffix in SUFFIXES else ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                _page(g, variables(document.read(), document.name), document.name)
    return g.reading()


def _page(g: Gather, named: dict[str, Any], name: str) -> None:
    since = len(g.problems)
    key = next((key for key in _NAMES if key in named), None)
    if key is None:
        raise refusal(name, f"found the variables {shown(sorted(named))}, expected polygt, as Total-Text has it")
    value = named[key]
    sides, cells = value if isinstance(value, tuple) else ((0, 0), [])
    if len(sides) != 2 or sides[1] < 5:
        found = f"found {sides}" if isinstance(value, tuple) else f"found {shown(value)}"
        if value != []:
            raise refusal(f"{name}:{key}", f"{found}, expected cells: x:, xs, y:, ys, text, orientation")
    found_outlines = GatheredOutlines()
    for i in range(sides[0]):
        xs, ys, text = (cells[column * sides[0] + i] for column in (1, 3, 4))
        place = f"{name}:{key}({i + 1})"
        if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)):
            g.problem(place, f"found xs {shown(xs)}, ys {shown(ys)}, expected one for one", "odd-count")
            continue
        text = text if isinstance(text, str) else None
        marked = text is None or text.strip() in (*MARKS, "")
        g.unused["orientation"] += sides[1] > 5
        points = [value for pair in zip(xs, ys, strict=True) for value in pair]
        found_outlines.add(place, points, None if marked else text, ignore=marked)
    g.page(picture_of(g, name, PREFIXES), name, found_outlines, since=since)
