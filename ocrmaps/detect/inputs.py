"""Which pictures a command line means, in which order, and what they are called.

Arguments keep their order; inside a folder or a pattern names are in natural order (2 before 10). Names are relative
to the deepest folder that holds everything named, so pictures of the same name in different folders stay apart.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrmaps.annotations.discovery.pictures import PICTURE_SUFFIXES, clean_name
from ocrmaps.detect.pages import PictureFile
from ocrmaps.errors import DataError, SpecError

SUFFIXES = (*PICTURE_SUFFIXES, ".pdf")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The pictures to predict and those that will not be looked at."""

    root: Path
    """Names are relative to this folder."""
    files: tuple[PictureFile, ...]
    refused: tuple[tuple[str, str], ...]
    """(name, why)"""


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers by value.

    >>> sorted(["p10.png", "p2.png", "P1.png"], key=natural)
    ['P1.png', 'p2.png', 'p10.png']
    """
    parts = _DIGITS.split(name)
    folded = tuple((1, int(p), "") if i % 2 else (0, 0, p.lower()) for i, p in enumerate(parts))
    return (*folded, (0, 0, name))


def find_inputs(arguments: Sequence[str | Path], *, recursive: bool = False) -> Inputs:
    """Files, folders and patterns (`*`, `?`, `[...]`, `**`) as pictures; a name that means nothing is an error.

    Folders and patterns give pictures by their ending, never hidden ones, and nothing that a symbolic link leads to
    outside of them. A file named by itself is taken whatever its ending.
    """
    if not arguments:
        raise SpecError("found no pictures named, expected at least one file, folder or pattern")
    anchors: list[str] = []
    found: dict[str, str | None] = {}
    for argument in arguments:
        anchor, files = _expand(str(argument), recursive=recursive)
        anchors.append(os.path.abspath(anchor))
        for path, refusal in files:
            found.setdefault(os.path.abspath(path), refusal)
    root = os.path.commonpath(anchors)
    files_, refused = [], []
    for path, refusal in found.items():
        name = os.path.relpath(path, root).replace(os.sep, "/")
        refusal = refusal or _unwritable(name)
        if refusal:
            refused.append((name.encode("utf-8", "replace").decode("utf-8"), refusal))
        else:
            files_.append(PictureFile(name=name, path=Path(path)))
    return Inputs(root=Path(root), files=tuple(files_), refused=tuple(refused))


def _unwritable(name: str) -> str | None:
    try:
        clean = clean_name(name)
    except ValueError as error:
        return str(error)
    return None if clean == name else "its name holds a backslash, which result files take for a folder"


def _expand(argument: str, *, recursive: bool) -> tuple[str, list[tuple[str, str | None]]]:
    """(the folder it stands for, its pictures each with a refusal or None)"""
    if "\0" in argument:
        raise DataError(f"found a NUL character in {argument!r}, expected a path")
    if os.path.isdir(argument):
        return argument, _listed(argument, recursive=recursive)
    if os.path.lexists(argument):
        return os.path.dirname(argument) or ".", [(argument, None)]
    if not glob.has_magic(argument):
        raise DataError(f"found no picture file or folder {argument}", hint="check the path")
    base = argument
    while glob.has_magic(base):
        base = os.path.dirname(base)
    base = base or "."
    names = [n for n in glob.glob(argument, recursive=True) if _looks_like_picture(n) and not os.path.isdir(n)]
    if not names:
        raise DataError(f"no picture fits {argument}", hint=f"pictures end in {', '.join(SUFFIXES)}")
    return base, [(n, _escape(n, base)) for n in sorted(names, key=natural)]


def _listed(folder: str, *, recursive: bool) -> list[tuple[str, str | None]]:
    names = sorted(_walk(folder) if recursive else _top(folder), key=natural)
    if not names:
        deeper = "" if recursive else next(iter(_walk(folder)), "")
        raise DataError(
            f"found no pictures in {folder} (names ending in {', '.join(SUFFIXES)})",
            hint="its subfolders hold some: add --recursive" if deeper else "name a folder of pictures",
        )
    paths = [os.path.join(folder, name) for name in names]
    return [(path, _escape(path, folder)) for path in paths]


def _top(folder: str) -> list[str]:
    try:
        entries = os.listdir(folder)
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from None
    return [n for n in entries if _looks_like_picture(n) and not os.path.isdir(os.path.join(folder, n))]


def _walk(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if not n.startswith(".")]
        yield from (os.path.relpath(os.path.join(place, n), folder) for n in names if _looks_like_picture(n))


def _looks_like_picture(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _escape(path: str, folder: str) -> str | None:
    inside = os.path.join(os.path.realpath(folder), "")
    if os.path.realpath(path).startswith(inside):
        return None
    return f"a symbolic link leads outside {folder}: not read"
