"""What tuning tries, what each setting scores, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ocrmaps.errors import SpecError
from ocrmaps.evaluation.tune.goals import CRITERION, SHOWN, Goal, Sweep
from ocrmaps.extract import ExtractSpec
from ocrmaps.metrics.iou import IouCounts
from ocrmaps.metrics.matching import checked_thresholds
from ocrmaps.text import numbers

Binarize = float | Literal["learned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Everything that is tried, besides the checkpoint's own settings."""

    binarize: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    score_min: tuple[float, ...] = tuple(round(0.3 + 0.05 * i, 2) for i in range(13))
    ratios: tuple[float, ...] = (1.5, 2.0, 2.5)
    """Of the constant unclip; the inverse is always tried where the arithmetic has it."""
    margins: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2)
    """Of the inverse unclip; the constant one has its ratio."""
    splits: tuple[float, ...] = (0.0, 0.5)
    """Of the inverse unclip: necks that are parted, 0 for none."""

    def __post_init__(self) -> None:
        for name in ("binarize", "score_min", "ratios", "margins", "splits"):
            object.__setattr__(self, name, tuple(sorted({float(v) for v in getattr(self, name)})))
        if not all((self.binarize, self.score_min, self.margins, self.splits)):
            raise SpecError("the grid is empty: give at least one value of each setting that is tried")

    def settings(self, own: ExtractSpec) -> list[ExtractSpec]:
        """Ways of reading a map, apart from the least score; the checkpoint's own is the first. All are checked."""
        binarize: list[Binarize] = [own.binarize, *(b for b in self.binarize if b != own.binarize)]
        ways = [own]
        if own.arithmetic != "published":
            # A margin that the checkpoint has is one of those that are tried.
            margins = sorted({*self.margins, own.margin})
            inverse = replace(own, unclip="inverse", unclip_ratio=None)
            ways += [replace(inverse, margin=m, split=n or None) for m in margins for n in self.splits]
        mine = own.growth_ratio if own.unclip == "constant" else None
        constant = replace(own, unclip="constant", margin=0.0)
        ways += [replace(constant, unclip_ratio=ratio) for ratio in self.ratios if ratio != mine]
        return [replace(how, binarize=b) for b in binarize for how in dict.fromkeys(ways)]

    def cuts(self, own: ExtractSpec) -> tuple[float, ...]:
        return tuple(sorted({*self.score_min, float(own.score_min)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One setting with its scores on one set of pictures."""

    extract: ExtractSpec
    counts: Mapping[float, IouCounts]
    """By IoU threshold: those of a goal, and those that are always shown."""
    hmeans: Mapping[str, float] = field(default_factory=dict)
    """Of the other protocols that a goal asks for."""

    def worth(self, goal: Goal) -> float:
        """What settings are chosen by."""
        if goal.protocol != "iou":
            return self.hmeans[goal.protocol]
        return sum(self.counts[t].hmean for t in goal.thresholds) / len(goal.thresholds)

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
            "margin": self.extract.margin,
            "split": self.extract.split,
            "iou": {f"{t:g}": {part: getattr(c, part) for part in parts} for t, c in self.counts.items()},
            **({"hmean_of": dict(self.hmeans)} if self.hmeans else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChoice:
    """What a choice on several stores is worth on one of them alone."""

    on: Mapping[str, Any]
    """Store, version, root digest; pictures and test pictures of it."""
    before: Point | None
    """At the checkpoint's own settings; None where the store gives no row to the split."""
    chosen: Point | None
    test_before: Point | None
    test: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for one goal, and what it is worth elsewhere."""

    goal: Goal
    before: Point
    """At the checkpoint's own settings."""
    chosen: Point
    points: tuple[Point, ...]
    """All that was tried, the best first."""
    test_before: Point | None = None
    """At the checkpoint's own settings."""
    test: Point | None = None
    """At the chosen settings."""
    test_best: Point | None = None
    """The best of all settings on the test pictures: no result, for it was chosen on them."""
    stores: tuple[StoreChoice, ...] = ()
    """Where settings are chosen on several stores: what they are worth on each alone."""

    def as_dict(self) -> dict[str, Any]:
        def told(point: Point | None) -> dict[str, Any] | None:
            return None if point is None else {**point.as_dict(), "criterion": point.worth(self.goal)}

        return {
            "goal": self.goal.name,
            "criterion": self.goal.as_dict(),
            "tried": len(self.points),
            "before": told(self.before),
            "chosen": told(self.chosen),
            "test_before": told(self.test_before),
            "test": told(self.test),
            "not_a_result": None if self.test_best is None else {"best_of_sweep_on_test": told(self.test_best)},
            "stores": [
                {
                    **store.on,
                    "before": told(store.before),
                    "chosen": told(store.chosen),
                    "test_before": told(store.test_before),
                    "test": told(store.test),
                }
                for store in self.stores
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was chosen, on what."""

    checkpoint: Path
    out: Path
    chosen_on: Mapping[str, Any]
    """Store, version, split, root digest, pictures."""
    tested_on: Mapping[str, Any] | None
    choices: tuple[Choice, ...]
    """One for each goal; maps are read by the first where no goal is named."""

    def as_dict(self) -> dict[str, Any]:
        """The first choice as it stands, and every one by the name of its goal."""
        goals = {choice.goal.name: choice.as_dict() for choice in self.choices}
        if self.tested_on is not None:
            for choice in goals.values():
                choice["test"]["on"] = dict(self.tested_on)
        return {
            "checkpoint": str(self.checkpoint),
            "out": str(self.out),
            "chosen_on": dict(self.chosen_on),
            **goals[self.choices[0].goal.name],
            "goals": goals,
        }


def choose(
    goal: Goal,
    settings: Sequence[ExtractSpec],
    sweeps: Sequence[Sweep],
    test_sweeps: Sequence[Sweep] | None,
    *,
    own: ExtractSpec,
) -> Choice:
    """The best setting for a goal, and what it scores on the test pictures where there are any."""
    points = rank(settings, sweeps, own=own, goal=goal)
    tests = () if test_sweeps is None else rank(settings, test_sweeps, own=own, goal=goal)
    return Choice(
        goal=goal,
        before=next(point for point in points if point.extract == own),
        chosen=points[0],
        points=points,
        test_before=_at(own, tests),
        test=_at(points[0].extract, tests),
        test_best=tests[0] if tests else None,
    )


def on_store(
    choice: Choice,
    settings: Sequence[ExtractSpec],
    on: Mapping[str, Any],
    sweeps: Sequence[Sweep] | None,
    test_sweeps: Sequence[Sweep] | None,
) -> StoreChoice:
    """What a choice is worth on one store alone, from that store's own sweeps."""
    own, chosen = choice.before.extract, choice.chosen.extract
    points, tests = (
        () if each is None else rank(settings, each, own=own, goal=choice.goal) for each in (sweeps, test_sweeps)
    )
    return StoreChoice(
        on=on,
        before=_at(own, points),
        chosen=_at(chosen, points),
        test_before=_at(own, tests),
        test=_at(chosen, tests),
    )


def _at(how: ExtractSpec, points: Sequence[Point]) -> Point | None:
    return next((point for point in points if point.extract == how), None)


def grid_from(
    *,
    binarize: str | None = None,
    score: str | None = None,
    ratio: str | None = None,
    margin: str | None = None,
    neck: str | None = None,
) -> Grid:
    """A grid as a person writes it; what is not said is the default. `none` leaves the constant unclip out."""
    said = {
        "binarize": ("--binarize", binarize),
        "score_min": ("--score", score),
        "ratios": ("--ratio", ratio),
        "margins": ("--margin", margin),
        "splits": ("--neck", neck),
    }
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


def swept(goals: Sequence[Goal]) -> tuple[float, ...]:
    """All IoU thresholds that are looked at."""
    return tuple(sorted({*SHOWN, *(t for goal in goals for t in goal.thresholds)}))


def rank(
    settings: Sequence[ExtractSpec], sweeps: Sequence[Sweep], *, own: ExtractSpec, goal: Goal
) -> tuple[Point, ...]:
    """Every setting with its counts, the best for the goal first; of equals the nearest to the checkpoint's own."""
    points = [
        Point(
            extract=replace(how, score_min=cut),
            counts={t: sweep.iou.counts(c, i) for i, t in enumerate(sweep.iou.thresholds)},
            hmeans=sweep.hmeans(c),
        )
        for how, sweep in zip(settings, sweeps, strict=True)
        for c, cut in enumerate(sweep.iou.cuts)
    ]
    return tuple(sorted(points, key=lambda point: (-round(point.worth(goal), 12), *_distance(point.extract, own))))


def _distance(how: ExtractSpec, own: ExtractSpec) -> tuple[float, ...]:
    """How far from the checkpoint's own settings: another unclip first, then the thresholds."""
    unlike = (how.unclip, how.unclip_ratio, how.split) != (own.unclip, own.unclip_ratio, own.split)
    apart = 0.0 if how.binarize == own.binarize else 1.0
    if not isinstance(how.binarize, str) and not isinstance(own.binarize, str):
        apart = abs(how.binarize - own.binarize)
    ratio = abs(how.growth_ratio - own.growth_ratio) if how.unclip == "constant" else abs(how.margin - own.margin)
    return float(unlike), ratio, round(apart + abs(how.score_min - own.score_min), 9), how.score_min
