"""Where the characters of a text would sit, guessed from its outline and length, and which detections hold them.

A text line has a spine: for four points the middles of the two short sides, from the first to the second point's
end, or from the bottom up where it is less than half as wide as high; for six, eight, ... points the middles between
the first half (top) and the second half (bottom, backwards), as curved-text data sets write them; for an odd number
the spine of the smallest rectangle around them; truths come as `bands` leaves them, whose odd ones are triangles.
Characters are spread evenly along the spine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet

VERTICAL_ASPECT = 0.5
"""Width over height below which a line is read along its height."""
LONGEST_GUESS = 10
# Keeps sides of no length apart from zero; part of the published definition, so it decides rounding.
_SIDE = 1e-5
_NO_BOXES = np.zeros((0, 4, 2))
# Hulls of more corners are left to the geometry engine: here the work grows with their square.
_ROUND = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spines:
    """The line that each polygon of a set is read along."""

    aspect: FloatArray
    """(k): mean horizontal side over mean vertical side."""
    points: FloatArray
    """(n, 2)"""
    offsets: IntArray
    """(k + 1): a polygon with fewer than three points has no spine."""


def spines(polygons: PolygonSet, vertical_aspect: float = VERTICAL_ASPECT) -> Spines:
    """Aspect and spine of every polygon.

    >>> s = spines(PolygonSet.of([[(0, 0), (8, 0), (8, 2), (0, 2)]], frame="raw"))
    >>> s.points.tolist(), s.aspect.round(3).tolist()
    ([[0.0, 1.0], [8.0, 1.0]], [4.0])
    """
    aspect, points, offsets = _spines(polygons.points, polygons.offsets, level_boxes(polygons), vertical_aspect)
    return Spines(aspect=aspect, points=points, offsets=offsets)


def level_boxes(polygons: PolygonSet) -> FloatArray:
    """(o, 4, 2): what stands for each polygon of 3, 5, 7, ... points."""
    odd = _odd(polygons.offsets)
    if not odd.size:
        return _NO_BOXES
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([_level_box(polygons[i]) for i in odd.tolist()])


@compiled
def _odd(offsets: IntArray) -> IntArray:
    """Polygons of 3, 5, 7, ... points."""
    out, count = np.empty(len(offsets) - 1, dtype=np.int64), 0
    for i in range(len(out)):
        n = offsets[i + 1] - offsets[i]
        if n >= 3 and n % 2 == 1:
            out[count] = i
            count += 1
    return out[:count]


@compiled
def _spines(
    points: FloatArray, offsets: IntArray, boxes: FloatArray, vertical_aspect: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Aspects (k), spines (n, 2) and their offsets (k + 1); `boxes` stand for outlines of odd numbers, in order."""
    k = len(offsets) - 1
    aspect, starts = np.ones(k), np.zeros(k + 1, dtype=np.int64)
    for i in range(k):
        n = offsets[i + 1] - offsets[i]
        starts[i + 1] = starts[i] + (n // 2 if n >= 6 and n % 2 == 0 else 2 if n >= 3 else 0)
    out = np.zeros((starts[k], 2))
    box = 0
    for i in range(k):
        outline, at = points[offsets[i] : offsets[i + 1]], starts[i]
        n = len(outline)
        if n >= 3 and n % 2 == 1:
            outline, n = boxes[box], 4
            box += 1
        if n == 4:
            p0, p1, p2, p3 = outline[0], outline[1], outline[2], outline[3]
            along = (_apart(p0, p1) + _apart(p2, p3)) / 2 + _SIDE
            across = (_apart(p1, p2) + _apart(p3, p0)) / 2 + _SIDE
            aspect[i] = along / across
            for axis in range(2):
                if aspect[i] < vertical_aspect:
                    out[at, axis], out[at + 1, axis] = (p3[axis] + p2[axis]) / 2, (p0[axis] + p1[axis]) / 2
                else:
                    out[at, axis], out[at + 1, axis] = (p0[axis] + p3[axis]) / 2, (p1[axis] + p2[axis]) / 2
        elif n >= 6:
            half, top, bottom = n // 2, 0.0, 0.0
            for p in range(half):
                for axis in range(2):
                    out[at + p, axis] = (outline[p, axis] + outline[n - 1 - p, axis]) / 2
                if p:
                    top += _apart(outline[p - 1], outline[p])
                    bottom += _apart(outline[n - p], outline[n - 1 - p])
            ends = _apart(outline[0], outline[n - 1]) + _apart(outline[half - 1], outline[half])
            aspect[i] = ((top + bottom) / 2 + _SIDE) / (ends / 2 + _SIDE)
        # Sides near the ends of float64 have no ratio to count on; such outlines are not scored.
        aspect[i] = 1.0 if math.isnan(aspect[i]) else min(max(aspect[i], 1e-30), 1e30)
    return aspect, out, starts


@compiled
def _apart(a: FloatArray, b: FloatArray) -> float:
    return math.hypot(b[0] - a[0], b[1] - a[1])


@compiled
def text_length(aspect: float) -> int:
    """Characters of a text nobody wrote down, 1 to 10.

    >>> [text_length(aspect) for aspect in (1.0, 4.2, 0.2, 40.0)]
    [2, 5, 6, 10]
    """
    return int(min(np.rint(0.5 + max(aspect, 1.0 / aspect)), LONGEST_GUESS))


@compiled
def false_alarm_length(aspect: float) -> int:
    """Characters charged for a detection on nothing; by its height over its width, as the reference has it."""
    return int(min(np.rint(0.5 + 1.0 / (aspect + _SIDE)), LONGEST_GUESS))


@compiled
def placed(
    points: FloatArray, offsets: IntArray, boxes: FloatArray, vertical_aspect: float,
    written: IntArray, guess: BoolArray, usable: BoolArray,
) -> tuple[IntArray, FloatArray, IntArray]:  # fmt: skip
    """(k): characters of each text, with `centers`: as written, guessed where nothing (-1) is written or marked so.

    0 for what is not scored.
    """
    aspect, line, begins = _spines(points, offsets, boxes, vertical_aspect)
    out = np.zeros(len(written), dtype=np.int64)
    for i in range(len(written)):
        if usable[i]:
            out[i] = text_length(aspect[i]) if guess[i] or written[i] < 0 else written[i]
    middles, starts = centers(line, begins, out)
    return out, middles, starts


@compiled
def sized(points: FloatArray, offsets: IntArray, boxes: FloatArray) -> tuple[IntArray, IntArray]:
    """(k): `text_length` and `false_alarm_length` of each polygon."""
    aspect, _, _ = _spines(points, offsets, boxes, VERTICAL_ASPECT)
    guess, charge = np.empty(len(aspect), dtype=np.int64), np.empty(len(aspect), dtype=np.int64)
    for i in range(len(aspect)):
        guess[i], charge[i] = text_length(aspect[i]), false_alarm_length(aspect[i])
    return guess, charge


def short_sides(polygons: PolygonSet) -> npt.NDArray[np.float32]:
    """(k): the smaller mean side of the smallest rectangle around each polygon, its corners in whole pixels.

    0 for fewer than three points. With the reference's engine and its float32: of rectangles of one area either may
    be the smallest, and a corner may lie between two pixels.
    """
    import cv2

    out = np.zeros(len(polygons), dtype=np.float32)
    for i, outline in enumerate(polygons):
        if len(outline) >= 3:
            corners = np.around(cv2.boxPoints(cv2.minAreaRect(outline.astype(np.float32))))
            sides = [np.linalg.norm(corners[k] - corners[k - 1]) for k in range(4)]
            out[i] = min(sides[1] + sides[3], sides[2] + sides[0]) / 2
    return out


def _level_box(outline: FloatArray) -> FloatArray:
    """(4, 2): the smallest rectangle around the points, from its upper left corner, the flatter side first."""
    hull = shapely.convex_hull(shapely.multipoints(outline))
    if shapely.get_num_coordinates(hull) > _ROUND:
        hull = shapely.oriented_envelope(hull)
    best, found = _smallest_box(shapely.get_coordinates(hull))
    return best if found else np.repeat(outline[:1], 4, axis=0)


@compiled
def _smallest_box(ring: FloatArray) -> tuple[FloatArray, bool]:
    """(4, 2): of the rectangles with a side along an edge of a convex ring; and whether it has an edge."""
    best, smallest = np.zeros((4, 2)), math.inf
    for i in range(len(ring) - 1):
        ux, uy = ring[i + 1, 0] - ring[i, 0], ring[i + 1, 1] - ring[i, 1]
        length = math.hypot(ux, uy)
        if length == 0.0:
            continue
        ux, uy = ux / length, uy / length
        if abs(ux) < abs(uy):
            ux, uy = -uy, ux
        if ux <= 0:
            ux, uy = -ux, -uy
        s0, s1, t0, t1 = math.inf, -math.inf, math.inf, -math.inf
        for p in range(len(ring)):
            s, t = ring[p, 0] * ux + ring[p, 1] * uy, ring[p, 1] * ux - ring[p, 0] * uy
            s0, s1, t0, t1 = min(s0, s), max(s1, s), min(t0, t), max(t1, t)
        if (s1 - s0) * (t1 - t0) < smallest:
            smallest = (s1 - s0) * (t1 - t0)
            for c, (s, t) in enumerate(((s0, t0), (s1, t0), (s1, t1), (s0, t1))):
                best[c, 0], best[c, 1] = s * ux - t * uy, s * uy + t * ux
    return best, smallest < math.inf


@compiled
def centers(points: FloatArray, offsets: IntArray, counts: IntArray) -> tuple[FloatArray, IntArray]:
    """(sum of counts, 2): the characters' middles, evenly along each spine; and (k + 1) where each text starts."""
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    for i in range(len(counts)):
        starts[i + 1] = starts[i] + counts[i]
    out = np.zeros((starts[-1], 2))
    at = 0
    for i in range(len(counts)):
        n, first, last = counts[i], offsets[i], offsets[i + 1] - 1
        if last == first + 1:
            for axis in range(2):
                start = points[first, axis]
                whole = points[last, axis] - start
                for k in range(n):
                    # In this order of operations a center falls on the same side of an edge as in the reference.
                    out[at + k, axis] = (start + whole / (2 * n)) + k * (whole / n)
        elif last > first:
            total = 0.0
            for p in range(first, last):
                total += math.hypot(points[p + 1, 0] - points[p, 0], points[p + 1, 1] - points[p, 1])
            p, passed = first, 0.0
            step = math.hypot(points[p + 1, 0] - points[p, 0], points[p + 1, 1] - points[p, 1])
            for k in range(n):
                aim = total * (k + 0.5) / n
                while passed + step < aim and p < last - 1:
                    passed += step
                    p += 1
                    step = math.hypot(points[p + 1, 0] - points[p, 0], points[p + 1, 1] - points[p, 1])
                part = (aim - passed) / step if step > 0.0 else 0.0
                out[at + k, 0] = points[p, 0] + part * (points[p + 1, 0] - points[p, 0])
                out[at + k, 1] = points[p, 1] + part * (points[p + 1, 1] - points[p, 1])
        at += n
    return out, starts


@compiled
def characters_inside(
    middles: FloatArray,
    starts: IntArray,
    points: FloatArray,
    offsets: IntArray,
    bounds: FloatArray,
    rows: IntArray,
    columns: IntArray,
) -> tuple[BoolArray, IntArray, BoolArray]:
    """For each pair, which characters of the row lie in the column's polygon: flags, (p + 1) where they start, (p) any.

    Even-odd rule; a left or upper edge belongs to the polygon, a right or lower one does not.
    """
    begins = np.zeros(len(rows) + 1, dtype=np.int64)
    for p in range(len(rows)):
        begins[p + 1] = begins[p] + starts[rows[p] + 1] - starts[rows[p]]
    flags, holds = np.zeros(begins[-1], dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
    for p in range(len(rows)):
        j = columns[p]
        first, last = offsets[j], offsets[j + 1]
        for k in range(begins[p + 1] - begins[p]):
            x, y = middles[starts[rows[p]] + k, 0], middles[starts[rows[p]] + k, 1]
            if x < bounds[j, 0] or x > bounds[j, 2] or y < bounds[j, 1] or y > bounds[j, 3]:
                continue
            inside = False
            before = last - 1
            for i in range(first, last):
                x1, y1, x2, y2 = points[i, 0], points[i, 1], points[before, 0], points[before, 1]
                if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                    inside = not inside
                before = i
            flags[begins[p] + k] = inside
            holds[p] |= inside
    return flags, begins, holds
