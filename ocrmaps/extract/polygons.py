"""The polygon behind the outline of a kernel: few vertices, edges fitted through all the points they stand for.

Vertices are found by the Douglas-Peucker rule (no crossing point farther than the tolerance); every edge is then the
least-squares line through its points and vertices are where neighboring lines meet, which puts back the corners
that the grid cut off. An outline that stays within the tolerance of its fitted rectangle is that rectangle.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.compiled import compiled

Array = npt.NDArray[Any]

STRAIGHT = 0.17
"""Sine of the angle between neighboring lines below which their meeting point is too uncertain to use (10 degrees)."""
CHAMFER = 2.5
"""How many tolerances long an edge across a corner may be to be taken for the corner itself."""
SMALLEST = 0.25
"""Square pixels: what is simplified to less is its rectangle."""
PIECE = 1024
"""Longest run of points that is simplified in one piece."""
REACH = 2.0
"""How many tolerances a fitted vertex may leave the outline's own point."""


@compiled
def fit_polygons(
    points: Array, offsets: Array, keep: Array, rectangles: Array, corners: Array, tolerance: float
) -> tuple[Array, Array]:
    """Points and offsets of the polygons behind the outlines `keep`, given their rectangles and those' corners."""
    size = 0
    for i in keep:
        size += max(offsets[i + 1] - offsets[i], 4)
    out = np.empty((size, 2))
    ends = np.zeros(len(keep) + 1, np.int64)
    n = 0
    for i in range(len(keep)):
        ring = points[offsets[keep[i]] : offsets[keep[i] + 1]]
        fitted = corners[i]
        if not _follows(ring, rectangles[i], tolerance):
            candidate = _fit_ring(ring, tolerance)
            if _area(candidate) >= SMALLEST:
                fitted = candidate
        out[n : n + len(fitted)] = fitted
        n += len(fitted)
        ends[i + 1] = n
    return out[:n], ends


@compiled
def _area(ring: Array) -> float:
    total = 0.0
    for j in range(2, len(ring)):
        ax, ay = ring[j - 1, 0] - ring[0, 0], ring[j - 1, 1] - ring[0, 1]
        total += (ax * (ring[j, 1] - ring[0, 1]) - ay * (ring[j, 0] - ring[0, 0])) / 2
    return total


@compiled
def _follows(ring: Array, rectangle: Array, tolerance: float) -> bool:
    """Whether every point lies within the tolerance of the rectangle's border."""
    cx, cy, ux, uy, a, b = rectangle
    for j in range(len(ring)):
        x, y = ring[j, 0] - cx, ring[j, 1] - cy
        du, dv = abs(x * ux + y * uy) - a / 2, abs(y * ux - x * uy) - b / 2
        if max(du, dv) > tolerance or max(du, dv) < -tolerance:
            return False
    return True


@compiled
def simplify_ring(ring: Array, tolerance: float) -> Array:
    """Indices of the vertices that the Douglas-Peucker rule keeps, from two far ends of the ring."""
    n = len(ring)
    at = np.arange(n)
    if n > PIECE:
        # The rule is quadratic on combs and spirals: long rings are first thinned in pieces, at half the tolerance.
        near = np.zeros(n, np.bool_)
        for lo in range(0, n, PIECE):
            _thin(ring, at, lo, min(lo + PIECE, n), tolerance / 2, near)
        at = np.flatnonzero(near)
    # Not from the point that happens to be first: a flipped map gives the flipped polygon.
    first = _farthest(ring, at, ring[:, 0].mean(), ring[:, 1].mean())
    second = _farthest(ring, at, ring[at[first], 0], ring[at[first], 1])
    if first > second:
        first, second = second, first
    keep = np.zeros(n, np.bool_)
    _thin(ring, at, first, second, tolerance, keep)
    _thin(ring, at, second, first + len(at), tolerance, keep)
    return np.flatnonzero(keep)


@compiled
def _thin(ring: Array, at: Array, first: int, last: int, tolerance: float, keep: Array) -> None:
    """Mark what the rule keeps between the points at[first] and at[last], both included; indices wrap."""
    m = len(at)
    keep[at[first % m]] = keep[at[last % m]] = True
    stack = np.empty((last - first + 2, 2), np.int64)
    stack[0] = first, last
    top = 1
    while top:
        top -= 1
        lo, hi = stack[top, 0], stack[top, 1]
        ax, ay = ring[at[lo % m], 0], ring[at[lo % m], 1]
        ex, ey = ring[at[hi % m], 0] - ax, ring[at[hi % m], 1] - ay
        square = ex * ex + ey * ey
        best = -1.0
        far = -1
        for j in range(lo + 1, hi):
            x, y = ring[at[j % m], 0] - ax, ring[at[j % m], 1] - ay
            t = min(1.0, max(0.0, (x * ex + y * ey) / square)) if square > 0 else 0.0
            d = (x - t * ex) ** 2 + (y - t * ey) ** 2
            if d > best:
                best = d
                far = j
        if best > tolerance * tolerance:
            keep[at[far % m]] = True
            stack[top] = lo, far
            stack[top + 1] = far, hi
            top += 2


@compiled
def _farthest(ring: Array, at: Array, x: float, y: float) -> int:
    best = -1.0
    found = 0
    for j in range(len(at)):
        d = (ring[at[j], 0] - x) ** 2 + (ring[at[j], 1] - y) ** 2
        if d > best:
            best = d
            found = j
    return found


