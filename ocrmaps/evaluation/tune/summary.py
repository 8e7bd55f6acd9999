"""What tuning came to, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrmaps.evaluation.tune.goals import SHOWN, Goal
from ocrmaps.evaluation.tune.grid import Choice, Point, StoreChoice, Tuned
from ocrmaps.extract import ExtractSpec


def table(tuned: Tuned) -> str:
    """Before and after on the split that was chosen on, for every goal; then the test, then what is no result."""
    on = tuned.chosen_on
    stores = " and ".join(f"{each['store']}/{each['version']}" for each in on.get("stores", [on]))
    where = f"{on['pictures']} pictures of {stores}, {on['split']}"
    lines = [f"{len(tuned.choices[0].points)} settings on {where}"]
    for choice in tuned.choices:
        lines += _chosen(choice, tuned.tested_on)
    lines.append(f"wrote {tuned.out}")
    if len(tuned.choices) > 1:
        names = [choice.goal.name for choice in tuned.choices]
        lines.append(f"maps are read for {names[0]}; `--for {names[1]}` reads them for another goal")
    return "\n".join(lines)


def _chosen(choice: Choice, tested_on: Mapping[str, Any] | None) -> list[str]:
    lines = [
        f"chosen by {choice.goal.words}",
        f"  before  {_line(choice.before, choice.goal)}",
        f"  chosen  {_line(choice.chosen, choice.goal)}",
        *(f"  next    {_line(point, choice.goal)}" for point in choice.points[1:4]),
        *_lost(choice.before, choice.chosen),
        *(_alone(store, choice.goal) for store in choice.stores),
    ]
    if choice.test is None or choice.test_best is None or tested_on is None:
        return lines
    where = tested_on.get("split", tested_on.get("source"))
    lines.append(f"test on {tested_on['pictures']} pictures of {where}, at the chosen settings")
    if choice.test_before is not None:
        lines.append(f"  before  {_line(choice.test_before, choice.goal)}")
    return [
        *lines,
        f"  test    {_line(choice.test, choice.goal)}",
        "not a result, for it is chosen on the test pictures themselves:",
        f"  best    {_line(choice.test_best, choice.goal)}",
    ]


def _alone(store: StoreChoice, goal: Goal) -> str:
    """What the choice is worth on one of several stores."""
    said = [
        f"{point.worth(goal):.4f} {when}"
        for point, when in (
            (store.before, "before"),
            (store.chosen, "chosen"),
            (store.test_before, "in the test before"),
            (store.test, "in the test"),
        )
        if point is not None
    ]
    return f"  on {store.on['store']}/{store.on['version']} alone: {', '.join(said)}"


def _line(point: Point, goal: Goal) -> str:
    scores = ", ".join(f"hmean {point.counts[t].hmean:.4f} at IoU {t:g}" for t in SHOWN)
    first = point.counts[SHOWN[0]]
    value = "" if goal.thresholds == (SHOWN[0],) else f"{point.worth(goal):.4f}, "
    return f"{value}{scores} (P {first.precision:.3f} R {first.recall:.3f}): {settings(point.extract)}"


def _lost(before: Point, chosen: Point) -> list[str]:
    """What the choice costs at an IoU that is shown."""
    return [
        f"note: hmean at IoU {t:g} falls from {before.counts[t].hmean:.4f} to {chosen.counts[t].hmean:.4f}"
        for t in SHOWN
        if chosen.counts[t].hmean < before.counts[t].hmean
    ]


def settings(how: ExtractSpec) -> str:
    """The tuned settings in words.

    >>> settings(ExtractSpec(margin=0.1))
    'binarize 0.5, score at least 0.6, unclip inverse, margin 0.1'
    """
    binarize = how.binarize if isinstance(how.binarize, str) else f"{how.binarize:g}"
    unclip = "inverse" if how.unclip == "inverse" else f"constant {how.growth_ratio:g}"
    more = [f", {name} {value:g}" for name, value in (("margin", how.margin), ("split", how.split)) if value]
    return f"binarize {binarize}, score at least {how.score_min:g}, unclip {unclip}{''.join(more)}"
