"""Height, aspect and direction of texts: what an error table is grouped by."""

from __future__ import annotations

import numpy as np

from ocrmaps.canonical import CanonicalTransform
from ocrmaps.evaluation.records import Measures
from ocrmaps.geometry import FloatArray, PolygonSet, read_only, upright_affine
from ocrmaps.pictures import Header

SQUARE = 1.3
"""Under this aspect a polygon has no direction."""


def measure(
    polygons: PolygonSet, transform: CanonicalTransform | None = None, header: Header | None = None
) -> Measures:
    """Sizes in the polygons' own frame and, with a transform, on the canonical picture; angles on the upright one.

    Without transform or header, raw polygons are taken to be upright.

    >>> m = measure(PolygonSet.of([[(0, 0), (30, 0), (30, 5), (0, 5)]], frame="upright"))
    >>> m.height.tolist(), m.aspect.tolist(), m.direction(0), m.canonical_height.tolist()
    ([5.0], [6.0], 'horizontal', [nan])
    """
    sides = polygons.equivalent_sides()
    canonical = np.full(len(polygons), np.nan)
    upright = polygons
    if transform is not None:
        canonical = transform.apply(polygons, "canonical").equivalent_sides()[:, 0]
        upright = transform.apply(polygons, "upright")
    elif header is not None and polygons.frame == "raw":
        upright = polygons.transform(upright_affine(header.orientation, header.size), "upright")
    aspect = sides[:, 1] / np.maximum(sides[:, 0], 1e-9)
    aspect = np.where(sides[:, 1] > 0, np.maximum(aspect, 1.0), 1.0)
    angle = np.array([_angle(points) for points in upright], dtype=np.float64).reshape(-1)
    angle[aspect < SQUARE] = np.nan
    return Measures(
        height=read_only(sides[:, 0], np.float64),
        canonical_height=read_only(canonical, np.float64),
        aspect=read_only(aspect, np.float64),
        angle=read_only(angle, np.float64),
    )


def _angle(points: FloatArray) -> float:
    """Degrees of the axis along which the outline, taken as a wire, is spread the most."""
    if len(points) < 2:
        return float("nan")
    ahead = np.roll(points, -1, axis=0)
    length = np.hypot(*(ahead - points).T)
    if not length.sum() > 0:
        return float("nan")
    middle = (points + ahead) / 2
    centre = (length[:, None] * middle).sum(axis=0) / length.sum()
    a, b = points - centre, ahead - centre
    # Second moments of straight segments of even weight.
    xx, yy = (length[:, None] * (a * a + a * b + b * b) / 3).sum(axis=0)
    xy = (length * (2 * a[:, 0] * a[:, 1] + 2 * b[:, 0] * b[:, 1] + a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]) / 6).sum()
    degrees = float(np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)))
    return 90.0 if degrees <= -90 else degrees
