"""JSON of any length, one member of its root at a time: memory follows the largest member, not the file.

Only what is sure is read here. Whatever is unusual (an error, a doubled key, another type) raises `Unstreamable`, and
the file is for `parse_json`, which names it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

CHUNK = 2**20
_BLANKS = re.compile(r"[ \t\n\r]*")


class Unstreamable(ValueError):
    """This file has to be parsed as a whole."""


def members(file: BinaryIO, root: type, member: str = "", inner: type = list) -> Iterator[tuple[str, str | int, Any]]:
    """("", key or index, value) of the root, an object or a list; of one `member` in it, its own: (member, key, value).

    >>> from io import BytesIO
    >>> list(members(BytesIO(b'{"version": 2, "rows": [1, {"a": 3}]}'), dict, "rows"))
    [('', 'version', 2), ('rows', 0, 1), ('rows', 1, {'a': 3})]
    """
    window = _Window(file)
    for key, value in _pairs(window, root, member):
        if value is _MEMBER:
            for name, one in _pairs(window, inner):
                yield member, name, one
        else:
            yield "", key, value
    if window.sign():
        raise Unstreamable


_MEMBER = object()


def _pairs(window: _Window, kind: type, member: str = "") -> Iterator[tuple[str | int, Any]]:
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
        yield key, _MEMBER if member and key == member else window.value()
        index += 1
    window.take(closing)


class _Window:
    """A part of a text file that moves on, and grows while a value does not end in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.ended = "", 0, False

    def sign(self) -> str:
        """The next letter that is no blank, which stays; empty at the end of the file."""
        while True:
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
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if self.ended:
                    raise
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


_DECODER = json.JSONDecoder(object_pairs_hook=_plain)
