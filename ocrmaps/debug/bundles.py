"""Bundles found: all below a place, or the one that a path, a name or the start of one means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ocrmaps.debug.reading import ARCHIVE, NAME, Bundle, NoBundle, open_bundle, read_bundle
from ocrmaps.errors import SpecError

DEPTH = 4
"""How far below the given folder bundles are looked for."""


def find_bundles(place: Path) -> list[Bundle]:
    """Every bundle in a run, a folder of runs or a debug folder, or the one at `place` itself; the newest first.

    A folder without a readable bundle.json of ours is no bundle and is not looked into further.
    """
    if not place.exists():
        raise SpecError(
            f"{place}: no such run, folder of runs or bundle", hint="name a run's folder, such as runs/first"
        )
    own = read_bundle(place)
    found = [own] if own is not None else [b for path in _candidates(place, 0) if (b := read_bundle(path)) is not None]
    # Where compressing was cut short both forms exist: the folder is the one that was not finished with.
    folders = {bundle.path for bundle in found if not bundle.compressed}
    found = [b for b in found if not b.compressed or b.path.with_name(b.name) not in folders]
    return sorted(found, key=lambda b: (b.facts["created"], b.name, str(b.path)), reverse=True)


def _candidates(folder: Path, depth: int) -> Iterator[Path]:
    """Folders and archives named as bundles are; links are not followed, so nothing outside is ever meant."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except (NotADirectoryError, PermissionError, FileNotFoundError):
        return
    for entry in entries:
        if NAME.fullmatch(entry.name.removesuffix(ARCHIVE)) and not entry.is_symlink():
            yield Path(entry.path)
        elif depth < DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _candidates(Path(entry.path), depth + 1)


def one_bundle(wanted: str, place: Path) -> Bundle:
    """The bundle that a path, a name or the start of one means; `last` is the newest below `place`."""
    path = Path(wanted)
    if path.exists():
        bundle = read_bundle(path)
        if bundle is not None:
            return bundle
        inside = find_bundles(path) if path.is_dir() else []
        if len(inside) == 1:
            return inside[0]
        if inside:
            raise SpecError(
                f"{wanted}: {len(inside)} bundles are there: {', '.join(b.name for b in inside[:5])}",
                hint="name one of them",
            )
        raise SpecError(
            f"{wanted}: no bundle is there: {_why_not(path)}", hint="ocrmaps debug list shows those that exist"
        )
    known = find_bundles(place) if place.exists() else []
    found = known[:1] if wanted == "last" else [b for b in known if b.name.startswith(wanted) or wanted in str(b.path)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(b.name for b in (found or known)[:5]) or "none"
    what = f"{len(found)} bundles fit" if found else "no such bundle"
    raise SpecError(
        f"{wanted}: {what} in {place}; there: {listed}", hint="ocrmaps debug list RUN shows them; a path works, too"
    )


def _why_not(path: Path) -> str:
    try:
        open_bundle(path)
    except NoBundle as error:
        return str(error)
    return "it was written this moment"
