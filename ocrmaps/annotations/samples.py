"""Opens a source for work on its pictures: its samples, and the header of every picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from ocrmaps.annotations import Sample, Source, open_source, read
from ocrmaps.annotations.checks.frames import check_frame, require_frame
from ocrmaps.errors import AnnotationError, DataError, OcrmapsError, Problem
from ocrmaps.geometry import Frame
from ocrmaps.machine import cores
from ocrmaps.pictures import Header, read_header

T = TypeVar("T")


def open_samples(
    path: Path, *, format: str | None, pictures: Path | None, frame: Frame, number: int | None = None
) -> tuple[Source, list[Sample]]:
    """The source at this path and its samples, all or an even draw; anything that does not parse is refused."""
    source = open_source(path, format=format, pictures=pictures, frame=frame)
    samples = subset(read(source), number)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples")
    return source, samples


def headers(source: Source, samples: Sequence[Sample], *, workers: int | None = None) -> list[Header]:
    """The header of every sample's picture. All that cannot be read are named at once, and a frame declaration that
    the pictures contradict is refused with the table that shows it."""

    def one(sample: Sample) -> Header | Problem:
        try:
            return read_header(source.pictures / sample.picture)
        except OcrmapsError as error:
            return Problem(loc=sample.loc, message=str(error), kind="picture")

    with ThreadPoolExecutor(workers or cores()) as pool:
        found = list(pool.map(one, samples))
    problems = [f for f in found if isinstance(f, Problem)]
    if problems:
        raise DataError(
            f"{len(problems)} of {len(samples)} pictures cannot be read",
            problems=problems,
            hint="ocrmaps data check SOURCE shows all of them; --pictures names another picture folder",
        )
    heads = [f for f in found if isinstance(f, Header)]
    by_id = {sample.id: head for sample, head in zip(samples, heads, strict=True)}
    require_frame(check_frame(samples, by_id, source.frame), source.name)
    return heads


def subset(items: Iterable[T], number: int | None, seed: int = 0) -> list[T]:
    """At most `number` items, evenly drawn without replacement in their order."""
    items = list(items)
    if number is None or number >= len(items):
        return items
    keep = np.sort(np.random.default_rng(seed).choice(len(items), number, replace=False))
    return [items[i] for i in keep]
