"""What a format's `recognize` looks at: the beginning of a file, parsed as far as it goes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD_BYTES = 256 * 1024
"""How much of a file is looked at first; a json file that stays unknown is then read completely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The beginning of one file, or of some of the per-picture files of a folder."""

    suffix: str
    """Lower-case ending, `.json`."""
    json: Any = None
    """The json value as far as it was seen; None for other files."""
    xml: tuple[str, frozenset[str]] | None = None
    """(root tag, `tag@attribute` names seen) of an xml file."""
    lines: tuple[str, ...] = ()
    """The first non-empty lines of a text file, or of several per-picture files."""
    start: str = ""
    """The first letters of a file with markup, as they are; the first names in a tar archive, a line each."""
    per_picture: bool = False
    """Whether the lines come from files that each belong to one picture."""

    def __str__(self) -> str:
        """What the file looks like, for people; empty where nothing can be said of it."""
        if self.xml is not None:
            return f"xml with the root <{self.xml[0]}>"
        if isinstance(self.json, dict):
            return f"json with {', '.join(map(repr, list(self.json)[:4]))}" if self.json else "an empty json object"
        if isinstance(self.json, list):
            return f"a json list of {len(self.json)} values" if self.json else "an empty json list"
        return f"lines such as {self.lines[0][:80]!r}" if self.lines else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """How a format is recognized, and whether it keeps one file per picture."""

    recognize: Callable[[Head], str]
    """The reason in words, or an empty string."""
    per_picture: tuple[str, ...] = ()
    """Endings of its per-picture files; empty where one file holds all pictures."""
    looks_at_pictures: bool = False
    """Whether what is read depends on the pictures themselves or, with one file for all, on the names they have."""
    stated: Callable[[Path], list[str]] | None = None
    """Of annotations that can hold their pictures: the first picture files that they name instead, or none."""


_TOKEN = re.compile(
    r"""[\s,:]*(?:([{\[])|([}\]])|"([^"\\]*(?:\\.[^"\\]*)*)"|((?:-?(?:\d[\d.eE+-]*|Infinity)|NaN))|(true|false|null)|(.))""",
    re.DOTALL,
)
_OPENING, _CLOSING, _STRING, _NUMBER, _WORD = range(1, 6)
_WORDS = {"true": True, "false": False, "null": None}
_DEPTH = 1000
"""How far json nests that is looked at: no format nests like this."""


def peek_json(text: str) -> Any:
    """The json value of a text that may be cut off anywhere: what was complete before the cut.

    Strings are kept as written (escapes untouched) and numbers become 0: only the shape matters.

    >>> peek_json('{"images": {"a.jpg": {"words": {"1": {"poi')
    {'images': {'a.jpg': {'words': {'1': {}}}}}
    """
    root: list[Any] = []
    inside: Any = root
    key: str | None = None
    outside: list[Any] = []
    deeper = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastindex
        if deeper or (len(outside) > _DEPTH and kind == _OPENING):  # what lies too deep is passed over
            deeper += (kind == _OPENING) - (kind == _CLOSING)
            key = None
            continue
        if kind == _STRING:
            value: Any = match[_STRING]
            if key is None and type(inside) is dict:
                key = value
                continue
        elif kind == _OPENING:
            value = {} if match[_OPENING] == "{" else []
        elif kind == _CLOSING:
            key = None
            if outside:
                inside = outside.pop()
            if not outside:
                break
            continue
        elif kind == _NUMBER:
            value = 0
        elif kind == _WORD:
            value = _WORDS[match[_WORD]]
        else:
            break
        if type(inside) is dict:
            inside[key] = value
            key = None
        else:
            inside.append(value)
        if kind == _OPENING:
            outside.append(inside)
            inside = value
        if not outside:
            break
    return root[0] if root else None
