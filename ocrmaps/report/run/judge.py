"""What a run's page is judged by: the store that it learnt from, perfect maps of the same rows, what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.detect.trained import Trained
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import OracleResult, run_oracle
from ocrmaps.metrics.iou import IouCounts
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.pictures import Header
from ocrmaps.progress import Progress
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import Several, Stored, readers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What perfect maps of rows score, whatever stores they are of."""

    hmean: Mapping[float, float]
    lost: tuple[int, ...]
    """Lost texts of each row."""


def judge_ceiling(
    reader: Stored, rows: Sequence[int], trained: Trained, *, workers: int | None, progress: Progress | None
) -> Ceiling:
    """What perfect maps of these rows score, read as the run reads its maps; each store's on its own canvases."""
    found = []
    for number, each in enumerate(readers_of(reader)):
        own = list(rows)
        if isinstance(reader, Several):
            own = [place for part, place in map(reader.part_of, rows) if part == number]
        if own:
            found.append(_of_store(each, own, trained, workers=workers, progress=progress))
    totals: dict[float, IouCounts] = {}
    for one in found:
        totals = {t: totals.get(t, IouCounts()) + counts for t, counts in one.totals.items()}
    return Ceiling(
        hmean={t: counts.hmean for t, counts in totals.items()},
        lost=tuple(len(picture.lost) for one in found for picture in one.pictures),
    )


def _of_store(
    reader: Reader, rows: Sequence[int], trained: Trained, *, workers: int | None, progress: Progress | None
) -> OracleResult:
    recipe = reader.manifest.recipe
    chain = Chain(canonical=recipe.canonical, maps=recipe.maps, extract=trained.extract)
    samples, heads = [], []
    for row in rows:
        transform = reader.transform(row)
        samples.append(Sample(id=reader.name(row), polygons=reader.polygon_set(row), loc=reader.name(row)))
        heads.append(
            Header(
                size=transform.raw_size,
                orientation=transform.orientation,
                orientation_tag=transform.orientation,
                format="",
                mode="",
            )
        )
    return run_oracle(samples, heads, chain, workers=workers, progress=progress)


def predicted(reader: Stored, row: int, trained: Trained) -> tuple[Pixels, Pixels]:
    """Probability and threshold maps of one row, 0 to 255."""
    image = reader.read_row(row, ("image",))["image"]
    probability, threshold = trained.maps(image[None])
    assert threshold is not None
    return np.asarray(np.round(probability[0] * 255), np.uint8), np.asarray(np.round(threshold[0] * 255), np.uint8)
