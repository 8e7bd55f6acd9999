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
from ocrmaps.kinds import MANIFEST
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
    chosen = named if named is not None else Path(os.environ.get("OCRMAPS_CACHE") or ".ocrmaps")
    url = url_of(chosen)
    if url is None:
        return chosen.absolute()
    folder = folder_of(url)
    if folder is None:
        raise SpecError(
            f"{url}: found a place in object storage, expected a cache folder on this machine",
            hint=f"`ocrmaps cache pull {url} STORE` brings a version here; `ocrmaps cache push` takes it back",
        )
    return folder


def inputs_memory(cache: Path) -> Path:
    return cache / "inputs.sqlite"


def stores(cache: Path) -> list[Store]:
    """Every store of a cache by name: the folders that hold a version, or ever had one built or removed."""
    found = [Store(cache, f.name) for f in _folders(cache) if not f.name.startswith(".")]
    return sorted((s for s in found if s.versions() or s.known()), key=lambda s: s.name)


def find_version(cache: Path, wanted: str) -> tuple[Store, str]:
    """The version that `STORE`, `STORE/VERSION`, a unique start of either's version, or a path names.

    A store's name alone means its newest version.
    """
    path = Path(wanted)
    if (path / MANIFEST).exists() or (_VERSION.fullmatch(path.absolute().name) and path.is_dir()):
        path = path.absolute()
        return Store(path.parent.parent, path.parent.name), path.name
    name, _, start = wanted.strip("/").partition("/")
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
    raise StoreNotFound(
        f"{wanted}: no such version in {cache}; found {listed}",
        hint="`ocrmaps cache list` shows all; --root names another cache",
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
