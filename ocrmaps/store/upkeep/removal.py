"""What can go: first a plan that says why each thing may go, then, on request, the removal of exactly that plan.

Never planned: a pinned version, one that a process reads, one that is being built. Whatever changed between plan and
removal is looked at again under the locks, and then left alone.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreBusy, StoreError
from ocrmaps.store.format.layout import MANIFEST
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store, stores
from ocrmaps.store.upkeep.catalog import pins, size_of

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that may go."""

    kind: str
    """`version`, `staging`, `trash` or `quarantine`."""
    store: Store
    name: str
    path: Path
    nbytes: int
    """What the disk gets back: files that another version shares stay."""
    why: str

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "store": self.store.name, "name": self.name, "bytes": self.nbytes, "why": self.why}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPlan:
    """What would go and what was looked at and stays."""

    items: tuple[Item, ...]
    kept: tuple[tuple[str, str], ...]
    """(store/version, why it stays)."""

    @property
    def nbytes(self) -> int:
        return sum(item.nbytes for item in self.items)

    def as_dict(self) -> dict[str, Any]:
        return {
            "remove": [item.as_dict() for item in self.items],
            "keep": [{"name": name, "why": why} for name, why in self.kept],
            "bytes": self.nbytes,
        }


def plan_gc(
    cache: Path, *, keep: int = 1, age_hours: float = 24.0, quota: int | None = None, only: str | None = None
) -> RemovalPlan:
    """Debris, and versions beyond the newest `keep` of each store; with a quota, only as many as it takes.

    Staging and quarantine count as debris when nobody touched them for `age_hours`: staging can still be resumed.
    """
    items: list[Item] = []
    kept: list[tuple[str, str]] = []
    total = 0
    now = time.time()
    for store in stores(cache):
        total += size_of(store.folder)
        if only is not None and store.name != only:
            continue
        items += _debris(store, now, age_hours, kept)
        pinned = pins(store)
        for i, version in enumerate(store.versions()):
            why = _held(store, version, pinned)
            if why is None and i < keep:
                why = f"one of the newest {keep}"
            if why is not None:
                kept.append((f"{store.name}/{version}", why))
                continue
            items.append(_version_item(store, version, f"not among the newest {keep}, not pinned, not in use"))
    if quota is not None:
        items = _until(items, total - quota)
    return RemovalPlan(items=tuple(items), kept=tuple(kept))


def plan_clear(chosen: Sequence[tuple[Store, str]]) -> RemovalPlan:
    """The named versions, unless pinned, read or being built."""
    items, kept = [], []
    for store, version in chosen:
        why = _held(store, version, pins(store))
        if why is None:
            items.append(_version_item(store, version, "named"))
        else:
            kept.append((f"{store.name}/{version}", why))
    return RemovalPlan(items=tuple(items), kept=tuple(kept))


def remove(plan: RemovalPlan) -> tuple[list[Item], list[tuple[str, str]]]:
    """Carry out a plan; returns what went and what stayed after all, with the reason."""
    gone: list[Item] = []
    stayed: list[tuple[str, str]] = []
    for item in plan.items:
        try:
            why = _remove(item)
        except StoreBusy as error:
            why = str(error)
        if why is None:
            gone.append(item)
        else:
            stayed.append((f"{item.store.name}/{item.name}", why))
    return gone, stayed


def _remove(item: Item) -> str | None:
    if item.kind in ("trash", "quarantine"):
        _delete(item.path)
        return None
    with lock.building(item.store.lock(item.name), f"version {item.name} of store {item.store.name}"):
        if item.kind == "staging":
            _delete(item.path)
            return None
        if item.name in pins(item.store):
            return "pinned meanwhile"
        with lock.removing(item.path / MANIFEST) as free:
            if not free:
                return "in use by a reader"
            if not item.path.exists():
                return None  # somebody else removed it: as wanted
            # One rename takes the version away as a whole; deleting it file by file may then be interrupted.
            disk.make_folder(item.store.trash)
            away = item.store.trash / f"{item.name}-{uuid.uuid4().hex[:8]}"
            disk.rename(item.path, away)
            disk.sync_folder(item.store.folder)
    _delete(away)
    return None


def _delete(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return  # already gone is what was wanted
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be removed ({error.strerror})", hint="run `ocrmaps cache gc` again"
        ) from error


def _held(store: Store, version: str, pinned: dict[str, str]) -> str | None:
    """Why a version may not go, or None."""
    if version in pinned:
        return f"pinned: {pinned[version]}"
    builder = lock.builder_of(store.lock(version))
    if builder is not None:
        return f"held by process {builder['pid']} on {builder['host']}"
    with lock.removing(store.version(version) / MANIFEST) as free:
        return None if free else "in use by a reader"


def _debris(store: Store, now: float, age_hours: float, kept: list[tuple[str, str]]) -> list[Item]:
    items = [_item("trash", store, p, "a removal that did not finish") for p in _inside(store.trash)]
    for path in _inside(store.quarantine):
        if now - _newest(path) >= age_hours * HOUR:
            items.append(_item("quarantine", store, path, f"damaged files, replaced over {age_hours:g} hours ago"))
        else:
            kept.append((f"{store.name}/.quarantine/{path.name}", f"younger than {age_hours:g} hours"))
    imports = [p for p in _inside(store.folder / ".staging") if p.name.startswith("import-")]
    old = [p for p in imports if now - _newest(p) >= age_hours * HOUR]
    items += [_item("trash", store, p, "an import that did not finish") for p in old]
    for version in store.staged():
        builder = lock.builder_of(store.lock(version))
        if builder is not None:
            kept.append((f"{store.name}/.staging/{version}", f"being built by process {builder['pid']}"))
        elif now - _newest(store.staging(version)) < age_hours * HOUR and not store.version(version).exists():
            kept.append((f"{store.name}/.staging/{version}", f"can be resumed, younger than {age_hours:g} hours"))
        else:
            items.append(_item("staging", store, store.staging(version), "an unfinished build that nobody runs"))
    return items


def _until(items: list[Item], excess: int) -> list[Item]:
    """Debris first, then the oldest versions, until the excess is gone."""
    chosen: list[Item] = []
    versions = [item for item in items if item.kind == "version"]
    for item in [item for item in items if item.kind != "version"] + versions[::-1]:
        if excess <= 0:
            break
        chosen.append(item)
        excess -= item.nbytes
    return chosen


def _version_item(store: Store, version: str, why: str) -> Item:
    return _item("version", store, store.version(version), why)


def _item(kind: str, store: Store, path: Path, why: str) -> Item:
    return Item(kind=kind, store=store, name=path.name, path=path, nbytes=size_of(path, own=True), why=why)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _newest(folder: Path) -> float:
    """When anything below a folder was last written."""
    times = [folder.stat().st_mtime]
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                times.append(os.lstat(os.path.join(above, name)).st_mtime)
            except FileNotFoundError:
                continue
    return max(times)
