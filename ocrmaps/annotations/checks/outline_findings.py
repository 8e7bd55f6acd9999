"""What is wrong with a source's outlines, and what the recipe's scale leaves of the text.

Validity is judged in the pixels of the annotations, never at training scale, and nothing is corrected or dropped.
"""

from __future__ import annotations

import numpy as np

from ocrmaps.annotations.checks.facts import Facts
from ocrmaps.annotations.checks.findings import Finding
from ocrmaps.annotations.checks.frames import TOLERANCE, TOLERANCE_SHARE
from ocrmaps.annotations.checks.outlines import NEAR

GIANT = 0.5
"""An outline that covers more than this share of its picture is rarely a line of text."""
UNITS = {1: "shares of the sides", 100: "per cent of the sides", 1000: "thousandths of the sides, as LayoutLM has them"}
MANY = 20
"""So many outlines do not lie in one corner of their pictures by chance."""
TINY = 4.0
"""Canonical pixels of text height under which there is only a gray line to see."""
RETAINED = 0.8
"""Share of the scored outlines that should stay legible at the recipe's scale."""


def shape_findings(facts: Facts) -> list[Finding]:
    """Outlines that enclose nothing, cross themselves, or are given twice."""
    o = facts.outlines

    def extent(i: int) -> str:
        x0, y0, x1, y1 = o.bounds[i]
        n = o.offsets[i + 1] - o.offsets[i]
        return f"{n} vertices on {x1 - x0:.1f} x {y1 - y0:.1f} px at ({x0:.1f}, {y0:.1f})"

    return [
        *facts.outline_finding(
            "absurd-coordinates", "problem", o.absurd, "outlines at coordinates that no picture has", extent
        ),
        *facts.outline_finding(
            "degenerate-outline", "problem", o.degenerate & ~o.absurd, "outlines that enclose nothing", extent
        ),
        *facts.outline_finding(
            "crossing-outline",
            "problem",
            o.crossing & ~o.absurd,
            "outlines that cross or touch themselves",
            extent,
            rank=o.perimeter,
            hint="mostly vertices in a wrong order",
        ),
        *facts.outline_finding(
            "duplicate-outline",
            "problem",
            o.twin >= 0,
            "outlines given twice in one picture",
            lambda i: f"same vertices as outline {o.index[o.twin[i]]}",
            hint="an evaluation counts the second one as missed",
        ),
        *facts.outline_finding(
            "near-duplicate-outline",
            "note",
            o.near >= 0,
            f"outlines that share at least {NEAR:.0%} of their area with another one",
            lambda i: f"nearly outline {o.index[o.near[i]]}",
        ),
        *facts.outline_finding(
            "thin-outline",
            "note",
            facts.scored & (o.thickness < 1),
            "outlines less than one annotation pixel thick",
            extent,
            rank=-o.thickness,
        ),
    ]


def bounds_findings(facts: Facts) -> list[Finding]:
    """Outlines that are not on their picture, or cover most of it."""
    o = facts.outlines
    excess = np.nan_to_num(o.excess(facts.sizes))
    sane = ~o.absurd & ~o.degenerate
    outside = o.outside(facts.sizes) & sane
    limit = np.maximum(TOLERANCE, TOLERANCE_SHARE * np.nan_to_num(facts.sizes).max(axis=1, initial=0))[o.sample]
    covered = np.nan_to_num(o.area / np.maximum(np.prod(facts.sizes[o.sample], axis=1), 1))

    def detail(i: int) -> str:
        return f"reaches {excess[i]:.1f} px beyond {facts.size_text(int(o.sample[i]))}"

    return [
        *facts.outline_finding(
            "outside-picture", "problem", outside, "outlines entirely outside their picture", detail, rank=excess
        ),
        *facts.outline_finding(
            "out-of-bounds",
            "problem",
            (excess > limit) & ~outside & sane,
            f"outlines that reach far beyond their picture (over {TOLERANCE:g} px and {TOLERANCE_SHARE:.0%})",
            detail,
            rank=excess,
        ),
        *facts.outline_finding(
            "slightly-out",
            "note",
            (excess > 0) & (excess <= limit) & ~outside & sane,
            "outlines that reach a little beyond their picture",
            detail,
            rank=excess,
        ),
        *facts.outline_finding(
            "giant-outline",
            "note",
            facts.scored & (covered > GIANT),
            f"outlines that cover more than {GIANT:.0%} of their picture",
            lambda i: f"{covered[i]:.0%} of {facts.size_text(int(o.sample[i]))}",
            rank=covered,
        ),
    ]


def unit_findings(facts: Facts) -> list[Finding]:
    """Outlines that are shares of the sides by all that shows: pixels of many pictures would reach beyond."""
    o = facts.outlines
    for unit, what in UNITS.items():
        large = np.nan_to_num(facts.sizes).min(axis=1) > 1.1 * unit
        rows = large[o.sample] & ~o.absurd
        if rows.sum() < MANY or 2 * large.sum() < len(large):
            continue
        low, high = o.bounds[rows, :2].min(), o.bounds[rows, 2:].max(axis=0)
        if low >= 0 and 0.8 * unit < high.min() <= high.max() <= unit:
            return facts.outline_finding(
                "other-unit",
                "note",
                rows,
                f"outlines that lie within 0 and {unit} one and all, though their pictures are larger",
                lambda i: f"reaches ({o.bounds[i, 2]:g}, {o.bounds[i, 3]:g}) on {facts.size_text(int(o.sample[i]))}",
                hint=f"if these are {what}: multiply them by the sides first, for points are read as pixels",
            )
    return []


def text_findings(facts: Facts) -> list[Finding]:
    """Text too small to see at the recipe's scale: notes only, because the cure is another recipe."""
    height = facts.heights
    judged = facts.scored & ~np.isnan(height)
    tiny = judged & (np.nan_to_num(height) < TINY)
    every, lost = facts.per_sample(judged), facts.per_sample(tiny)
    scale = f"longest side {facts.spec.side}" if facts.spec.side else "the recipe's scale"
    poor = tiny.sum() > (1 - RETAINED) * judged.sum()
    return [
        *facts.outline_finding(
            "tiny-text",
            "note",
            tiny,
            f"outlines less than {TINY:g} px high at {scale}",
            lambda i: f"{height[i]:.1f} px high",
            rank=-np.nan_to_num(height),
            hint=f"less than {RETAINED:.0%} of the text stays legible: raise --longest" if poor else "",
            of=int(judged.sum()),
        ),
        *facts.picture_finding(
            "all-tiny-picture",
            "note",
            (every > 0) & (lost == every),
            f"pictures on which no outline is {TINY:g} px high at {scale}",
            lambda i: f"{every[i]} outlines on {facts.size_text(i)}",
        ),
    ]
