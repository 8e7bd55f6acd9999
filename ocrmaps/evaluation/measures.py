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
    angle = np.where(aspect < SQUARE, np.nan, _angles(upright))
    return Measures(
        height=read_only(sides[:, 0], np.float64),
        canonical_height=read_only(canonical, np.float64),
        aspect=read_only(aspect, np.float64),
        angle=read_only(angle, np.float64),
    )


def _angles(polygons: PolygonSet) -> FloatArray:
    """(k): degrees of the axis along which each outline, taken as a wire, is spread the most; nan without a length."""
    ahead = polygons.next_points()
    length = np.hypot(*(ahead - polygons.points).T)[:, None]
    whole = polygons.sums(length)
    center = polygons.sums(length * (polygons.points + ahead) / 2) / np.where(whole > 0, whole, 1.0)
    center = np.repeat(center, polygons.counts(), axis=0)
    (ax, ay), (bx, by) = (polygons.points - center).T, (ahead - center).T
    # Second moments of straight segments of even weight.
    moments = (ax * ax + ax * bx + bx * bx, ay * ay + ay * by + by * by, ax * ay + bx * by + (ax * by + bx * ay) / 2)
    xx, yy, xy = polygons.sums(length * np.stack(moments, axis=1) / 3).T
    degrees = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    return np.where(whole[:, 0] > 0, np.where(degrees <= -90, 90.0, degrees), np.nan)
