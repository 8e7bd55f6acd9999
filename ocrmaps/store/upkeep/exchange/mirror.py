"""Mirrors all versions of a cache: whatever the other side lacks is pushed or pulled; nothing is removed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrmaps.errors import Problem, StoreBusy, StoreCorrupt, StoreError
from ocrmaps.progress import Stage, silent
from ocrmaps.settings.ranges import NAME_PATTERN
from ocrmaps.store.places.cache import stores
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.upkeep.exchange.pull import far_versions, pull
from ocrmaps.store.upkeep.exchange.push import Exchange, push


def push_all(cache: Path, place: ObjectPlace, *, dry_run: bool = False, stage: Stage = silent) -> Iterator[Exchange]:
    """Push every version of every store, the oldest first, so that newer ones find its shards there."""
    left: list[Problem] = []
    for store in stores(cache):
        for version in store.versions()[::-1]:
            with _leaving(f"{store.name}/{version}", left), stage(f"pushing {store.name}/{version}") as progress:
                yield push(store.version(version), place, dry_run=dry_run, progress=progress)
    _say(left, "sent")


def pull_all(place: ObjectPlace, cache: Path, *, dry_run: bool = False, stage: Stage = silent) -> Iterator[Exchange]:
    """Pull every version of every store, the oldest first."""
    left: list[Problem] = []
    # Folders of other names are nothing that ocrmaps pushed.
    for store in filter(re.compile(NAME_PATTERN).fullmatch, place.folders()):
        for version in list(far_versions(place, store, left))[::-1]:
            with _leaving(f"{store}/{version}", left), stage(f"pulling {store}/{version}") as progress:
                yield pull(place, f"{store}/{version}", cache, dry_run=dry_run, progress=progress)
    _say(left, "fetched")


@contextmanager
def _leaving(name: str, left: list[Problem]) -> Iterator[None]:
    """Go on with the others where one version is damaged, or in somebody else's hands."""
    try:
        yield
    except (StoreCorrupt, StoreBusy) as error:
        left.append(Problem(loc=name, message=str(error), kind="damage"))


def _say(left: list[Problem], done: str) -> None:
    if left:
        raise StoreError(
            f"{len(left)} of the versions were not {done}, the others are there:",
            problems=left,
            hint="`ocrmaps cache push` and `pull` with the name of one say what to do about it",
        )
