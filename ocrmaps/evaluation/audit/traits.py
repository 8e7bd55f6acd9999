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
    k = len(polygons)
    center, along, half = np.zeros((k, 2)), np.tile([1.0, 0.0], (k, 1)), np.full((k, 2), 0.5)
    for i, points in enumerate(polygons):
        if len(points) < 3:
            continue
        low, high = points.min(axis=0), points.max(axis=0)
        flat = len(points) == 4 and bool((np.isin(points, np.stack([low, high]))).all())
        if flat:
            middle, sides, turn = (low + high) / 2, high - low, 0.0
        else:
            box = cv2.minAreaRect(points.astype(np.float32))
            middle, sides, turn = np.array(box[0]), np.array(box[1]), np.radians(box[2])
        first = np.array([np.cos(turn), np.sin(turn)])
        second = np.array([-first[1], first[0]])
        if sides[0] >= 1.5 * sides[1]:
            chosen = 0
        elif sides[1] >= 1.5 * sides[0]:
            chosen = 1
        else:
            chosen = int(abs(second[0]) > abs(first[0]))
        direction = (first, second)[chosen]
        if direction[0] < 0 or (direction[0] == 0 and direction[1] < 0):
            direction = -direction
        center[i], along[i] = middle, direction
        half[i] = np.maximum(sides[[chosen, 1 - chosen]] / 2, 0.5)
    return Axes(center=center, along=along, half=half)


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
    for i in range(k):
        mine = rows == i
        taken = columns[mine & ((of_found > 0.5) | (columns == best[i]))]
        if not taken.size:
            out["unmatched"][i] = 1.0
            continue
        strongest = best[i]
        at = mine & (columns == strongest)
        out["inside_best"][i] = of_found[at][0]
        out["best_score"][i] = scores[strongest]
        out["owners"][i] = owner[strongest]
        inside = columns[mine & (of_found > 0.6)]
        out["parts"][i] = len(inside)
        spans = [axes.local(i, found[int(j)]) for j in taken]
        low = np.min([span.min(axis=0) for span in spans], axis=0)
        high = np.max([span.max(axis=0) for span in spans], axis=0)
        tall = max(float(np.median([np.ptp(span[:, 1]) for span in spans])), 1.0)
        if len(inside) > 1:
            out["part_gap"][i] = _part_gap([axes.local(i, found[int(j)]) for j in inside], tall)
        a, b = axes.half[i]
        left, right, top, bottom = (low[0] + a) / tall, (a - high[0]) / tall, (low[1] + b) / tall, (b - high[1]) / tall
        out["loose_left"][i], out["loose_right"][i] = left, right
        out["loose_top"][i], out["loose_bottom"][i] = top, bottom
        out["shift_along"][i] = min(abs(left), abs(right)) if left * right < 0 else 0.0
        out["shift_across"][i] = min(abs(top), abs(bottom)) if top * bottom < 0 else 0.0
        out["shift_up"][i] = abs(top - bottom) / 2
        out["size_along"][i], out["size_across"][i] = left + right, top + bottom
        out["loosest"][i] = max(left, right, top, bottom)
        out["tightest"][i] = min(left, right, top, bottom)
    out["covered"] = np.minimum(out["covered"], 1.0)
    return out


def _part_gap(spans: Sequence[FloatArray], tall: float) -> float:
    """The widest gap between detections in one outline, along it or across it, in heights."""
    widest = -1.0
    for axis in (0, 1):
        ends = sorted((float(span[:, axis].min()), float(span[:, axis].max())) for span in spans)
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
    polygons: list[FloatArray] = []
    rows: list[list[float]] = []
    for j in np.flatnonzero(covered < 0.93).tolist():
        shape = _shape(found[j])
        tall = max(float(sides[j, 0]), 1.0)
        over = [_shape(truth[i]) for i in touched.get(j, ())]
        ignored = [outline for outline, i in zip(over, touched.get(j, ()), strict=True) if truth.ignore[i]]
        rest = shape.difference(shapely.union_all(over).buffer(0.15 * tall)) if over else shape
        for part in shapely.get_parts(rest):
            if part.area < 0.25 * tall * tall or part.geom_type != "Polygon":
                continue
            box = part.minimum_rotated_rectangle
            if box.geom_type != "Polygon":
                continue
            corners = np.asarray(box.exterior.coords)[:4]
            lengths = np.hypot(*(corners[1] - corners[0])), np.hypot(*(corners[2] - corners[1]))
            thick, long = min(lengths), max(lengths)
            if thick < 0.45 * tall:
                continue
            reach = part.buffer(tall)
            near_ignored = sum(float(reach.intersection(o).area) for o in ignored) / part.area
            polygons.append(corners)
            rows.append([
                scores[j], part.area / shape.area, thick / tall, np.log(tall / usual), np.log(long / max(thick, 1e-6)),
                _probability(seen.probability, corners), near_ignored, np.log(part.area / (tall * tall)),
                float(len(over)),
            ])  # fmt: skip
    return Pieces(
        polygons=PolygonSet.of(polygons, frame="canonical"),
        traits=np.array(rows, dtype=np.float64).reshape(-1, len(PIECES)),
    )


def _shape(points: FloatArray) -> Any:
    """A valid shape: outlines that cross themselves become what they enclose."""
    shape = shapely.polygons(points)
    return shape if shape.is_valid else shape.buffer(0)


def _probability(map: npt.NDArray[Any], corners: FloatArray) -> float:
    """The mean over the middle line of a rectangle."""
    axes = axes_of(PolygonSet.of([corners], frame="canonical"))
    steps = np.linspace(-0.7, 0.7, 15)[:, None] * axes.half[:1, :1]
    points = axes.center[0] + steps * axes.along[0]
    x = np.clip(points[:, 0].astype(int), 0, map.shape[1] - 1)
    y = np.clip(points[:, 1].astype(int), 0, map.shape[0] - 1)
    return float(map[y, x].mean())


def pieces_on(polygons: PolygonSet, pieces: PolygonSet) -> IntArray:
    """(pieces): which polygon holds most of each piece, more than half of it, or -1."""
    out = np.full(len(pieces), -1)
    geometry = pair_geometry(polygons, pieces)
    share = geometry.share_of_detection()
    for i, j, s in zip(geometry.truth_index, geometry.detection_index, share, strict=True):
        if s > 0.5:
            out[j] = i
    return out
