"""Two runs side by side: what was asked differently, what came out differently, and whether that means anything.

Numbers of unlike runs are refused, because a difference between them says nothing about what was changed: other data,
another budget, another way of scoring. Who compares them all the same has every line labelled.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ocrmaps.errors import Problem, RunError, SpecError
from ocrmaps.evaluation import RESULT, read_evaluation
from ocrmaps.report.compare.alike import REFUSALS, said, unlikeness
from ocrmaps.report.compare.interval import Interval, paired_interval
from ocrmaps.store.several import NO_ROWS
from ocrmaps.text import visible
from ocrmaps.training.differences import Difference, differences, is_operational
from ocrmaps.training.folder import RunFolder, standing

_COLUMNS = (
    "val/hmean",
    "val/precision",
    "val/recall",
    "val/hmean@0.7",
    "val/precision@0.7",
    "val/recall@0.7",
    "val/loss",
    "train/loss",
)
_COSTS = ("seconds", "rate", "wait_share", "step_ms_p50", "memory_peak_mb", "gpu_peak_mb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that is said about two runs."""

    a: RunFolder
    b: RunFolder
    unlike: Mapping[str, tuple[Difference, ...]]
    """By word of `REFUSALS`: what makes the numbers incomparable; empty for like runs."""
    settings: tuple[Difference, ...]
    operational: tuple[Difference, ...]
    environment: tuple[Difference, ...]
    metrics: tuple[Mapping[str, Any], ...]
    costs: tuple[Mapping[str, Any], ...]
    epochs: tuple[Mapping[str, Any], ...]
    intervals: tuple[Interval, ...]
    no_interval: str
    """Why there are none; empty otherwise."""

    @property
    def label(self) -> str:
        return f"UNLIKE {', '.join(self.unlike)}" if self.unlike else ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "comparable": not self.unlike,
            "unlike": {word: [d.as_dict() for d in found] for word, found in self.unlike.items()},
            "settings": [d.as_dict() for d in self.settings],
            "operational": [d.as_dict() for d in self.operational],
            "environment": [d.as_dict() for d in self.environment],
            "metrics": [dict(m) for m in self.metrics],
            "costs": [dict(c) for c in self.costs],
            "epochs": [dict(e) for e in self.epochs],
            "intervals": [i.as_dict() for i in self.intervals],
            "no_interval": self.no_interval,
        }


def check_words(allow: Sequence[str]) -> None:
    """Refuse words of `--allow` that no refusal has."""
    unknown = [word for word in allow if word not in REFUSALS]
    if unknown:
        known = "; ".join(f"{word}: {what}" for word, what in REFUSALS.items())
        raise SpecError(f"--allow: found {', '.join(map(visible, unknown))}, expected some of {known}")


def compare_runs(a: RunFolder, b: RunFolder, tables: Sequence[Any], *, allow: Sequence[str] = ()) -> Comparison:
    """How two runs differ; unlike ones are refused unless every word of what differs is allowed."""
    unlike = {word: found for word, found in unlikeness(a, b, tables) if found}
    refused = [word for word in unlike if word not in allow]
    if refused:
        problems = [
            Problem(f"{word}: {d.key}", f"{said(d.a)} and {said(d.b)}", kind=word)
            for word in refused
            for d in unlike[word]
        ]
        raise RunError(
            f"{a.folder} and {b.folder} are not alike, so a difference of their scores says nothing:",
            problems=problems,
            hint=f"compare runs that share these, or add --allow {','.join(refused)} and have the result labelled",
        )
    settings = list(differences(a.settings, b.settings))
    operational = [d for d in settings if is_operational(d.key)]
    intervals, why = _intervals(a, b, tables)
    return Comparison(
        a=a,
        b=b,
        unlike=unlike,
        settings=tuple(d for d in settings if d not in operational),
        operational=tuple(operational),
        environment=tuple(differences(a.environment, b.environment)),
        metrics=tuple(_metrics(a, b)),
        costs=tuple(_costs(a, b)),
        epochs=tuple(_epochs(a, b)),
        intervals=intervals,
        no_interval=why,
    )


def evaluation_of(run: RunFolder) -> Any:
    """The per-picture tables of a run: in its folder `evaluation`, or in the one folder below it that has them."""
    own = run.folder / "evaluation"
    if (own / RESULT).is_file() and (own / "images.csv").is_file():
        return read_evaluation(own)
    found = sorted(p.parent for p in run.folder.glob("*/images.csv") if (p.parent / RESULT).is_file())
    if len(found) > 1:
        names = ", ".join(str(p.relative_to(run.folder)) for p in found)
        raise SpecError(f"{run.folder} holds several evaluations: {names}", hint="name the one to compare `evaluation`")
    return read_evaluation(found[0]) if found else None


