"""WildReceipt txt: one json object a line, with `file_name` and `annotations` of `box` (8 numbers), `text`, `label`.

Labels are what a text means (its class `Ignore` is legible text, too): they are counted, and nothing is ignored.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import refusal
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.annotations.records import Reading, Source


def recognize(head: Head) -> str:
    """Why this looks like WildReceipt, or nothing."""
    rows = head.json.get("annotations") if isinstance(head.json, dict) and "file_name" in head.json else None
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and "box" in rows[0]:
        return 'one json object a line, with "file_name" and "annotations" that have a "box"'
    return ""


def read(source: Source) -> Reading:
    """The samples of one file, in file order."""
    g = Gather(source)
    with g.attempt():
        text = g.text(source.annotations, g.file)
        if not text.strip():
            raise refusal(g.file, "found an empty file, expected one json object a line", "empty-file")
        for number, line in numbered(text):
            with g.attempt():
                _line(g, g.parse_json(line, g.file, line=number), f"{g.file}:{number}")
    return g.reading()


def _line(g: Gather, entry: Any, loc: str) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    if not g.expect(entry, dict, loc, 'an object with "annotations"'):
        return
    what = 'an object with "box" and "text"'
    for place, row in g.rows(entry.get("annotations"), f"{loc}:annotations", what, of="a list of outlines"):
        g.unused["label"] += "label" in row
        found.add(f"{place}.box", row.get("box"), row.get("text"))
    size = g.size(entry.get("height"), entry.get("width"), loc)
    g.page(g.picture(entry.get("file_name"), loc), loc, found, size=size, since=since)
