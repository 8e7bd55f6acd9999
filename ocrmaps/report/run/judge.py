"""What a run's page is judged by: the store that it learnt from, perfect maps of the same rows, what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.detect.trained import Trained
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import OracleResult, run_oracle
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.pictures import Header
from ocrmaps.progress import Progress
from ocrmaps.store.reader import Reader


def judge_ceiling(
    reader: Reader, rows: Sequence[int], trained: Trained, *, workers: int | None, progress: Progress | None
) -> OracleResult:
    """What perfect maps of these rows score, read as the run reads its maps."""
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


def predicted(reader: Reader, row: int, trained: Trained) -> tuple[Pixels, Pixels]:
    """Probability and threshold maps of one row, 0 to 255."""
    image = reader.read_row(row, ("image",))["image"]
    probability, threshold = trained.maps(image[None])
    assert threshold is not None
    return np.asarray(np.round(probability[0] * 255), np.uint8), np.asarray(np.round(threshold[0] * 255), np.uint8)
