"""The per-pixel arithmetic of style `exact`: the same bits on every processor, thread and symmetric picture.

Coordinates are canonical pixels on a grid of 2^-24 px, so that every difference of two of them is exact. Only + - * /,
square root and comparisons of float64 decide anything; numba without fastmath neither reorders nor fuses them, and sums
whose order could matter are taken on a grid on which they are exact. Each edge is measured from its midpoint, which
makes a flip, a quarter turn, a shift by whole pixels or another first vertex change signs and names, never a rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.compiled import compiled

THIN = 2.0**-20
"""A polygon with D below this is degenerate; also how near to a border a pixel center counts as on it."""
STRIP = 16
"""Rows measured at a time, and the width of a tile where many edges are culled."""
BLOCK = 128
"""The width at which many edges are culled first."""
FEW_EDGES = 24
"""Up to this many edges are measured directly; more are first culled by blocks and tiles."""

DRAWN, TOO_SMALL, NO_KERNEL, DEGENERATE, MASK = range(5)
"""What became of a polygon that was to be drawn; MASK asks not to draw it."""
MX, MY, HX, HY, PER, TOP, BOTTOM, LEFT, RIGHT, START, SLOPE, FIELDS = range(12)
"""Fields of an edge: midpoint, half vector, 1 / |half vector|^2, bounds, x at the top, dx/dy (nan if nearly level)."""

Array = npt.NDArray[Any]
Window = tuple[int, int, int, int]


@compiled
def _unit(largest: float) -> float:
    """The grain on which sums up to `largest` are exact in float64."""
    return math.ldexp(1.0, math.frexp(largest)[1] - 50)


@compiled
def _on(value: float, unit: float) -> float:
    """`value` rounded to a multiple of `unit`, by the addition that pushes the other bits out."""
    push = 6755399441055744.0 * unit
    return (value + push) - push


@compiled
def _measure_rings(points: Array, offsets: Array, edges: Array) -> tuple[int, float, float]:
    """Fill `edges` from the rings of one polygon; give their number, the area and the perimeter.

    Both sums are exact sums of rounded terms about the middle of the bounds, so vertex order cannot change them.
    Holes run the other way round than the outline they are in.
    """
    start, end = offsets[0], offsets[-1]
    if end - start < 3:
        return 0, 0.0, 0.0
    x0 = y0 = np.inf
    x1 = y1 = -np.inf
    for i in range(start, end):
        x0, x1 = min(x0, points[i, 0]), max(x1, points[i, 0])
        y0, y1 = min(y0, points[i, 1]), max(y1, points[i, 1])
    wide, high = x1 - x0, y1 - y0
    if wide == 0.0 or high == 0.0:
        return 0, 0.0, 0.0
    cx, cy = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    area_unit, length_unit = _unit((end - start) * (wide * high)), _unit((end - start) * (wide + high))
    twice = length = 0.0
    count = 0
    for ring in range(len(offsets) - 1):
        a = offsets[ring + 1] - 1
        for b in range(offsets[ring], offsets[ring + 1]):
            ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
            a = b
            dx, dy = bx - ax, by - ay
            twice += _on((ax - cx) * (by - cy) - (bx - cx) * (ay - cy), area_unit)
            length += _on(math.sqrt(dx * dx + dy * dy), length_unit)
            if dx == 0.0 and dy == 0.0:
                continue
            edge = edges[count]
            edge[MX], edge[MY] = 0.5 * (ax + bx), 0.5 * (ay + by)
            edge[HX], edge[HY] = 0.5 * dx, 0.5 * dy
            edge[PER] = 1.0 / (edge[HX] * edge[HX] + edge[HY] * edge[HY])
            edge[TOP], edge[BOTTOM] = min(ay, by), max(ay, by)
            edge[LEFT], edge[RIGHT] = min(ax, bx), max(ax, bx)
            edge[START] = ax if ay < by else bx
            edge[SLOPE] = dx / dy if abs(dy) > 1e-3 else np.nan
            count += 1
    return count, 0.5 * abs(twice), length


@compiled
def _pixel_from(x: float, limit: int) -> int:
    """The first pixel whose center is at x or beyond, kept within 0 to `limit`."""
    return int(min(max(np.ceil(x - 0.5), 0.0), float(limit)))


@compiled
def _columns_near(edges: Array, e: int, yc: float, slack: float) -> tuple[float, float]:
    """Between which x a row can be within `slack` of an edge that comes that near: never too narrow."""
    left, right, slope = edges[e, LEFT], edges[e, RIGHT], edges[e, SLOPE]
    if slope == slope:
        top, bottom, start = edges[e, TOP], edges[e, BOTTOM], edges[e, START]
        a = start + (max(yc - slack, top) - top) * slope
        b = start + (min(yc + slack, bottom) - top) * slope
        left, right = max(left, min(a, b)), min(right, max(a, b))
    return left - slack - 1e-3, right + slack + 1e-3


@compiled
def _near_edges(edges: Array, count: int, top: float, bottom: float, reach: float, chosen: Array) -> int:
    """Indices of the edges that come within `reach` of the rows between top and bottom."""
    found = 0
    for e in range(count):
        if edges[e, TOP] - reach <= bottom and edges[e, BOTTOM] + reach >= top:
            chosen[found] = e
            found += 1
    return found


@compiled
def _cull(edges: Array, listed: Array, count: int, window: Window, reach: float, out: Array) -> int:
    """Indices of the listed edges that can be the nearest one, and within `reach`, for some pixel of the window."""
    y0, y1, x0, x1 = window
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    radius = 0.5 * math.sqrt(float((x1 - x0) ** 2 + (y1 - y0) ** 2))
    far = np.empty(count, np.float64)
    least = np.inf
    for k in range(count):
        e = listed[k]
        ux, uy = x - edges[e, MX], y - edges[e, MY]
        t = min(max((ux * edges[e, HX] + uy * edges[e, HY]) * edges[e, PER], -1.0), 1.0)
        ex, ey = ux - t * edges[e, HX], uy - t * edges[e, HY]
        far[k] = math.sqrt(ex * ex + ey * ey)
        least = min(least, far[k])
    limit = min(least + 2.0 * radius, reach + radius) * (1.0 + 1e-9) + 1e-6
    found = 0
    for k in range(count):
        if far[k] <= limit:
            out[found] = listed[k]
            found += 1
    return found


# The loops over pixels take slices and count from 0: only then can the compiler rule out negative indices and use SIMD.


@compiled
def _measure_run(row: Array, centers: Array, mx: float, hx: float, hy: float, per: float, uy: float) -> None:
    """Lower squared distances of a run of pixels to those to one edge, `uy` below its midpoint."""
    along = uy * hy
    for i in range(len(row)):
        ux = centers[i] - mx
        t = (ux * hx + along) * per
        t = 1.0 if t > 1.0 else t
        t = -1.0 if t < -1.0 else t
        ex = ux - t * hx
        ey = uy - t * hy
        square = ex * ex + ey * ey
        row[i] = square if square < row[i] else row[i]


@compiled
def _draw_kernel(near: Array, beyond: float, probability: Array, threshold_mask: Array) -> None:
    """A run of pixels inside a drawn polygon."""
    for i in range(len(near)):
        probability[i] |= near[i] > beyond
    threshold_mask[:] = 1


@compiled
def _draw_band(near: Array, d: float, threshold: Array) -> None:
    """Raise the threshold of a run of pixels to 1 - distance / d where that is more."""
    beyond = d * d
    for i in range(len(near)):
        square = near[i] if near[i] < beyond else beyond
        # A division, because sqrt(d * d) / d is 1 and sqrt(d * d) * (1 / d) need not be.
        t = np.float32(1.0 - math.sqrt(square) / d)
        threshold[i] = t if t > threshold[i] else threshold[i]


@compiled
def _mask_band(near: Array, d: float, threshold_mask: Array) -> None:
    """Let the threshold of a run of pixels count where they are within d of the border."""
    for i in range(len(near)):
        threshold_mask[i] |= near[i] <= d * d


@compiled
def _measure_tile(
    near: Array, touched: Array, centers: Array, edges: Array, listed: Array, count: int, window: Window, reach: float
) -> None:
    """Squared distances to the nearest listed edge, for pixels that one of them may reach; infinity for the others.

    `touched` grows by the columns measured in each row.
    """
    y0, y1, x0, x1 = window
    slack = reach * (1.0 + 1e-9) + 1e-6
    for y in range(y0, y1):
        row = near[y - y0]
        row[x0:x1] = np.inf
        yc = y + 0.5
        for k in range(count):
            e = listed[k]
            if edges[e, TOP] - slack > yc or edges[e, BOTTOM] + slack < yc:
                continue
            left, right = _columns_near(edges, e, yc, slack)
            first, last = max(_pixel_from(left, x1), x0), _pixel_from(right, x1)
            if first >= last:
                continue
            touched[y - y0, 0] = min(touched[y - y0, 0], first)
            touched[y - y0, 1] = max(touched[y - y0, 1], last)
            hx, hy, uy = edges[e, HX], edges[e, HY], yc - edges[e, MY]
            _measure_run(row[first:last], centers[first:last], edges[e, MX], hx, hy, edges[e, PER], uy)


@compiled
def _measure_strip(
    near: Array, touched: Array, centers: Array, edges: Array, listed: Array, count: int, window: Window, reach: float
) -> None:
    """`_measure_tile` over a whole strip; where there are many edges, tile by tile with those that can matter there."""
    y0, y1, x0, x1 = window
    touched[:, 0] = x1
    touched[:, 1] = x0
    if count <= FEW_EDGES:
        _measure_tile(near, touched, centers, edges, listed, count, window, reach)
        return
    some, fewer = np.empty(count, np.int64), np.empty(count, np.int64)
    for left in range(x0, x1, BLOCK):
        right = min(left + BLOCK, x1)
        found = _cull(edges, listed, count, (y0, y1, left, right), reach, some)
        for a in range(left, right, STRIP):
            tile = (y0, y1, a, min(a + STRIP, right))
            kept = _cull(edges, some, found, tile, reach, fewer)
            _measure_tile(near, touched, centers, edges, fewer, kept, tile, reach)


@compiled
def _crossings(edges: Array, listed: Array, count: int, yc: float, out: Array) -> int:
    """Sorted x of where the listed edges cross a row: from first to second is inside, third to fourth, and so on.

    Rounding here is far below THIN, and a pixel within THIN of the border is decided by its distance, not by this.
    """
    found = 0
    for k in range(count):
        e = listed[k]
        if not edges[e, TOP] <= yc < edges[e, BOTTOM]:
            continue
        out[found] = edges[e, START] + (yc - edges[e, TOP]) * edges[e, HX] / edges[e, HY]
        found += 1
    # Shell sort: numba takes a second to compile its own.
    gap = found // 2
    while gap > 0:
        for i in range(gap, found):
            x = out[i]
            j = i
            while j >= gap and out[j - gap] > x:
                out[j] = out[j - gap]
                j -= gap
            out[j] = x
        gap //= 2
    return found


@compiled
def _has_kernel(
    near: Array, edges: Array, listed: Array, count: int, window: Window, reach: float, cuts: Array
) -> bool:
    """Whether a pixel of this strip is inside and farther than `reach` from the border."""
    y0, y1, _, x1 = window
    for y in range(y0, y1):
        row = near[y - y0]
        for c in range(0, _crossings(edges, listed, count, y + 0.5, cuts) - 1, 2):
            for x in range(_pixel_from(cuts[c], x1), _pixel_from(cuts[c + 1], x1)):
                if row[x] > reach * reach:
                    return True
    return False


@compiled
def _window(edges: Array, count: int, reach: float, height: int, width: int) -> Window:
    """The pixels within `reach` of the bounds, clipped to the canvas: y0, y1, x0, x1."""
    top = left = np.inf
    bottom = right = -np.inf
    for e in range(count):
        top, bottom = min(top, edges[e, TOP]), max(bottom, edges[e, BOTTOM])
        left, right = min(left, edges[e, LEFT]), max(right, edges[e, RIGHT])
    slack = reach + 1e-3
    y0, y1 = _pixel_from(top - slack, height), _pixel_from(bottom + slack, height)
    x0, x1 = _pixel_from(left - slack, width), _pixel_from(right + slack, width)
    return y0, y1, x0, x1


@compiled
def draw_polygons(
    points: Array, offsets: Array, whole: Array, ratio: float, min_side: float, answer: Array, distances: Array,
    probability: Array, threshold: Array, probability_mask: Array, threshold_mask: Array,
) -> None:  # fmt: skip
    """Draw the polygons whose `answer` is DRAWN, or change it to why not; then clear the masks inside all others.

    Polygon i has the rings whole[i] to whole[i + 1], ring j the points offsets[j] to offsets[j + 1].
    """
    height, width = probability.shape
    most = 1
    for i in range(len(whole) - 1):
        most = max(most, offsets[whole[i + 1]] - offsets[whole[i]])
    edges = np.empty((most, FIELDS))
    listed = np.empty(most, np.int64)
    cuts = np.empty(most)
    near = np.empty((STRIP, width))
    touched = np.empty((STRIP, 2), np.int64)
    centers = np.arange(width) + 0.5

    for i in range(len(whole) - 1):
        if answer[i] != DRAWN:
            continue
        rings = offsets[whole[i] : whole[i + 1] + 1]
        count, area, length = _measure_rings(points, rings, edges)
        d = area * (1.0 - ratio * ratio) / length if count else 0.0
        if d < THIN:
            answer[i] = DEGENERATE
            continue
        if thickness(area, length) < min_side:
            answer[i] = TOO_SMALL
            continue
        window = _window(edges, count, d, height, width)
        y0, y1, x0, x1 = window
        middle = (y0 + y1) // 2
        found = False
        for start in range(y0 - STRIP, y1, STRIP):
            # Nearly every kernel shows in the middle row: one row tried first saves measuring the others twice.
            a, b = (middle, min(middle + 1, y1)) if start < y0 else (start, min(start + STRIP, y1))
            some = _near_edges(edges, count, a + 0.5, b - 0.5, d + 1e-3, listed)
            _measure_strip(near, touched, centers, edges, listed, some, (a, b, x0, x1), d)
            found = _has_kernel(near, edges, listed, some, (a, b, x0, x1), d, cuts)
            if found:
                break
        if not found:
            answer[i] = NO_KERNEL
            continue
        distances[i] = d
        for a in range(y0, y1, STRIP):
            b = min(a + STRIP, y1)
            some = _near_edges(edges, count, a + 0.5, b - 0.5, d + 1e-3, listed)
            _measure_strip(near, touched, centers, edges, listed, some, (a, b, x0, x1), d)
            for y in range(a, b):
                row = near[y - a]
                for c in range(0, _crossings(edges, listed, some, y + 0.5, cuts) - 1, 2):
                    p, q = _pixel_from(cuts[c], x1), _pixel_from(cuts[c + 1], x1)
                    _draw_kernel(row[p:q], d * d, probability[y, p:q], threshold_mask[y, p:q])
                p, q = touched[y - a, 0], touched[y - a, 1]
                _draw_band(row[p:q], d, threshold[y, p:q])
                _mask_band(row[p:q], d, threshold_mask[y, p:q])

    for i in range(len(whole) - 1):
        if answer[i] == DRAWN:
            continue
        rings = offsets[whole[i] : whole[i + 1] + 1]
        count, _, _ = _measure_rings(points, rings, edges)
        if count == 0:
            continue
        y0, y1, x0, x1 = _window(edges, count, THIN, height, width)
        for a in range(y0, y1, STRIP):
            b = min(a + STRIP, y1)
            some = _near_edges(edges, count, a + 0.5, b - 0.5, THIN + 1e-3, listed)
            _measure_strip(near, touched, centers, edges, listed, some, (a, b, x0, x1), THIN)
            for y in range(a, b):
                row = near[y - a]
                for c in range(0, _crossings(edges, listed, some, y + 0.5, cuts) - 1, 2):
                    p, q = _pixel_from(cuts[c], x1), _pixel_from(cuts[c + 1], x1)
                    probability_mask[y, p:q] = 0
                    threshold_mask[y, p:q] = 0
                for x in range(touched[y - a, 0], touched[y - a, 1]):
                    if row[x] <= THIN * THIN:
                        probability_mask[y, x] = 0
                        threshold_mask[y, x] = 0


@compiled
def thickness(area: float, perimeter: float) -> float:
    """The shorter side of the rectangle with this area and perimeter; of a rounder shape, the side of the square."""
    half = 0.25 * perimeter
    spread = half * half - area
    return math.sqrt(area) if spread <= 0.0 else area / (half + math.sqrt(spread))


@compiled
def quantize(threshold: Array, out: Array) -> None:
    """Flat [0, 1] as 0 to 254, halves up."""
    for i in range(len(threshold)):
        out[i] = np.uint8(np.int32(np.float64(threshold[i]) * 254.0 + 0.5))
