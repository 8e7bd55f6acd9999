"""How far a kernel is grown back: the constant rule of the published post-processing, or the inverse of the shrink.

A polygon with area A and perimeter L was shrunk by D = q A / L with q = 1 - r^2. `constant` grows a kernel of area A',
perimeter L' by ratio A' / L'. `inverse` finds the d for which the grown polygon P has q A(P) / L(P) = d: shrinking P
gives the kernel again. Corners are mitred, because shrinking keeps corners sharp; a corner sharper than the limit is
cut off square at MITRE_LIMIT times d.

Growing adds d L + d^2 T to the area and d U to the perimeter, where every corner that turns by 2t contributes tan t to
T and 2 tan t to U (less where it is cut off). So d is the root of (U - q T) d^2 + (1 - q) L d - q A = 0; a rectangle
a x b has T = 4, U = 8: (8 - 4q) d^2 + 2 (1 - q)(a + b) d - q a b = 0. Where growing makes edges vanish or meet, the
same condition is solved by bracketed false position on the cleaned outline.

`inset` is how far the true kernel outline lies inside the given one; d counts from the true one.

A margin moves the grown outline on by a share of the text's height, which is the shorter side of the rectangle of the
same area and perimeter: exact for rectangles and for bands of one height, however they bend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import FloatArray

Array = npt.NDArray[Any]

MITRE_LIMIT = 2.5
"""Corners of less than 47 degrees are cut off at this many times the offset."""
MANY_VERTICES = 128
"""A kernel whose grown outline meets itself is coarsened to so many vertices while its offset is looked for."""
MOST_VERTICES = 512
"""It is grown, once, with no more than these: they bound the time."""
COARSEST = 64.0
"""Pixels: what cannot be coarsened to few vertices within this is replaced by its convex hull."""
PRECISION = 1e-9
"""Pixels: how well the offset of a cleaned outline meets its condition."""


def rectangle_growth(a: Array, b: Array, *, q: float | None, ratio: float = 0.0) -> FloatArray:
    """(k): d for kernel rectangles a x b; with `q` the inverse of the shrink, else the constant rule.

    >>> float(rectangle_growth(np.array([30.0]), np.array([4.0]), q=1 - 0.4**2).round(6)[0])
    3.633696
    """
    if q is None:
        return np.asarray(a * b * ratio / (2 * (a + b)))
    return _root(8 - 4 * q, 2 * (1 - q) * (a + b), -q * a * b)


def _root(a: Array | float, b: Array | float, c: Array | float) -> FloatArray:
    """The positive root of a d^2 + b d + c with c <= 0, in the form that does not cancel."""
    return np.asarray(-2 * np.asarray(c) / (b + np.sqrt(np.square(b) - 4 * np.multiply(a, c))))


def grow_polygons(
    points: Array, offsets: Array, inset: Array, *, q: float | None, ratio: float = 0.0, margin: float = 0.0
) -> tuple[list[FloatArray], FloatArray]:
    """Each ring grown back and on by the margin, with its d (k); rings are simple and run clockwise on the screen."""
    terms = corner_terms(points, offsets)
    area, length, t, u = terms.T
    if q is None:
        core = area - inset * length + inset**2 * t
        d = np.maximum(core, 0) * ratio / np.maximum(length - inset * u, 1e-9)
        solvable = np.ones(len(d), np.bool_)
    else:
        # In e = d - inset: (U - qT) e^2 + ((1 - q) L + inset U) e + inset L - q A = 0.
        top, mid, low = u - q * t, (1 - q) * length + inset * u, inset * length - q * area
        solvable = (np.square(mid) - 4 * top * low >= 0) & (low < 0) & (mid > 0)
        d = inset.astype(np.float64).copy()
        d[solvable] += _root(top[solvable], mid[solvable], low[solvable])
    reach = d - inset
    if margin:
        reach = reach + margin * text_height(area + reach * length + reach**2 * t, length + reach * u)
    grown, ends, straight = offset_rings(points, offsets, reach)
    rings = [grown[ends[i] : ends[i + 1]] for i in range(len(d))]
    kernels = _polygons([points[offsets[i] : offsets[i + 1]] for i in range(len(d))])
    fine = solvable & straight & shapely.is_valid(kernels) & shapely.is_valid(_polygons(rings))
    for i in np.flatnonzero(~fine):
        kernel = _manageable(_largest(shapely.make_valid(kernels[i])), MOST_VERTICES)
        if q is None:
            core = max(kernel.area - inset[i] * kernel.length, 0.0)
            d[i] = core * ratio / max(kernel.length, 1e-9)
        else:
            d[i] = _bracketed(_manageable(kernel, MANY_VERTICES), float(inset[i]), q)
        rings[i] = clean_offset(kernel, float(d[i] - inset[i]))
        if margin:
            text = shapely.Polygon(rings[i])
            rings[i] = clean_offset(text, margin * float(text_height(text.area, text.length)))
    return rings, d


def text_height(area: Array | float, length: Array | float) -> FloatArray:
    """The shorter side of the rectangle with this area and perimeter; of a square where there is no such rectangle.

    >>> text_height(300.0, 80.0).item(), text_height(100.0, 36.0).item()
    (10.0, 9.0)
    """
    return np.asarray((length - np.sqrt(np.maximum(np.square(length) - 16 * np.asarray(area), 0))) / 4)


def _polygons(rings: list[FloatArray]) -> Array:
    if not rings:
        return np.empty(0, dtype=object)
    lengths = [len(ring) for ring in rings]
    linear = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    return np.asarray(shapely.polygons(linear))


@compiled
def corner_terms(points: Array, offsets: Array) -> Array:
    """(k, 4): A, L, T, U of each ring, so that growing by d gives A + L d + T d^2 and L + U d."""
    out = np.zeros((len(offsets) - 1, 4))
    for i in range(len(out)):
        ring = points[offsets[i] : offsets[i + 1]]
        for j in range(len(ring)):
            p, c, n = ring[j - 1], ring[j], ring[(j + 1) % len(ring)]
            ax, ay, bx, by = c[0] - p[0], c[1] - p[1], n[0] - c[0], n[1] - c[1]
            out[i, 0] += ((c[0] - ring[0, 0]) * by - (c[1] - ring[0, 1]) * bx) / 2
            out[i, 1] += math.hypot(bx, by)
            half = math.atan2(ax * by - ay * bx, ax * bx + ay * by) / 2
            cosine, sine = math.cos(half), math.sin(half)
            if half > 0 and cosine * MITRE_LIMIT < 1:
                out[i, 2] += (2 * MITRE_LIMIT - (1 + MITRE_LIMIT**2) * cosine) / sine
                out[i, 3] += 2 * (1 + MITRE_LIMIT) * (1 - cosine) / sine
            else:
                out[i, 2] += sine / max(cosine, 1e-9)
                out[i, 3] += 2 * sine / max(cosine, 1e-9)
    return out


@compiled
def offset_rings(points: Array, offsets: Array, distance: Array) -> tuple[Array, Array, Array]:
    """Rings with every edge moved outwards and mitred, their offsets, and whether every edge kept its direction."""
    k = len(offsets) - 1
    out = np.empty((2 * len(points), 2))
    ends = np.zeros(k + 1, np.int64)
    straight = np.ones(k, np.bool_)
    m = 0
    for i in range(k):
        ring = points[offsets[i] : offsets[i + 1]]
        d = distance[i]
        first = m
        # How far both edges at a vertex are lengthened there.
        longer = np.empty(len(ring))
        for j in range(len(ring)):
            p, c, n = ring[j - 1], ring[j], ring[(j + 1) % len(ring)]
            ax, ay, bx, by = c[0] - p[0], c[1] - p[1], n[0] - c[0], n[1] - c[1]
            la, lb = math.hypot(ax, ay), math.hypot(bx, by)
            if la == 0 or lb == 0:
                straight[i] = False
                la, lb = max(la, 1e-300), max(lb, 1e-300)
            ax, ay, bx, by = ax / la, ay / la, bx / lb, by / lb
            half = math.atan2(ax * by - ay * bx, ax * bx + ay * by) / 2
            cosine, sine = math.cos(half), math.sin(half)
            reach = sine / max(cosine, 1e-9)
            cut = half > 0 and cosine * MITRE_LIMIT < 1 and d > 0
            if cut:
                reach = (MITRE_LIMIT - cosine) / sine
            longer[j] = reach * d
            # The outward normal of a direction (x, y) of a clockwise ring is (y, -x).
            out[m, 0] = c[0] + d * (ay + reach * ax)
            out[m, 1] = c[1] + d * (-ax + reach * ay)
            m += 1
            if cut:
                out[m, 0] = c[0] + d * (by - reach * bx)
                out[m, 1] = c[1] + d * (-bx - reach * by)
                m += 1
        for j in range(len(ring)):
            c, n = ring[j], ring[(j + 1) % len(ring)]
            if math.hypot(n[0] - c[0], n[1] - c[1]) + longer[j] + longer[(j + 1) % len(ring)] <= 0:
                straight[i] = False
        if m - first < 3:
            straight[i] = False
        ends[i + 1] = m
    return out[:m], ends, straight


def clean_offset(kernel: shapely.Polygon, distance: float) -> FloatArray:
    """The outer ring of a polygon grown with mitred corners, clockwise on the screen."""
    grown = shapely.buffer(kernel, distance, join_style="mitre", mitre_limit=MITRE_LIMIT)
    ring = _largest(kernel if grown.is_empty else grown).exterior
    coordinates = np.asarray(ring.coords, dtype=np.float64)[:-1]
    # y points down: counter-clockwise on paper is clockwise on the screen.
    return coordinates if shapely.is_ccw(ring) else coordinates[::-1].copy()


def _largest(geometry: shapely.Geometry) -> shapely.Polygon:
    """The largest polygon among the parts of a geometry, without its holes."""
    parts = shapely.get_parts(geometry)
    if any(part.geom_type.startswith(("Multi", "Geometry")) for part in parts):
        parts = shapely.get_parts(parts)
    best = parts[np.argmax(shapely.area(parts))] if len(parts) else geometry
    return shapely.Polygon((best if best.area > 0 else shapely.convex_hull(geometry)).exterior)


def _manageable(kernel: shapely.Polygon, most: int) -> shapely.Polygon:
    """The polygon, coarsened in doubling steps until it has no more than `most` vertices."""
    tolerance = 1.0
    while shapely.get_num_coordinates(kernel) > most + 1:
        if tolerance > COARSEST:
            return shapely.convex_hull(kernel)
        kernel = shapely.simplify(kernel, tolerance, preserve_topology=True)
        tolerance *= 2
    return kernel


def _bracketed(kernel: shapely.Polygon, inset: float, q: float) -> float:
    """d with q A / L = d for the cleaned outline grown by d - inset."""

    def excess(d: float) -> float:
        grown = shapely.Polygon(clean_offset(kernel, d - inset))
        return d - q * grown.area / max(grown.length, 1e-9)

    low, high = inset, inset + 1.0
    if excess(low) >= 0:
        return low
    while excess(high) < 0:
        low, high = high, inset + 2 * (high - inset)
    return _false_position(excess, low, high)


def _false_position(function: Callable[[float], float], low: float, high: float) -> float:
    """The root between two signs, by the Illinois rule with a bisection whenever that does not halve the bracket."""
    f_low, f_high = function(low), function(high)
    for _ in range(100):
        if high - low < PRECISION or f_high == 0:
            break
        guess = (low * f_high - high * f_low) / (f_high - f_low)
        width = high - low
        for candidate in (guess, None):
            middle = (low + high) / 2 if candidate is None else candidate
            if not low < middle < high:
                continue
            value = function(middle)
            if value < 0:
                low, f_low = middle, value
            else:
                high, f_high = middle, value
            if high - low <= width / 2 or abs(value) < PRECISION:
                break
        if min(abs(f_low), abs(f_high)) < PRECISION:
            break
    return low if abs(f_low) < abs(f_high) else high
