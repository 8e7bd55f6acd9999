"""Checks sources and everything between them: what `ocrmaps data check` finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrmaps.annotations import Pictures, Source, find_pictures, scan
from ocrmaps.annotations.checks.health import Health, add_copies, check_source, shown_pictures
from ocrmaps.annotations.checks.leakage import Copies, Shown, find_copies
from ocrmaps.annotations.checks.survey import Look, survey
from ocrmaps.annotations.records import Sample
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.machine import cores
from ocrmaps.progress import Stage, silent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkup:
    """Everything that `data check` found."""

    healths: tuple[Health, ...]
    shown: tuple[Shown, ...]
    """The readable pictures of all sources."""
    copies: Copies
    pixels: bool
    """Whether pictures were decoded: damage and likeness are only known then."""

    @property
    def ok(self) -> bool:
        return not any(health.problems for health in self.healths)


def check(
    sources: Sequence[Source],
    *,
    spec: CanonicalSpec,
    pixels: bool = True,
    workers: int | None = None,
    stage: Stage = silent,
) -> Checkup:
    """Look at everything in these sources and between them."""
    workers = workers or cores()
    healths = []
    for source in sources:
        reading = scan(source)
        pictures = find_pictures(source, reading.samples)
        looks = _look(source, reading.samples, pictures, pixels=pixels, workers=workers, stage=stage)
        healths.append(check_source(source, reading, pictures, looks, spec))
    shown = shown_pictures(healths)
    with stage("comparing look-alikes") as progress:
        copies = find_copies(shown, workers=workers, progress=progress)
    return Checkup(healths=tuple(add_copies(healths, shown, copies)), shown=tuple(shown), copies=copies, pixels=pixels)


def _look(
    source: Source, samples: Sequence[Sample], pictures: Pictures, *, pixels: bool, workers: int, stage: Stage
) -> list[Look | None]:
    """A look at each picture that is there and lies inside the picture folder."""
    refused = {problem.loc for problem in pictures.problems if problem.kind == "unsafe-path"}
    missing = set(pictures.missing)
    there = [i for i, sample in enumerate(samples) if sample.id not in missing and sample.loc not in refused]
    files = [source.pictures / samples[i].picture for i in there]
    looks: list[Look | None] = [None] * len(samples)
    with stage(f"reading pictures of {source.split or source.name}") as progress:
        for i, found in zip(there, survey(files, pixels=pixels, workers=workers, progress=progress), strict=True):
            looks[i] = found
    return looks
