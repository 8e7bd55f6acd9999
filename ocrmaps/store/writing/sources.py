"""From a recipe to a plan: open and read its sources, check their frames, look at every picture, give all a place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ocrmaps.annotations import open_source
from ocrmaps.annotations.checks.frames import check_frame, explain, require_frame
from ocrmaps.annotations.records import Source
from ocrmaps.errors import Problem
from ocrmaps.pictures import Header
from ocrmaps.recipe import Recipe
from ocrmaps.store.far.source import bring_recipe
from ocrmaps.store.format.identity import FORMAT, fingerprint, request
from ocrmaps.store.places.cache import inputs_memory
from ocrmaps.store.writing.inputs import InputPicture, Memory, examine, listing
from ocrmaps.store.writing.parsed import read_annotations
from ocrmaps.store.writing.plan import Plan, ReadSource, make_plan

Progress = Callable[[str, int, int], None]
"""(stage, done, total)."""


def open_sources(recipe: Recipe) -> list[Source]:
    """Where the annotations and pictures of each source of the recipe are, and in which format."""
    return [
        open_source(asked.path, format=asked.format, pictures=asked.pictures, frame=asked.frame, split=asked.split)
        for asked in recipe.sources
    ]


def ask(
    recipe: Recipe,
    cache: Path,
    *,
    opened: Sequence[Source] = (),
    rehash: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> Plan:
    """What building this recipe would mean, with every annotation read and every picture's bytes accounted for."""
    recipe = bring_recipe(recipe, progress)
    memory = Memory(inputs_memory(cache))
    sources = []
    for source, asked in zip(opened or open_sources(recipe), recipe.sources, strict=True):
        reading, prints = read_annotations(source, memory, rehash=rehash)
        sources.append(ReadSource(source=source, reading=reading, prints=prints, name=asked.name))
    paths = [path for read in sources for path in read.paths]
    report = None if progress is None else lambda done, total: progress("reading pictures", done, total)
    found = examine(paths, memory, rehash=rehash, threads=threads, progress=report)
    pictures = dict(zip(paths, found, strict=True))
    notes = [note for read in sources for note in _check_frame(read, pictures)]
    return replace(make_plan(recipe, sources, pictures), notes=tuple(notes))


def _check_frame(read: ReadSource, pictures: dict[Path, InputPicture | Problem]) -> list[str]:
    """Refuse a frame that the pictures contradict; say where some do and others do not."""
    seen = [(sample, pictures[path]) for sample, path in zip(read.reading.samples, read.paths, strict=True)]
    usable = [(sample, picture) for sample, picture in seen if isinstance(picture, InputPicture)]
    if not any(picture.orientation >= 5 for _, picture in usable):
        return []  # both frames have the same bounds, and nothing could be contradicted
    headers = {
        sample.id: Header(size=picture.size, orientation=picture.orientation, orientation_tag=None, format="", mode="")
        for sample, picture in usable
    }
    table = check_frame(read.reading.samples, headers, read.source.frame)
    require_frame(table, read.label)
    if table.verdict != "mixed":
        return []
    some = ", ".join(table.against[:3])
    return [f"{next(iter(explain(table, read.label)))} ({some}, ...): `ocrmaps data check` lists them"]


ANSWER = 2
"""What an answer says; releases that say something else do not read each other's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The version that a recipe led to when its files last looked like this."""

    version: str
    manifest: str
    """SHA-256 of the version's manifest, which was proven before."""


class Shortcut:
    """Knows, without reading anything, which version a recipe means while no file of its sources has changed.

    The question is the recipe with its paths and our algorithms; the answer holds as long as names, sizes, stamps and
    inodes of everything in the annotation and picture folders are the same.
    """

    def __init__(self, recipe: Recipe, cache: Path) -> None:
        self._memory = Memory(inputs_memory(cache))
        asked = request(recipe.canonical, recipe.maps, recipe.identity()["layout"])
        self._question = fingerprint([FORMAT, ANSWER, asked, recipe.as_dict()])
        self._roots: list[Path] | None = None
        self._before: str | None = None
        self.opened: list[Source] = []

    def answer(self) -> Answer | None:
        """The remembered answer if every file is as it was, else None."""
        known = self._memory.blob(self._question)
        if known is None:
            return None
        body = json.loads(known)
        self._roots = [Path(root) for root in body["roots"]]
        self._before = listing(self._roots)
        if self._before is None or self._before != body["listing"]:
            return None
        return Answer(version=body["version"], manifest=body["manifest"])

    def watch(self, recipe: Recipe) -> None:
        """Take the listing that an answer will be remembered with: before anything is read."""
        taken = (self._roots, self._before)
        self.opened = open_sources(recipe)
        roots = {source.path for source in recipe.sources}
        for source in self.opened:
            roots |= {source.annotations, source.pictures}
        # A folder inside another one is listed with it.
        self._roots = sorted(r for r in roots if not any(other in r.parents for other in roots))
        # `answer` took the same listing a moment ago, also before anything was read.
        self._before = taken[1] if taken[0] == self._roots and taken[1] is not None else listing(self._roots)

    def remember(self, answer: Answer) -> None:
        """Remember the answer for the files as they were when `watch` looked."""
        if self._before is not None and self._roots is not None:
            body = {
                "roots": [str(root) for root in self._roots],
                "listing": self._before,
                "version": answer.version,
                "manifest": answer.manifest,
            }
            self._memory.remember_blob(self._question, json.dumps(body).encode())
