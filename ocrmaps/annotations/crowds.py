"""Outlines of one picture that no text has and that take minutes to draw or compare: refused when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

import numpy as np

from ocrmaps.geometry import FloatArray, IntArray
from ocrmaps.limits import MOST_LAYERS, MOST_PICTURE_POINTS, MOST_TANGLES, MOST_TEXTS

_FEW = 8
"""Outlines of so few corners cross themselves a dozen times at most."""
_FLAT = 2.2
"""An outline that is no longer than so many times the diagonal of what it spans has no teeth."""


def crowd(points: FloatArray, offsets: Sequence[int] | IntArray) -> tuple[str, str] | None:
    """(kind, message) for outlines, flat as in `PolygonSet`, that are too many, too dense or too long; else None.

    >>> boxes = np.tile([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]], (2000, 1))
    >>> crowd(boxes, np.arange(2001) * 4)[0], crowd(boxes[:8], np.array([0, 4, 8]))
    ('too-dense', None)
    """
    # Lines that all cross each other meet in half the square of their number: mostly that is not enough.
    if len(offsets) <= MOST_LAYERS and max(map(sub, offsets[1:], offsets), default=0) * len(points) <= 2 * MOST_TANGLES:
        return None  # nearly all pictures: no array for them
    offsets = np.asarray(offsets)
    counts = np.diff(offsets)
    if len(counts) > MOST_TEXTS:
        return "too-many-outlines", f"found {len(counts)} outlines of one picture, expected at most {MOST_TEXTS}"
    if len(points) > MOST_PICTURE_POINTS:
        return "too-many-points", f"found {len(points)} points of one picture, expected at most {MOST_PICTURE_POINTS}"
    if len(counts) > MOST_LAYERS:
        low, high = (side.reduceat(points, offsets[:-1]) for side in (np.minimum, np.maximum))
        page = np.prod(high.max(axis=0) - low.min(axis=0))
        deep = np.prod(high - low, axis=1).sum() / page if page > 0 else len(counts)
        if deep > MOST_LAYERS:
            message = f"found outlines that lie {deep:.0f} deep over each other, expected at most {MOST_LAYERS}"
            return "too-dense", message
    many = np.flatnonzero(counts > _FEW)
    if (counts[many] ** 2 / 2 - counts[many]).sum() > MOST_TANGLES:
        meet = _crossings(points, offsets, many)
        if meet > MOST_TANGLES:
            message = f"found outlines that may cross themselves in about {meet:.0f} places more than they have corners"
            return "too-dense", f"{message}, expected at most {MOST_TANGLES} in one picture"
    return None


def _crossings(points: FloatArray, offsets: IntArray, many: IntArray) -> float:
    """How often lines as long as the outlines, thrown on what they span, cross themselves beyond once a corner."""
    import shapely

    counts = np.diff(offsets)[many]
    cell = max(float(np.ptp(points, axis=0).max()) / 1000, 1e-9)
    picked = np.repeat(offsets[many] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    rings = shapely.linearrings(points[picked], indices=np.repeat(np.arange(len(many)), counts))
    length, area = shapely.length(rings), shapely.area(shapely.convex_hull(rings))
    thrown = np.divide(length**2, np.pi * area, out=np.full(len(many), np.inf), where=area > 0)
    beyond = np.maximum(np.minimum(thrown, counts**2 / 2) - counts, 0.0)
    if beyond.sum() <= MOST_TANGLES:
        return float(beyond.sum())
    spans = np.hypot(*(shapely.bounds(rings)[:, 2:] - shapely.bounds(rings)[:, :2]).T)
    for i in np.flatnonzero((beyond > 0) & (length < _FLAT * spans)).tolist():
        ring = points[offsets[many[i]] : offsets[many[i] + 1]]
        if min(_turns(ring[:, axis], ring[:, 1 - axis], cell) for axis in (0, 1)) == 2:
            beyond[i] = 0.0  # a line of text: there and back again
    return float(beyond.sum())


def _turns(along: FloatArray, across: FloatArray, cell: float) -> int:
    """How often a ring changes its direction along an axis: twice if it goes forth and back.

    Whoever goes to and fro across within a column `cell` wide turns, too: on a canvas the column may be a line.
    """
    columns = np.floor(along / cell)
    step, aside = np.diff(columns, append=columns[0]), np.diff(across, append=across[0])
    moved = (step != 0) | (aside != 0)
    step, aside = np.sign(step[moved]), np.sign(aside[moved])
    ways, inside = step[step != 0], np.where(step == 0, aside, 0)
    return int(np.count_nonzero(ways != np.roll(ways, 1)) + np.count_nonzero(inside * np.roll(inside, 1) < 0))
