"""FUNSD json: one file a picture with `form` entities; their `words` of `box` (x0, y0, x1, y1) and `text` are read.

Entities are blocks of several lines, with labels and links: they are counted. Nothing is ignored.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, shown
from ocrmaps.annotations.grammar.documents import documents, picture_of
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".json",)


def recognize(head: Head) -> str:
    """Why this looks like FUNSD, or nothing."""
    return 'json with a "form"' if isinstance(head.json, dict) and isinstance(head.json.get("form"), list) else ""


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
    entities = root.get("form") if g.expect(root, dict, name, 'an object with "form"') else None
    if not g.expect(entities, list, f"{name}:form", "a list of entities"):
        return
    for i, entity in enumerate(entities):
        loc = f"{name}:form[{i}]"
        if g.expect(entity, dict, loc, 'an object with "words"'):
            g.unused["entities"] += 1
            words = entity.get("words")
            if g.expect(words, list, f"{loc}.words", "a list of words"):
                for k, word in enumerate(words):
                    place = f"{loc}.words[{k}]"
                    if g.expect(word, dict, place, 'an object with "box" and "text"'):
                        outline = _corners(g, word.get("box"), f"{place}.box")
                        if outline is not None:
                            found.add(f"{place}.box", outline, word.get("text"))
    g.page(picture_of(g, name), name, found, since=since)


def _corners(g: Gather, value: Any, place: str) -> list[float] | None:
    """The outline of x0, y0, x1, y1; a problem if it is none."""
    if isinstance(value, list) and len(value) == 4 and {type(v) for v in value} <= {int, float}:
        return box(*value)
    g.problem(place, f"found {shown(value)}, expected x0, y0, x1, y1", "wrong-type")
    return None
