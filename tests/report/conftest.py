"""One small store and one short run for the pages of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.data import synth
from ocrmaps.recipe import Layout, Recipe, SourceRecipe
from tests.known import SEED


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources `train` and `val`, one picture of which is damaged, and a cache with the store `tiny`."""
    root = tmp_path_factory.mktemp("report")
    shape = {
        "size": (256, 160), "lines": (2, 5), "text_height": (10.0, 16.0), "turned": 0.5, "curved": 0.0, "empty": 0.0,
        "wide": 0.0,
    }  # fmt: skip
    for split, many, seed in (("train", 5, 1), ("val", 3, 2)):
        synth(root / split, format="ufo", num=many, seed=seed, **shape)
    damaged = sorted((root / "train" / "images").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:400])
    build(recipe(root), root / "cache", workers=1, allow_failures=1)
    return root


def recipe(root: Path) -> Recipe:
    return Recipe(
        name="tiny",
        sources=tuple(SourceRecipe(path=root / split, split=split, name=split) for split in ("train", "val")),  # type: ignore[arg-type]
        canonical=CanonicalSpec(canvases=((128, 96),), scale="fit"),
        layout=Layout(rows_per_shard=4),
    )


@pytest.fixture(scope="session")
def run_folder(made: Path) -> Path:
    """A finished run of two epochs on the store."""
    from ocrmaps.pipelines.train import train
    from ocrmaps.training.spec import run_from_dict

    spec = run_from_dict(
        {
            "name": "small",
            "seed": SEED,
            "data": {"store": "tiny", "batch_size": 2},
            "model": {
                "encoder": "light", "encoder_options": {"channels": [8, 8, 16, 16]}, "decoder_options": {"width": 16},
            },
            "budget": {"epochs": 2},
            "device": "cpu",
            "watch": {"pictures": 0},
        }
    )  # fmt: skip
    train(spec, out=made / "run", cache=made / "cache")
    return made / "run"
