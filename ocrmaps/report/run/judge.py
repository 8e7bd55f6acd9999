"""What a run's page is judged by: the store that it learnt from, perfect maps of the same rows, what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.detect.trained import Trained
from ocrmaps.errors import RunError, StoreNotFound
from ocrmaps.evaluation.oracle.chain import Chain
from ocrmaps.evaluation.oracle.judge import OracleResult, run_oracle
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.pictures import Header
from ocrmaps.progress import Progress
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training.folder import Run


def find_data(run: Run, trained: Trained, cache: Path) -> tuple[Path, str]:
    """The version that the checkpoint learnt from, proven by its digest."""
    card = trained.card["store"]
    own = run.settings.get("data", {}).get("cache")
    wanted = f"{card['name']}/{card['version']}"
    for place in dict.fromkeys(p for p in (cache, Path(own) if own else None) if p is not None):
        try:
            store, version = find_version(place, wanted)
        except StoreNotFound:
            continue
        folder = store.version(version)
        with Reader(folder) as reader:
            if reader.root_digest != card["root_digest"]:
                raise RunError(
                    f"{folder}: its root digest is {reader.root_digest[:12]}, "
                    f"the run learnt from {card['root_digest'][:12]}",
                    hint="build the version again from its recipe and sources",
                )
        return folder, f"{store.name}/{version}"
    raise StoreNotFound(
        f"{wanted}: the store that this run learnt from is not in {cache}",
        hint="--root names another cache; --quick makes the page without predictions",
    )


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
