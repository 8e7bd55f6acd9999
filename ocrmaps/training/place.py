"""Where the stores of a run are: found by name, or refused all at once."""

from __future__ import annotations

from pathlib import Path

from ocrmaps.errors import Problem, SpecError, StoreError
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.several import StorePart, Where
from ocrmaps.training.spec import DataSpec


def place_of(data: DataSpec, cache: Path) -> Where:
    """The version of a run, or the parts of several; one that is not there, or there twice, is refused."""
    if not data.stores:
        store, version = find_version(cache, data.store)
        return store.version(version)
    parts: list[StorePart] = []
    problems: list[Problem] = []
    for number, said in enumerate(data.stores):
        loc = f"data.stores[{number}].store"
        try:
            store, version = find_version(cache, said.store)
        except StoreError as error:
            problems.append(Problem(loc, str(error)))
            continue
        folder = store.version(version)
        if any(Path(part.folder).absolute() == folder.absolute() for part in parts):
            problems.append(Problem(loc, f"found {said.store!r}, which is {store.name}/{version} once more"))
        parts.append(StorePart(folder=folder, splits={data.train: said.train, data.val: said.val}))
    if problems:
        raise SpecError(
            "these stores cannot be learnt from together:",
            problems=problems,
            hint="`ocrmaps cache list` shows the stores; weight shows a store more often",
        )
    return parts
