"""Polygons as people draw them become rings that do not cross, or get a reason why they cannot be drawn.

Coordinates are canonical pixels, rounded to a grid of 2^-24 px on which differences up to a million pixels are exact.
Nearly all polygons are certainly simple and never meet the exact predicates of the geometry engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet, Size
from ocrmaps.maps.records import Outcome

GRID = 2.0**-24
"""Vertices are rounded to this many pixels before anything else."""
REACH = 2.0**20
"""Vertices farther than this from the canvas leave the range in which differences are exact."""
FARTHEST = 2.0**40
"""Where vertices out of range are held before geometry: far enough to change nothing on any canvas."""
WHOLE_SHARE = 0.9
"""A repaired polygon is drawn if its largest part has this share of the area; else nobody knows which is the text."""
SCRIBBLE = 20_000
"""About how often an outline may cross itself before its parts are no longer looked for: a thousand vertices at random
do so 100 000 times, and parting them takes seconds and hundreds of megabytes. A text does it a dozen times."""
MANY = 64
"""Rings with more vertices go to the geometry engine at once: the quick test below compares all pairs of edges."""

_SIMPLE, _EMPTY, _ASK, _FAR = range(4)
"""Certainly simple, fewer than three distinct vertices, left to exact predicates, out of range."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rings:
    """What of k polygons can be drawn or masked."""

    points: FloatArray
    """(n, 2) on the grid, ring after ring, without repeated neighbors."""
    offsets: IntArray
    """(m + 1): ring j has the points offsets[j] to offsets[j + 1]; holes run the other way round."""
    whole: IntArray
    """(k + 1): polygon i has the rings whole[i] to whole[i + 1]; none if it has no area."""
    known: Mapping[int, Outcome]
    """Polygons that are not to be drawn, and why: their rings are to be masked."""
    repaired: BoolArray
    """(k): the rings are not the outline as given."""
    leaves: BoolArray
    """(k): part of the polygon is beside the canvas."""


def settle_rings(polygons: PolygonSet, size: Size) -> Rings:
    """Rings for polygons in canonical pixels on a canvas of `size`.

    The inside of a polygon that crosses itself is all that its outline winds around (not even-odd: a curl of text over
    itself is not a hole). It is drawn if one part of that holds nearly all of the area.
    """
    height, width = size
    k = len(polygons)
    points, offsets, word, beside, leaves = clean_rings(polygons.points, polygons.offsets, height, width)
    whole: IntArray = np.arange(k + 1)
    repaired = np.zeros(k, dtype=np.bool_)
    known: dict[int, Outcome] = {}
    if (word >= _ASK).any():
        rings: list[FloatArray] = []
        ends = [0]
        for i in range(k):
            ring = points[offsets[i] : offsets[i + 1]]
            if word[i] < _ASK:
                rings.append(ring)
            else:
                parts, why = _parts_of_far(ring, size) if word[i] == _FAR else _parts_of(ring)
                repaired[i] = why is Outcome.REPAIRED
                if why is not None and why is not Outcome.REPAIRED:
                    known[i] = why
                rings += parts
            ends.append(len(rings))
        points = np.concatenate([np.zeros((0, 2)), *rings])
        offsets, whole = np.cumsum([0, *(len(ring) for ring in rings)]), np.array(ends)
    known.update(dict.fromkeys(np.flatnonzero(beside).tolist(), Outcome.OUTSIDE))
    known.update(dict.fromkeys(np.flatnonzero(word == _EMPTY).tolist(), Outcome.DEGENERATE))
    known.update(dict.fromkeys(np.flatnonzero(polygons.ignore).tolist(), Outcome.IGNORED))
    return Rings(points=points, offsets=offsets, whole=whole, known=known, repaired=repaired, leaves=leaves)


def _parts_of(ring: FloatArray) -> tuple[list[FloatArray], Outcome | None]:
    """Rings of a polygon that perhaps crosses itself, and REPAIRED, a reason not to draw it, or None for as it was."""
    shape = shapely.Polygon(ring)
    if shape.is_valid:
        return [ring], None
    hull = shape.convex_hull
    # Lines of this length thrown on this area cross so often on average.
    if shape.length**2 > SCRIBBLE * np.pi * hull.area > 0:
        return _rings([hull]), Outcome.SELF_CROSSING
    parts = _areas(shape)
    if not parts:
        return [], Outcome.DEGENERATE
    if parts[0].area >= WHOLE_SHARE * sum(part.area for part in parts):
        return _rings(parts[:1]), Outcome.REPAIRED
    return _rings(parts), Outcome.SELF_CROSSING


