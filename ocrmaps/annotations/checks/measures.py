"""Figures of a source: how many, how large, how high, how long, and how much of it a recipe's scale keeps.

Text measures are taken over outlines that are sound and not ignored; canonical ones are pixels of the picture that
the model would see. A share of nothing is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations.checks.facts import Facts

UNDER_HEIGHTS = (4.0, 8.0, 12.0)
"""Canonical pixels of text height that shares are given for."""
UNDER_KERNELS = (1.0, 2.0, 3.0)
"""Canonical pixels of kernel thickness: under 1 a kernel may hold no pixel center, under 2 to 3 it learns slowly."""
SHRINKS = (0.4, 0.6)
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_QUANTILE_NAMES = ("min", "p05", "p25", "median", "p75", "p95", "max")


def measure(facts: Facts) -> dict[str, Any]:
    """All figures of one source, ready for JSON."""
    o, scored = facts.outlines, facts.scored
    known = scored & ~np.isnan(facts.heights)
    per_picture = facts.per_sample(np.ones(len(o), dtype=np.bool_))
    return {
        "pictures": _pictures(facts),
        "outlines": {
            "total": len(o),
            "ignored": int(o.ignore.sum()),
            "ignored_share": share(o.ignore),
            "scored": int(scored.sum()),
            "with_text": sum(text is not None for s in facts.samples for text in s.polygons.texts),
            "per_picture": quantiles(per_picture),
            "vertices": {str(n): c for n, c in sorted(Counter(np.diff(o.offsets).tolist()).items())},
        },
        "sizes": {
            "width": quantiles(facts.sizes[:, 1]),
            "height": quantiles(facts.sizes[:, 0]),
            "aspect": quantiles(facts.sizes[:, 0] / facts.sizes[:, 1]),
        },
        "text": {
            "height_annotated": quantiles(o.thickness[scored]),
            "height": quantiles(facts.heights[known]),
            "under": {f"{px:g}": share(facts.heights[known] < px) for px in UNDER_HEIGHTS},
            "aspect": quantiles(aspects(facts)[scored]),
            "vertical_share": share(_vertical(facts)[scored]),
        },
        "kernels": {f"{r:g}": _kernels(facts, known, r) for r in SHRINKS},
        "canvases": canvases(facts),
        "unused": dict(facts.reading.unused),
    }


def _pictures(facts: Facts) -> dict[str, Any]:
    headers = [h for h in facts.headers if h]
    tags = Counter("none" if h.orientation_tag is None else str(h.orientation_tag) for h in headers)
    return {
        "annotated": len(facts.samples),
        "found": facts.pictures.found,
        "missing": len(facts.pictures.missing),
        "unannotated": len(facts.pictures.orphans),
        "damaged": sum(look is not None and bool(look.error) for look in facts.looks),
        "without_outlines": int((facts.per_sample(np.ones(len(facts.outlines), dtype=np.bool_)) == 0).sum()),
        "megabytes": round(sum(look.bytes for look in facts.looks if look) / 1e6, 3),
        "formats": dict(Counter(h.format for h in headers).most_common()),
        "modes": dict(Counter(h.mode for h in headers).most_common()),
        "orientation_tags": {tag: tags[tag] for tag in sorted(tags)},
    }


def _kernels(facts: Facts, known: npt.NDArray[np.bool_], shrink: float) -> dict[str, float | None]:
    thickness = (facts.outlines.kernel_thickness(shrink) * facts.scale[facts.outlines.sample])[known]
    return {f"under_{px:g}px": share(thickness < px) for px in UNDER_KERNELS}


def canvases(facts: Facts) -> list[dict[str, Any]]:
    """What each canvas of the recipe would hold, the fullest first."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, transform in enumerate(facts.transforms):
        if transform:
            groups.setdefault(transform.canvas, []).append(i)
    known = facts.scored & ~np.isnan(facts.heights)
    out = []
    for (height, width), members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        mine = np.zeros(len(facts.samples), dtype=np.bool_)
        mine[members] = True
        text = facts.heights[known & mine[facts.outlines.sample]]
        filled = [t.resized[0] * t.resized[1] / (height * width) for i in members if (t := facts.transforms[i])]
        out.append(
            {
                "canvas": f"{height}x{width}",
                "pictures": len(members),
                "filled": float(np.mean(filled)),
                "enlarged": int((facts.scale[members] > 1).sum()),
                "text_height": quantiles(text),
                "under": {f"{px:g}": share(text < px) for px in UNDER_HEIGHTS},
            }
        )
    return out


def aspects(facts: Facts) -> npt.NDArray[np.float64]:
    """(k): length over height; 1 for outlines without area."""
    o = facts.outlines
    return np.divide(o.length, o.thickness, out=np.ones(len(o)), where=o.thickness > 0)


def _vertical(facts: Facts) -> npt.NDArray[np.bool_]:
    """(k): clearly taller than wide."""
    x0, y0, x1, y1 = facts.outlines.bounds.T
    return (y1 - y0) > 1.5 * (x1 - x0)


def share(flags: npt.NDArray[np.bool_]) -> float | None:
    """The part that is true; None of nothing."""
    return float(flags.mean()) if len(flags) else None


def quantiles(values: npt.ArrayLike) -> dict[str, float] | None:
    """Minimum to maximum of the known values; None where there are none.

    >>> quantiles([1, 2, float("nan")])["median"]
    1.5
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    found = np.quantile(known, _QUANTILES)
    return {name: round(float(value), 4) for name, value in zip(_QUANTILE_NAMES, found, strict=True)}
