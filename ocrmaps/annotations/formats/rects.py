"""ReCTS json: one file a picture with `lines` of `points` (8 numbers), `transcription` and `ignore` (0 or 1).

The transcription `###` means ignore, too. The outlines of single characters (`chars`) are counted.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.lsvt import MARK
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, shown
from ocrmaps.annotations.grammar.documents import documents, picture_of
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".json",)


def recognize(head: Head) -> str:
    """Why this looks like ReCTS, or nothing."""
    if isinstance(head.json, dict) and head.json.keys() == {"chars", "lines"}:
        return 'json with "chars" and "lines"'
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
    if not g.expect(root, dict, name, 'an object with "lines"'):
        return
    lines, chars = root.get("lines"), root.get("chars")
    if g.expect(lines, list, f"{name}:lines", "a list of lines"):
        g.unused["chars"] += len(chars) if isinstance(chars, list) else 0
        for i, line in enumerate(lines):
            place = f"{name}:lines[{i}]"
            if g.expect(line, dict, place, 'an object with "points"'):
                text, flag = line.get("transcription"), line.get("ignore", 0)
                if flag not in (0, 1):
                    g.problem(f"{place}.ignore", f"found {shown(flag)}, expected 0 or 1", "wrong-type")
                ignored = bool(flag) or text == MARK
                found.add(f"{place}.points", line.get("points"), None if text == MARK else text, ignore=ignored)
        g.page(picture_of(g, name), name, found, since=since)
