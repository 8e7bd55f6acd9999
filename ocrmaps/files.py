"""Result files appear whole or not at all: written beside their place, then moved there in one step."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ocrmaps.errors import DataError, SpecError


def refuse_existing(out: Path, *, replace_existing: bool) -> None:
    """Refuse a result file that has nowhere to go, before any work is done."""
    if out.is_dir():
        raise SpecError(f"{out} is a folder", hint="name a file in it")
    if out.exists() and not replace_existing:
        raise SpecError(f"{out} exists already", hint="name another file, or add --yes to replace it")


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

    An `OSError` in the block (a full disk, a folder without rights) becomes one message, and the old file stays.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}", hint="check the folder, its rights and its space"
        ) from error
    finally:
        with suppress(OSError):  # half a file takes the space that is missing
            part.unlink()


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
