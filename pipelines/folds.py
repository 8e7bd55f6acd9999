"""Trains detectors for an audit that did not learn from the labels they judge: number i on all pictures but every Kth.

All start from the weights of one detector and learn for a few epochs, on one store whose rows are drawn once. The same
call goes on after an interruption.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ocrmaps.annotations import Sample, Source, picture_path
from ocrmaps.annotations.formats import ufo
from ocrmaps.detect.trained import load_detector
from ocrmaps.errors import SpecError
from ocrmaps.files import digest_of
from ocrmaps.maps import MapSpec
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.train import train
from ocrmaps.progress import Stage, silent
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.training.spec import run_from_dict

BATCH, LR = 4, 1e-3
LEAST_PICTURES = 4
"""For each fold: fewer teach nothing."""
CARRIED = ("margin", "binarize", "score", "score_min", "split")
"""How maps are read goes on from the first detector to those that start from it."""


def fold_of(source: Source, samples: Sequence[Sample], folds: int) -> list[int]:
    """The fold of every sample: its number modulo `folds`, but that of the first sample with the same picture."""
    places = [picture_path(source, sample) for sample in samples]
    first: dict[str, int] = {}
    return [
        first.setdefault(digest_of(place) if place.is_file() else str(place), i % folds)
        for i, place in enumerate(places)
    ]


def train_folds(
    source: Source,
    samples: Sequence[Sample],
    start: Path,
    *,
    folds: int,
    epochs: int,
    out: Path,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    stage: Stage = silent,
) -> list[Path]:
    """One checkpoint a fold: number i learnt from the samples of all folds but i, as `fold_of` tells them."""
    if len(samples) < LEAST_PICTURES * folds:
        raise SpecError(
            f"found {len(samples)} pictures for {folds} folds, expected at least {LEAST_PICTURES} for each",
            hint="fewer folds, or an audit without them",
        )
    if not source.pictures.is_dir():
        raise SpecError(
            f"{source.pictures}: folds need pictures in a folder", hint="`ocrmaps data convert` unpacks an archive"
        )
    first = load_detector(start)
    out.mkdir(parents=True, exist_ok=True)
    reading = asdict(first.extract)
    run: dict[str, Any] = {
        "seed": seed,
        "ema": 0.98,
        "model": {"weights": str(start)},
        "optimizer": {"lr": LR},
        "augment": {"rotate": 3, "scale": [0.8, 1.25]},
        "extract": {name: reading[name] for name in CARRIED if reading[name] is not None},
        "budget": {"epochs": epochs, "validate_every": epochs},
        "watch": {"pictures": 0},
    }
    found = []
    placed = fold_of(source, samples, folds)
    for fold in range(folds):
        parts = {
            "train": [s for s, own in zip(samples, placed, strict=True) if own != fold],
            "val": [s for s, own in zip(samples, placed, strict=True) if own == fold],
        }
        for split, part in parts.items():
            ufo.write(part, out / f"{split}-{fold}.json", overwrite=True)
        recipe = Recipe(
            name="folds",
            sources=tuple(
                SourceRecipe(
                    path=(out / f"{split}-{fold}.json").absolute(),
                    format="ufo",
                    pictures=source.pictures.absolute(),
                    frame="raw" if source.frame == "raw" else "upright",
                    split=split,  # type: ignore[arg-type]
                )
                for split in parts
            ),
            canonical=first.canonical,
            maps=MapSpec(shrink_ratio=first.extract.shrink_ratio),
        )
        with stage(f"drawing the pictures of fold {fold + 1}") as progress:
            built = build(recipe, out / "cache", progress=lambda _, done, total: progress(done, total))
        told = {**run, "name": f"fold-{fold}", "data": {"store": f"folds/{built.version}", "batch_size": BATCH}}
        say(f"fold {fold + 1} of {folds}: {len(parts['train'])} pictures, {epochs} epochs from {start.name}")
        report = train(
            run_from_dict(told, where=f"fold {fold + 1}"),
            out=out / f"fold-{fold}",
            cache=out / "cache",
            resume="auto",
            say=say,
        )
        found.append(report.last)
    shutil.rmtree(out / "cache")
    return found
