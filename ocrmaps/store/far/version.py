"""A version in a place, read through its stand-in: its manifest, tables and files, each proven when it arrives.

Opening costs one round for the manifest and one for the columns that a loader needs. Nothing is listed, and nothing is
asked for its length: the manifest and the table of shards know both.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ocrmaps.errors import StoreCorrupt, StoreNotFound
from ocrmaps.kinds import MANIFEST
from ocrmaps.settings.ranges import NAME_PATTERN
from ocrmaps.store.far.parts import Part, far_manifest, fetch, sending_again
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.places.objects import IN_FLIGHT, ObjectPlace
from ocrmaps.store.places.standin import Mark, mark_of, write_whole

_VERSION = re.compile(r"[0-9a-f]{16}")
_opened: dict[tuple[int, str], ObjectPlace] = {}
"""By process: what a process inherits from its parent must not be used."""
_opening = threading.Lock()


def place_at(url: str) -> ObjectPlace:
    """The place of a URL, one object a process, so that its connections are shared."""
    with _opening:
        key = (os.getpid(), url)
        if key not in _opened:
            _opened[key] = ObjectPlace(url)
        return _opened[key]


class FarVersion:
    """What stands behind the folder of a version in a stand-in."""

    def __init__(self, folder: Path, mark: Mark) -> None:
        self.folder, self.mark = folder, mark
        self.place = place_at(mark.url)
        self.there = f"{folder.parent.name}/{folder.name}"
        self.name = f"{mark.url}/{self.there}"

    def bring_manifest(self) -> None:
        """See to it that the stand-in has the manifest that the place has now."""
        found = far_manifest(self.place, self.there)
        if found is None:
            (self.folder / MANIFEST).unlink(missing_ok=True)
            raise StoreNotFound(
                f"{self.name}: no committed version there", hint=f"`ocrmaps cache list --root {self.mark.url}`"
            )
        _keep_manifest(self.folder, found[1])

    def bring(self, part: Part) -> None:
        """See to it that the stand-in has a small file, proven whether it was there or comes now."""
        path = self.folder / part.path
        with suppress(OSError):
            if file_digest(path.read_bytes()) == part.digest:
                return
        write_whole(path, fetch(self.place, self.there, part))

    def bring_all(self, parts: Iterable[Part]) -> None:
        """Many at a time."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(self.bring, parts))

    def sizes(self) -> dict[str, int]:
        """Every object of the version in the place with its length; the one listing, for whoever looks after it."""
        start = f"{self.there}/"
        return {entry.key.removeprefix(start): entry.nbytes for entry in self.place.entries(self.there)}

    def whole(self, path: str, nbytes: int | None = None) -> bytes:
        """The bytes of a file as the place has them, whatever the stand-in holds."""
        try:
            return self.place.get(f"{self.there}/{path}", nbytes)
        except FileNotFoundError as error:
            raise StoreCorrupt(
                f"{self.name}/{path}: the file is missing", hint=sending_again(self.mark.url, self.there)
            ) from error


def far_version(folder: Path) -> FarVersion | None:
    """What stands behind a version's folder; None on a disk."""
    mark = mark_of(folder.parent.parent)
    return None if mark is None else FarVersion(folder, mark)


def mending(folder: Path, *, yes: bool = False) -> str:
    """What to do about damage in a version, wherever it lies; `yes` mends without being asked again."""
    mark = mark_of(folder.parent.parent)
    if mark is None:
        return shlex.join(["ocrmaps", "repair", str(folder), *["--yes"] * yes])
    return sending_again(mark.url, f"{folder.parent.name}/{folder.name}")


def bring_versions(cache: Path, store: str | None = None) -> None:
    """Make a stand-in show the versions that its place has now: their manifests, no more. On a disk it does nothing."""
    mark = mark_of(cache)
    if mark is None:
        return
    place = place_at(mark.url)
    for name in place.folders() if store is None else [store]:
        if not re.fullmatch(NAME_PATTERN, name):  # nothing that ocrmaps pushed
            continue
        there = {version for version in place.folders(name) if _VERSION.fullmatch(version)}
        for version in there:
            folder = cache / name / version
            try:
                found = far_manifest(place, f"{name}/{version}")
            except StoreCorrupt:  # shown as what it is, beside those that are whole
                write_whole(folder / MANIFEST, place.get(f"{name}/{version}/{MANIFEST}"))
                continue
            if found is None:
                _forget(folder)
            else:
                _keep_manifest(folder, found[1])
                _set_age(place, folder, found[0])
        for folder in (cache / name).glob("[0-9a-f]" * 16):
            if folder.name not in there:
                _forget(folder)


def bring_version(cache: Path, store: str, version: str) -> bool:
    """The same for one version, without a listing; whether the place has it."""
    mark = mark_of(cache)
    if mark is None:
        return False
    found = far_manifest(place_at(mark.url), f"{store}/{version}")
    if found is None:
        _forget(cache / store / version)
        return False
    _keep_manifest(cache / store / version, found[1])
    return True


def _keep_manifest(folder: Path, data: bytes) -> None:
    path = folder / MANIFEST
    with suppress(OSError):
        if path.read_bytes() == data:
            return
    write_whole(path, data)


def _set_age(place: ObjectPlace, folder: Path, manifest: Manifest) -> None:
    """Versions are ordered by when their manifests were written: here that is when they were built, or else pushed."""
    try:
        when = datetime.fromisoformat(manifest.recorded["built"]["at"]).timestamp()
    except (ValueError, TypeError, KeyError):
        when = place.exists(f"{folder.parent.name}/{folder.name}/{MANIFEST}") or 0.0
    os.utime(folder / MANIFEST, (when, when))


def _forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
