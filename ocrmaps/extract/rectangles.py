"""The rotated rectangle behind the outline of a kernel: unbiased sides from the mean of the crossing points on each.

The extreme points of an outline say where the widest bump is; the mean along a side says where the side is. The
direction starts from the smallest rectangle around the pixel centers and is corrected by a least-squares line
through the points of the sides. A bound keeps shapes that are no rectangles covered: a side lies at most `slack`
pixels inside the outermost crossing point.

A rectangle is a row (cx, cy, ux, uy, a, b): its center, the unit vector of its long axis, and its full sides a >= b.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.compiled import compiled

Array = npt.NDArray[Any]

CX, CY, UX, UY, A, B = range(6)
"""Columns of a rectangle."""
SLACK = 1.5
"""Pixels that a side may lie inside the outermost crossing point; text edges of a learnt map waver less."""
STEEPEST = 0.3
"""Tangent of the largest correction of the direction; more means that the points follow no rectangle."""


@compiled
def fit_rectangles(points: Array, cracks: Array, offsets: Array, keep: Array) -> Array:
    """(m, 6) rectangles of the outlines with the indices `keep`."""
    out = np.empty((len(keep), 6))
    sums = np.empty((4, 5))
    for i in range(len(keep)):
        lo, hi = offsets[keep[i]], offsets[keep[i] + 1]
        ux, uy = _direction(_hull_of_rows(cracks[lo:hi]))
        _fit(points[lo:hi], ux, uy, sums, out[i])
    return out


@compiled
def _hull_of_rows(cracks: Array) -> Array:
    """(m, 2) convex hull of an outline's pixels, as pixel indices, clockwise on the screen."""
    top = bottom = cracks[0, 0]
    for j in range(len(cracks)):
        top = min(top, cracks[j, 0])
        bottom = max(bottom, cracks[j, 0])
    rows = bottom - top + 1
    left = np.full(rows, 2**31 - 1, np.int64)
    right = np.full(rows, -1, np.int64)
    for j in range(len(cracks)):
        y = cracks[j, 0] - top
        if cracks[j, 2] == 3:
            left[y] = min(left[y], cracks[j, 1])
        elif cracks[j, 2] == 1:
            right[y] = max(right[y], cracks[j, 1])
    hull = np.empty((2 * rows, 2))
    n = 0
    for y in range(rows):  # the right chain, downwards
        while n >= 2 and _turn(hull[n - 2], hull[n - 1], right[y], y + top) <= 0:
            n -= 1
        hull[n, 0] = right[y]
        hull[n, 1] = y + top
        n += 1
    first = n - 1 if left[rows - 1] == right[rows - 1] else n
    n = first
    for y in range(rows - 1, -1, -1):  # the left chain, upwards
        while n >= first + 2 and _turn(hull[n - 2], hull[n - 1], left[y], y + top) <= 0:
            n -= 1
        hull[n, 0] = left[y]
        hull[n, 1] = y + top
        n += 1
    if n > 1 and hull[n - 1, 0] == hull[0, 0] and hull[n - 1, 1] == hull[0, 1]:
        n -= 1
    return hull[:n]


@compiled
def _turn(a: Array, b: Array, x: float, y: float) -> float:
    """Positive where a -> b -> (x, y) turns right on the screen."""
    return (b[0] - a[0]) * (y - b[1]) - (b[1] - a[1]) * (x - b[0])


