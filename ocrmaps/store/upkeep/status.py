"""Tells whether each store has all its files and is current with its sources, or which files and samples are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocrmaps.errors import OcrmapsError, StoreError
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.places import lock
from ocrmaps.store.places.cache import Store, stores
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import pins
from ocrmaps.store.upkeep.explain import changes, summary
from ocrmaps.store.upkeep.presence import presence
from ocrmaps.store.writing.sources import Shortcut, ask


def cache_status(
    cache: Path, *, only: str | None = None, rehash: bool = False, listed: int = 100
) -> list[dict[str, Any]]:
    """One record for each store: its newest version against what the same recipe would mean now."""
    return [_status(store, rehash, listed) for store in stores(cache) if only in (None, store.name)]


def _status(store: Store, rehash: bool, listed: int) -> dict[str, Any]:
    versions = store.versions()
    out: dict[str, Any] = {
        "store": store.name,
        "versions": len(versions),
        "pinned": sorted(pins(store)),
        "building": [{"version": version, "owner": lock.builder_of(store.lock(version))} for version in store.staged()],
        "version": None,
        "root_digest": None,
        "current": None,
        "whole": None,
        "incomplete": [],
        "counts": {},
        "changed": {},
        "changes": [],
        "problems": [],
    }
    if not versions:
        return {**out, "problems": ["no version was ever committed"]}
    try:
        files = presence(store.version(versions[0]))
        manifest = read_manifest(store.version(versions[0]))
    except StoreError as error:
        return {**out, "version": versions[0], "problems": [str(error)]}
    out |= {
        "version": manifest.version,
        "root_digest": manifest.root_digest,
        "counts": dict(manifest.written["counts"]),
        "whole": not files.problems,
        "incomplete": [{"loc": p.loc, "kind": p.kind, "message": p.message} for p in files.problems[:listed]],
    }
    try:
        out |= _against_sources(store, manifest, rehash, listed)
    except OcrmapsError as error:
        out |= {"problems": [f"cannot be compared with its sources: {error}"]}
    return {**out, "problems": [*([files.message] if files.message else []), *out["problems"]]}


def _against_sources(store: Store, manifest: Manifest, rehash: bool, listed: int) -> dict[str, Any]:
    recipe = manifest.recipe
    if not rehash:
        known = Shortcut(recipe, store.cache).answer()
        if known is not None and known.version == manifest.version:
            return {"current": True}
    missing = [str(source.path) for source in recipe.sources if not source.path.exists()]
    if missing:
        return {"problems": [f"source not found: {path}" for path in missing]}
    plan = ask(recipe, store.cache, rehash=rehash)
    if plan.version == manifest.version:
        return {"current": True}
    with Reader(store.version(manifest.version)) as reader:
        found = changes(plan, reader)
    return {
        "current": False,
        "means_now": plan.version,
        "changed": summary(found),
        "changes": [change.as_dict() for change in found[:listed]],
        "problems": [f"{f.sample or f.source or 'source'}: {f.message}" for f in plan.failures[:listed]],
    }
