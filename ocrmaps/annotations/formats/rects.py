"""ReCTS json: one file a picture with `lines` of `points` (8 numbers), `transcription` and `ignore` (0 or 1).

The transcription `###` means ignore, too. The outlines of single characters (`chars`) are counted.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.lsvt import MARK
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.documents import read_json_pages
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".json",)


def recognize(head: Head) -> str:
    """Why this looks like ReCTS, or nothing."""
    if isinstance(head.json, dict) and head.json.keys() == {"chars", "lines"}:
        return 'json with "chars" and "lines"'
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_json_pages(source, SUFFIXES, _lines)


def _lines(g: Gather, found: GatheredOutlines, root: Any, name: str) -> None:
    if not g.expect(root, dict, name, 'an object with "lines"'):
        return
    chars = root.get("chars")
    g.unused["chars"] += len(chars) if isinstance(chars, list) else 0
    for place, line in g.rows(root.get("lines"), f"{name}:lines", 'an object with "points"', of="a list of lines"):
        text, flag = line.get("transcription"), line.get("ignore", 0)
        if flag not in (0, 1):
            g.problem(f"{place}.ignore", f"found {shown(flag)}, expected 0 or 1", "wrong-type")
        ignored = bool(flag) or text == MARK
        found.add(f"{place}.points", line.get("points"), None if text == MARK else text, ignore=ignored)
