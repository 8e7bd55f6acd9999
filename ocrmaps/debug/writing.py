"""A bundle appears whole: written beside its place, proven by digests, made durable, then given its name in one step.

Every text goes through the redactor. A part that cannot be made is told in the entries and leaves the others alone:
a bundle is written when something is already wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocrmaps.debug.entries import line_of, make_entry, plain
from ocrmaps.debug.reading import BUNDLE, ENTRIES, FORMAT
from ocrmaps.debug.redact import Redactor

TEXTS = frozenset({".txt", ".json", ".jsonl", ".csv", ".log", ".toml", ".md", ".html", ".svg"})
"""Endings of files that are text; nothing is written under them unredacted."""


class BundleDraft:
    """A bundle in the making: `text`, `json`, `bytes`, `entry`, `part`, then `commit` or `abandon`."""

    def __init__(self, folder: Path, *, reason: str, now: Callable[[], datetime], redactor: Redactor) -> None:
        self._now, self.redactor = now, redactor
        self.created = now().astimezone(UTC)
        self.name = f"{self.created:%Y-%m-%dT%H%M%SZ}_{slug(redactor.text(reason))}"
        self.reason = redactor.text(reason)
        self.home = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = _new_folder(folder / f".{self.name}.part")
        self._files: dict[str, dict[str, Any]] = {}
        self._entries: list[bytes] = []

    def path(self, name: str) -> Path:
        """Where somebody else writes a file of the bundle, which is not text; `keep` it afterwards."""
        if Path(name).suffix in TEXTS:
            raise ValueError(f"{name}: text goes through `text` or `json`, which redact it")
        return self.folder / name

    def keep(self, name: str) -> None:
        """Take a file that was written at `path(name)` into the bundle."""
        self._seal(name)

    def bytes(self, name: str, data: bytes) -> None:
        self.path(name).write_bytes(data)
        self._seal(name)

    def text(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self.redactor.text(text), encoding="utf-8", errors="replace", newline="\n")
        self._seal(name)

    def json(self, name: str, data: Any) -> None:
        """Redacted value by value and then as text, because a secret may be spread over neither alone."""
        clean = self.redactor.data(plain(data))
        document = json.dumps(clean, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (self.folder / name).write_text(document, encoding="utf-8", errors="replace", newline="\n")
        self._seal(name)

    def entry(self, level: str, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        entry = make_entry(self._now(), level, kind, self.redactor.text(message), self.redactor.data(plain(data or {})))
        self._entries.append(line_of(entry))

    def part(self, what: str, make: Callable[[], Any]) -> Any:
        """Make one part; where that fails, the bundle says so instead. Returns what `make` returns, or None."""
        before = self._there()
        try:
            return make()
        except Exception as error:
            # Whatever it is: the reason for this bundle is another error, which must not be lost over this one.
            # What it left half written goes: it would be taken for whole, and on a full disk the rest needs its room.
            for name in self._there() - before - self._files.keys():
                (self.folder / name).unlink(missing_ok=True)
            self.entry("warning", "absent", f"{what}: absent, {type(error).__name__}: {error}", {"part": what})
            return None

    def commit(self, facts: Mapping[str, Any]) -> Path:
        """Give the bundle its name; after this it is complete, before this there is none."""
        (self.folder / ENTRIES).write_bytes(b"".join(self._entries))
        self._seal(ENTRIES)
        head = {
            "what": "ocrmaps debug bundle",
            "format": FORMAT,
            "created": f"{self.created:%Y-%m-%dT%H:%M:%SZ}",
            "reason": self.reason,
            **self.redactor.data(plain(facts)),
            "files": dict(sorted(self._files.items())),
        }
        data = (json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")
        (self.folder / BUNDLE).write_bytes(data)
        for name in (*self._files, BUNDLE):
            _sync(self.folder / name)
        _sync(self.folder)
        final = _give_name(self.folder, self.home / self.name)
        _sync(self.home)
        return final

    def _there(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.is_file()}

    def abandon(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _seal(self, name: str) -> None:
        data = (self.folder / name).read_bytes()
        self._files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def slug(reason: str) -> str:
    """A reason as part of a folder's name.

    >>> slug("Loss is NaN!  why?"), slug("???")
    ('loss-is-nan-why', 'unnamed')
    """
    return re.sub(r"[^a-z0-9]+", "-", reason.lower()).strip("-")[:48].rstrip("-") or "unnamed"


def _new_folder(path: Path) -> Path:
    number = 1
    while True:
        folder = path if number == 1 else path.with_name(f"{path.name.removesuffix('.part')}-{number}.part")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _give_name(folder: Path, final: Path) -> Path:
    """Rename to `final`, or with a number behind it where two bundles were made in one second."""
    number = 1
    while True:
        target = final if number == 1 else final.with_name(f"{final.name}-{number}")
        # Renaming onto a folder that is not empty fails; onto an empty one it would take its place, so look first.
        if not target.exists() and not target.with_name(f"{target.name}.tar.gz").exists():
            try:
                os.rename(folder, target)
            except OSError:
                if not target.exists():
                    raise
            else:
                return target
        number += 1


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
