"""What is measured of an annotated outline, and of text without one, against what a detector saw.

Everything happens on the canvas of the detector. An outline has axes of its own: s runs along its text and t across
it, so that a measure means the same for a turned line. Lengths are in heights of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.evaluation.audit.records import Evidence
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet
from ocrmaps.metrics.matching import PairGeometry, pair_geometry

SEEN = 0.6
"""Score from which a detection counts as text when outlines are compared with it."""
_ALONG, _ACROSS = 64, 13
TRAITS = (
    "best_iou", "covered", "inside_best", "best_score", "parts", "part_gap", "owners", "twin", "swallowed",
    "in_core", "coverage", "gap", "before", "after", "above", "below", "rows", "sag", "loose_left", "loose_right",
    "loose_top", "loose_bottom", "shift_along", "shift_across", "size_along", "size_across", "loosest", "tightest",
    "shift_up", "unmatched", "height", "aspect", "beside",
)  # fmt: skip
_OF_PAIRS = (
    "best_iou", "covered", "inside_best", "best_score", "parts", "part_gap", "owners", "loose_left", "loose_right",
    "loose_top", "loose_bottom", "shift_along", "shift_across", "size_along", "size_across", "loosest", "tightest",
    "shift_up", "unmatched",
)  # fmt: skip
PIECES = ("score", "share", "thickness", "relative_height", "aspect", "probability", "ignored", "area", "near")
"""What is measured of text without an outline."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axes:
    """The upright rectangle of every outline in its own axes."""

    center: FloatArray
    """(k, 2)"""
    along: FloatArray
    """(k, 2) unit vectors in the direction of reading."""
    half: FloatArray
    """(k, 2): half the length and half the height."""

    @property
    def across(self) -> FloatArray:
        return np.stack([-self.along[:, 1], self.along[:, 0]], axis=1)

    def local(self, i: int, points: FloatArray) -> FloatArray:
        """(n, 2) points as (s, t) about the center of outline i."""
        (x, y), (c, d) = (points - self.center[i]).T, self.along[i]
        return np.stack([x * c + y * d, y * c - x * d], axis=1)

    def world(self, i: int, local: FloatArray) -> FloatArray:
        """(n, 2) points (s, t) of outline i in the picture."""
        (s, t), (c, d) = local.T, self.along[i]
        return np.asarray(self.center[i] + np.stack([s * c - t * d, s * d + t * c], axis=1))

    def rectangle(self, i: int) -> FloatArray:
        """Its four corners as (s, t), clockwise from the top left."""
        a, b = self.half[i]
        return np.array([[-a, -b], [a, -b], [a, b], [-a, b]])


def axes_of(polygons: PolygonSet) -> Axes:
    """The axes: along the longer side where one is clearly longer, else along the picture's rows.

    >>> axes_of(PolygonSet.of([[(0, 0), (9, 0), (9, 2), (0, 2)]], frame="raw")).half.tolist()
    [[4.5, 1.0]]
    """
    counts, first = polygons.counts(), polygons.offsets[:-1]
    k = len(counts)
    middle, sides, turn = np.zeros((k, 2)), np.ones((k, 2)), np.zeros(k)
    four = np.flatnonzero(counts == 4)
    corners = polygons.points[first[four, None] + np.arange(4)]
    low, high = corners.min(axis=1), corners.max(axis=1)
    ends = np.concatenate([low, high], axis=1)
    flat = (corners[..., None] == ends[:, None, None, :]).any(axis=-1).all(axis=(1, 2))
    middle[four[flat]], sides[four[flat]] = (low[flat] + high[flat]) / 2, high[flat] - low[flat]
    drawn = counts >= 3
    for i in np.setdiff1d(np.flatnonzero(drawn), four[flat]).tolist():
        box = cv2.minAreaRect(polygons[i].astype(np.float32))
        middle[i], sides[i], turn[i] = box[0], box[1], np.radians(box[2])
    along = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    down = sides[:, 1] >= 1.5 * sides[:, 0]
    down |= ~down & (sides[:, 0] < 1.5 * sides[:, 1]) & (np.abs(across[:, 0]) > np.abs(along[:, 0]))
    along = np.where(down[:, None], across, along)
    back = (along[:, 0] < 0) | ((along[:, 0] == 0) & (along[:, 1] < 0))
    along = np.where(back[:, None], -along, along)
    half = np.maximum(np.where(down[:, None], sides[:, ::-1], sides) / 2, 0.5)
    return Axes(center=middle, along=along, half=half)


