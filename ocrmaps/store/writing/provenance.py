"""Names the code and the libraries that draw rows: beside every receipt, in the manifest, in none of the digests.

An identity is what `identity` returns: versions of libraries, and digests of our code without its comments.
"""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import threading
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import ocrmaps
from ocrmaps.errors import StoreCorrupt
from ocrmaps.store.format.identity import fingerprint

TOOLS = ("ocrmaps", "numba", "numcodecs", "numpy", "opencv-python-headless", "pillow", "zarr")
_LIBRARY = Path(ocrmaps.__file__).resolve().parent
CODE = {
    "pictures": ["pictures.py", "geometry.py"],
    "canonical": ["canonical.py", "geometry.py", "pictures.py", "resampling.py", "compiled.py"],
    "maps": ["maps/**/*.py", "compiled.py", "geometry.py"],
}
"""Which files decide the pixels; patterns relative to the library."""
PACKING = ["store/format/codecs.py", "store/format/shards.py", "store/writing/tasks.py"]
"""Which files decide how pixels become bytes of a shard."""
UNKNOWN = "unknown"
"""The name of what drew rows before builds recorded it."""


def _files(patterns: Iterable[str]) -> list[Path]:
    return sorted({file for pattern in patterns for file in _LIBRARY.glob(pattern)})


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


_PARSING = threading.Lock()
"""Python 3.11 counts the depth of a tree for all threads together, so two that parse at once can fail each other."""
_LOADED = {file: _stamp(file) for file in _files([*(p for patterns in CODE.values() for p in patterns), *PACKING])}
"""As the files were when this process began: what it runs, whatever is installed over them later."""


def tool_versions() -> dict[str, str]:
    """Versions of what had a hand in the bytes; never part of a fingerprint."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


@cache
def code_digests() -> dict[str, str]:
    """One digest for each algorithm's source, which comments, docstrings and blank lines do not change."""
    return {name: _digest(_files(patterns)) for name, patterns in CODE.items()}


@cache
def code_files() -> dict[str, str]:
    """The digest of each file that has a hand in the bytes, by its path in the library."""
    return {file.relative_to(_LIBRARY).as_posix(): _digest([file]) for file in _LOADED}


def _digest(files: Iterable[Path]) -> str:
    state = hashlib.sha256()
    for file in files:
        state.update(f"{file.name}\0{spoken(file.read_text(encoding='utf-8'))}\0".encode())
        if _LOADED.get(file) != _stamp(file):
            state.update(b"changed since this process began")
    return state.hexdigest()[:16]


@cache
def _identity() -> tuple[dict[str, str], dict[str, str]]:
    return tool_versions(), {**code_digests(), "store": _digest(_files(PACKING))}


def identity() -> dict[str, dict[str, str]]:
    """What draws and packs rows in this process."""
    tools, code = _identity()
    return {"tools": tools, "code": code}


def identity_name(body: Mapping[str, Any]) -> str:
    """The short name of an identity."""
    return fingerprint({"tools": body["tools"], "code": body["code"]})[:16]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Which libraries and which code of theirs are not ours; by file where both say their files.

    >>> a = {"tools": {"numba": "0.61"}, "code": {"maps": "1"}}
    >>> differences(a, {"tools": {"numba": "0.60"}, "code": {"maps": "2"}})
    ['numba 0.60 instead of 0.61', 'code of maps']
    """
    tools, other = ours["tools"], theirs["tools"]
    found = [f"{n} {other.get(n, 'none')} instead of {tools.get(n, 'none')}" for n in {**tools, **other}
             if tools.get(n) != other.get(n)]  # fmt: skip
    group, word = ("files", "") if "files" in ours and "files" in theirs else ("code", "code of ")
    here, there = ours[group], theirs[group]
    return found + [f"{word}{n}" for n in {**here, **there} if here.get(n) != there.get(n)]


class Drawers:
    """Counts the rows that each identity drew, receipt by receipt."""

    def __init__(self) -> None:
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._rows: dict[str, int] = defaultdict(int)
        self._shards: dict[str, set[tuple[str, int]]] = defaultdict(set)

    def add(self, shard: str, receipt: Mapping[str, Any]) -> None:
        """Count the rows of one shard."""
        canvas, _, index = shard.rpartition("/")
        name = UNKNOWN
        if "drawn_by" in receipt:
            name = identity_name(receipt["drawn_by"])
            self._bodies[name] = receipt["drawn_by"]
        for row in receipt["rows"]:
            if row["how"] == "failed":
                continue
            for by in (name,) if row["how"] == "drawn" else row.get("by", (UNKNOWN,)):
                self._rows[by] += 1
                self._shards[by].add((canvas, int(index)))

    def drawn_by(self, known: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """For the manifest: each identity that drew rows, how many, and in which shards where there are several.

        `known` has the identities of rows that were copied from older versions.
        """
        bodies = {**known, **self._bodies}
        names = sorted(self._rows, key=lambda by: (-self._rows[by], by))
        return [
            {"identity": by, **bodies.get(by, {}), "rows": self._rows[by], "shards": len(self._shards[by])}
            | ({"where": _ranges(self._shards[by])} if len(names) > 1 else {})
            for by in names
        ]


class Origins:
    """Which identities drew the rows of a shard, as a manifest tells it."""

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        told = recorded.get("drawn_by", [])
        try:
            self.bodies = {e["identity"]: {"tools": e["tools"], "code": e["code"]} for e in told if "tools" in e}
            self._only = tuple(e["identity"] for e in told) if len(told) == 1 else ()
            self._where = [
                (e["identity"], {canvas: _spans(text) for canvas, text in e["where"].items()})
                for e in (told if len(told) > 1 else ())
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreCorrupt(f"its record of what drew the rows is not as builds write it ({error})") from error

    def of(self, canvas: str, index: int) -> tuple[str, ...]:
        """Names of the identities with rows in this shard."""
        found = self._only or tuple(
            name for name, where in self._where if any(a <= index <= b for a, b in where.get(canvas, ()))
        )
        return found or (UNKNOWN,)


def _ranges(shards: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Shards as text by canvas, however many there are in a row.

    >>> _ranges({("canvas-64x64", i) for i in (0, 1, 2, 5)})
    {'canvas-64x64': '0-2,5'}
    """
    spans: dict[str, list[list[int]]] = {}
    for canvas, index in sorted(shards):
        found = spans.setdefault(canvas, [])
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return {canvas: ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in found) for canvas, found in spans.items()}


def _spans(text: str) -> list[tuple[int, int]]:
    parts = [part.partition("-") for part in text.split(",")]
    return [(int(a), int(b or a)) for a, _, b in parts]


def spoken(source: str) -> str:
    """Python source without comments, docstrings, blank lines and trailing spaces.

    >>> spoken('def f():  # why' + chr(10) + '    "doc"' + chr(10) + '    return 1').split(chr(10))
    ['def f():', '    return 1']
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    with _PARSING:
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
