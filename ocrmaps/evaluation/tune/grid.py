"""What tuning tries, what each setting scores, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ocrmaps.errors import SpecError
from ocrmaps.extract import ExtractSpec
from ocrmaps.metrics.iou import IouCounts, IouSweep
from ocrmaps.metrics.matching import checked_thresholds
from ocrmaps.text import numbers

SHOWN = (0.5, 0.7)
"""IoU thresholds that are told of every setting, whatever it was chosen by."""
CRITERION = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
"""IoU thresholds whose mean hmean decides, where nobody says others; docs/explanation/evaluation.md has the figures."""
Binarize = float | Literal["learned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Everything that is tried, besides the checkpoint's own settings."""

    binarize: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    score_min: tuple[float, ...] = tuple(round(0.3 + 0.05 * i, 2) for i in range(13))
    ratios: tuple[float, ...] = (1.5, 2.0, 2.5)
    """Of the constant unclip; the inverse is always tried where the arithmetic has it."""

    def __post_init__(self) -> None:
        for name in ("binarize", "score_min", "ratios"):
            object.__setattr__(self, name, tuple(sorted({float(v) for v in getattr(self, name)})))
        if not self.binarize or not self.score_min:
            raise SpecError("the grid is empty: give at least one threshold and one least score")

    def settings(self, own: ExtractSpec) -> list[ExtractSpec]:
        """Ways of reading a map, apart from the least score; the checkpoint's own is the first. All are checked."""
        binarize: list[Binarize] = [own.binarize, *(b for b in self.binarize if b != own.binarize)]
        unclips: list[tuple[Any, float | None]] = [(own.unclip, own.unclip_ratio)]
        if own.arithmetic != "published":
            unclips.append(("inverse", None))
        mine = own.growth_ratio if own.unclip == "constant" else None
        unclips += [("constant", ratio) for ratio in self.ratios if ratio != mine]
        return [replace(own, binarize=b, unclip=u, unclip_ratio=r) for b in binarize for u, r in dict.fromkeys(unclips)]

    def cuts(self, own: ExtractSpec) -> tuple[float, ...]:
        return tuple(sorted({*self.score_min, float(own.score_min)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting with its score on one set of pictures."""

    extract: ExtractSpec
    counts: Mapping[float, IouCounts]
    """By IoU threshold: those of the criterion, and those that are always shown."""
    criterion: tuple[float, ...]

    @property
    def value(self) -> float:
        """What settings are chosen by: the mean hmean over the criterion's IoU thresholds."""
        return sum(self.counts[t].hmean for t in self.criterion) / len(self.criterion)

    @property
    def hmean(self) -> float:
        """At IoU 0.5."""
        return self.counts[SHOWN[0]].hmean

    def as_dict(self) -> dict[str, Any]:
        parts = ("hmean", "precision", "recall")
        return {
            "binarize": self.extract.binarize,
            "score_min": self.extract.score_min,
            "unclip": self.extract.unclip,
            "unclip_ratio": self.extract.unclip_ratio,
            "criterion": self.value,
            "iou": {f"{t:g}": {part: getattr(c, part) for part in parts} for t, c in self.counts.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was chosen, on what, and what it is worth elsewhere."""

    checkpoint: Path
    out: Path
    chosen_on: Mapping[str, Any]
    """Store, version, split, root digest, pictures."""
    criterion: tuple[float, ...]
    """IoU thresholds whose mean hmean was maximized."""
    before: Point
    chosen: Point
    points: tuple[Point, ...]
    """All that was tried, the best first."""
    test_before: Point | None
    """At the checkpoint's own settings."""
    test: Point | None
    """At the chosen settings."""
    tested_on: Mapping[str, Any] | None
    test_best: Point | None
    """The best of all settings on the test pictures: no result, for it was chosen on them."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint),
            "out": str(self.out),
            "chosen_on": dict(self.chosen_on),
            "criterion": {"mean_hmean_at_iou": list(self.criterion)},
            "tried": len(self.points),
            "before": self.before.as_dict(),
            "chosen": self.chosen.as_dict(),
            "test_before": None if self.test_before is None else self.test_before.as_dict(),
            "test": None if self.test is None else {**self.test.as_dict(), "on": dict(self.tested_on or {})},
            "not_a_result": None if self.test_best is None else {"best_of_sweep_on_test": self.test_best.as_dict()},
        }


def grid_from(*, binarize: str | None, score: str | None, ratio: str | None) -> Grid:
    """A grid as a person writes it; what is not said is the default. `none` leaves the constant unclip out."""
    said = {"binarize": ("--binarize", binarize), "score_min": ("--score", score), "ratios": ("--ratio", ratio)}
    values: dict[str, tuple[float, ...]] = {}
    for name, (option, text) in said.items():
        if text is not None:
            values[name] = () if name == "ratios" and text.strip() == "none" else numbers(text, option)
    return Grid(**values)


def criterion_from(text: str | None) -> tuple[float, ...]:
    """IoU thresholds as a person writes them: single ones, and first:last:step.

    >>> criterion_from("0.5,0.7"), criterion_from("0.6:0.8:0.1")
    ((0.5, 0.7), (0.6, 0.7, 0.8))
    """
    if text is None:
        return CRITERION
    out: list[float] = []
    for part in text.split(","):
        try:
            first, *rest = [float(number) for number in part.split(":")]
            last, step = rest or (first, 1.0)
        except ValueError:
            raise SpecError(
                f"--criterion: found {part!r}, expected an IoU threshold, or first:last:step",
                hint="such as 0.5 or 0.5,0.7 or 0.5:0.95:0.05",
            ) from None
        if not step >= 0.001 or not 0 <= first <= last < 1:
            raise SpecError(
                f"--criterion: found {part!r}, expected thresholds from 0 to under 1, a step of 0.001 or more"
            )
        out += [round(first + i * step, 6) for i in range(int((last - first) / step + 1e-6) + 1)]
    return checked_thresholds(sorted(set(out)))


def swept(criterion: Sequence[float]) -> tuple[float, ...]:
    """All thresholds that are looked at."""
    return tuple(sorted({*criterion, *SHOWN}))


def rank(
    settings: Sequence[ExtractSpec],
    sweeps: Sequence[IouSweep],
    *,
    own: ExtractSpec,
    criterion: tuple[float, ...] = CRITERION,
) -> tuple[Point, ...]:
    """Every setting with its counts, the best by the criterion first; of equals the nearest to the checkpoint's own."""
    points = [
        Point(
            extract=replace(how, score_min=cut),
            counts={t: sweep.counts(c, i) for i, t in enumerate(sweep.thresholds)},
            criterion=criterion,
        )
        for how, sweep in zip(settings, sweeps, strict=True)
        for c, cut in enumerate(sweep.cuts)
    ]
    return tuple(sorted(points, key=lambda point: (-round(point.value, 12), *_distance(point.extract, own))))


def _distance(how: ExtractSpec, own: ExtractSpec) -> tuple[float, ...]:
    """How far from the checkpoint's own settings: another unclip first, then the thresholds."""
    unlike = (how.unclip, how.unclip_ratio) != (own.unclip, own.unclip_ratio)
    apart = 0.0 if how.binarize == own.binarize else 1.0
    if not isinstance(how.binarize, str) and not isinstance(own.binarize, str):
        apart = abs(how.binarize - own.binarize)
    ratio = abs(how.growth_ratio - own.growth_ratio) if how.unclip == "constant" else 0.0
    return float(unlike), ratio, round(apart + abs(how.score_min - own.score_min), 9), how.score_min
