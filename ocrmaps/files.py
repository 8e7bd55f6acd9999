"""Writes result files whole or not at all, beside their place and then moved; reads regular files only."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ocrmaps.errors import OcrmapsError, RunError, SpecError, reason

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def refuse_existing(out: Path, *, replace_existing: bool) -> None:
    """Refuse a result file that has nowhere to go, before any work is done."""
    if out.is_dir():
        raise SpecError(f"{out} is a folder", hint="name a file in it")
    if out.exists() and not replace_existing:
        raise SpecError(f"{out} exists already", hint="name another file, or add --yes to replace it")


def refuse_file(folder: Path) -> None:
    """Refuse a file, and what would lie below one, where a folder is meant, before any work is done."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if there.is_file():
        raise SpecError(f"{there}: found a file, expected a folder", hint="name a folder")


def refuse_filled(out: Path, *, hint: str = "name another folder") -> None:
    """Refuse a folder to write into that is a file or already holds something."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise SpecError(f"{out} exists already and is not an empty folder", hint=hint)


def write_new(out: Path, data: bytes, *, replace_existing: bool) -> None:
    """Write a result file; one that exists stays unless it was agreed to replace it."""
    refuse_existing(out, replace_existing=replace_existing)
    with replacing(out) as part:
        part.write_bytes(data)


def write_json(out: Path, data: Any) -> None:
    """Write a file of JSON for people and programs, in place of an earlier one."""
    with replacing(out) as part:
        part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield a file beside `out` to write to, which takes its place when the block ends well and goes when it does not.

    An `OSError` in the block becomes one message, and the old file stays.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)  # left by a killed process, or a link that somebody else put there
            yield part
            os.replace(part, out)
    finally:
        with suppress(OSError):  # half a file takes the space that is missing
            part.unlink()


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn an `OSError` in the block (a full disk, a folder without rights) into one message that names `out`."""
    try:
        yield
    except OcrmapsError:  # some are errors of the system, too, and say more
        raise
    except OSError as error:
        raise RunError(
            f"{out} cannot be written: {reason(error)}", hint="check the folder, its rights and its space"
        ) from error


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, opened for reading; an OSError says what else was found there. Links are followed.

    >>> open_regular("/dev/null")
    Traceback (most recent call last):
    OSError: [Errno 22] it is a device, expected a regular file: '/dev/null'
    """
    _check(os.stat(path), path)  # before opening: a device may act on being opened
    # It may be something else by now, and opening a pipe would wait for somebody who writes into it.
    handle = open_at_once(path)
    try:
        _check(os.fstat(handle), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def open_at_once(path: str | os.PathLike[str]) -> int:
    """A handle to read with that is there at once: a pipe, which would wait for somebody who writes, is empty."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def read_regular(path: str | os.PathLike[str], limit: int = -1) -> bytes:
    """All bytes of a regular file, or the first `limit`."""
    with open_regular(path) as file:
        return file.read(limit)


def leads_outside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether symbolic links take a path out of a folder."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real != root and not real.startswith(os.path.join(root, ""))


def _check(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file", os.fspath(path))
