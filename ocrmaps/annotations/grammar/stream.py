"""JSON of any length, one member of its root at a time: memory follows the largest member, not the file.

Only what is sure is read here. Whatever is unusual (an error, a doubled key, another type) raises `Unstreamable`, and
the file is for `parse_json`, which names it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

CHUNK = 2**20
_BLANKS = re.compile(r"[ \t\n\r]*")
_NEXT = {
    list: re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?=[^ \t\n\r])"),
    dict: re.compile(r'[ \t\n\r]*,[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*(?=[^ \t\n\r])'),
}
"""What usually stands between two values, where all of it is in the window: nothing that has to be looked at twice."""

_APART = re.compile(r'"[ \t\n\r]+:')
"""A key that its colon does not follow at once."""


class Unstreamable(ValueError):
    """This file has to be parsed as a whole."""


Kinds = tuple[type, ...]
"""`dict`, `list`, or both."""


def members(
    file: BinaryIO, root: type, tables: Mapping[str, Kinds] | None = None, *, repetitive: bool = False
) -> Iterator[tuple[str, Any, Any]]:
    """("", key or index, value) of the root, an object or a list; of each table in it, its own: (table, key, value).

    `repetitive`: the same fractions stand in a value several times, so each is made a number once.

    >>> from io import BytesIO
    >>> list(members(BytesIO(b'{"version": 2, "rows": [1, {"a": 3}]}'), dict, {"rows": (list,)}))
    [('', 'version', 2), ('rows', 0, 1), ('rows', 1, {'a': 3})]
    """
    window, tables = _Window(file, _counting(_Fractions() if repetitive else None)), tables or {}
    for key in _keys(window, (root,)):
        if key in tables:
            for name in _keys(window, tables[key]):
                yield key, name, window.value()
        else:
            yield "", key, window.value()
    if window.sign():
        raise Unstreamable


def _keys(window: _Window, kinds: Kinds) -> Iterator[Any]:
    """The keys of an object or the indices of a list; whoever iterates takes the value behind each."""
    kind = dict if window.sign() == "{" else list
    if kind not in kinds:
        raise Unstreamable
    opening, closing = "{}" if kind is dict else "[]"
    window.take(opening)
    index, seen = 0, set()
    while window.sign() != closing:
        if index:
            window.take(",")
        key: str | int = index
        if kind is dict:
            if window.sign() != '"':
                raise Unstreamable
            key = window.value()
            if key in seen:
                raise Unstreamable
            seen.add(key)
            window.take(":")
        window.sign()
        yield key
        index += 1
        while match := _NEXT[kind].match(window.text, window.at):
            key = index if kind is list else match[1]
            if kind is dict:
                if key in seen:
                    raise Unstreamable
                seen.add(key)
            window.at = match.end()
            yield key
            index += 1
    window.take(closing)


class _Window:
    """A part of a text file that moves on, and grows while a value does not end in it."""

    def __init__(self, file: BinaryIO, scan: Callable[[str, int], tuple[Any, int]]) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.ended = "", 0, False
        self.scan = scan

    def sign(self) -> str:
        """The next letter that is no blank, which stays; empty at the end of the file."""
        while True:
            sign = self.text[self.at : self.at + 1]
            if sign > " ":
                return sign
            self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self._more()

    def take(self, sign: str) -> None:
        if self.sign() != sign:
            raise Unstreamable
        self.at += 1

    def value(self) -> Any:
        """The JSON value that begins here."""
        while True:
            try:
                value, end = self.scan(self.text, self.at)
            except (json.JSONDecodeError, StopIteration):
                if self.ended:
                    raise Unstreamable from None
            else:
                if end < len(self.text) or self.ended:
                    self.at = end
                    return value
            self._more()

    def _more(self) -> None:
        data = self.file.read(max(CHUNK, len(self.text) - self.at))
        text = self.decoder.decode(data, final=not data)
        if "\0" in text:
            raise Unstreamable
        self.text, self.at, self.ended = self.text[self.at :] + text, 0, not data


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Unstreamable
    return out


class _Fractions(dict[str, float]):
    """The numbers that fractions met so far mean."""

    def __missing__(self, text: str) -> float:
        self[text] = value = float(text)
        return value


def _counting(fractions: _Fractions | None = None, doubts: int = 64) -> Callable[[str, int], tuple[Any, int]]:
    """`_scan` that makes no list of pairs for each object: as many colons as keys, and no key stood twice.

    Colons in texts do not count where all keys have theirs right behind the quote. What is then still in doubt `_scan`
    decides; a file full of that is not looked at twice for long.
    """
    sizes: list[int] = []

    def sized(value: dict[str, Any]) -> dict[str, Any]:
        add(len(value))
        return value

    def scan(text: str, at: int) -> tuple[Any, int]:
        nonlocal doubts
        if doubts:
            sizes.clear()
            if fractions:
                fractions.clear()
            value, end = count(text, at)
            keys = sum(sizes)
            if text.count(":", at, end) == keys:
                return value, end
            if text.count('":', at, end) == keys and not _APART.search(text, at, end):
                return value, end
            doubts -= 1
        return _scan(text, at)

    number = None if fractions is None else fractions.__getitem__
    decoder = json.JSONDecoder(object_hook=sized, parse_float=number)
    add, count = sizes.append, decoder.scan_once  # type: ignore[attr-defined]
    return scan


_scan = json.JSONDecoder(object_pairs_hook=_plain).scan_once  # type: ignore[attr-defined]
