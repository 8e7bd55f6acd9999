"""CORD json: one file a receipt with `valid_line`s of `words` with a `quad` of x1, y1, ... and a `text`.

`dontcare` and `repeating_symbol` (rows of dashes and the like) are ignored outlines. Categories and keys are counted.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.documents import read_json_pages
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.geometry import Size

SUFFIXES = (".json",)
_CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")


def recognize(head: Head) -> str:
    """Why this looks like CORD, or nothing."""
    if isinstance(head.json, dict) and isinstance(head.json.get("valid_line"), list):
        return 'json with "valid_line"'
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_json_pages(source, SUFFIXES, add_receipt)


def add_receipt(g: Gather, found: GatheredOutlines, root: Any, name: str) -> Size | None:
    """Add the words of one receipt; gives the size that it states."""
    if not g.expect(root, dict, name, 'an object with "valid_line"'):
        return None
    for place, line in g.rows(root.get("valid_line"), f"{name}:valid_line", 'an object with "words"'):
        g.unused["category"] += "category" in line
        _words(g, found, line.get("words"), f"{place}.words", ignore=False)
    for key in ("dontcare", "repeating_symbol"):
        groups = root.get(key, [])
        if g.expect(groups, list, f"{name}:{key}", "a list"):
            for i, group in enumerate(groups):
                _words(g, found, group, f"{name}:{key}[{i}]", ignore=True)
    meta = root.get("meta")
    stated = meta.get("image_size") if isinstance(meta, dict) else None
    sides = stated if isinstance(stated, dict) else {}
    return g.size(sides.get("height"), sides.get("width"), f"{name}:meta.image_size")


def _words(g: Gather, found: GatheredOutlines, words: Any, loc: str, *, ignore: bool) -> None:
    """Words, or in `dontcare` bare quads."""
    for place, word in g.rows(words, loc, 'an object with "quad"'):
        quad = word.get("quad", word if "x1" in word else None)
        if g.expect(quad, dict, f"{place}.quad", "an object with x1, y1, ... x4, y4"):
            found.add(f"{place}.quad", [quad.get(key) for key in _CORNERS], word.get("text"), ignore=ignore)
