"""Where things lie in a cache: one folder per store, one per version, and the store's own folders with a dot.

<cache>/<store>/<version>/           committed, immutable
<cache>/<store>/.staging/<version>/  tree/ (becomes the version), temporary/, journal.jsonl
<cache>/<store>/.locks/<version>     held by the one builder
<cache>/<store>/.trash/              versions on their way out
<cache>/<store>/.quarantine/         damaged files that repair has replaced
<cache>/<store>/pins.json            versions that nothing may remove, and why
<cache>/inputs.sqlite                what picture files were made of when last read
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ocrmaps.errors import SpecError, StoreNotFound
from ocrmaps.files import refuse_file
from ocrmaps.kinds import MANIFEST, is_version
from ocrmaps.store.places.standin import mark_of, stand_in
from ocrmaps.store.places.urls import folder_of, url_of

_VERSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Store:
    """The places of one store; nothing needs to exist."""

    cache: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.cache / self.name

    def version(self, version: str) -> Path:
        return self.folder / version

    def staging(self, version: str) -> Path:
        return self.folder / ".staging" / version

    def tree(self, version: str) -> Path:
        return self.staging(version) / "tree"

    def temporary(self, version: str) -> Path:
        return self.staging(version) / "temporary"

    def journal(self, version: str) -> Path:
        return self.staging(version) / "journal.jsonl"

    def lock(self, version: str) -> Path:
        return self.folder / ".locks" / version

    @property
    def trash(self) -> Path:
        return self.folder / ".trash"

    @property
    def quarantine(self) -> Path:
        return self.folder / ".quarantine"

    @property
    def pins(self) -> Path:
        return self.folder / "pins.json"

    def versions(self) -> list[str]:
        """Names of committed versions, the newest commit first."""
        folders = [f for f in _folders(self.folder) if _VERSION.fullmatch(f.name)]
        return [f.name for f in sorted(folders, key=lambda f: (-_age_key(f), f.name))]

    def known(self) -> bool:
        """Whether anything of ours but a version is here."""
        return any(
            (self.folder / name).exists() for name in (".staging", ".locks", ".trash", ".quarantine", "pins.json")
        )

    def staged(self) -> list[str]:
        """Versions that were begun and not committed."""
        return sorted(f.name for f in _folders(self.folder / ".staging") if _VERSION.fullmatch(f.name))


def cache_folder(named: Path | None = None) -> Path:
    """The cache that is named, or else OCRMAPS_CACHE, or else `.ocrmaps` here; a folder of this machine."""
    chosen = named if named is not None else os.environ.get("OCRMAPS_CACHE") or ".ocrmaps"
    url = url_of(chosen)
    folder = Path(chosen).absolute() if url is None else folder_of(url)
    if folder is None:
        raise SpecError(
            f"{url}: found a place in object storage, expected a cache folder on this machine",
            hint=f"`ocrmaps cache pull {url} STORE` brings a version here; `ocrmaps cache push` takes it back",
        )
    refuse_file(folder)
    return folder


def reading_folder(named: str | os.PathLike[str] | None = None) -> Path:
    """The same for whoever only reads: a URL of a place is fine, too, and gives its stand-in on this machine.

    Stand-ins lie in the cache folder of this machine: OCRMAPS_CACHE where that is one, or `.ocrmaps` here. They hold
    at most OCRMAPS_QUOTA_MB, or as much as leaves a twentieth of the disk free.
    """
    url = far_cache(named)
    if url is None:
        return cache_folder(None if named is None else Path(named))
    return stand_in(url, local_cache(), quota_bytes())


def local_cache() -> Path:
    """The cache folder of this machine, in which copies of what lies elsewhere are."""
    mine = os.environ.get("OCRMAPS_CACHE") or ".ocrmaps"
    return Path(".ocrmaps" if url_of(mine) is not None else mine).absolute()


def quota_bytes() -> int | None:
    """The most that such copies may take; None leaves a twentieth of the disk free."""
    quota = os.environ.get("OCRMAPS_QUOTA_MB")
    if quota is not None and not quota.isdecimal():
        raise SpecError(f"OCRMAPS_QUOTA_MB: found {quota!r}, expected a whole number of MB")
    return None if quota is None else int(quota) * 1_000_000


def far_cache(named: str | os.PathLike[str] | None = None) -> str | None:
    """The URL of the cache, where what is named (or OCRMAPS_CACHE) is a place in object storage."""
    url = url_of(named if named is not None else os.environ.get("OCRMAPS_CACHE") or ".ocrmaps")
    return None if url is None or folder_of(url) is not None else url


def building_folder(url: str) -> Path:
    """The cache folder of this machine in which versions for a place are built before they are pushed there."""
    return reading_folder(url) / ".build"


def local_folder(version: str | os.PathLike[str]) -> Path:
    """The folder of a version, which may be named by its URL: `s3://BUCKET/FOLDER/STORE/VERSION`, or the newest of
    `.../STORE`."""
    url = url_of(version)
    if url is None:
        return Path(version).absolute()
    place = reading_folder(place_above(url))
    name, _, wanted = url.removeprefix(f"{place_above(url)}/").partition("/")
    if wanted:  # whoever opens it sees whether it is there
        return place / name / wanted
    store, found = find_version(place, name)
    return store.version(found)


def place_above(url: str) -> str:
    """The place of a store, or of a version, that a URL names.

    >>> place_above("s3://bucket/maps/receipts"), place_above("s3://bucket/maps/receipts/0123456789abcdef")
    ('s3://bucket/maps', 's3://bucket/maps')
    """
    above, _, last = (url_of(url) or url).rpartition("/")
    return above.rpartition("/")[0] if _VERSION.fullmatch(last) else above


def inputs_memory(cache: Path) -> Path:
    return cache / "inputs.sqlite"


def stores(cache: Path) -> list[Store]:
    """Every store of a cache by name: the folders that hold a version, or ever had one built or removed.

    Of a place in object storage it is those that are there now.
    """
    if mark_of(cache) is not None:
        from ocrmaps.store.far.version import bring_versions

        bring_versions(cache)
    found = [Store(cache, f.name) for f in _folders(cache) if not f.name.startswith(".")]
    return sorted((s for s in found if s.versions() or s.known()), key=lambda s: s.name)


def find_version(cache: Path, wanted: str) -> tuple[Store, str]:
    """The version that `STORE`, `STORE/VERSION`, a unique start of either's version, or a path names.

    A store's name alone means its newest version. A URL such as `s3://BUCKET/FOLDER/STORE` names its place, too.
    """
    if url_of(wanted) is not None:
        folder = local_folder(wanted)
        return Store(folder.parent.parent, folder.parent.name), folder.name
    path = Path(wanted)
    if is_version(path) or (_VERSION.fullmatch(path.absolute().name) and path.is_dir()):
        path = path.absolute()
        return Store(path.parent.parent, path.parent.name), path.name
    name, _, start = wanted.strip("/").partition("/")
    if _VERSION.fullmatch(start) and mark_of(cache) is not None:
        from ocrmaps.store.far.version import bring_version

        if bring_version(cache, name, start):
            return Store(cache, name), start
    known = stores(cache)
    for store in known:
        if store.name == name:
            matching = [v for v in store.versions() if v.startswith(start)]
            if matching and (not start or len(matching) == 1):
                return store, matching[0]
            if matching:
                raise StoreNotFound(f"{wanted}: several versions start with {start}: {', '.join(matching)}")
    anywhere = [(s, v) for s in known for v in s.versions() if len(wanted) >= 4 and v.startswith(wanted)]
    if len(anywhere) == 1:
        return anywhere[0]
    listed = ", ".join(f"{s.name}/{v}" for s in known for v in s.versions()[:3]) or "none"
    mark = mark_of(cache)
    raise StoreNotFound(
        f"{wanted}: no such version in {cache if mark is None else mark.url}; found {listed}",
        hint="`ocrmaps cache list` shows all; --root names another cache"
        if mark is None
        else f"`ocrmaps cache list --root {mark.url}` shows all",
    )


def _folders(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age_key(folder: Path) -> int:
    try:
        return (folder / MANIFEST).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