def _side(run: RunFolder) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "name": run.name,
        "finished": run.finished,
        **run.budget,
        "root_digest": run.root_digest,
        "seed": run.settings.get("seed"),
        "precision": run.settings.get("precision"),
    }


def best_row(run: RunFolder) -> Mapping[str, Any] | None:
    """The epoch whose checkpoint is the best one, the earliest of equals."""
    scored = [row for row in run.rows if "val/hmean" in row]
    return min(scored, key=lambda row: standing(row["val/hmean"], row.get("val/loss")), default=None)


def _metrics(a: RunFolder, b: RunFolder) -> Iterator[dict[str, Any]]:
    """Each metric at the best epoch by val/hmean and at the last one that has it, of both runs."""
    for key in _COLUMNS:
        entry: dict[str, Any] = {"metric": key}
        for when in ("best", "final"):
            values = []
            for run in (a, b):
                row = best_row(run) if when == "best" else next((r for r in reversed(run.rows) if key in r), None)
                values.append((None, None) if row is None else (row.get(key), row["epoch"]))
            (left, epoch_a), (right, epoch_b) = values
            entry[when] = {
                "a": left,
                "b": right,
                "difference": _less(right, left),
                "epoch_a": epoch_a,
                "epoch_b": epoch_b,
            }
        if any(entry[when][side] is not None for when in ("best", "final") for side in "ab"):
            yield entry


def _less(one: Any, other: Any) -> float | None:
    """One less the other, where both are numbers."""
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    return one - other if numbers else None


def _costs(a: RunFolder, b: RunFolder) -> Iterator[dict[str, Any]]:
    """What an epoch took, as the median of the epochs of each run."""
    for key in _COSTS:
        known = [[float(row[key]) for row in run.rows if key in row] for run in (a, b)]
        values = [float(np.median(side)) if side else None for side in known]
        if any(v is not None for v in values):
            left, right = values
            known_both = left is not None and right is not None
            yield {"cost": key, "a": left, "b": right, "ratio": right / left if known_both and left else None}  # type: ignore[operator]


def _epochs(a: RunFolder, b: RunFolder) -> Iterator[dict[str, Any]]:
    """val/hmean of both runs, epoch after epoch."""
    sides = [{row["epoch"]: row for row in run.rows} for run in (a, b)]
    for epoch in sorted({*sides[0], *sides[1]}):
        values = [side.get(epoch, {}).get("val/hmean") for side in sides]
        yield {
            "epoch": epoch,
            "a": values[0],
            "b": values[1],
            "difference": _less(values[1], values[0]),
        }


def _intervals(a: RunFolder, b: RunFolder, tables: Sequence[Any]) -> tuple[tuple[Interval, ...], str]:
    lacking = [run for run, table in zip((a, b), tables, strict=True) if table is None]
    if lacking:
        return (), "\n".join(
            ["whether the difference is more than chance needs tables of single pictures, which come from"]
            + [_evaluate_command(run) for run in lacking]
        )
    sides = [{row["picture"]: row for row in table.images} for table in tables]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if len(shared) < 2:
        return (), f"{len(shared)} pictures were evaluated in both runs: too few to judge a difference"
    out = []
    for t in tables[0].result["thresholds"]:
        if t not in tables[1].result["thresholds"]:
            continue
        counts = [
            np.array(
                [[side[p][f"matched@{t:g}"], side[p]["texts"], side[p]["detections"]] for p in shared], dtype=np.float64
            )
            for side in sides
        ]
        out.append(paired_interval(counts[0], counts[1], f"hmean at IoU {t:g}"))
    return tuple(out), ""


def _evaluate_command(run: RunFolder) -> str:
    data = run.settings.get("data", {})
    # Of several stores one at a time is evaluated: the first that the run was validated on.
    data = next((store for store in data.get("stores", ()) if store.get("val") != NO_ROWS), data)
    try:
        checkpoint = str(run.checkpoint())
    except RunError:
        checkpoint = "CHECKPOINT"
    words = ["evaluate", checkpoint, "--store", data.get("store", "STORE"), "--split", data.get("val", "val")]
    return "  " + shlex.join(["ocrmaps", *words, "--out", str(run.folder / "evaluation")])
