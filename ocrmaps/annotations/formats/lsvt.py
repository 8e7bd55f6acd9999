"""LSVT and ArT json: an object from picture name (`gt_1`) to a list of `points`, `transcription`, `illegibility`.

`illegibility: true` and the transcription `###` mean ignore. Other members (`language`) are counted.
"""

from __future__ import annotations

from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import step
from ocrmaps.annotations.grammar.documents import picture_with_stem
from ocrmaps.annotations.records import Reading, Source

MARK = "###"
_WORD = {"points", "transcription", "illegibility"}


def recognize(head: Head) -> str:
    """Why this looks like LSVT or ArT, or nothing."""
    if isinstance(head.json, dict) and head.json and not head.json.keys() <= {"chars", "lines"}:
        first = next(iter(head.json.values()))
        if (
            isinstance(first, list)
            and first
            and isinstance(first[0], dict)
            and {"points", "transcription"} <= first[0].keys()
        ):
            return 'json from picture name to a list with "points" and "transcription"'
    return ""


def read(source: Source) -> Reading:
    """The samples of one file, in file order."""
    g = Gather(source)
    with g.attempt():
        for _, name, words in g.members(dict, "an object from picture name to a list of outlines", ids=""):
            _picture(g, str(name), words, f"{g.file}:{step('', name)}")
    return g.reading()


def _picture(g: Gather, name: str, words: Any, loc: str) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    for place, word in g.rows(words, loc, 'an object with "points"', of="a list of outlines"):
        text, illegible = word.get("transcription"), word.get("illegibility")
        marked = text == MARK
        flag = marked or (False if illegible is None else illegible)
        found.add(f"{place}.points", word.get("points"), None if marked else text, ignore=flag)
        if not word.keys() <= _WORD:
            g.unused.update(f"word {key}" for key in word.keys() - _WORD)
    g.page(picture_with_stem(g, name, loc, ("gt_", "res_")), loc, found, since=since)
