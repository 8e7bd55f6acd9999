"""The stand-in of a place on this machine: a folder with the place's layout that holds what was read from it so far.

    <cache>/.places/<name>/place.json          which place, and how much may be held
    <cache>/.places/<name>/<store>/<version>/  manifest and tables as they are there; shard files with holes

A shard file has its full length from the start and gets its bytes as rows are read. Nothing says which rows it holds
but the bytes themselves: whoever reads a row proves it by its digest, and a hole proves nothing. So processes share a
stand-in without locks: two that fetch one row write the same bytes to the same place.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ocrmaps.errors import StoreError, reason
from ocrmaps.store.places import posix as disk

PLACES = ".places"
MARK = "place.json"
RESERVE = 0.05
"""Share of the disk that stays free where no quota was given."""
CHECKED_EVERY = 32 * 2**20
"""Bytes written between two looks at what is held, or a quota's twentieth."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which place a folder stands for."""

    url: str
    quota: int | None
    """The most bytes of shards to hold; None keeps RESERVE of the disk free."""


def stand_in(url: str, cache: Path, quota: int | None) -> Path:
    """The folder below `cache` that stands for a place; it is made."""
    folder = cache / PLACES / _called(url)
    if mark_of(folder) != Mark(url, quota):
        disk.make_folder(folder, durable=False)
        disk.publish(folder / MARK, [json.dumps({"url": url, "quota": quota}).encode()])
    return folder


def _called(url: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", url.lower()).strip("-")[:60]
    return f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def mark_of(cache: Path) -> Mark | None:
    """The place that a cache folder stands for; None for a folder that stands for itself.

    What a place lacks is removed from its stand-in, so a folder of somebody else is not one because it says so.
    """
    found = disk.read_json(cache / MARK)
    if found is None:
        return None
    try:
        mark = Mark(str(found["url"]), None if found["quota"] is None else int(found["quota"]))
    except (TypeError, KeyError, ValueError) as error:
        raise StoreError(f"{cache / MARK}: found {found!r}, expected a place", hint="remove that folder") from error
    if (cache.parent.name, cache.name) != (PLACES, _called(mark.url)):
        raise StoreError(
            f"{cache / MARK}: this folder was not made for {mark.url}, which it names",
            hint="name the place itself with --root; if the folder is an ordinary cache, remove that file",
        )
    return mark


def write_whole(path: Path, data: bytes) -> None:
    """A small file in place of whatever was there, at once."""
    unfinished = disk.temporary_name(path.parent, path.name)
    disk.make_folder(path.parent, durable=False)
    try:
        disk.write_new(unfinished, [data], durable=False)
        disk.rename(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_part(path: Path, nbytes: int, start: int, data: bytes) -> int:
    """Some bytes of a shard file of that length; returns which file it was, by inode."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(handle).st_size != nbytes:
            os.ftruncate(handle, nbytes)
        view = memoryview(data)
        while len(view):
            done = os.pwrite(handle, view, start)
            view, start = view[done:], start + done
        return os.fstat(handle).st_ino
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({reason(error)})",
            hint="give OCRMAPS_QUOTA_MB what the disk has room for, or remove the folder: it holds copies only",
        ) from error
    finally:
        os.close(handle)


class Quota:
    """Keeps what a stand-in holds below its quota by removing the shard files that were used longest ago."""

    def __init__(self, folder: Path, quota: int | None, removed: Callable[[Path], None]) -> None:
        self._folder, self._quota, self._removed = folder, quota, removed
        self._lock = threading.Lock()
        self._written = 0
        self.step = CHECKED_EVERY if quota is None else max(1, min(CHECKED_EVERY, quota // 20))

    def wrote(self, nbytes: int) -> None:
        """Book bytes that were written, in the blocks that they take; looks at the whole now and then."""
        with self._lock:
            self._written += -(-nbytes // 4096) * 4096
            if self._written < self.step:
                return
            self._written = 0
            self.trim()

    def trim(self) -> None:
        """Remove whole shard files until what is held fits."""
        held = sorted(_shards(self._folder))
        total = sum(nbytes for _, nbytes, _ in held)
        limit = self._quota
        if limit is None:
            usage = shutil.disk_usage(self._folder)
            limit = int(total + usage.free - RESERVE * usage.total)
        for _, nbytes, path in held:
            if total <= limit:
                break
            with suppress(FileNotFoundError):  # another process was faster
                os.unlink(path)
            self._removed(Path(path))
            total -= nbytes


def held_bytes(folder: Path) -> int:
    """Bytes of the disk that shards take."""
    return sum(nbytes for _, nbytes, _ in _shards(folder))


def _shards(folder: Path) -> Iterator[tuple[float, int, str]]:
    """(last use, bytes on the disk, path) of each shard file."""
    for above, _, names in os.walk(folder):
        if "/canvas-" in above:
            for name in names:
                if name.startswith("c."):
                    path = os.path.join(above, name)
                    with suppress(FileNotFoundError):
                        status = os.stat(path)
                        yield status.st_mtime, status.st_blocks * 512, path
