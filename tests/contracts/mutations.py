"""Damaged files: what editors, exporters, disks and strangers do to an annotation file.

Hypothesis draws one number for each file, and the damages follow from it: to draw every choice of them takes longer
than to read the file.
"""

from __future__ import annotations

import json
import random
import re
import struct
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
_KINDS = ("number", "bits", "text", "word", "list", "object")
_WORDS = (None, False, True, 0, -0.0, float("nan"), float("inf"), float("-inf"), "")
DEEP = (b"[" * 3000, b'{"a":' * 3000, b"<a>" * 3000, b"[[" * 50_000, b'"' * 500, b"((((" * 500)


def mutated(example: str | bytes) -> st.SearchStrategy[bytes]:
    """One to three damages done to a valid file, or bytes that never were one."""
    return st.integers(0, 2**32 - 1).map(lambda seed: _damaged(random.Random(seed), example))


def _damaged(rng: random.Random, example: str | bytes) -> bytes:
    data = example.encode() if isinstance(example, str) else example
    for damage in rng.choices(_DAMAGES, k=rng.randint(1, 3)):
        data = damage(rng, data)
    return data


def _at(rng: random.Random, data: bytes) -> int:
    """A place in a file, both ends of it more often than others."""
    return min(max(0, rng.randint(-len(data) // 8, len(data) * 9 // 8)), len(data))


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    first, last = sorted((_at(rng, data), _at(rng, data)))
    return first, min(last, first + 40)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def _noise(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(max(0, rng.randint(-20, 200)))


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.randbytes(rng.randint(0, 8)) + data[at:]


def _delete(rng: random.Random, data: bytes) -> bytes:
    first, last = _range(rng, data)
    return data[:first] + data[last:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    first, last = _range(rng, data)
    return data[:last] + data[first:last] + data[last:]


def _swap(rng: random.Random, data: bytes) -> bytes:
    """Two numbers or two words change places."""
    spans = [m.span() for m in rng.choice([_NUMBER, _WORD]).finditer(data)]
    if len(spans) < 2:
        return data
    i = rng.randint(0, len(spans) - 2)
    (a, b), (c, d) = spans[i], spans[rng.randint(i + 1, len(spans) - 1)]
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _replace(pattern: re.Pattern[bytes], junk: tuple[str, ...]) -> Any:
    def damage(rng: random.Random, data: bytes) -> bytes:
        spans = [m.span() for m in pattern.finditer(data)]
        if not spans:
            return data
        first, last = rng.choice(spans)
        return data[:first] + rng.choice(junk).encode() + data[last:]

    return damage


def _nest(rng: random.Random, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + rng.choice(DEEP) + data[at:]


def _value(rng: random.Random, depth: int = 3) -> Any:
    """Any value of a json file, with a few more inside."""
    kind = rng.choice(_KINDS if depth else _KINDS[:-2])
    if kind == "list":
        return [_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if kind == "object":
        return {_text(rng): _value(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    if kind == "number":
        return rng.choice((rng.randint(-300, 300), rng.randint(-(10**20), 10**20), rng.uniform(-1e4, 1e4)))
    if kind == "bits":
        return struct.unpack("<d", rng.randbytes(8))[0]
    return _text(rng) if kind == "text" else rng.choice(_WORDS)


def _text(rng: random.Random) -> str:
    """Up to five letters, half of them from anywhere in Unicode."""
    return "".join(chr(rng.randrange(rng.choice((128, 0x110000)))) for _ in range(rng.randint(0, 5)))


def _other_type(rng: random.Random, data: bytes) -> bytes:
    """One value of a json file, or of one of its lines, becomes another value of any type."""
    lines = data.split(b"\n") if b"\t" in data else [data]
    name, tab, text = lines[0].rpartition(b"\t")
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return data
    holder: Any = [root]
    key: Any = 0
    while isinstance(holder[key], (dict, list)) and holder[key] and rng.randrange(5):
        holder = holder[key]
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    value = _value(rng)
    if holder[key] is root:
        root = value
    else:
        holder[key] = value
    return b"\n".join([name + tab + json.dumps(root).encode(), *lines[1:]])


_DAMAGES = (
    _cut, _noise, _insert, _delete, _repeat, _swap, _nest, _other_type, _other_type,
    _replace(_NUMBER, JUNK_NUMBERS), _replace(_NUMBER, JUNK_NUMBERS), _replace(_WORD, JUNK_WORDS),
)  # fmt: skip
