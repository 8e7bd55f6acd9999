"""One store of invented receipts, a third of them stored turned, and a run that finds half of their texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrmaps.annotations import Source, open_source
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import synth
from ocrmaps.pipelines.train import train
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.store.places.cache import find_version
from ocrmaps.training.report import TrainReport
from tests.known import KNOWN, mark
from tests.training.conftest import small_run

FAINT = 0.54
"""Marked so, a text is found with a score between 0.5 and 0.6."""
SPLITS = {"train": 6, "val": 4, "test": 3}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train`, `val`, `test` and a cache that holds the store `tiny` of all three."""
    root = tmp_path_factory.mktemp("evaluation")
    shape = {"size": (256, 160), "lines": (2, 5), "text_height": (10.0, 16.0), "curved": 0.0, "empty": 0.0, "wide": 0.0}
    for seed, (split, number) in enumerate(SPLITS.items()):
        synth(root / split, format="ufo", num=number, seed=seed, turned=0.4, **shape)
        mark(root / split, strength=lambda number: (1.0, 1.0, FAINT, 0.0)[number % 4])
    recipe = Recipe(
        name="tiny",
        sources=tuple(SourceRecipe(path=root / split, split=split) for split in SPLITS),
        canonical=CanonicalSpec(canvases=((128, 96), (96, 128)), scale="fit"),
        layout=Layout(rows_per_shard=4),
    )
    build(recipe, root / "cache", workers=1)
    return root


@pytest.fixture(scope="session")
def version(world: Path) -> Path:
    store, version = find_version(world / "cache", "tiny")
    return store.version(version)


@pytest.fixture(scope="session")
def run(world: Path) -> TrainReport:
    """A run that finds some of the text and not all of it: what is marked for `tests.known`."""
    spec = small_run(**KNOWN, budget__epochs=1, watch__pictures=0, ema=0.8)
    report = train(spec, out=world / "run", cache=world / "cache")
    assert report.hmean is not None and 0.3 < report.hmean < 0.95, "a trivial score proves nothing"
    return report


@pytest.fixture(scope="session")
def checkpoint(run: TrainReport) -> Path:
    assert run.best is not None
    return run.best


@pytest.fixture
def val(world: Path) -> Source:
    return open_source(world / "val", split="val")
