"""Completes what is typed before TAB: stores, versions, splits, recipe and run files. Reads names, imports little."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

SPLITS = ("train", "val", "test")


def splits(incomplete: str) -> list[str]:
    """The splits that a store may have."""
    return [split for split in SPLITS if split.startswith(incomplete)]


def stores(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the stores in the cache."""
    return [name for name, _ in _stores(ctx) if name.startswith(incomplete)]


def versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the stores, and versions once a store is named."""
    if "/" not in incomplete:
        return stores(ctx, incomplete)
    whole = [f"{name}/{version}" for name, found in _stores(ctx) for version in found]
    return [name for name in whole if name.startswith(incomplete)]


def recipes(incomplete: str) -> list[str]:
    """Folders, and TOML files that are recipes."""
    return _toml_files(incomplete, "recipe")


def run_files(incomplete: str) -> list[str]:
    """Folders, and TOML files that are run files."""
    return _toml_files(incomplete, "run file")


def sources(incomplete: str) -> list[str]:
    """`train=`, `val=`, `test=`, and files and folders, also after one of these."""
    start, equals, path = incomplete.rpartition("=")
    named = [] if equals else [f"{split}=" for split in splits(incomplete)]
    return named + [f"{start}{equals}{name}" for name, _ in _listed(path)]


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stores, versions, files and folders."""
    return [*versions(ctx, incomplete), *(name for name, _ in _listed(incomplete))]


def _stores(ctx: typer.Context) -> list[tuple[str, list[str]]]:
    from ocrmaps.cli.options import cache_root
    from ocrmaps.errors import SpecError
    from ocrmaps.store.places.cache import stores as find

    try:
        cache = cache_root(ctx.params.get("root"))
    except SpecError:  # a URL: nothing is asked over a network while somebody types
        return []
    return [(store.name, store.versions()) for store in find(cache)]


def _toml_files(incomplete: str, kind: str) -> list[str]:
    from ocrmaps.errors import DataError
    from ocrmaps.kinds import kind_of

    found = []
    for name, path in _listed(incomplete):
        with suppress(DataError):  # what cannot be read is not offered
            if path.is_dir() or (path.suffix == ".toml" and kind_of(path) == kind):
                found.append(name)
    return found


def _listed(incomplete: str) -> list[tuple[str, Path]]:
    """What is typed, completed by the names in its folder; a folder ends in a slash."""
    folder, start = os.path.split(incomplete)
    return sorted(_entries(folder, start))


def _entries(folder: str, start: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = list(os.scandir(folder or "."))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
            name = os.path.join(folder, entry.name)
            yield (os.path.join(name, "") if entry.is_dir() else name), Path(name)