def outline_traits(truth: PolygonSet, seen: Evidence) -> FloatArray:
    """(k, TRAITS) of the outlines of one picture, in the canonical frame."""
    k = len(truth)
    if not k:
        return np.zeros((0, len(TRAITS)))
    strong = seen.detections.select(np.flatnonzero(seen.scores >= SEEN))
    strong_scores = np.asarray(seen.scores)[seen.scores >= SEEN]
    axes, geometry = axes_of(truth), pair_geometry(truth, strong)
    out = _pairs(axes, truth, strong, strong_scores, geometry)
    out |= _profiles(axes, seen.probability) | _each_other(truth)
    height = 2 * axes.half[:, 1]
    out["height"] = np.log(height / np.median(height))
    out["aspect"] = np.log(axes.half[:, 0] / axes.half[:, 1])
    return np.stack([out[name] for name in TRAITS], axis=1)


def _pairs(
    axes: Axes, truth: PolygonSet, found: PolygonSet, scores: npt.NDArray[Any], geometry: PairGeometry
) -> dict[str, FloatArray]:
    k = len(truth)
    rows, columns = geometry.truth_index, geometry.detection_index
    iou, of_found, of_truth = geometry.iou(), geometry.share_of_detection(), geometry.share_of_truth()
    best = np.full(k, -1)
    out = {name: np.zeros(k) for name in _OF_PAIRS}
    order = np.lexsort((-columns, iou))
    best[rows[order]] = columns[order]
    out["best_iou"][rows[order]] = iou[order]
    np.add.at(out["covered"], rows, of_truth)
    owner = np.bincount(columns[of_truth > 0.6], minlength=len(found))
    strongest, inside = columns == best[rows], of_found > 0.6
    at = rows[strongest]
    out["inside_best"][at], out["best_score"][at] = of_found[strongest], scores[columns[strongest]]
    out["owners"][at] = owner[columns[strongest]]
    taken = (of_found > 0.5) | strongest
    out["unmatched"][np.bincount(rows[taken], minlength=k) == 0] = 1.0
    out["parts"] += np.bincount(rows[inside], minlength=k)
    spans = _spans(axes, found, rows, columns)
    low, high = np.full((k, 2), np.inf), np.full((k, 2), -np.inf)
    np.minimum.at(low, rows[taken], spans[taken, 0])
    np.maximum.at(high, rows[taken], spans[taken, 1])
    tall = np.maximum(_medians(rows[taken], np.ptp(spans[taken], axis=1)[:, 1], k), 1.0)
    for i in np.flatnonzero(out["parts"] > 1).tolist():
        out["part_gap"][i] = _part_gap(spans[inside & (rows == i)], tall[i])
    met = np.flatnonzero(out["unmatched"] == 0)
    half, tall = axes.half[met], tall[met]
    (left, top), (right, bottom) = ((low[met] + half) / tall[:, None]).T, ((half - high[met]) / tall[:, None]).T
    sides = np.stack([left, right, top, bottom])
    for name, value in (
        ("loose_left", left),
        ("loose_right", right),
        ("loose_top", top),
        ("loose_bottom", bottom),
        ("shift_along", np.where(left * right < 0, np.minimum(np.abs(left), np.abs(right)), 0.0)),
        ("shift_across", np.where(top * bottom < 0, np.minimum(np.abs(top), np.abs(bottom)), 0.0)),
        ("shift_up", np.abs(top - bottom) / 2),
        ("size_along", left + right),
        ("size_across", top + bottom),
        ("loosest", sides.max(axis=0)),
        ("tightest", sides.min(axis=0)),
    ):
        out[name][met] = value
    out["covered"] = np.minimum(out["covered"], 1.0)
    return out


def _spans(axes: Axes, found: PolygonSet, rows: IntArray, columns: IntArray) -> FloatArray:
    """(pairs, low and high, 2): from where to where each detection reaches along and across the outline of its pair."""
    counts = found.counts()[columns]
    starts = np.cumsum(counts) - counts
    pair = np.repeat(np.arange(len(rows)), counts)
    points = found.points[found.offsets[columns][pair] + np.arange(len(pair)) - starts[pair]]
    (x, y), (c, d) = (points - axes.center[rows][pair]).T, axes.along[rows][pair].T
    local = np.stack([x * c + y * d, y * c - x * d], axis=1)
    if not len(local):
        return np.zeros((0, 2, 2))
    return np.stack([np.minimum.reduceat(local, starts), np.maximum.reduceat(local, starts)], axis=1)


