"""The published DB target maps, one polygon and one edge at a time in plain numpy, to time and to test against.

Written from the definition (pixel indices are coordinates here; sizes are (height, width)):

1. clip the vertices to [0, w-1] x [0, h-1]; an area under 1 is ignored; one orientation for all;
2. an ignored polygon, or one whose axis-aligned extent is under `min_side`, is cleared in the probability mask;
3. the others shrink by D = A (1 - r^2) / L with round joins on coordinates truncated to integers; nothing left means
   ignored, otherwise the first returned path is filled;
4. each polygon still kept grows by D: the first path is filled in the threshold mask, and over that path's bounding
   box the threshold is 1 - clip(distance / D, 0, 1), the largest over edges and polygons.

The distance to an edge is the height of the triangle over it, or the nearer end point where the angle at the pixel is
acute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper
import shapely

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlainMaps:
    """What the published targets are, all (h, w) float32: threshold in [0, 1] before it is scaled to [0.3, 0.7]."""

    probability: Array
    threshold: Array
    probability_mask: Array
    threshold_mask: Array
    ignore: Array
    """(k): flags after the small and empty rules."""


def draw_plain(
    polygons: list[Array], ignore: Array, size: tuple[int, int], *, shrink_ratio: float = 0.4, min_side: float = 8.0
) -> PlainMaps:
    """Both steps of the published algorithm, in its order."""
    height, width = size
    ignore = np.array(ignore, dtype=bool)
    polygons = [np.array(p, dtype=np.float64) for p in polygons]
    for i, polygon in enumerate(polygons):
        polygon[:, 0] = np.clip(polygon[:, 0], 0, width - 1)
        polygon[:, 1] = np.clip(polygon[:, 1], 0, height - 1)
        ahead = np.roll(polygon, -1, axis=0)
        area = float(np.sum((ahead[:, 0] - polygon[:, 0]) * (ahead[:, 1] + polygon[:, 1]))) / 2
        if abs(area) < 1:
            ignore[i] = True
        if area > 0:
            polygons[i] = polygon[::-1]

    probability = np.zeros(size, dtype=np.float32)
    probability_mask = np.ones(size, dtype=np.float32)
    for i, polygon in enumerate(polygons):
        extent = polygon.max(axis=0) - polygon.min(axis=0)
        small = bool(ignore[i]) or extent.min() < min_side
        kernel = np.zeros((0, 2), np.int32) if small else _offset(polygon, -_distance(polygon, shrink_ratio))
        if len(kernel):
            cv2.fillPoly(probability, [kernel], 1.0)
        else:
            ignore[i] = True
            cv2.fillPoly(probability_mask, [polygon.astype(np.int32)], 0.0)

    threshold = np.zeros(size, dtype=np.float32)
    threshold_mask = np.zeros(size, dtype=np.float32)
    for i, polygon in enumerate(polygons):
        if not ignore[i]:
            _draw_border(polygon, _distance(polygon, shrink_ratio), threshold, threshold_mask)
    return PlainMaps(
        probability=probability,
        threshold=threshold,
        probability_mask=probability_mask,
        threshold_mask=threshold_mask,
        ignore=ignore,
    )


def _distance(polygon: Array, shrink_ratio: float) -> float:
    shape = shapely.Polygon(polygon)
    return float(shape.area * (1 - shrink_ratio**2) / shape.length)


def _offset(polygon: Array, distance: float) -> Array:
    """(n, 2) int32 points of the first path; none if nothing is left."""
    engine = pyclipper.PyclipperOffset()
    engine.AddPath([tuple(point) for point in polygon], pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    paths = engine.Execute(distance)
    return np.array(paths[0], dtype=np.int32).reshape(-1, 2) if paths else np.zeros((0, 2), dtype=np.int32)


def _draw_border(polygon: Array, distance: float, threshold: Array, threshold_mask: Array) -> None:
    height, width = threshold.shape
    grown = _offset(polygon, distance)
    cv2.fillPoly(threshold_mask, [grown], 1.0)
    x0, y0 = grown.min(axis=0)
    x1, y1 = grown.max(axis=0)
    local = polygon - (x0, y0)
    xs = np.broadcast_to(np.arange(x1 - x0 + 1, dtype=np.float64), (y1 - y0 + 1, x1 - x0 + 1))
    ys = np.broadcast_to(np.arange(y1 - y0 + 1, dtype=np.float64)[:, None], (y1 - y0 + 1, x1 - x0 + 1))
    far = np.zeros((len(polygon), y1 - y0 + 1, x1 - x0 + 1), dtype=np.float32)
    for i in range(len(polygon)):
        to_edge = _edge_distance(xs, ys, local[i], local[(i + 1) % len(polygon)])
        far[i] = np.clip(to_edge / distance, 0, 1)
    near = 1 - far.min(axis=0)
    top, left, bottom, right = max(y0, 0), max(x0, 0), min(y1, height - 1), min(x1, width - 1)
    window = threshold[top : bottom + 1, left : right + 1]
    np.fmax(window, near[top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1], out=window)


def _edge_distance(xs: Array, ys: Array, a: Array, b: Array) -> Array:
    """Law of cosines at the pixel: an acute angle there means the nearer end point, else the triangle's height."""
    to_a = np.square(xs - a[0]) + np.square(ys - a[1])
    to_b = np.square(xs - b[0]) + np.square(ys - b[1])
    along = np.square(a[0] - b[0]) + np.square(a[1] - b[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (along - to_a - to_b) / (2 * np.sqrt(to_a * to_b))
        sine_squared = np.nan_to_num(1 - np.square(cosine))
        height = np.sqrt(to_a * to_b * sine_squared / along)
    acute = cosine < 0
    height[acute] = np.sqrt(np.fmin(to_a, to_b))[acute]
    return height
