"""Trains a shipped detector again as its card says, stage by stage, and compares the scores with the card's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrmaps.annotations import open_source
from ocrmaps.detect.trained import checkpoint_bytes, load_detector, read_checkpoint
from ocrmaps.errors import DataError, SpecError
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.files import replacing
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.train import train
from ocrmaps.recipe import recipe_from_dict
from ocrmaps.shipped import NAMES, card_of, shipped
from ocrmaps.training.callbacks.stop import StopAfter
from ocrmaps.training.spec import run_from_dict

Say = Callable[[str], None]
TOLERANCE = 0.005
"""How far the hmean of another machine's training may lie from the card's."""
SPEC = EvaluationSpec(thresholds=(0.5, 0.7), protocols=("iou",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What training again came to."""

    name: str
    checkpoint: Path
    same_pictures: bool
    """Whether every stage learnt from the rows that the card names by root digest."""
    whole: bool
    """Whether every stage had all its epochs."""
    scores: Mapping[float, tuple[float, float]]
    """By IoU threshold, on `val`: hmean of the shipped detector and of this one, maps read alike."""

    @property
    def reproduced(self) -> bool:
        """Whether nothing differs by more than `TOLERANCE`; only a whole training on the same pictures can say so."""
        near = all(abs(ours - theirs) <= TOLERANCE for theirs, ours in self.scores.values())
        return self.whole and self.same_pictures and near

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "checkpoint": str(self.checkpoint),
            "same_pictures": self.same_pictures,
            "whole": self.whole,
            "tolerance": TOLERANCE,
            "reproduced": self.reproduced,
            "hmean": {f"{t:g}": {"shipped": a, "here": b} for t, (a, b) in self.scores.items()},
        }

    def sentence(self) -> str:
        """For people."""
        scores = ", ".join(f"{b:.4f} at IoU {t:g} (shipped {a:.4f})" for t, (a, b) in self.scores.items())
        if self.reproduced:
            word = f"reproduced within {TOLERANCE:g}"
        elif not self.whole:
            word = "a try with fewer epochs: nothing is judged"
        elif not self.same_pictures:
            word = "other pictures than the card's: nothing is judged"
        else:
            word = f"NOT reproduced: more than {TOLERANCE:g} apart"
        return f"hmean {scores}: {word}\nthe checkpoint is {self.checkpoint}"


def reproduce(
    name: str,
    *,
    train_source: Path,
    val_source: Path,
    out: Path,
    epochs: int | None = None,
    say: Say = lambda line: None,
) -> Reproduction:
    """Build each stage's store, train it from the weights of the stage before, and score the last on `val_source`.

    Everything is below `out`, and the same call goes on after an interruption. `epochs` shortens every stage, for a
    try.
    """
    if name not in NAMES:
        raise SpecError(f"found {name!r}, expected one of {', '.join(NAMES)}")
    stages = card_of(name)["stages"]
    weights: Path | None = None
    same = True
    for number, stage in enumerate(stages, start=1):
        folder = out / f"stage-{number}"
        recipe = recipe_from_dict(
            {
                **stage["recipe"],
                "name": f"{name}-{number}",
                "sources": [
                    {"path": str(train_source), "split": "train"},
                    {"path": str(val_source), "split": "val"},
                ],
            }
        )
        built = build(recipe, out / "cache")
        root = built.root_digest or ""
        if root != stage["root_digest"]:
            same = False
            say(f"stage {number}: note: these pictures make root {root[:12]}, the card's {stage['root_digest'][:12]}")
        data: dict[str, Any] = {**stage["run"], "name": f"{name}-{number}"}
        data["data"] = {**data["data"], "store": f"{name}-{number}"}
        if weights is not None:
            data["model"] = {**data["model"], "weights": str(weights)}
        run = run_from_dict(data, where=f"stage {number} of {name}")
        if epochs is not None:
            run = replace(run, budget=replace(run.budget, epochs=epochs, validate_every=1))
        say(f"stage {number} of {len(stages)}: {run.budget.epochs} epochs into {folder}")
        stop = StopAfter(stage.get("stopped_after") or run.budget.epochs)
        report = train(run, out=folder, cache=out / "cache", resume="auto", say=say, extra=(stop,))
        weights = report.best or report.last
    if weights is None:
        raise DataError(f"the card of {name} names no stages")
    theirs = load_detector(shipped(name))
    mine = _read_alike(weights, shipped(name), out / f"{name}.ckpt")
    source = open_source(val_source, split="val")
    found = [evaluate_checkpoint(path, source=source, spec=SPEC) for path in (shipped(name), mine)]
    say(f"maps of both are read as the shipped detector's: {theirs.extract.binarize}, {theirs.extract.score_min:g}")
    scores = {t: (found[0].totals[t].hmean, found[1].totals[t].hmean) for t in SPEC.thresholds}
    return Reproduction(name=name, checkpoint=mine, same_pictures=same, whole=epochs is None, scores=scores)


def _read_alike(checkpoint: Path, other: Path, out: Path) -> Path:
    """The checkpoint with pictures prepared and maps read as another's are: neither was learnt, or is compared."""
    content, card = read_checkpoint(checkpoint), read_checkpoint(other)["ocrmaps"]
    content["ocrmaps"] |= {name: card[name] for name in ("canonical", "extract", "readings") if name in card}
    with replacing(out) as part:
        part.write_bytes(checkpoint_bytes(content))
    return out
