"""Damaged files: what editors, exporters, disks and strangers do to an annotation file."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_]+")

JUNK_NUMBERS = (
    "NaN", "nan", "Infinity", "-inf", "1e999", "-1e999", "1e308", "20000000", "9" * 400, "9" * 5000, "1" + "0" * 310,
    "true", "null", '"5"', "[]", "{}", "[[[]]]", "-0", "1_000", "１２", "0x10", "1.2.3", "", " ", "--1", "+-1", "0e0",
    "5e-324", "1,", ",1",
)  # fmt: skip
JUNK_WORDS = (
    "", "..", "../x", "/etc/passwd", "C:\\\\x", "\\ud800", "\\u0000", "\0", "\ufeff", "\u202e", "a" * 3000, "null", "5",
    '"', "'", "<", "&e;", "]]", "###", "####", "x:",
)  # fmt: skip
DEEP = (b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000, b"[[" * 50_000, b'"' * 500, b"((((" * 500)

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, example: str | bytes) -> bytes:
    """One to three damages done to a valid file, or bytes that never were one."""
    data = example.encode() if isinstance(example, str) else example
    for damage in draw(st.lists(st.sampled_from(_DAMAGES), min_size=1, max_size=3)):
        data = damage(draw, data)
    return data


def _at(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, len(data)))


def _range(draw: st.DrawFn, data: bytes) -> tuple[int, int]:
    first, last = sorted((_at(draw, data), _at(draw, data)))
    return first, min(last, first + 40)


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: _at(draw, data)]


def _noise(draw: st.DrawFn, data: bytes) -> bytes:
    return draw(st.binary(max_size=200))


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = _at(draw, data)
    return data[:at] + draw(st.binary(max_size=8)) + data[at:]


def _delete(draw: st.DrawFn, data: bytes) -> bytes:
    first, last = _range(draw, data)
    return data[:first] + data[last:]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    first, last = _range(draw, data)
    return data[:last] + data[first:last] + data[last:]


def _swap(draw: st.DrawFn, data: bytes) -> bytes:
    """Two numbers or two words change places."""
    spans = [m.span() for m in draw(st.sampled_from([_NUMBER, _WORD])).finditer(data)]
    if len(spans) < 2:
        return data
    i = draw(st.integers(0, len(spans) - 2))
    (a, b), (c, d) = spans[i], spans[draw(st.integers(i + 1, len(spans) - 1))]
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _replace(pattern: re.Pattern[bytes], junk: tuple[str, ...]) -> Any:
    def damage(draw: st.DrawFn, data: bytes) -> bytes:
        spans = [m.span() for m in pattern.finditer(data)]
        if not spans:
            return data
        first, last = draw(st.sampled_from(spans))
        return data[:first] + draw(st.sampled_from(junk)).encode() + data[last:]

    return damage


def _nest(draw: st.DrawFn, data: bytes) -> bytes:
    at = _at(draw, data)
    return data[:at] + draw(st.sampled_from(DEEP)) + data[at:]


def _other_type(draw: st.DrawFn, data: bytes) -> bytes:
    """One value of a json file, or of one of its lines, becomes another value of any type."""
    lines = data.split(b"\n") if b"\t" in data else [data]
    name, tab, text = lines[0].rpartition(b"\t")
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return data
    holder: Any = [root]
    key: Any = 0
    while isinstance(holder[key], (dict, list)) and holder[key] and draw(st.integers(0, 4)):
        holder = holder[key]
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    value = draw(_VALUES)
    if holder[key] is root:
        root = value
    else:
        holder[key] = value
    return b"\n".join([name + tab + json.dumps(root).encode(), *lines[1:]])


_DAMAGES = (
    _cut, _noise, _insert, _delete, _repeat, _swap, _nest, _other_type, _other_type,
    _replace(_NUMBER, JUNK_NUMBERS), _replace(_NUMBER, JUNK_NUMBERS), _replace(_WORD, JUNK_WORDS),
)  # fmt: skip