def _medians(groups: IntArray, values: FloatArray, number: int) -> FloatArray:
    """(number): the median of each group's values; 0 for a group without any."""
    ordered = values[np.lexsort((values, groups))]
    counts = np.bincount(groups, minlength=number)
    last, some = np.cumsum(counts), counts > 0
    first = last - counts
    out = np.zeros(number)
    out[some] = (ordered[(first + (counts - 1) // 2)[some]] + ordered[(first + counts // 2)[some]]) / 2
    return out


def _part_gap(spans: FloatArray, tall: float) -> float:
    """The widest gap between detections in one outline, along it or across it, in heights."""
    widest = -1.0
    for axis in (0, 1):
        ends = sorted((float(span[0, axis]), float(span[1, axis])) for span in spans)
        for (_, stop), (start, _) in pairwise(ends):
            widest = max(widest, (start - stop) / tall)
    return widest


def _profiles(axes: Axes, map: npt.NDArray[Any]) -> dict[str, FloatArray]:
    """What the map shows in and around each outline, sampled on a grid along its axes."""
    rows, columns = map.shape
    a, b = axes.half[:, 0], axes.half[:, 1]
    # From a height before the outline to a height after it; across from 1.6 half heights above to below.
    reach = a + 2 * b
    s = np.linspace(-1, 1, _ALONG)[None, :] * reach[:, None]
    t = np.linspace(-1.6, 1.6, _ACROSS)[None, :] * b[:, None]
    across = axes.across
    x = axes.center[:, 0, None, None] + s[:, :, None] * axes.along[:, 0, None, None]
    x = x + t[:, None, :] * across[:, 0, None, None]
    y = axes.center[:, 1, None, None] + s[:, :, None] * axes.along[:, 1, None, None]
    y = y + t[:, None, :] * across[:, 1, None, None]
    outside = (x < 0) | (y < 0) | (x >= columns) | (y >= rows)
    value = map[np.clip(y, 0, rows - 1).astype(int), np.clip(x, 0, columns - 1).astype(int)].astype(np.float64)
    value[outside] = 0.0
    level = np.abs(t) <= b[:, None]
    inner = np.abs(s) <= np.maximum(a - 0.7 * b, 0.3 * a)[:, None]
    column = np.where(level[:, None, :], value, 0.0).max(axis=2)
    row = (value * inner[:, :, None]).sum(axis=1) / np.maximum(inner.sum(axis=1), 1)[:, None]
    step = (2 * reach / (_ALONG - 1)) / (2 * b)
    high, low = t < -0.95 * b[:, None], t > 0.95 * b[:, None]
    beside = (np.abs(s) > 1.0 * a[:, None]) & (np.abs(s) < (a + 1.2 * b)[:, None])
    middle = np.where((np.abs(t) <= 0.5 * b[:, None])[:, None, :], value, 0.0).max(axis=2)
    mass = np.maximum(row.sum(axis=1), 1e-6)
    return {
        "in_core": (value * inner[:, :, None] * level[:, None, :]).max(axis=2).sum(axis=1)
        / np.maximum(inner.sum(axis=1), 1),
        "coverage": ((column > 0.4) & inner).sum(axis=1) / np.maximum(inner.sum(axis=1), 1),
        "gap": _longest((column < 0.3) & inner) * step,
        "before": _mean(middle, beside & (s < 0)),
        "after": _mean(middle, beside & (s > 0)),
        "above": (row * high).max(axis=1),
        "below": (row * low).max(axis=1),
        "rows": _peaks(np.where(level, row, 0.0)),
        "sag": np.abs((row * t).sum(axis=1) / mass / b) * (mass > 0.2),
    }


def _mean(values: FloatArray, where: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray((values * where).sum(axis=1) / np.maximum(where.sum(axis=1), 1))


def _longest(flags: npt.NDArray[np.bool_]) -> FloatArray:
    """(k): the longest run of True in each row."""
    run, best = np.zeros(len(flags)), np.zeros(len(flags))
    for column in flags.T:
        run = (run + 1) * column
        best = np.maximum(best, run)
    return best


def _peaks(row: FloatArray) -> FloatArray:
    """(k): lines of text above each other, as hills of the profile with a valley between them."""
    hills, up = np.zeros(len(row)), np.zeros(len(row), dtype=bool)
    for level in row.T:
        rising = ~up & (level > 0.3)
        hills += rising
        up = (up | rising) & (level > 0.12)
    return hills


def _each_other(truth: PolygonSet) -> dict[str, FloatArray]:
    """How outlines of one picture lie upon each other."""
    k = len(truth)
    twin, swallowed, beside = np.zeros(k), np.zeros(k), np.zeros(k)
    pairs = pair_geometry(truth, truth)
    other = pairs.truth_index != pairs.detection_index
    rows = pairs.truth_index[other]
    np.maximum.at(twin, rows, pairs.iou()[other])
    np.maximum.at(swallowed, rows, pairs.share_of_truth()[other])
    np.maximum.at(beside, rows, pairs.share_of_detection()[other])
    return {"twin": twin, "swallowed": swallowed, "beside": beside}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """Text that no outline covers: whole detections, and parts of those that reach beyond an outline."""

    polygons: PolygonSet
    traits: FloatArray
    """(n, PIECES)"""


def uncovered(truth: PolygonSet, seen: Evidence) -> Pieces:
    """The parts of detections outside of all outlines that are as thick as text; canonical frame."""
    found, scores = seen.detections, np.asarray(seen.scores, dtype=np.float64)
    if not len(found):
        return Pieces(polygons=PolygonSet.empty("canonical"), traits=np.zeros((0, len(PIECES))))
    geometry = pair_geometry(truth, found)
    touched: dict[int, list[int]] = {}
    covered = np.bincount(geometry.detection_index, geometry.share_of_detection(), minlength=len(found))
    for i, j in zip(geometry.truth_index.tolist(), geometry.detection_index.tolist(), strict=True):
        touched.setdefault(j, []).append(i)
    sides = found.equivalent_sides()
    usual = float(np.median(truth.equivalent_sides()[:, 0])) if len(truth) else float(np.median(sides[:, 0]))
    outlines, tall = _shapes(truth), np.maximum(sides[:, 0], 1.0)
    open_ = np.flatnonzero(covered < 0.93)
    shapes = _shapes(found.select(open_))
    over = [_union([outlines[i] for i in touched.get(j, ())]) for j in open_.tolist()]
    covers = shapely.buffer(over, 0.15 * tall[open_], quad_segs=16)
    parts, of = shapely.get_parts(shapely.difference(shapes, covers), return_index=True)
    areas, polygon = shapely.area(parts), shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    polygons: list[FloatArray] = []
    rows: list[list[float]] = []
    for n in np.flatnonzero(polygon & (areas >= 0.25 * tall[open_][of] ** 2)).tolist():
        j, part = int(open_[of[n]]), parts[n]
        box = part.minimum_rotated_rectangle
        if box.geom_type != "Polygon":
            continue
        corners = shapely.get_coordinates(box)[:4]
        lengths = np.hypot(*(corners[1] - corners[0])), np.hypot(*(corners[2] - corners[1]))
        thick, long = min(lengths), max(lengths)
        if thick < 0.45 * tall[j]:
            continue
        near = touched.get(j, ())
        ignored = [outlines[i] for i in near if truth.ignore[i]]
        reach = part.buffer(tall[j]) if ignored else part
        near_ignored = sum(float(reach.intersection(o).area) for o in ignored) / areas[n]
        polygons.append(corners)
        rows.append([
            scores[j], areas[n] / shapes[of[n]].area, thick / tall[j], np.log(tall[j] / usual),
            np.log(long / max(thick, 1e-6)), 0.0, near_ignored, np.log(areas[n] / tall[j] ** 2), float(len(near)),
        ])  # fmt: skip
    pieces = PolygonSet.of(polygons, frame="canonical")
    traits = np.array(rows, dtype=np.float64).reshape(-1, len(PIECES))
    traits[:, PIECES.index("probability")] = _probability(seen.probability, pieces)
    return Pieces(polygons=pieces, traits=traits)


def _shapes(polygons: PolygonSet) -> npt.NDArray[np.object_]:
    """(k) valid shapes: outlines that cross themselves become what they enclose."""
    out = np.array([shapely.polygons(points) for points in polygons], dtype=object)
    wrong = ~shapely.is_valid(out)
    out[wrong] = shapely.buffer(out[wrong], 0)
    return out


def _union(shapes: Sequence[Any]) -> Any:
    return shapes[0] if len(shapes) == 1 else shapely.union_all(shapes)


def _probability(map: npt.NDArray[Any], polygons: PolygonSet) -> FloatArray:
    """(k): the mean over the middle line of each rectangle."""
    axes = axes_of(polygons)
    steps = np.linspace(-0.7, 0.7, 15)[None, :, None] * axes.half[:, None, :1]
    points = axes.center[:, None, :] + steps * axes.along[:, None, :]
    x = np.clip(points[..., 0].astype(int), 0, map.shape[1] - 1)
    y = np.clip(points[..., 1].astype(int), 0, map.shape[0] - 1)
    return np.asarray(map[y, x].mean(axis=1), dtype=np.float64)


def pieces_on(polygons: PolygonSet, pieces: PolygonSet) -> IntArray:
    """(pieces): which polygon holds most of each piece, more than half of it, or -1."""
    out = np.full(len(pieces), -1)
    geometry = pair_geometry(polygons, pieces)
    share = geometry.share_of_detection()
    for i, j, s in zip(geometry.truth_index, geometry.detection_index, share, strict=True):
        if s > 0.5:
            out[j] = i
    return out
