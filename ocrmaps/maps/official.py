"""Style `official`: pixel for pixel what the original DB implementation draws, for reproducing published numbers.

Coordinates are pixel indices, not centers. In this order: vertices are clipped to [0, w-1] x [0, h-1], which changes
the D of cut text; an area under 1 is ignored; outlines run clockwise; ignored polygons and those with an extent under
`min_side` are cleared in the probability mask; the others shrink and grow by D on coordinates truncated to integers,
and only the first returned path is filled, its outline included. The distance to an edge is the height of the triangle
over it, or the nearer end where the angle at the pixel is acute. Nothing is repaired, and ignored regions stay in the
threshold mask.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet, Size
from ocrmaps.maps.records import Maps, MapSpec, Outcome

Array = npt.NDArray[Any]


def draw_official(polygons: PolygonSet, spec: MapSpec, size: Size) -> Maps:
    """Maps as published; `threshold` before it is scaled to [0.3, 0.7]."""
    height, width = size
    k = len(polygons)
    points = np.clip(polygons.points, 0.0, (width - 1.0, height - 1.0))
    offsets = polygons.offsets
    areas, extents = orient_clockwise(points, offsets)
    empty = ~(areas >= 1.0)
    drawable = ~(polygons.ignore | empty | (extents < spec.min_side))
    distances = _shrink_distances(points, offsets, drawable, spec.shrink_ratio)
    whole, pixels = points.tolist(), points.astype(np.int32)

    probability = np.zeros(size, dtype=np.uint8)
    threshold = np.zeros(size, dtype=np.float32)
    probability_mask = np.ones(size, dtype=np.uint8)
    threshold_mask = np.zeros(size, dtype=np.uint8)
    windows = np.zeros((k, 4), dtype=np.int64)
    outcomes: list[Outcome] = []
    ends = offsets.tolist()
    for i in range(k):
        a, b = ends[i], ends[i + 1]
        kernels = _offset(whole[a:b], -distances[i]) if drawable[i] else []
        if kernels:
            grown = _offset(whole[a:b], distances[i])
            cv2.fillPoly(probability, [kernels[0]], 1)
            outcomes.append(Outcome.DRAWN if len(kernels) == 1 else Outcome.SPLIT)
            if grown:
                cv2.fillPoly(threshold_mask, [grown[0]], 1)
                windows[i] = (*grown[0].min(axis=0), *grown[0].max(axis=0))
            continue
        distances[i] = 0.0
        if b > a:
            cv2.fillPoly(probability_mask, [pixels[a:b]], 0)
        outcomes.append(_reason(polygons[i], bool(polygons.ignore[i]), bool(empty[i]), bool(drawable[i]), size))
    draw_official_borders(points, offsets, windows, distances, threshold)
    return Maps(
        probability=probability,
        threshold=threshold,
        probability_mask=probability_mask,
        threshold_mask=threshold_mask,
        outcomes=tuple(outcomes),
        distances=distances,
    )


def _reason(polygon: FloatArray, ignore: bool, empty: bool, drawable: bool, size: Size) -> Outcome:
    """Why a polygon has no kernel, by its vertices before they were clipped."""
    if ignore:
        return Outcome.IGNORED
    if not len(polygon):
        return Outcome.DEGENERATE
    (x0, y0), (x1, y1) = polygon.min(axis=0), polygon.max(axis=0)
    if x1 <= 0 or y1 <= 0 or x0 >= size[1] or y0 >= size[0]:
        return Outcome.OUTSIDE
    if empty:
        return Outcome.DEGENERATE
    if not drawable:
        return Outcome.TOO_SMALL
    return Outcome.CUT_OFF if x0 < 0 or y0 < 0 or x1 > size[1] or y1 > size[0] else Outcome.NO_KERNEL


def _shrink_distances(points: FloatArray, offsets: IntArray, wanted: Array, ratio: float) -> FloatArray:
    """D of the wanted polygons, 0 for the others: area and length by the same engine as the published maps."""
    out = np.zeros(len(offsets) - 1)
    if wanted.any():
        counts = np.diff(offsets)
        owner = np.repeat(np.arange(len(counts)), counts)
        chosen = wanted[owner]
        shapes = shapely.polygons(shapely.linearrings(points[chosen], indices=(np.cumsum(wanted) - 1)[owner[chosen]]))
        out[wanted] = shapely.area(shapes) * (1 - ratio**2) / shapely.length(shapes)
    return out


def _offset(path: list[list[float]], distance: float) -> list[Array]:
    """The outline moved outwards by a distance, as (n, 2) int32 paths; none where nothing is left of it."""
    engine = pyclipper.PyclipperOffset()
    engine.AddPath(path, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(found, dtype=np.int32) for found in engine.Execute(distance)]


@compiled
def orient_clockwise(points: Array, offsets: Array) -> tuple[Array, Array]:
    """Reverse polygons that run anticlockwise on the screen, in place; give their areas and smaller extents."""
    k = len(offsets) - 1
    areas, extents = np.zeros(k), np.zeros(k)
    for i in range(k):
        a, b = offsets[i], offsets[i + 1]
        if b - a < 3:
            continue
        double = 0.0
        x0 = y0 = np.inf
        x1 = y1 = -np.inf
        for j in range(a, b):
            n = j + 1 if j + 1 < b else a
            double += (points[n, 0] - points[j, 0]) * (points[n, 1] + points[j, 1])
            x0, x1 = min(x0, points[j, 0]), max(x1, points[j, 0])
            y0, y1 = min(y0, points[j, 1]), max(y1, points[j, 1])
        areas[i] = abs(double) / 2
        extents[i] = min(x1 - x0, y1 - y0)
        if double > 0.0:
            points[a:b] = points[a:b][::-1].copy()
    return areas, extents


@compiled
def draw_official_borders(points: Array, offsets: Array, windows: Array, distances: Array, threshold: Array) -> None:
    """The threshold of polygons, each within its window (x0, y0, x1, y1 inclusive: the bounds of its grown path).

    The published distance is never less than the true one, so pixels farther than D from an edge need no look.
    """
    height, width = threshold.shape
    near = np.empty(width)
    for i in range(len(distances)):
        d = distances[i]
        if not d > 0.0:
            continue
        wx, wy = windows[i, 0], windows[i, 1]
        x0, x1 = max(wx, 0), min(windows[i, 2], width - 1) + 1
        y0, y1 = max(wy, 0), min(windows[i, 3], height - 1) + 1
        slack = d * (1.0 + 1e-9) + 1e-6
        start, end = offsets[i], offsets[i + 1]
        for y in range(y0, y1):
            near[x0:x1] = np.inf
            low, high = x1, x0
            for j in range(start, end):
                n = j + 1 if j + 1 < end else start
                # Relative to the window, as published: the rounding of these differences is part of the result.
                ax, ay, bx, by = points[j, 0] - wx, points[j, 1] - wy, points[n, 0] - wx, points[n, 1] - wy
                row = float(y - wy)
                if min(ay, by) - slack > row or max(ay, by) + slack < row:
                    continue
                first = max(math.ceil(max(min(ax, bx) - slack + wx, -1.0)), x0)
                last = min(math.floor(min(max(ax, bx) + slack + wx, float(width))) + 1, x1)
                if first >= last:
                    continue
                low, high = min(low, first), max(high, last)
                if _official_run(near[first:last], row, first - wx, ax, ay, bx, by):
                    _official_close(near[first:last], row, first - wx, ax, ay, bx, by)
            _official_band(near[low:high], d, threshold[y, low:high])


@compiled
def _official_band(near: Array, d: float, threshold: Array) -> None:
    """Raise the threshold of a run of pixels to 1 - distance / d where that is more; a nan distance changes nothing."""
    for i in range(len(near)):
        square = near[i] if near[i] < d * d else d * d
        t = np.float32(max(1.0 - math.sqrt(square) / d, 0.0))
        threshold[i] = t if t > threshold[i] else threshold[i]


@compiled
def _official_run(row: Array, y: float, x0: int, ax: float, ay: float, bx: float, by: float) -> int:
    """Lower squared distances of a run of pixels to those to one edge, count the pixels left to `_official_close`."""
    along = (ax - bx) * (ax - bx) + (ay - by) * (ay - by)
    per = 1.0 / along if along > 0.0 else 0.0
    down_a, down_b = (y - ay) * (y - ay), (y - by) * (y - by)
    lean, high, start = (y - ay) * (bx - ax), by - ay, np.int32(x0)
    close = 0
    for i in range(len(row)):
        x = float(np.int32(i) + start)
        to_a = (x - ax) * (x - ax) + down_a
        to_b = (x - bx) * (x - bx) + down_b
        cross = (x - ax) * high - lean
        square = cross * cross
        ends = to_a if to_a < to_b else to_b
        value = ends if along - to_a - to_b < 0.0 else square * per
        unsure = square <= 1e-6 * (to_a * to_b)
        value = np.inf if unsure else value
        row[i] = value if value < row[i] else row[i]
        close += 1 if unsure else 0
    return close


@compiled
def _official_close(row: Array, y: float, x0: int, ax: float, ay: float, bx: float, by: float) -> None:
    """Pixels so close to the edge's line that the published formula lives on its rounding: each operation as published.

    Where that rounds the squared sine below zero the published distance is nan, which hides the polygon from the pixel.
    """
    along = (ax - bx) * (ax - bx) + (ay - by) * (ay - by)
    for i in range(len(row)):
        x = float(x0 + i)
        to_a = (x - ax) * (x - ax) + (y - ay) * (y - ay)
        to_b = (x - bx) * (x - bx) + (y - by) * (y - by)
        cross = (x - ax) * (by - ay) - (y - ay) * (bx - ax)
        if cross * cross > 1e-6 * (to_a * to_b) or row[i] != row[i]:
            continue
        gap = along - to_a - to_b
        if gap < 0.0:
            value = min(to_a, to_b)
        elif to_a * to_b > 0.0:
            cosine = gap / (2.0 * math.sqrt(to_a * to_b))
            sine = 1.0 - cosine * cosine
            value = to_a * to_b * sine / along if sine >= 0.0 else np.nan
        else:
            value = 0.0 if along > 0.0 else np.nan
        row[i] = row[i] if value >= row[i] else value
