"""What tuning came to, for people."""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.evaluation.tune.grid import SHOWN, Point, Tuned
from ocrmaps.extract import ExtractSpec


def table(tuned: Tuned) -> str:
    """Before and after on the split that was chosen on, then the test, then what is no result."""
    on = tuned.chosen_on
    lines = [
        f"{len(tuned.points)} settings on {on['pictures']} pictures of {on['store']}/{on['version']}, {on['split']}",
        f"chosen by {criterion_words(tuned.criterion)}",
        f"  before  {_line(tuned.before)}",
        f"  chosen  {_line(tuned.chosen)}",
        *(f"  next    {_line(point)}" for point in tuned.points[1:4]),
        *_lost(tuned.before, tuned.chosen),
        f"wrote {tuned.out}",
    ]
    if tuned.test is not None and tuned.test_best is not None and tuned.tested_on is not None:
        where = tuned.tested_on.get("split", tuned.tested_on.get("source"))
        lines.append(f"test on {tuned.tested_on['pictures']} pictures of {where}, at the chosen settings")
        if tuned.test_before is not None:
            lines.append(f"  before  {_line(tuned.test_before)}")
        lines += [
            f"  test    {_line(tuned.test)}",
            "not a result, for it is chosen on the test pictures themselves:",
            f"  best    {_line(tuned.test_best)}",
        ]
    return "\n".join(lines)


def criterion_words(criterion: Sequence[float]) -> str:
    """What is maximized.

    >>> criterion_words((0.5,)), criterion_words((0.5, 0.6, 0.7))
    ('hmean at IoU 0.5', 'the mean hmean at IoU 0.5, 0.6, 0.7')
    """
    levels = ", ".join(f"{t:g}" for t in criterion)
    return f"hmean at IoU {levels}" if len(criterion) == 1 else f"the mean hmean at IoU {levels}"


def _line(point: Point) -> str:
    scores = ", ".join(f"hmean {point.counts[t].hmean:.4f} at IoU {t:g}" for t in SHOWN)
    first = point.counts[SHOWN[0]]
    value = "" if point.criterion == (SHOWN[0],) else f"{point.value:.4f}, "
    return f"{value}{scores} (P {first.precision:.3f} R {first.recall:.3f}): {settings(point.extract)}"


def _lost(before: Point, chosen: Point) -> list[str]:
    """What the choice costs at an IoU that is shown."""
    return [
        f"note: hmean at IoU {t:g} falls from {before.counts[t].hmean:.4f} to {chosen.counts[t].hmean:.4f}"
        for t in SHOWN
        if chosen.counts[t].hmean < before.counts[t].hmean
    ]


def settings(how: ExtractSpec) -> str:
    """The tuned settings in words."""
    binarize = how.binarize if isinstance(how.binarize, str) else f"{how.binarize:g}"
    unclip = "inverse" if how.unclip == "inverse" else f"constant {how.growth_ratio:g}"
    return f"binarize {binarize}, score at least {how.score_min:g}, unclip {unclip}"
