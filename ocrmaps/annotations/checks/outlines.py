"""All outlines of a source as flat columns, and what is wrong with each: one vectorized pass, no picture needed.

Coordinates are pixels of the frame that the source declares. Thickness and length are the sides of the rectangle
with the same area and perimeter: exact for rectangles however they are turned, close for curved bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.annotations.records import Sample
from ocrmaps.errors import CrowdError, FrameError
from ocrmaps.geometry import BoolArray, FloatArray, Frame, IntArray
from ocrmaps.limits import COMPARED, CORNERS, NEIGHBORS

ABSURD = 1e6
"""Coordinates beyond this many pixels are not positions in any picture: the largest formats end at 65 535 a side."""
FLAT = 1e-6
"""An outline whose area is at most this share of its squared perimeter encloses nothing."""
NEAR = 0.9
"""Two outlines of one picture with at least this intersection over union mean the same text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extents:
    """How far each polygon of a source reaches, in the order of its samples."""

    frame: Frame | None
    """None for a source without samples."""
    samples: int
    sample: IntArray
    """(k): which sample the polygon belongs to."""
    points: FloatArray
    """(n, 2): all vertices, cut at a thousand times `ABSURD` so that nothing here overflows."""
    offsets: IntArray
    bounds: FloatArray
    """(k, 4): x0, y0, x1, y1."""
    absurd: BoolArray
    """(k): a coordinate beyond `ABSURD`."""

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Extents:
        """Those of a source."""
        frames = sorted({sample.polygons.frame for sample in samples})
        if len(frames) > 1:
            raise FrameError(f"one source mixes the frames {' and '.join(frames)}, expected one declared frame")
        sets = [sample.polygons for sample in samples]
        points = np.concatenate([s.points for s in sets]) if sets else np.zeros((0, 2))
        sizes = np.array([len(s) for s in sets], dtype=np.int64)
        # Between the offsets of two pictures stands a fall, or nothing.
        steps = np.diff(np.concatenate([s.offsets for s in sets])) if sets else np.zeros(0, dtype=np.int64)
        vertices = np.delete(steps, np.cumsum(sizes + 1)[:-1] - 1)
        offsets = np.concatenate([[0], np.cumsum(vertices)])
        absurd = _any((np.abs(points) > ABSURD).any(axis=1), offsets)
        points = np.clip(points, -1e3 * ABSURD, 1e3 * ABSURD)
        return Extents(
            frame=frames[0] if frames else None,
            samples=len(sets),
            sample=np.repeat(np.arange(len(sets)), sizes),
            points=points,
            offsets=offsets,
            bounds=np.concatenate([_reduce(np.minimum, points, offsets), _reduce(np.maximum, points, offsets)], axis=1),
            absurd=absurd,
        )

    def __len__(self) -> int:
        return len(self.sample)

    def excess(self, sizes: npt.ArrayLike) -> FloatArray:
        """(k): how far the outline reaches beyond its picture, pixels; 0 inside, nan where the size is unknown.

        `sizes` is (samples, 2): height and width in the frame of the outlines, nan where unknown.
        """
        height, width = np.asarray(sizes, dtype=np.float64).reshape(self.samples, 2)[self.sample].T
        x0, y0, x1, y1 = self.bounds.T
        return np.maximum.reduce([-x0, -y0, x1 - width, y1 - height, np.zeros(len(self))])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutlineTable(Extents):
    """One row per polygon of a source, in the order of its samples.

    >>> from ocrmaps.geometry import PolygonSet
    >>> box = PolygonSet.of([[(0, 0), (30, 0), (30, 10), (0, 10)]], frame="upright")
    >>> table = OutlineTable.of([Sample(id="a.png", polygons=box, loc="a.txt:1")])
    >>> float(table.thickness[0]), float(table.length[0]), bool(table.sound[0])
    (10.0, 30.0, True)
    """

    index: IntArray
    """(k): its number within the sample."""
    ignore: BoolArray
    area: FloatArray
    perimeter: FloatArray
    degenerate: BoolArray
    """(k): fewer than three different vertices, or (nearly) no area."""
    crossing: BoolArray
    """(k): the outline crosses or touches itself, so inside and outside are not defined."""
    twin: IntArray
    """(k): the earlier polygon (row) of the same sample with the same vertices, or -1."""
    near: IntArray
    """(k): an earlier polygon (row) of the same sample with IoU >= `NEAR` that is no exact twin, or -1."""

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> OutlineTable:
        """The table of a source."""
        extents = Extents.of(samples)
        points, offsets, sample, bounds = extents.points, extents.offsets, extents.sample, extents.bounds
        sets = [one.polygons for one in samples]
        sizes = np.array([len(s) for s in sets], dtype=np.int64)
        area, perimeter = _area_and_perimeter(points, offsets)
        # A figure of eight may enclose as much on either side and sum to no area: it is crossing, not degenerate.
        turn = _turns(points, offsets)
        bent = _any(np.abs(turn) > FLAT * np.repeat(perimeter**2, np.diff(offsets)), offsets)
        flat = _distinct_at_most_two(points, offsets) | ~bent
        crossing = ~flat & _crossing(points, offsets, turn)
        degenerate = flat | (~crossing & (area <= FLAT * perimeter**2))
        twin = _twins(points, offsets, sample, bounds)
        skip = degenerate | crossing | extents.absurd | (twin >= 0)
        return cls(
            frame=extents.frame,
            samples=extents.samples,
            sample=sample,
            index=np.arange(len(sample)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
            points=points,
            offsets=offsets,
            ignore=np.concatenate([s.ignore for s in sets]) if sets else np.zeros(0, dtype=np.bool_),
            bounds=bounds,
            area=area,
            perimeter=perimeter,
            absurd=extents.absurd,
            degenerate=degenerate,
            crossing=crossing,
            twin=twin,
            near=_near(points, offsets, sample, bounds, area, skip=skip),
        )

    @property
    def sound(self) -> BoolArray:
        """(k): outlines whose size means something."""
        return ~(self.absurd | self.degenerate | self.crossing)

    @property
    def thickness(self) -> FloatArray:
        """(k): shorter side of the rectangle with this area and perimeter, in pixels: text height, mostly."""
        root = np.sqrt(np.maximum(self.perimeter**2 - 16 * self.area, 0))
        # The textbook (perimeter - root) / 4 cancels for long thin outlines.
        return np.divide(4 * self.area, self.perimeter + root, out=np.zeros(len(self)), where=self.perimeter > 0)

    @property
    def length(self) -> FloatArray:
        """(k): longer side of that rectangle."""
        return (self.perimeter + np.sqrt(np.maximum(self.perimeter**2 - 16 * self.area, 0))) / 4

    def kernel_thickness(self, shrink: float) -> FloatArray:
        """(k): what remains of the thickness after shrinking by D = A (1 - r^2) / L from both sides."""
        inset = np.divide(
            self.area * (1 - shrink**2), self.perimeter, out=np.zeros(len(self)), where=self.perimeter > 0
        )
        return self.thickness - 2 * inset

    def outside(self, sizes: npt.ArrayLike) -> BoolArray:
        """(k): no part of the outline's box is on the picture; False where the size is unknown."""
        height, width = np.asarray(sizes, dtype=np.float64).reshape(self.samples, 2)[self.sample].T
        x0, y0, x1, y1 = self.bounds.T
        return (x1 <= 0) | (y1 <= 0) | (x0 >= width) | (y0 >= height)


def _reduce(function: np.ufunc, values: npt.NDArray, offsets: IntArray) -> npt.NDArray:
    """`function` over each polygon's rows; zeros for a polygon without points."""
    out = np.zeros((len(offsets) - 1, *values.shape[1:]), dtype=values.dtype)
    full = np.flatnonzero(np.diff(offsets) > 0)
    if len(full):
        out[full] = function.reduceat(values, offsets[full], axis=0)
    return out


def _any(flags: BoolArray, offsets: IntArray) -> BoolArray:
    return _reduce(np.logical_or, flags, offsets)


def _next(offsets: IntArray) -> IntArray:
    """(n): the index of each vertex's successor on its own outline."""
    follow = np.arange(1, offsets[-1] + 1)
    full = np.diff(offsets) > 0
    follow[offsets[1:][full] - 1] = offsets[:-1][full]
    return follow


def _area_and_perimeter(points: FloatArray, offsets: IntArray) -> tuple[FloatArray, FloatArray]:
    # Relative to each outline's first vertex: far from the origin the plain formula loses digits.
    first = np.repeat(np.minimum(offsets[:-1], max(len(points) - 1, 0)), np.diff(offsets))
    local = points - points[first]
    beyond = local[_next(offsets)]
    cross = local[:, 0] * beyond[:, 1] - beyond[:, 0] * local[:, 1]
    edges = np.hypot(*(beyond - local).T)
    return np.abs(_reduce(np.add, cross, offsets)) / 2, _reduce(np.add, edges, offsets)


def _distinct_at_most_two(points: FloatArray, offsets: IntArray) -> BoolArray:
    """Every vertex equals the first one or the first that differs from it."""
    counts = np.diff(offsets)
    out = counts < 3
    full = np.flatnonzero(counts > 0)
    if not len(full):
        return out
    owner = np.repeat(np.arange(len(counts)), counts)
    differs = (points != points[offsets[:-1][owner]]).any(axis=1)
    place = np.where(differs, np.arange(len(points)), len(points))
    second = np.full(len(counts), len(points))
    second[full] = np.minimum.reduceat(place, offsets[full])
    padded = np.concatenate([points, [[np.nan, np.nan]]])
    third = differs & (points != padded[second[owner]]).any(axis=1)
    return out | ~_any(third, offsets)


def _turns(points: FloatArray, offsets: IntArray) -> FloatArray:
    """(n): the cross product of the edges that leave each vertex and its successor: 0 straight on."""
    follow = _next(offsets)
    edge = points[follow] - points
    after = edge[follow]
    return edge[:, 0] * after[:, 1] - edge[:, 1] * after[:, 0]


def _crossing(points: FloatArray, offsets: IntArray, turn: FloatArray) -> BoolArray:
    """Not a simple polygon. Clearly convex triangles and quads, nearly all there are, are settled by their turns."""
    counts = np.diff(offsets)
    convex = ~_any(turn <= 0, offsets) | ~_any(turn >= 0, offsets)
    out = np.zeros(len(counts), dtype=np.bool_)
    doubtful = (counts >= 3) & ~(convex & (counts <= 4))
    for n in np.unique(counts[doubtful]):
        rows = np.flatnonzero(doubtful & (counts == n))
        corners = points[offsets[rows][:, None] + np.arange(n)]
        rings = shapely.linearrings(np.concatenate([corners, corners[:, :1]], axis=1))
        out[rows] = ~shapely.is_valid(shapely.polygons(rings))
    return out


def _twins(points: FloatArray, offsets: IntArray, sample: IntArray, bounds: FloatArray) -> IntArray:
    """Same vertices in any order. Candidates agree in sums that do not depend on the order; then they are compared."""
    out = np.full(len(sample), -1)
    counts = np.diff(offsets)
    sums = np.round(_reduce(np.add, np.stack([*points.T, points[:, 0] * points[:, 1]], axis=1), offsets), 3)
    keys = [*sums.T, *bounds.T, counts.astype(np.float64), sample.astype(np.float64)]
    order = np.lexsort(keys)  # stable: equal keys stay in the order of the file
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    head = -1
    for place in np.flatnonzero(same):
        first, second = int(order[place]), int(order[place + 1])
        if head < 0 or not same[place - 1]:
            head = first
        if _vertex_set(points, offsets, head) == _vertex_set(points, offsets, second):
            out[second] = head
    return out


def _vertex_set(points: FloatArray, offsets: IntArray, row: int) -> list[list[float]]:
    return sorted(points[offsets[row] : offsets[row + 1]].tolist())


def _near(
    points: FloatArray, offsets: IntArray, sample: IntArray, bounds: FloatArray, area: FloatArray, *, skip: BoolArray
) -> IntArray:
    """Pairs whose boxes nearly coincide, decided by the intersection of the outlines themselves.

    Sorted by their upper (or left) edges, partners are neighbors: shifted copies of the order meet all of them.
    """
    out = np.full(len(sample), -1)
    rows = np.flatnonzero(~skip)
    if not len(rows):
        return out
    size = bounds[:, 2:] - bounds[:, :2]
    axis = _telling_axis(bounds[rows], sample[rows])
    low, side = bounds[rows, axis], size[rows, axis]
    order = np.lexsort([low, sample[rows]])
    rows, low, side = rows[order], low[order], side[order]
    shapes = np.full(len(sample), None, dtype=object)
    alive = np.arange(len(rows))
    corners, compared = np.diff(offsets), 0
    for step in range(1, NEIGHBORS + 1):
        alive = alive[alive + step < len(rows)]
        # OutlineTable of IoU >= NEAR have boxes that agree much better than this.
        alive = alive[
            (sample[rows[alive]] == sample[rows[alive + step]]) & (low[alive + step] - low[alive] <= 0.25 * side[alive])
        ]
        if not len(alive):
            break
        a, b = rows[alive], rows[alive + step]
        # One partner is enough: in a heap of equal outlines the pairs would grow with the square of their number.
        alone = out[np.maximum(a, b)] < 0
        a, b = a[alone], b[alone]
        overlap = np.minimum(bounds[a, 2:], bounds[b, 2:]) - np.maximum(bounds[a, :2], bounds[b, :2])
        both = np.prod(np.maximum(overlap, 0), axis=1)
        union = np.prod(size[a], axis=1) + np.prod(size[b], axis=1) - both
        alike = (both >= 0.5 * union) & (np.minimum(area[a], area[b]) >= NEAR * np.maximum(area[a], area[b]))
        work = corners[a] * corners[b]
        alike &= work <= CORNERS
        compared += int(work[alike].sum())
        if compared > COMPARED:
            raise CrowdError(
                f"found outlines with over {COMPARED} pairs of corners in nearly equal boxes: no text is written "
                "like that"
            )
        first, second = np.minimum(a, b)[alike], np.maximum(a, b)[alike]
        for row in np.unique(np.concatenate([first, second])).tolist():
            if shapes[row] is None:
                shapes[row] = shapely.Polygon(points[offsets[row] : offsets[row + 1]])
        common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
        near = common >= NEAR * (area[first] + area[second] - common)
        out[second[near]] = first[near]
    return out


def _telling_axis(bounds: FloatArray, sample: IntArray) -> IntArray:
    """(k): 1 where the sample's boxes are spread, for their size, more widely downwards than to the right, else 0."""
    number = np.maximum(np.bincount(sample), 1)
    crowd = []
    for low in (0, 1):
        start, side = bounds[:, low], bounds[:, low + 2] - bounds[:, low]
        mean = (np.bincount(sample, start) / number)[sample]
        spread = np.sqrt(np.bincount(sample, (start - mean) ** 2) / number)
        crowd.append(np.bincount(sample, side) / number / np.maximum(spread, 1e-9))
    return (crowd[1] <= crowd[0])[sample].astype(np.int64)
