"""Facts about a cache and the machine under it that decide whether it can be relied on; it only looks."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from typing import Any

import psutil

from ocrmaps.errors import StoreError
from ocrmaps.machine import cores
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.places import lock
from ocrmaps.store.places.cache import Store, inputs_memory, stores
from ocrmaps.store.places.standin import PLACES
from ocrmaps.store.upkeep.catalog import pins, size_of
from ocrmaps.store.writing.provenance import code_digests, tool_versions

NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "lustre", "ceph", "glusterfs", "beegfs")
"""File systems over a wire or a user process: renames and syncs mean what their server makes of them."""


def health(cache: Path) -> dict[str, Any]:
    """Sizes, orphans, debris, pins, file system, memory, drift and reuse; `problems` lists what needs attention."""
    found = stores(cache)
    records = [_store(store) for store in found]
    problems = [f"{r['store']}: {problem}" for r in records for problem in r.pop("problems")]
    known = (
        {store.name for store in found}
        | {PLACES}
        | {inputs_memory(cache).name + end for end in ("", "-wal", "-shm", "-journal")}
    )
    orphans = sorted(p.name for p in cache.iterdir() if p.name not in known) if cache.is_dir() else []
    problems += [f"{name}: nothing of ocrmaps in the cache folder" for name in orphans]
    place = cache if cache.exists() else cache.absolute().parent
    machine = _machine(place)
    total = sum(record["bytes"] for record in records)
    if total > machine["memory_bytes"]:
        problems.append("the stores are larger than memory: training will read from the disk, not from the page cache")
    if machine["free_share"] < 0.05:
        problems.append(f"only {machine['free_share']:.1%} of the disk is free")
    if machine["network"]:
        problems.append(f"{machine['file_system']} is a network or user-space file system: a crash may lose more")
    return {
        "cache": str(cache),
        "bytes": total,
        "stores": records,
        "orphans": orphans,
        "machine": machine,
        "tools": tool_versions(),
        "problems": problems,
    }


def _store(store: Store) -> dict[str, Any]:
    problems: list[str] = []
    versions = store.versions()
    pinned = pins(store)
    problems += [f"pinned version {version} does not exist" for version in pinned if version not in versions]
    drift: dict[str, list[str]] = {}
    reuse = {}
    for version in versions:
        try:
            manifest = read_manifest(store.version(version))
        except StoreError as error:
            problems.append(str(error))
            continue
        drift[version] = _drift(manifest.recorded)
        reuse[version] = manifest.recorded.get("built", {}).get("rows", {})
    if versions and any(what.startswith("code") for what in drift.get(versions[0], ())):
        problems.append(
            f"code changed since {versions[0]} was built: `ocrmaps verify --level rebuild` shows if it matters"
        )
    staging = {version: lock.builder_of(store.lock(version)) for version in store.staged()}
    dead = [version for version, owner in staging.items() if owner is None]
    problems += [
        f"unfinished build {version}: `ocrmaps build` resumes it, `ocrmaps cache gc` removes it" for version in dead
    ]
    return {
        "store": store.name,
        "bytes": size_of(store.folder),
        "versions": {version: size_of(store.version(version)) for version in versions},
        "unpinned": [version for version in versions if version not in pinned],
        "staging": {
            version: {"owner": owner, "bytes": size_of(store.staging(version))} for version, owner in staging.items()
        },
        "trash_bytes": size_of(store.trash),
        "quarantine_bytes": size_of(store.quarantine),
        "drift": drift,
        "rows_of_last_builds": reuse,
        "problems": problems,
    }


def _drift(recorded: Any) -> list[str]:
    """What made the version, where it is not what is here now."""
    out = []
    for what, now in (("tools", tool_versions()), ("code", code_digests())):
        then = recorded.get(what, {})
        out += [f"{what}: {name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    return out


def _machine(place: Path) -> dict[str, Any]:
    disk_usage = shutil.disk_usage(place)
    inodes = os.statvfs(place)
    kind = _file_system(place)
    return {
        "file_system": kind,
        "network": kind.startswith(NETWORK),
        "free_bytes": disk_usage.free,
        "free_share": disk_usage.free / disk_usage.total,
        "free_inodes": inodes.f_favail,
        "memory_bytes": psutil.virtual_memory().total,
        "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "cores": cores(),
    }


def _file_system(place: Path) -> str:
    """Type of the file system that holds this place; the longest mount point that leads to it wins."""
    real = os.path.realpath(place)
    best = ("", "unknown")
    for part in psutil.disk_partitions(all=True):
        inside = real == part.mountpoint or real.startswith(part.mountpoint.rstrip("/") + "/")
        if inside and len(part.mountpoint) >= len(best[0]):
            best = (part.mountpoint, part.fstype)
    return best[1]
