"""MATLAB 5 files: variables of numbers, letters and cells, nothing else; sizes and depth are bounded, nothing is run.

A cell array comes as (dimensions, list), column after column, as it is stored; numbers as lists, letters as strings.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from ocrmaps.annotations.grammar.contents import refusal
from ocrmaps.limits import MAX_BYTES, MOST_NUMBERS

_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR, _FIRST_NUMBER, _LAST_NUMBER = 1, 4, 6, 15
_COMPLEX = 0x0800
_DEEPEST = 8
_MOST_CELLS = 10_000_000

Cells = tuple[tuple[int, ...], list[Any]]


class _Damaged(ValueError):
    pass


def variables(data: bytes, loc: str) -> dict[str, Any]:
    """The variables of a file by name; refused where anything else is found."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[:19] == b"MATLAB 7.3 MAT-file":
        found = "a MATLAB 7.3 file" if data[:19] == b"MATLAB 7.3 MAT-file" else "no MATLAB 5 file"
        raise refusal(loc, f"found {found}, expected one that was saved with -v7 or -v6", "unreadable-file")
    parser = _Parser(order)
    out: dict[str, Any] = {}
    try:
        at = 128
        while at < len(data):
            kind, content, at = parser.element(memoryview(data), at, padded=False)
            if kind == _COMPRESSED:
                kind, content, _ = parser.element(memoryview(parser.inflated(content)), 0, padded=False)
            if kind == _MATRIX:
                name, value = parser.matrix(content, 0)
                out[name] = value
    except (_Damaged, struct.error, zlib.error, UnicodeError) as error:
        raise refusal(loc, f"found a MATLAB file that cannot be read: {error}", "unreadable-file") from None
    return out


class _Parser:
    def __init__(self, order: str) -> None:
        self.order = order
        self.left = MAX_BYTES
        self.cells = _MOST_CELLS
        self.values = MOST_NUMBERS

    def inflated(self, data: memoryview) -> bytes:
        unpacker = zlib.decompressobj()
        out = unpacker.decompress(data, self.left)
        if unpacker.unconsumed_tail:
            raise _Damaged(f"over {MAX_BYTES} bytes unpacked")
        self.left -= len(out)
        return out

    def element(self, data: memoryview, at: int, *, padded: bool = True) -> tuple[int, memoryview, int]:
        """(kind, content, where the next one begins); nothing is copied."""
        kind, size = struct.unpack_from(f"{self.order}II", data, at)
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise _Damaged(f"{size} bytes in a tag of 4")
        else:
            start = at + 8
            after = start + size + (-size % 8 if padded else 0)
        if start + size > len(data):
            raise _Damaged(f"{len(data) - start} bytes, expected {size}")
        return kind, data[start : start + size], after

    def numbers(self, kind: int, content: memoryview) -> list[Any]:
        code = _NUMBERS.get(kind)
        if code is None or len(content) % struct.calcsize(code):
            raise _Damaged(f"{len(content)} bytes of the type {kind}")
        count = len(content) // struct.calcsize(code)
        self.values -= count
        if self.values < 0:
            raise _Damaged(f"over {MOST_NUMBERS} numbers")
        return list(struct.unpack(f"{self.order}{count}{code}", content))

    def matrix(self, data: memoryview, depth: int) -> tuple[str, Any]:
        """(name, value)"""
        if depth > _DEEPEST:
            raise _Damaged("cells nested too deeply")
        if not data:
            return "", []
        kind, content, at = self.element(data, 0)
        flags = self.numbers(kind, content)[0]
        kind, content, at = self.element(data, at)
        sides = self.numbers(kind, content)
        kind, content, at = self.element(data, at)
        name = bytes(content).decode("latin-1")
        of = flags & 0xFF
        if of == _CELL:
            return name, self._cells(data, at, sides, depth)
        if (of != _CHAR and not _FIRST_NUMBER <= of <= _LAST_NUMBER) or flags & _COMPLEX:
            return name, None  # structures, sparse and complex matrices: no annotation has them
        if at >= len(data):
            return name, "" if of == _CHAR else []
        kind, content, _ = self.element(data, at)
        if of == _CHAR and kind in _TEXTS:
            order = {"<": "-le", ">": "-be"}[self.order] if kind != 16 else ""
            return name, bytes(content).decode(_TEXTS[kind] + order)
        values = self.numbers(kind, content)
        return name, "".join(map(chr, values)) if of == _CHAR and all(0 <= v < 0x110000 for v in values) else values

    def _cells(self, data: memoryview, at: int, sides: list[int], depth: int) -> Cells:
        count = 1
        for side in sides:
            count *= max(side, 0)
            if count > len(data):
                raise _Damaged(f"{sides} cells in {len(data)} bytes")
        self.cells -= count
        if self.cells < 0:
            raise _Damaged(f"over {_MOST_CELLS} cells")
        values = []
        for _ in range(count):
            kind, content, at = self.element(data, at)
            if kind != _MATRIX:
                raise _Damaged(f"the type {kind} in a cell")
            values.append(self.matrix(content, depth + 1)[1])
        return tuple(sides), values