def _parts_of_far(ring: FloatArray, size: Size) -> tuple[list[FloatArray], Outcome]:
    """The part of a polygon in range of the canvas: what to mask of one that is too large to draw."""
    height, width = size
    box = (-REACH, -REACH, width + REACH, height + REACH)
    clipped = [shapely.clip_by_rect(part, *box) for part in _areas(shapely.Polygon(np.clip(ring, -FARTHEST, FARTHEST)))]
    return _rings([part for part in shapely.get_parts(clipped) if _is_area(part)]), Outcome.OUT_OF_RANGE


def _areas(shape: shapely.Polygon) -> list[shapely.Polygon]:
    """The areas that an outline winds around, largest first; none where it encloses nothing."""
    parts = shapely.get_parts(shapely.make_valid(shape, method="structure", keep_collapsed=False))
    return sorted(filter(_is_area, parts), key=lambda part: -part.area)


def _is_area(part: shapely.Geometry) -> bool:
    return part.geom_type == "Polygon" and part.area > 0


def _rings(parts: list[shapely.Polygon]) -> list[FloatArray]:
    """Outlines and holes, on the grid, open, holes the other way round."""
    oriented = shapely.orient_polygons(np.array(parts, dtype=object))
    lines = [line for part in oriented for line in (part.exterior, *part.interiors)]
    return [np.rint(shapely.get_coordinates(line)[:-1] / GRID) * GRID for line in lines]


@compiled
def clean_rings(points: Array, offsets: Array, height: int, width: int) -> tuple[Array, Array, Array, Array, Array]:
    """Points on the grid without repeated neighbors, offsets; a word on each ring, whether it is beside, or leaves."""
    k = len(offsets) - 1
    kept = np.empty_like(points)
    ends = np.zeros(k + 1, np.int64)
    word = np.empty(k, np.int8)
    beside, leaves = np.empty(k, np.bool_), np.empty(k, np.bool_)
    total = 0
    for i in range(k):
        first = total
        x0 = y0 = np.inf
        x1 = y1 = -np.inf
        for j in range(offsets[i], offsets[i + 1]):
            x, y = points[j, 0], points[j, 1]
            if abs(x) < 2.0 * REACH and abs(y) < 2.0 * REACH:
                x, y = np.rint(x / GRID) * GRID, np.rint(y / GRID) * GRID
            x0, x1 = min(x0, x), max(x1, x)
            y0, y1 = min(y0, y), max(y1, y)
            if total > first and x == kept[total - 1, 0] and y == kept[total - 1, 1]:
                continue
            kept[total, 0] = x
            kept[total, 1] = y
            total += 1
        while total - first > 1 and kept[first, 0] == kept[total - 1, 0] and kept[first, 1] == kept[total - 1, 1]:
            total -= 1
        ends[i + 1] = total
        beside[i] = x1 <= 0.0 or y1 <= 0.0 or x0 >= width or y0 >= height
        leaves[i] = x0 < 0.0 or y0 < 0.0 or x1 > width or y1 > height
        if total - first < 3:
            word[i] = _EMPTY
        elif min(x0, y0) < -REACH or x1 > width + REACH or y1 > height + REACH:
            word[i] = _FAR
        elif total - first <= MANY and _certainly_simple(kept[first:total]):
            word[i] = _SIMPLE
        else:
            word[i] = _ASK
    return kept[:total], ends, word, beside, leaves


@compiled
def _side(ax: float, ay: float, bx: float, by: float, cx: float, cy: float) -> int:
    """Which side of the line a-b the point c is on: 1, -1, or 0 where rounding leaves a doubt."""
    left, right = (bx - ax) * (cy - ay), (by - ay) * (cx - ax)
    doubt = 4e-16 * (abs(left) + abs(right))
    if left - right > doubt:
        return 1
    return -1 if right - left > doubt else 0


@compiled
def _certainly_simple(p: Array) -> bool:
    """Whether no two edges can meet except neighbors in their shared vertex; never true by mistake."""
    n = len(p)
    for i in range(n):
        ax, ay = p[i, 0], p[i, 1]
        bx, by = p[(i + 1) % n, 0], p[(i + 1) % n, 1]
        cx, cy = p[(i + 2) % n, 0], p[(i + 2) % n, 1]
        if (ax - bx) * (cx - bx) + (ay - by) * (cy - by) >= 0.0 and _side(ax, ay, bx, by, cx, cy) == 0:
            return False
        for j in range(i + 2, n - 1 if i == 0 else n):
            cx, cy = p[j, 0], p[j, 1]
            dx, dy = p[(j + 1) % n, 0], p[(j + 1) % n, 1]
            if max(ax, bx) < min(cx, dx) or max(cx, dx) < min(ax, bx):
                continue
            if max(ay, by) < min(cy, dy) or max(cy, dy) < min(ay, by):
                continue
            if _side(ax, ay, bx, by, cx, cy) * _side(ax, ay, bx, by, dx, dy) == 1:
                continue
            if _side(cx, cy, dx, dy, ax, ay) * _side(cx, cy, dx, dy, bx, by) == 1:
                continue
            return False
    return True