@compiled
def _direction(hull: Array) -> tuple[float, float]:
    """Unit vector along a side of the smallest rectangle around a convex polygon; ties go to the most upright one."""
    n = len(hull)
    ux, uy = 1.0, 0.0
    if n < 2:
        return ux, uy
    best = np.inf
    far, ahead, behind = 0, 0, 0
    for i in range(n):
        ex = hull[(i + 1) % n, 0] - hull[i, 0]
        ey = hull[(i + 1) % n, 1] - hull[i, 1]
        # Extremes along the edge (ahead), across it (far) and against it (behind) only move forward.
        if i == 0:
            for j in range(n):
                if hull[j, 0] * ex + hull[j, 1] * ey > hull[ahead, 0] * ex + hull[ahead, 1] * ey:
                    ahead = j
                if hull[j, 1] * ex - hull[j, 0] * ey > hull[far, 1] * ex - hull[far, 0] * ey:
                    far = j
                if hull[j, 0] * ex + hull[j, 1] * ey < hull[behind, 0] * ex + hull[behind, 1] * ey:
                    behind = j
        for _ in range(n):
            j = (ahead + 1) % n
            if hull[j, 0] * ex + hull[j, 1] * ey <= hull[ahead, 0] * ex + hull[ahead, 1] * ey:
                break
            ahead = j
        for _ in range(n):
            j = (far + 1) % n
            if hull[j, 1] * ex - hull[j, 0] * ey <= hull[far, 1] * ex - hull[far, 0] * ey:
                break
            far = j
        for _ in range(n):
            j = (behind + 1) % n
            if hull[j, 0] * ex + hull[j, 1] * ey >= hull[behind, 0] * ex + hull[behind, 1] * ey:
                break
            behind = j
        along = (hull[ahead, 0] - hull[behind, 0]) * ex + (hull[ahead, 1] - hull[behind, 1]) * ey
        across = (hull[far, 1] - hull[i, 1]) * ex - (hull[far, 0] - hull[i, 0]) * ey
        square = ex * ex + ey * ey
        area = along * across / square
        root = math.sqrt(square)
        upright = min(abs(ex), abs(ey)) / root
        if area < best * (1 - 1e-9) or (area <= best * (1 + 1e-9) and upright < min(abs(ux), abs(uy)) - 1e-12):
            best = area
            ux, uy = ex / root, ey / root
    return ux, uy


@compiled
def _fit(points: Array, ux: float, uy: float, sums: Array, out: Array) -> None:
    """Fill `out` with the rectangle through the sides of an outline, starting from a direction.

    `sums` is room for five numbers of each side.
    """
    # Coordinates relative to the first point: far from the origin products would lose digits.
    ox, oy = points[0, 0], points[0, 1]
    low_u = low_v = np.inf
    high_u = high_v = -np.inf
    for j in range(len(points)):
        x, y = points[j, 0] - ox, points[j, 1] - oy
        u, v = x * ux + y * uy, y * ux - x * uy
        low_u, high_u = min(low_u, u), max(high_u, u)
        low_v, high_v = min(low_v, v), max(high_v, v)
    # The second round sees points assigned to sides of the right direction.
    for _ in range(2):
        t = _correction(points, ox, oy, ux, uy, low_u, high_u, low_v, high_v, sums)
        if t != 0.0 and abs(t) <= STEEPEST:
            # The sides turn about the rectangle's center.
            mid_u, mid_v = (low_u + high_u) / 2, (low_v + high_v) / 2
            mx, my = mid_u * ux - mid_v * uy, mid_u * uy + mid_v * ux
            root = math.sqrt(1 + t * t)
            ux, uy = (ux - t * uy) / root, (uy + t * ux) / root
            turned_u, turned_v = mx * ux + my * uy, my * ux - mx * uy
            low_u, high_u = turned_u + (low_u - mid_u), turned_u + (high_u - mid_u)
            low_v, high_v = turned_v + (low_v - mid_v), turned_v + (high_v - mid_v)
        low_u, high_u, low_v, high_v = _means(points, ox, oy, ux, uy, low_u, high_u, low_v, high_v, sums)
    for j in range(len(points)):
        x, y = points[j, 0] - ox, points[j, 1] - oy
        u, v = x * ux + y * uy, y * ux - x * uy
        low_u, high_u = min(low_u, u + SLACK), max(high_u, u - SLACK)
        low_v, high_v = min(low_v, v + SLACK), max(high_v, v - SLACK)
    mid_u, mid_v = (low_u + high_u) / 2, (low_v + high_v) / 2
    out[CX] = ox + mid_u * ux - mid_v * uy
    out[CY] = oy + mid_u * uy + mid_v * ux
    a, b = high_u - low_u, high_v - low_v
    if b > a:
        a, b, ux, uy = b, a, -uy, ux
    # One name for one direction: to the right, or down.
    if ux < -1e-12 or (ux <= 1e-12 and uy < 0):
        ux, uy = -ux, -uy
    out[UX], out[UY], out[A], out[B] = ux, uy, a, b


