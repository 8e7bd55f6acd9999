"""The geometry two polygon sets share, computed once per picture; every metric and sweep reads it.

Areas are float64 in squared pixels of the common frame. Any polygon is accepted: one that encloses nothing sure
(too few points, no area, crossing itself) gets a status and takes part in no pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet
from ocrmaps.metrics import candidates, clipping, pairing
from ocrmaps.metrics.clipping import CROSSING, NO_AREA, TOO_FEW_POINTS, VALID

STATUSES = ("valid", "too-few-points", "no-area", "crossing", "out-of-range")
"""What a polygon can be, in the order of the status codes."""

# What a shared area is divided by.
_TRUTH, _DETECTION, _UNION = range(3)

Order = Literal["first", "best"]
"""first: truths in their order take the first free detection above the threshold; best: as many pairs as possible."""
ORDERS: tuple[str, ...] = get_args(Order)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One polygon set with what the metrics ask of each polygon."""

    polygons: PolygonSet
    points: FloatArray
    """(n, 2): the polygons' own, or cut to whole pixels."""
    area: FloatArray
    """(k) absolute; what the shoelace formula says even where the status is not valid."""
    bounds: FloatArray
    """(k, 4): x0, y0, x1, y1."""
    status: IntArray
    """(k): index into STATUSES."""
    convex: BoolArray
    """(k): surely convex, so that half-plane clipping is exact."""
    simple: BoolArray
    """(k): surely simple, so that its signed triangles add up to it; all convex ones are."""
    signed_area: FloatArray

    @property
    def valid(self) -> BoolArray:
        return self.status == VALID

    def shapes(self, index: IntArray) -> npt.NDArray[np.object_]:
        """(len(index)): shapely geometry of these members, each built once; what crosses itself, by even-odd filling.

        Members with fewer than three different vertices in a row have none.
        """
        wanted, place = np.unique(index, return_inverse=True)
        out = _shapes([self.ring(i) for i in wanted.tolist()])
        for i in np.flatnonzero(self.status[wanted] != VALID):
            out[i] = _even_odd(out[i])
        return out[place]

    def ring(self, index: int) -> FloatArray:
        """The outline without a repeated last vertex, and without vertices that repeat their predecessor."""
        return _open_ring(self.points[self.polygons.offsets[index] : self.polygons.offsets[index + 1]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairGeometry:
    """Overlapping pairs of valid truth and detection polygons of one picture: truth after truth, detections rising."""

    truth: Measured
    detections: Measured
    truth_index: IntArray
    """(p)"""
    detection_index: IntArray
    """(p)"""
    overlap: FloatArray
    """(p): shared area, > 0."""

    @property
    def frame(self) -> str:
        return self.truth.polygons.frame

    def iou(self, thresholds: Iterable[float] = ()) -> FloatArray:
        """(p): intersection over union; within `TIE` of a threshold, by the reference's engine and its own union."""
        value, near = self._quotients(_UNION, thresholds)
        if near.size:
            # Detection first, as the reference has it: the order decides the last bit.
            b, a = self._shapes(near)
            value[near] = shapely.area(shapely.intersection(a, b)) / shapely.area(shapely.union(a, b))
        return value

    def share_of_detection(self, thresholds: Iterable[float] = ()) -> FloatArray:
        """(p): part of the detection's area inside the truth (area precision)."""
        return self._share(_DETECTION, thresholds)

    def share_of_truth(self, thresholds: Iterable[float] = ()) -> FloatArray:
        """(p): part of the truth's area inside the detection (area recall)."""
        return self._share(_TRUTH, thresholds)

    def _share(self, over: int, thresholds: Iterable[float]) -> FloatArray:
        value, near = self._quotients(over, thresholds)
        if near.size:
            a, b = self._shapes(near)
            value[near] = shapely.area(shapely.intersection(a, b)) / shapely.area(b if over == _DETECTION else a)
        return value

    def _quotients(self, over: int, thresholds: Iterable[float]) -> tuple[FloatArray, IntArray]:
        return clipping.quotients(
            self.overlap, self.truth.area, self.detections.area, self.truth_index, self.detection_index,
            over, np.array(tuple(thresholds), dtype=np.float64),
        )  # fmt: skip

    def _shapes(self, pairs: IntArray) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
        return self.truth.shapes(self.truth_index[pairs]), self.detections.shapes(self.detection_index[pairs])

    def on_ignored(self, limit: float = 0.5) -> BoolArray:
        """(detections): more than `limit` of the area lies in one ignored truth, each region by itself."""
        out = np.zeros(len(self.detections.status), dtype=np.bool_)
        ignored = self.truth.polygons.ignore[self.truth_index]
        if ignored.any():
            hit = ignored & (self.share_of_detection((limit,)) > limit)
            out[self.detection_index[hit]] = True
        return out


def measured(polygons: PolygonSet) -> Measured:
    """Areas, bounds and the status of every polygon."""
    return _measured(polygons, polygons.points, *clipping.measure(polygons.points, polygons.offsets, False))


def measured_whole(polygons: PolygonSet) -> tuple[Measured, BoolArray, int]:
    """`measured` with the points cut to whole pixels.

    Then (k): at least three points, near enough for an area; and how many polygons enclose nothing sure uncut.
    """
    points, signed, bounds, convex, simple, status, doubtful, outlined, invalid = clipping.measure_whole(
        polygons.points, polygons.offsets
    )
    # Locked as those of a set are: arrays that may be written would be compiled for once more.
    _seal(points)
    if invalid < 0:
        invalid = int((~measured(polygons).valid).sum())
    return _measured(polygons, points, signed, bounds, convex, simple, status, doubtful), outlined, invalid


def _measured(
    polygons: PolygonSet, points: FloatArray, signed: FloatArray, bounds: FloatArray, convex: BoolArray,
    simple: BoolArray, status: IntArray, doubtful: int,
) -> Measured:  # fmt: skip
    out = Measured(
        polygons=polygons,
        points=points,
        area=np.abs(signed),
        bounds=bounds,
        status=status,
        convex=convex,
        simple=simple,
        signed_area=signed,
    )
    if doubtful:
        status[:] = _decided(out)
    _seal(out.area, bounds, status, convex, simple, signed)
    return out


def _decided(side: Measured) -> IntArray:
    """(k): the statuses, with those that clipping leaves doubtful."""
    status = side.status.copy()
    doubtful = np.flatnonzero(status == clipping.DOUBTFUL)
    outlines = [side.ring(i) for i in doubtful.tolist()]
    counts = np.array([len(outline) for outline in outlines])
    status[doubtful[counts < 3]] = TOO_FEW_POINTS
    rings = doubtful[counts >= 3]
    sound = shapely.is_valid(_shapes([outline for outline in outlines if len(outline) >= 3]))
    status[rings[sound]] = VALID
    # An outline that crosses itself can cancel its own area; one on a line has none to begin with.
    offsets = side.polygons.offsets
    flat = [_on_a_line(side.points[offsets[i] : offsets[i + 1]]) for i in rings[~sound]]
    status[rings[~sound]] = np.where(np.array(flat, dtype=np.bool_), NO_AREA, CROSSING)
    return status


def _seal(*arrays: npt.NDArray[Any]) -> None:
    """Make arrays that nobody else holds read-only: what is measured is shared between metrics."""
    for array in arrays:
        array.setflags(write=False)


def pair_geometry(truth: PolygonSet, detections: PolygonSet) -> PairGeometry:
    """All overlapping pairs with their shared areas; memory follows the polygons and the pairs that overlap.

    >>> t = PolygonSet.of([[(0, 0), (4, 0), (4, 2), (0, 2)]], frame="raw")
    >>> d = PolygonSet.of([[(2, 0), (6, 0), (6, 2), (2, 2)], [(9, 9), (9, 9)]], frame="raw")
    >>> g = pair_geometry(t, d)
    >>> g.overlap.tolist(), g.iou().round(3).tolist(), [STATUSES[s] for s in g.detections.status]
    ([4.0], [0.333], ['valid', 'too-few-points'])
    """
    same_frame(truth, detections)
    t, d = measured(truth), measured(detections)
    rows, columns = candidates.candidate_pairs(t.bounds, t.valid, d.bounds, d.valid)
    overlap = shared_areas(t, d, rows, columns)
    kept = overlap > 0
    rows, columns, overlap = rows[kept], columns[kept], overlap[kept]
    _seal(rows, columns, overlap)
    return PairGeometry(truth=t, detections=d, truth_index=rows, detection_index=columns, overlap=overlap)


def same_frame(truth: PolygonSet, detections: PolygonSet) -> None:
    """Refuse two sets in different frames."""
    if truth.frame != detections.frame:
        raise FrameError(
            f"truth is in frame {truth.frame!r}, detections are in frame {detections.frame!r}: expected one frame",
            hint="bring both to the frame of the annotations with the sample's CanonicalTransform before scoring",
        )


def shared_areas(truth: Measured, detections: Measured, rows: IntArray, columns: IntArray) -> FloatArray:
    """(p): area that each pair of members shares: by clipping where both are surely simple, by shapely elsewhere."""
    a, b = truth.polygons.offsets, detections.polygons.offsets
    candidates.refuse_long(a, b, rows, columns)
    overlap, bent = clipping.overlaps(
        truth.points, a, truth.signed_area, truth.convex, truth.simple,
        detections.points, b, detections.signed_area, detections.convex, detections.simple,
        rows, columns,
    )  # fmt: skip
    if bent:
        clipping.bent_overlaps(
            truth.points, a, truth.signed_area, truth.convex,
            detections.points, b, detections.signed_area, detections.convex,
            rows, columns, overlap,
        )  # fmt: skip
    left = clipping.unsure(overlap, truth.area, detections.area, rows, columns)
    if left.size:
        candidates.refuse_tangles((truth.points, a), (detections.points, b), rows[left], columns[left])
        both = shapely.intersection(truth.shapes(rows[left]), detections.shapes(columns[left]))
        overlap[left] = shapely.area(both)
    return overlap


def take_pairs(
    geometry: PairGeometry,
    value: FloatArray,
    usable: BoolArray,
    *,
    thresholds: Sequence[float],
    order: Order,
    rank: FloatArray | None = None,
    cuts: Sequence[float] = (0.0,),
) -> IntArray:
    """(cuts, thresholds, truths): the detection each truth takes, or -1, among `usable` pairs with value > threshold.

    A layer of `cuts` sees only the detections whose rank reaches it.
    """
    if order not in ORDERS:
        raise SpecError(f"found matching order {order!r}, expected one of {', '.join(ORDERS)}")
    k, m = len(geometry.truth.status), len(geometry.detections.status)
    rows, columns, value = geometry.truth_index[usable], geometry.detection_index[usable], value[usable]
    match = pairing.first_come
    if order == "best":
        nearest = np.lexsort((columns, -value, rows))
        rows, columns, value = rows[nearest], columns[nearest], value[nearest]
        match = pairing.most_pairs
    levels, layers = np.array(thresholds, dtype=np.float64), np.array(cuts, dtype=np.float64)
    return match(k, m, rows, columns, value, levels, np.zeros(m) if rank is None else rank, layers)


def checked_thresholds(thresholds: Sequence[float]) -> tuple[float, ...]:
    """IoU thresholds as given, refused where no IoU or every IoU could exceed them."""
    out = tuple(float(t) for t in thresholds)
    if not out or not all(0.0 <= t < 1.0 for t in out) or len(set(out)) != len(out):
        raise SpecError(f"found IoU thresholds {list(out)}, expected at least one, all different, each in [0, 1)")
    return out


def _open_ring(points: FloatArray) -> FloatArray:
    if not len(points):
        return points
    moves = np.empty(len(points), dtype=np.bool_)
    moves[0] = (points[0] != points[-1]).any()
    moves[1:] = (points[1:] != points[:-1]).any(axis=1)
    return points[moves]


def _on_a_line(points: FloatArray) -> bool:
    moved = points - points[0]
    far = moved[np.argmax((moved**2).sum(axis=1))]
    return bool((moved[:, 0] * far[1] == moved[:, 1] * far[0]).all())


def _even_odd(outline: shapely.Polygon | None) -> shapely.Geometry:
    """What an outline that crosses itself fills: of the faces between its lines those with an odd number outside.

    `shapely.make_valid` fills the same and takes seconds where an outline crosses itself a few thousand times.
    """
    if outline is None:
        return shapely.GeometryCollection()
    points = shapely.get_coordinates(outline)
    faces = shapely.get_parts(shapely.polygonize([shapely.node(shapely.linestrings(points))]))
    x, y = shapely.get_coordinates(shapely.point_on_surface(faces)).T
    odd = np.zeros(len(faces), dtype=np.bool_)
    for (x0, y0), (x1, y1) in itertools.pairwise(points.tolist()):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return shapely.coverage_union_all(faces[odd])


def _shapes(rings: Sequence[FloatArray]) -> npt.NDArray[np.object_]:
    """Shapely polygons of rings with at least three vertices."""
    if not len(rings):
        return np.zeros(0, dtype=object)
    place = np.repeat(np.arange(len(rings)), [len(r) for r in rings])
    return shapely.polygons(shapely.linearrings(np.concatenate(rings), indices=place))
