"""One small store for the whole room: invented receipts, drawn small, a train and a val split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import synth
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from ocrmaps.training.spec import RunSpec, run_from_dict, with_own_parts
from tests.known import SEED, mark


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("training"))


def make_world(root: Path, *, marked: bool = False) -> Path:
    """A folder with `train`, `val` and a cache that holds the store `tiny`; `marked` for `tests.known`."""
    shape = {
        "size": (256, 160),
        "lines": (2, 5),
        "text_height": (10.0, 16.0),
        "turned": 0.0,
        "curved": 0.0,
        "empty": 0.0,
        "wide": 0.0,
    }
    for split, number, seed in (("train", 6, 1), ("val", 3, 2)):
        synth(root / split, format="ufo", num=number, seed=seed, **shape)
        if marked:
            mark(root / split)
    build(recipe(root), root / "cache", workers=1)
    return root


def recipe(root: Path, *, name: str = "tiny", val: str = "val", sides: tuple[int, int] = (128, 96)) -> Recipe:
    return Recipe(
        name=name,
        sources=(
            SourceRecipe(path=root / "train", split="train"),
            SourceRecipe(path=root / val, split="val", name="held-out"),
        ),
        canonical=CanonicalSpec(canvases=(sides,), scale="fit"),
        layout=Layout(rows_per_shard=4),
    )


@pytest.fixture
def cache(world: Path) -> Path:
    return world / "cache"


def small_run(**changes: Any) -> RunSpec:
    """A run of two epochs of three steps on `tiny`; `table__key=value` changes one setting."""
    data: dict[str, Any] = {
        "name": "small",
        "seed": SEED,
        "data": {"store": "tiny", "batch_size": 2},
        "model": {
            "encoder": "light",
            "encoder_options": {"channels": [8, 8, 16, 16]},
            "decoder_options": {"width": 16},
        },
        "budget": {"epochs": 2},
        "device": "cpu",
        "watch": {"pictures": 0},
    }
    for key, value in changes.items():
        table, _, name = key.partition("__")
        if name:
            data.setdefault(table, {})[name] = value
        else:
            data[table] = value
    return with_own_parts(run_from_dict(data))
