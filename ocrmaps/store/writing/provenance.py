"""What a version was made with, recorded beside it so that drift shows: tools, and our code without its comments."""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import tokenize
from functools import cache
from importlib import metadata
from pathlib import Path

import ocrmaps

TOOLS = ("ocrmaps", "numba", "numcodecs", "numpy", "opencv-python-headless", "pillow", "zarr")
_LIBRARY = Path(ocrmaps.__file__).resolve().parent
CODE = {
    "pictures": ["pictures.py", "geometry.py"],
    "canonical": ["canonical.py", "geometry.py", "pictures.py"],
    "maps": ["maps/**/*.py", "compiled.py", "geometry.py"],
}
"""Which files decide the pixels; patterns relative to the library."""


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
    out = {}
    for name, patterns in CODE.items():
        files = sorted({file for pattern in patterns for file in _LIBRARY.glob(pattern)})
        state = hashlib.sha256()
        for file in files:
            state.update(f"{file.name}\0{spoken(file.read_text(encoding='utf-8'))}\0".encode())
        out[name] = state.hexdigest()[:16]
    return out


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
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
