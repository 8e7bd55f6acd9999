"""Mirrors all versions of a cache: whatever the other side lacks is pushed or pulled; nothing is removed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ocrmaps.progress import Stage, silent
from ocrmaps.settings.ranges import NAME_PATTERN
from ocrmaps.store.places.cache import stores
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.upkeep.exchange.pull import far_versions, pull
from ocrmaps.store.upkeep.exchange.push import Exchange, push


def push_all(cache: Path, place: ObjectPlace, *, dry_run: bool = False, stage: Stage = silent) -> Iterator[Exchange]:
    """Push every version of every store, the oldest first, so that newer ones find its shards there."""
    for store in stores(cache):
        for version in store.versions()[::-1]:
            with stage(f"pushing {store.name}/{version}") as progress:
                yield push(store.version(version), place, dry_run=dry_run, progress=progress)


def pull_all(place: ObjectPlace, cache: Path, *, dry_run: bool = False, stage: Stage = silent) -> Iterator[Exchange]:
    """Pull every version of every store, the oldest first."""
    # Folders of other names are nothing that ocrmaps pushed.
    for store in filter(re.compile(NAME_PATTERN).fullmatch, place.folders()):
        for version in list(far_versions(place, store))[::-1]:
            with stage(f"pulling {store}/{version}") as progress:
                yield pull(place, f"{store}/{version}", cache, dry_run=dry_run, progress=progress)
