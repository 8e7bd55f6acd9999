"""Says what a path leads to, from its name and first bytes, and refuses what is not asked for before anything is
imported that could read it.

    kind_of(Path("receipts.toml"))          # "recipe"
    expect_run_file(Path("receipts.toml"))  # SpecError: found a recipe, expected a run file
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from ocrmaps.errors import AnnotationError, DataError, SpecError, reason
from ocrmaps.files import read_regular
from ocrmaps.settings.files import is_url, toml_of
from ocrmaps.text import typed

RUN_SETTINGS = "run.json"
"""The file that makes a folder the folder of a run."""
MANIFEST = "manifest.json"
"""The file that makes a folder a committed version of a store."""
AUDIT = ("findings.csv", "audit.json", "tasks.json", "audit.html")
"""The files that an audit writes."""
_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"II*\0", "picture"),
    (b"MM\0*", "picture"),
    (b"%PDF", "PDF file"),
    (b"PK\x03\x04", "archive"),
    (b"\x80", "pickle"),
    (b"\x08", "ONNX file"),
)
_BINARY = ("archive", "pickle", "ONNX file")
"""What a checkpoint or an export may look like."""
_DETECTOR_SUFFIXES = (".ckpt", ".onnx", ".pt", ".pt2", ".ts", ".xml")
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pdf")
_TEXT_SUFFIXES = (".json", ".csv", ".txt", ".md", ".xml", ".yaml", ".yml", ".py", ".html", ".log")


def kind_of(path: Path) -> str:
    """`nothing`, `run folder`, `folder`, `recipe`, `run file`, `TOML file`, `picture`, `archive`, ... or `file`."""
    if path.is_dir():
        return "run folder" if (path / RUN_SETTINGS).is_file() else "folder"
    if not path.exists():
        return "nothing"
    toml = path.suffix.lower() == ".toml"
    try:
        head = read_regular(path, 2**20 if toml else 16)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}", hint="check the path and its rights") from error
    if toml:
        try:
            return _kind_of_toml(toml_of(head.decode("utf-8")))
        except (ValueError, RecursionError):  # no TOML, or nested without end
            return "TOML file"
    named = next((kind for sign, kind in _SIGNS if head.startswith(sign)), "")
    return named or ("text file" if path.suffix.lower() in _TEXT_SUFFIXES else "file")


def _kind_of_toml(data: dict[str, object]) -> str:
    if "sources" in data:
        return "recipe"
    return "run file" if "data" in data else "TOML file"


def is_version(path: Path) -> bool:
    """Whether it is the folder of a committed version of a store."""
    return (path / MANIFEST).is_file()


def expect_recipe(path: Path) -> None:
    """Refuse what is there and no recipe; `load_recipe` says the rest."""
    if kind_of(path) == "run file":
        raise SpecError(
            f"{path}: found a run file, expected a recipe",
            hint=f"{typed('ocrmaps', 'train', path)} trains it; "
            "`ocrmaps recommend SOURCE --out NAME.toml` writes a recipe",
        )
    if not path.exists():
        raise SpecError(f"{path}: no such recipe file", hint="`ocrmaps recommend SOURCE` writes a recipe to start from")


def expect_run_file(path: Path) -> None:
    """Refuse what is no TOML file for a run; `load_run` says what is wrong inside of one."""
    kind = kind_of(path)
    if kind == "nothing":
        raise SpecError(f"{path}: no such run file", hint="`ocrmaps recommend SOURCE --out NAME.toml` writes one")
    if kind == "recipe":
        raise SpecError(
            f"{path}: found the recipe of a store, expected a run file",
            hint=f"{typed('ocrmaps', 'build', path)} builds it; "
            "docs/reference/run.md shows the run file that trains on it",
        )
    if kind not in ("run file", "TOML file"):
        raise SpecError(f"{path}: found {_a(kind)}, expected a run file", hint="docs/reference/run.md lists its keys")


def expect_checkpoint(path: Path) -> None:
    """Refuse what cannot be a checkpoint or an export, by its kind."""
    kind = kind_of(path)
    if kind == "nothing":
        raise SpecError(
            f"{path}: no such checkpoint",
            hint="checkpoints are in the run's folder, under checkpoints/"
            if path.suffix or len(path.parts) > 1
            else "`ocrmaps models` lists the names of detectors; checkpoints are files, in a run's folder",
        )
    if kind in ("folder", "run folder"):
        inside = sorted(path.glob("checkpoints/*.ckpt")) or sorted(path.glob("*.ckpt"))
        raise SpecError(
            f"{path}: found a folder, expected a checkpoint",
            hint=f"it holds {', '.join(str(p) for p in inside[:4])}" if inside else "name a .ckpt file",
        )
    # Of the exports only these need not begin as a checkpoint does.
    if kind not in (*_BINARY, "file" if path.suffix.lower() == ".onnx" else "") and path.suffix.lower() != ".xml":
        hint = "`ocrmaps train RUN_FILE` writes checkpoints into the run's folder, under checkpoints/"
        found = _a(kind)
        if kind == "file":
            start = read_regular(path, 8)
            found = f"a file that begins with {start!r}" if start else "an empty file"
            hint = f"copying or writing it may have been interrupted; {hint}"
        raise DataError(f"{path}: found {found}, expected a checkpoint", hint=hint)


def expect_run_folder(path: Path) -> None:
    """Refuse what is not the folder of a run."""
    kind = kind_of(path)
    if kind != "run folder":
        found = "nothing" if kind == "nothing" else _a(kind)
        raise SpecError(
            f"{path}: found {found}, expected the folder of a run", hint=f"a run's folder holds {RUN_SETTINGS}"
        )


def expect_source(path: Path) -> None:
    """Refuse a path that is not there, and files that describe a store or a training instead of pictures."""
    if is_url(path):
        return
    kind = kind_of(path)
    if kind == "nothing":
        raise AnnotationError(f"found no file or folder {path}", hint="check the path")
    if kind in ("recipe", "run file", "TOML file", "picture"):
        raise AnnotationError(f"no known annotations in {path}: found {_a(kind)}", hint="name a data set's folder")


def expect_no_audit(folder: Path) -> None:
    """Refuse a folder that holds an earlier audit."""
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file, expected a folder", hint="name another")
    there = [name for name in AUDIT if (folder / name).exists()]
    if there:
        raise SpecError(
            f"{folder} already holds {', '.join(there)}", hint="name another folder, or add --yes to replace them"
        )


def names_pictures(text: str) -> bool:
    """Whether a word means pictures rather than a detector: a folder, a pattern, or a file that is or is called one.

    >>> [names_pictures(word) for word in ("scans/*.jpg", "page.TIF", "best.ckpt", "receipts")]
    [True, True, False, False]
    """
    suffix = Path(text).suffix.lower()
    if suffix in _DETECTOR_SUFFIXES or "\0" in text:
        return False
    named = is_url(text) or glob.has_magic(text) or suffix in _PICTURE_SUFFIXES
    return named or kind_of(Path(text)) in ("folder", "picture", "PDF file")


def expect_pictures(names: Sequence[str]) -> None:
    """Refuse the first name that is neither a file, a folder nor a pattern."""
    for name in names:
        if "\0" in name:
            raise DataError(f"found a NUL character in {name!r}, expected a path")
        if not is_url(name) and not os.path.lexists(name) and not glob.has_magic(name):
            raise DataError(f"found no picture file or folder {name}", hint="check the path")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' or kind.startswith('ONNX') else 'a'} {kind}"
