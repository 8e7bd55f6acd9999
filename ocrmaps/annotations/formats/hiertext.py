"""HierText json: `annotations` of `paragraphs` of `lines` of `words`, each with `vertices`: lines or words, declared.

`legible: false` means ignore. Read as words, a line without words is an ignored outline: nobody said what is in it.
The picture is called as its `image_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines, JsonTable
from ocrmaps.annotations.grammar.documents import picture_with_stem
from ocrmaps.annotations.records import Reading, Source

Level = Literal["lines", "words"]


def _recognize(head: Head, level: Level) -> str:
    """Why this looks like HierText, or nothing."""
    rows = head.json.get("annotations") if isinstance(head.json, dict) else None
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "paragraphs" in rows[0]:
        return f'json whose "annotations" have "paragraphs" of {level}'
    return ""


def _read(source: Source, level: Level) -> Reading:
    """The samples of one file, in file order."""
    g = Gather(source)
    with g.attempt():
        for member, i, row in g.members(dict, 'an object with "annotations"', [JsonTable("annotations", "a list")]):
            loc = f"{g.file}:annotations[{i}]"
            if member and g.expect(row, dict, loc, "an object"):
                _picture(g, row, loc, level)
    return g.reading()


recognize_lines, recognize_words = partial(_recognize, level="lines"), partial(_recognize, level="words")
read_lines, read_words = partial(_read, level="lines"), partial(_read, level="words")


def _listed(g: Gather, parent: dict[str, Any], key: str, loc: str) -> Iterator[tuple[str, dict[str, Any]]]:
    place, items = f"{loc}.{key}", parent.get(key)
    if g.expect(items, list, place, "a list"):
        for i, item in enumerate(items):
            if g.expect(item, dict, f"{place}[{i}]", "an object"):
                yield f"{place}[{i}]", item


def _picture(g: Gather, row: dict[str, Any], loc: str, level: Level) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    for place, paragraph in _listed(g, row, "paragraphs", loc):
        for where, line in _listed(g, paragraph, "lines", place):
            words = list(_listed(g, line, "words", where)) if level == "words" else []
            for at, item in words or [(where, line)]:
                legible = item.get("legible", True)
                ignored = not legible if isinstance(legible, bool) else legible  # what is no flag is refused as one
                if level == "words" and not words:
                    g.unused["lines without words, ignored"] += 1
                    ignored = True
                found.add(f"{at}.vertices", item.get("vertices"), item.get("text"), ignore=ignored)
    size = g.size(row.get("image_height"), row.get("image_width"), loc)
    id = row.get("image_id")
    if g.expect(id, str, f"{loc}.image_id", "the name of a picture"):
        g.page(picture_with_stem(g, id, f"{loc}.image_id"), loc, found, size=size, since=since)
