"""What maps can be read for: a protocol's score that settings are chosen by, and what one setting is worth under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics.cleval import ClevalCounts, match_cleval
from ocrmaps.metrics.deteval import DetEvalCounts, match_deteval
from ocrmaps.metrics.iou import IouSweep, sweep_geometry
from ocrmaps.metrics.matching import checked_thresholds, pair_geometry

SHOWN = (0.5, 0.7)
"""IoU thresholds that are told of every setting, whatever it was chosen by."""
CRITERION = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""IoU thresholds whose mean hmean is the goal `iou`; docs/explanation/evaluation.md has the figures."""
EXPECTED = "iou, iou@T such as iou@0.5, deteval, cleval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What settings are chosen by, under the name that a reading is asked for by."""

    name: str
    protocol: Literal["iou", "deteval", "cleval"]
    thresholds: tuple[float, ...] = ()
    """Of `iou`: the mean hmean at these is maximized."""

    @property
    def words(self) -> str:
        """What is maximized.

        >>> goal_from("iou@0.5").words, goal_from("deteval").words
        ('hmean at IoU 0.5', 'hmean of DetEval')
        """
        if self.protocol != "iou":
            return f"hmean of {'DetEval' if self.protocol == 'deteval' else 'CLEval'}"
        levels = ", ".join(f"{t:g}" for t in self.thresholds)
        return f"{'' if len(self.thresholds) == 1 else 'the mean '}hmean at IoU {levels}"

    def as_dict(self) -> dict[str, Any]:
        if self.protocol == "iou":
            return {"mean_hmean_at_iou": list(self.thresholds)}
        return {f"hmean_of_{self.protocol}": True}


def goal_from(text: str, criterion: Sequence[float] = CRITERION) -> Goal:
    """A goal as a person writes it; `criterion` are the thresholds of plain `iou`."""
    if text == "iou":
        return Goal(name=text, protocol="iou", thresholds=tuple(criterion))
    if text == "deteval":
        return Goal(name=text, protocol="deteval")
    if text == "cleval":
        return Goal(name=text, protocol="cleval")
    kind, at, level = text.partition("@")
    try:
        threshold = float(level)
    except ValueError:
        threshold = -1.0
    if kind != "iou" or not at or not 0 <= threshold < 1:
        raise SpecError(f"--for: found {text!r}, expected {EXPECTED}")
    return Goal(name=f"iou@{threshold:g}", protocol="iou", thresholds=checked_thresholds((threshold,)))


def goals_from(texts: Sequence[str], criterion: Sequence[float] = CRITERION) -> tuple[Goal, ...]:
    """Goals in the order they are named, each once."""
    goals = {goal.name: goal for goal in (goal_from(text, criterion) for text in texts)}
    return tuple(goals.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What one way of reading maps is worth at every least score; sweeps of pictures add up."""

    iou: IouSweep
    deteval: tuple[DetEvalCounts, ...] = ()
    """One for each least score, where a goal asks for it."""
    cleval: tuple[ClevalCounts, ...] = ()

    def __add__(self, other: Sweep) -> Sweep:
        return Sweep(
            iou=self.iou + other.iou,
            deteval=tuple(a + b for a, b in zip(self.deteval, other.deteval, strict=True)),
            cleval=tuple(a + b for a, b in zip(self.cleval, other.cleval, strict=True)),
        )

    def hmeans(self, cut: int) -> Mapping[str, float]:
        """By protocol, at one least score."""
        out = {}
        if self.deteval:
            out["deteval"] = self.deteval[cut].hmean
        if self.cleval:
            out["cleval"] = self.cleval[cut].hmean
        return out


def sweep_texts(
    truth: PolygonSet,
    found: PolygonSet,
    scores: npt.NDArray[np.float32],
    *,
    cuts: Sequence[float],
    thresholds: Sequence[float],
    protocols: frozenset[str],
) -> Sweep:
    """One picture's texts at every least score, under IoU and under the other protocols that are asked for."""
    iou = sweep_geometry(pair_geometry(truth, found), scores, cuts=cuts, thresholds=thresholds)
    deteval: list[DetEvalCounts] = []
    cleval: list[ClevalCounts] = []
    before = -1
    for cut in cuts if protocols - {"iou"} else ():
        kept = np.flatnonzero(scores >= cut)
        # Scores lie close together: most cuts leave the texts that the one before left.
        if len(kept) != before:
            part = PolygonSet.of([found[int(i)] for i in kept], frame=found.frame)
            left = match_deteval(truth, part) if "deteval" in protocols else None
            read = match_cleval(truth, part).counts if "cleval" in protocols else None
            before = len(kept)
        if left is not None:
            deteval.append(left)
        if read is not None:
            cleval.append(read)
    return Sweep(iou=iou, deteval=tuple(deteval), cleval=tuple(cleval))
