"""What tuning came to, for people."""

from __future__ import annotations

from ocrmaps.extract import ExtractSpec
from pipelines.tune_grid import Point, Tuned


def table(tuned: Tuned) -> str:
    """Before and after on the split that was chosen on, then the test, then what is no result."""
    on = tuned.chosen_on
    lines = [
        f"{len(tuned.points)} settings on {on['pictures']} pictures of {on['store']}/{on['version']}, {on['split']}",
        f"  before  {_line(tuned.before)}",
        f"  chosen  {_line(tuned.chosen)}",
        *(f"  next    {_line(point)}" for point in tuned.points[1:4]),
        f"wrote {tuned.out}",
    ]
    if tuned.test is not None and tuned.test_best is not None and tuned.tested_on is not None:
        where = tuned.tested_on.get("split", tuned.tested_on.get("source"))
        lines += [
            f"test on {tuned.tested_on['pictures']} pictures of {where}, at the chosen settings",
            f"  test    {_line(tuned.test)}",
            "not a result, for it is chosen on the test pictures themselves:",
            f"  best    {_line(tuned.test_best)}",
        ]
    return "\n".join(lines)


def _line(point: Point) -> str:
    scores = ", ".join(f"hmean {c.hmean:.4f} at IoU {t:g}" for t, c in point.counts.items())
    first = next(iter(point.counts.values()))
    return f"{scores} (P {first.precision:.3f} R {first.recall:.3f}): {settings(point.extract)}"


def settings(how: ExtractSpec) -> str:
    """The tuned settings in words."""
    binarise = how.binarise if isinstance(how.binarise, str) else f"{how.binarise:g}"
    unclip = "inverse" if how.unclip == "inverse" else f"constant {how.growth_ratio:g}"
    return f"binarise {binarise}, score at least {how.score_min:g}, unclip {unclip}"
