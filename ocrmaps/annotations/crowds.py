"""Outlines of one picture that no text has and that take minutes to draw or compare: refused when they are read."""

from __future__ import annotations

import numpy as np

from ocrmaps.geometry import FloatArray, IntArray
from ocrmaps.limits import MOST_LAYERS, MOST_PICTURE_POINTS, MOST_TANGLES, MOST_TEXTS

_FEW = 8
"""Outlines of so few corners cross themselves a dozen times at most."""


def crowd(points: FloatArray, offsets: IntArray) -> tuple[str, str] | None:
    """(kind, message) for outlines, flat as in `PolygonSet`, that are too many, too dense or too long; else None.

    >>> boxes = np.tile([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]], (2000, 1))
    >>> crowd(boxes, np.arange(2001) * 4)[0], crowd(boxes[:8], np.array([0, 4, 8]))
    ('too-dense', None)
    """
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
    if len(many):
        meet = _crossings(points, offsets, many)
        if meet > MOST_TANGLES:
            message = f"found outlines that may cross themselves in about {meet:.0f} places more than they have corners"
            return "too-dense", f"{message}, expected at most {MOST_TANGLES} in one picture"
    return None


def _crossings(points: FloatArray, offsets: IntArray, many: IntArray) -> float:
    """How often lines as long as the outlines, thrown on what they span, cross themselves beyond once a corner."""
    import shapely

    counts = np.diff(offsets)[many]
    picked = np.repeat(offsets[many] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    rings = shapely.linearrings(points[picked], indices=np.repeat(np.arange(len(many)), counts))
    length, area = shapely.length(rings), shapely.area(shapely.convex_hull(rings))
    thrown = np.divide(length**2, np.pi * area, out=np.full(len(many), np.inf), where=area > 0)
    return float(np.maximum(np.minimum(thrown, counts**2 / 2) - counts, 0.0).sum())
