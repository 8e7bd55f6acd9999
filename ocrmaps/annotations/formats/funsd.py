"""FUNSD json: one file a picture with `form` entities; their `words` of `box` (x0, y0, x1, y1) and `text` are read.

Entities are blocks of several lines, with labels and links: they are counted. Nothing is ignored.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.documents import read_json_pages
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".json",)


def recognize(head: Head) -> str:
    """Why this looks like FUNSD, or nothing."""
    return 'json with a "form"' if isinstance(head.json, dict) and isinstance(head.json.get("form"), list) else ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_json_pages(source, SUFFIXES, _words)


def _words(g: Gather, found: GatheredOutlines, root: Any, name: str) -> None:
    if not g.expect(root, dict, name, 'an object with "form"'):
        return
    for loc, entity in g.rows(root.get("form"), f"{name}:form", 'an object with "words"', of="a list of entities"):
        g.unused["entities"] += 1
        what = 'an object with "box" and "text"'
        for place, word in g.rows(entity.get("words"), f"{loc}.words", what, of="a list of words"):
            outline = _corners(g, word.get("box"), f"{place}.box")
            if outline is not None:
                found.add(f"{place}.box", outline, word.get("text"))


def _corners(g: Gather, value: Any, place: str) -> list[float] | None:
    """The outline of x0, y0, x1, y1; a problem if it is none."""
    if isinstance(value, list) and len(value) == 4 and {type(v) for v in value} <= {int, float}:
        return box(*value)
    g.problem(place, f"found {shown(value)}, expected x0, y0, x1, y1", "wrong-type")
    return None
