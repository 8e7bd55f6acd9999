"""Bytes, text and JSON of annotation files: damage gets a name and a place, and nothing is guessed.

Everything here raises `AnnotationError` with one `Problem` or returns what the file states.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ocrmaps.errors import AnnotationError, Problem, reason
from ocrmaps.files import open_regular
from ocrmaps.limits import MAX_BYTES

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 48
_SHORT.maxlevel = 2
_SHORT.maxlist = _SHORT.maxdict = 4
_quoted = json.JSONEncoder(ensure_ascii=False).encode
"""A string as JSON; made once, because every outline of a data set has a place."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")


def shown(value: object) -> str:
    """A value for an error message: short, whatever its size or depth.

    >>> shown("x" * 500)
    "'xxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxx'"
    """
    return _SHORT.repr(value)


def clipped(text: str, length: int = 500) -> str:
    """A message or place that stays readable when a file holds absurdly long names."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def refusal(loc: str, message: str, kind: str = "invalid", hint: str = "") -> AnnotationError:
    """An error about one whole file."""
    return AnnotationError(
        f"cannot read {loc}", problems=[Problem(loc=loc, message=clipped(message), kind=kind)], hint=hint
    )


def read_bytes(path: Path, loc: str) -> bytes:
    """The content of a regular file of bearable size."""
    try:
        if path.is_dir():
            raise refusal(loc, "found a folder, expected a file; name the file inside it", "unreadable-file")
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= MAX_BYTES:
                return file.read(MAX_BYTES)
    except AnnotationError:  # itself a ValueError
        raise
    except FileNotFoundError:
        raise refusal(loc, "found no such file", "missing-file") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        raise refusal(loc, f"found a file that cannot be opened: {reason(error)}", "unreadable-file") from None
    raise refusal(loc, f"found {size} bytes, expected at most {MAX_BYTES}", "too-large")


def decode(data: bytes, loc: str) -> str:
    """UTF-8 text without its byte order mark; any other encoding is named, not guessed.

    >>> decode(b"\\xef\\xbb\\xbfabc", "a.txt")
    'abc'
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refusal(loc, "found UTF-16 text, expected UTF-8; save the file as UTF-8", "not-utf8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"found byte 0x{data[error.start]:02x} that is not UTF-8 ({error.reason})"
        raise refusal(f"{loc}:{line}", f"{found}, expected UTF-8 text", "not-utf8") from None
    return refuse_nul(text, loc)


def refuse_nul(text: str, loc: str) -> str:
    """Text as it is, unless a NUL character shows that the file is not text."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise refusal(f"{loc}:{line}", "found a NUL character, expected text", "not-text")
    return text


class Doubled(dict[str, Any]):
    """A JSON object in which a key stood twice; plain parsing would silently lose the first value."""

    doubled: tuple[str, ...] = ()


def parse_json(
    text: str, file: str, report: Callable[[str, str, str], None], *, line: int = 0, ids: str | None = None
) -> Any:
    """The JSON value of a text; `report(loc, message, kind)` is called for each key that stands twice.

    `line`: where the text stands if it is one line of the file. `ids`: path of the object whose keys are picture
    names, so that a doubled key there is a doubled picture.
    """
    loc = f"{file}:{line}" if line else file
    if not text.strip():
        raise refusal(loc, "found nothing, expected JSON", "empty-file")
    doubled = False

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        doubled = True
        marked = Doubled(plain)
        marked.doubled = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        return marked

    try:
        value = json.loads(text, object_pairs_hook=hook)
    except json.JSONDecodeError as error:
        place = f"{loc}:{error.colno}" if line else f"{loc}:{error.lineno}:{error.colno}"
        raise refusal(place, f"found invalid JSON: {error.msg}", "invalid-json") from None
    except RecursionError:
        raise refusal(loc, "found JSON nested too deeply, expected at most a few levels", "too-deep") from None
    except ValueError as error:  # an integer beyond Python's digit limit
        raise refusal(
            loc, f"found a number that cannot be read: {str(error).partition(';')[0]}", "huge-number"
        ) from None
    if doubled:
        for path, keys in _find_doubled(value):
            for key in keys:
                found = f"found the key {shown(key)} twice, expected it once; the first value would be lost"
                report(f"{loc}:{step(path, key)}", found, "duplicate-id" if path == ids else "duplicate-key")
    return value


def _find_doubled(value: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict):
            if isinstance(item, Doubled):
                yield path, item.doubled
            stack.extend((step(path, key), inner) for key, inner in reversed(item.items()))
        elif isinstance(item, list):
            stack.extend((step(path, i), item[i]) for i in range(len(item) - 1, -1, -1))


def step(path: str, key: str | int) -> str:
    """A JSON path one level down.

    >>> step(step(step("", "images"), "a.jpg"), 3)
    'images["a.jpg"][3]'
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    shortened = key if len(key) <= 80 else f"{key[:77]}..."
    return f"{path}[{_quoted(shortened)}]"
