"""CORD json: one file a receipt with `valid_line`s of `words` with a `quad` of x1, y1, ... and a `text`.

`dontcare` and `repeating_symbol` (rows of dashes and the like) are ignored outlines. Categories and keys are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode
from ocrmaps.annotations.grammar.documents import documents, picture_of
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
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                _page(g, g.parse_json(decode(document.read(), document.name), document.name), document.name)
    return g.reading()


def _page(g: Gather, root: Any, name: str) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    if g.expect(root, dict, name, 'an object with "valid_line"'):
        size = add_receipt(g, found, root, name)
        g.page(picture_of(g, name), name, found, size=size, since=since)


def add_receipt(g: Gather, found: GatheredOutlines, root: dict[str, Any], name: str) -> Size | None:
    """Add the words of one receipt; gives the size that it states."""
    for place, line in _listed(g, root.get("valid_line"), f"{name}:valid_line"):
        if g.expect(line, dict, place, 'an object with "words"'):
            g.unused["category"] += "category" in line
            for where, word in _listed(g, line.get("words"), f"{place}.words"):
                _word(g, found, where, word, ignore=False)
    for key in ("dontcare", "repeating_symbol"):
        for place, group in _listed(g, root.get(key, []), f"{name}:{key}"):
            for where, item in _listed(g, group, place):
                _word(g, found, where, item, ignore=True)
    meta = root.get("meta")
    stated = meta.get("image_size") if isinstance(meta, dict) else None
    sides = stated if isinstance(stated, dict) else {}
    return g.size(sides.get("height"), sides.get("width"), f"{name}:meta.image_size")


def _listed(g: Gather, items: Any, loc: str) -> Iterator[tuple[str, Any]]:
    if g.expect(items, list, loc, "a list"):
        yield from ((f"{loc}[{i}]", item) for i, item in enumerate(items))


def _word(g: Gather, found: GatheredOutlines, place: str, word: Any, *, ignore: bool) -> None:
    """A word, or in `dontcare` a bare quad."""
    if g.expect(word, dict, place, 'an object with "quad"'):
        quad = word.get("quad", word if "x1" in word else None)
        if g.expect(quad, dict, f"{place}.quad", "an object with x1, y1, ... x4, y4"):
            found.add(f"{place}.quad", [quad.get(key) for key in _CORNERS], word.get("text"), ignore=ignore)