@compiled
def _fit_ring(ring: Array, tolerance: float) -> Array:
    """(m, 2) vertices where the fitted edges of a simplified ring meet."""
    vertices = simplify_ring(ring, tolerance)
    m = len(vertices)
    if m < 3:
        return ring[vertices]
    n = len(ring)
    lines = np.empty((m, 4))  # a point on the line and its unit direction
    for i in range(m):
        lo = vertices[i]
        hi = vertices[(i + 1) % m]
        if hi <= lo:
            hi += n
        _fit_line(ring, lo, hi, lines[i])
    cut = _cut_corners(ring, vertices, lines, tolerance)
    out = np.empty((m, 2))
    count = 0
    for i in range(m):
        x, y = ring[vertices[i], 0], ring[vertices[i], 1]
        after = (i + 1) % m
        if cut[i]:
            x, y = (x + ring[vertices[after], 0]) / 2, (y + ring[vertices[after], 1]) / 2
            _, out[count, 0], out[count, 1] = _meet(lines[i - 1], lines[after], x, y, REACH * tolerance)
            count += 1
            continue
        if cut[i - 1]:
            continue
        meets, mx, my = _meet(lines[i - 1], lines[i], x, y, REACH * tolerance)
        if not meets:
            # Without a clear crossing the vertex is half way between its feet on the two lines.
            px, py, ax, ay = lines[i - 1]
            qx, qy, bx, by = lines[i]
            s, t = (x - px) * ax + (y - py) * ay, (x - qx) * bx + (y - qy) * by
            mx, my = (px + s * ax + qx + t * bx) / 2, (py + s * ay + qy + t * by) / 2
        out[count, 0], out[count, 1] = mx, my
        count += 1
    return out[:count]


@compiled
def _cut_corners(ring: Array, vertices: Array, lines: Array, tolerance: float) -> Array:
    """(m): whether an edge lies across a corner that the grid cut off: it is short and its neighbors meet beyond."""
    m = len(vertices)
    short = np.zeros(m, np.bool_)
    for i in range(m):
        after = (i + 1) % m
        a, b = ring[vertices[i]], ring[vertices[after]]
        if math.hypot(b[0] - a[0], b[1] - a[1]) <= CHAMFER * tolerance and _turns_alike(
            lines[i - 1], lines[i], lines[after]
        ):
            meets, _, _ = _meet(lines[i - 1], lines[after], (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, REACH * tolerance)
            short[i] = meets
    # Of two such edges in a row neither is a mere corner.
    cut = np.zeros(m, np.bool_)
    for i in range(m):
        cut[i] = short[i] and not short[i - 1] and not short[(i + 1) % m]
    if m - cut.sum() < 3:
        cut[:] = False
    return cut


@compiled
def _meet(p: Array, q: Array, x: float, y: float, reach: float) -> tuple[bool, float, float]:
    """Where two lines cross, if they do so clearly and within `reach` of (x, y)."""
    cross = p[2] * q[3] - p[3] * q[2]
    if abs(cross) <= STRAIGHT:
        return False, x, y
    s = ((q[0] - p[0]) * q[3] - (q[1] - p[1]) * q[2]) / cross
    mx, my = p[0] + s * p[2], p[1] + s * p[3]
    return math.hypot(mx - x, my - y) <= reach, mx, my


@compiled
def _turns_alike(p: Array, q: Array, r: Array) -> bool:
    """Whether three lines in a row turn to the same side, by less than half a circle together."""
    return (p[2] * q[3] - p[3] * q[2]) * (q[2] * r[3] - q[3] * r[2]) > 0 and (
        (p[2] * r[3] - p[3] * r[2]) * (p[2] * q[3] - p[3] * q[2]) > 0
    )


@compiled
def _fit_line(ring: Array, lo: int, hi: int, out: Array) -> None:
    """The least-squares line through the points lo .. hi of a ring (indices wrap), or the chord where they are few."""
    n = len(ring)
    ax, ay = ring[lo % n, 0], ring[lo % n, 1]
    ex, ey = ring[hi % n, 0] - ax, ring[hi % n, 1] - ay
    length = math.hypot(ex, ey)
    ux, uy = (ex / length, ey / length) if length > 0 else (1.0, 0.0)
    count = hi - lo + 1
    sx = sy = sxx = sxy = syy = 0.0
    for j in range(lo, hi + 1):
        x, y = ring[j % n, 0] - ax, ring[j % n, 1] - ay
        sx += x
        sy += y
        sxx += x * x
        sxy += x * y
        syy += y * y
    mx, my = sx / count, sy / count
    out[0], out[1], out[2], out[3] = ax + mx, ay + my, ux, uy
    if count < 4:
        return
    cxx, cxy, cyy = sxx - sx * mx, sxy - sx * my, syy - sy * my
    # Main axis of the scatter, with the sense of the chord.
    angle = 0.5 * math.atan2(2 * cxy, cxx - cyy)
    vx, vy = math.cos(angle), math.sin(angle)
    if vx * ux + vy * uy < 0:
        vx, vy = -vx, -vy
    if vx * ux + vy * uy > 0.9:
        out[2], out[3] = vx, vy