@compiled
def _side(u: float, v: float, low_u: float, high_u: float, low_v: float, high_v: float) -> int:
    """The nearest side: 0 low u, 1 high u, 2 low v, 3 high v."""
    du, dv = min(abs(u - low_u), abs(high_u - u)), min(abs(v - low_v), abs(high_v - v))
    if dv <= du:
        return 2 if abs(v - low_v) <= abs(high_v - v) else 3
    return 0 if abs(u - low_u) <= abs(high_u - u) else 1


# An outline follows one side for long: the sums of that side stay in registers until it changes.
@compiled
def _correction(
    points: Array, ox: float, oy: float, ux: float, uy: float,
    low_u: float, high_u: float, low_v: float, high_v: float, sums: Array,
) -> float:  # fmt: skip
    """Slope of the parallel lines that fit the points of all four sides best, in the (u, v) axes."""
    _clear(sums)
    last = 0
    count = s = t = ss = st = 0.0  # of positions along a side (s) and across it (t)
    for j in range(len(points)):
        x, y = points[j, 0] - ox, points[j, 1] - oy
        u, v = x * ux + y * uy, y * ux - x * uy
        side = _side(u, v, low_u, high_u, low_v, high_v)
        if side != last:
            sums[last, 0], sums[last, 1], sums[last, 2], sums[last, 3], sums[last, 4] = count, s, t, ss, st
            last = side
            count, s, t, ss, st = sums[side, 0], sums[side, 1], sums[side, 2], sums[side, 3], sums[side, 4]
        along, across = (u, v) if side >= 2 else (v, -u)
        count += 1
        s += along
        t += across
        ss += along * along
        st += along * across
    sums[last, 0], sums[last, 1], sums[last, 2], sums[last, 3], sums[last, 4] = count, s, t, ss, st
    num = den = 0.0
    for side in range(4):
        count, s, t, ss, st = sums[side, 0], sums[side, 1], sums[side, 2], sums[side, 3], sums[side, 4]
        if count >= 4:
            num += st - s * t / count
            den += ss - s * s / count
    return num / den if den > 0 else 0.0


@compiled
def _means(
    points: Array, ox: float, oy: float, ux: float, uy: float,
    low_u: float, high_u: float, low_v: float, high_v: float, sums: Array,
) -> tuple[float, float, float, float]:  # fmt: skip
    """The four sides moved to the mean of the points nearest to each."""
    _clear(sums)
    last = 0
    count = total = 0.0
    for j in range(len(points)):
        x, y = points[j, 0] - ox, points[j, 1] - oy
        u, v = x * ux + y * uy, y * ux - x * uy
        side = _side(u, v, low_u, high_u, low_v, high_v)
        if side != last:
            sums[last, 0], sums[last, 1] = count, total
            last = side
            count, total = sums[side, 0], sums[side, 1]
        count += 1
        total += v if side >= 2 else u
    sums[last, 0], sums[last, 1] = count, total
    return (
        sums[0, 1] / sums[0, 0] if sums[0, 0] else low_u,
        sums[1, 1] / sums[1, 0] if sums[1, 0] else high_u,
        sums[2, 1] / sums[2, 0] if sums[2, 0] else low_v,
        sums[3, 1] / sums[3, 0] if sums[3, 0] else high_v,
    )


@compiled
def _clear(table: Array) -> None:
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] = 0.0


@compiled
def rectangle_corners(rectangles: Array, grow: Array) -> Array:
    """(m, 4, 2) corners of rectangles grown by `grow` (m) on every side: clockwise, from the smallest x + y."""
    out = np.empty((len(rectangles), 4, 2))
    corners = np.empty((4, 2))
    for i in range(len(rectangles)):
        cx, cy, ux, uy = rectangles[i, CX], rectangles[i, CY], rectangles[i, UX], rectangles[i, UY]
        a, b = rectangles[i, A], rectangles[i, B]
        a, b = a / 2 + grow[i], b / 2 + grow[i]
        first = 0
        best = np.inf
        for j in range(4):
            p = -a if j == 0 or j == 3 else a
            q = -b if j < 2 else b
            corners[j, 0] = cx + p * ux - q * uy
            corners[j, 1] = cy + p * uy + q * ux
            if corners[j, 0] + corners[j, 1] < best - 1e-9:
                best = corners[j, 0] + corners[j, 1]
                first = j
        for j in range(4):
            out[i, j, 0], out[i, j, 1] = corners[(first + j) % 4, 0], corners[(first + j) % 4, 1]
    return out
