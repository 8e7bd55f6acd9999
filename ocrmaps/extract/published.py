"""The original implementation's extraction, step by step in its integers, for parity with published numbers.

Kept on purpose: coordinates are pixel indices (a text's left edge at x = 10 is the pixel 10); holes are candidates; the
cap takes outlines in the order of discovery; vertices are truncated to integers before growing, and the grown outline
is rounded to integers. The smallest rectangles are OpenCV's, because ties between directions are its own. What comes
after, scaling to the original picture, is `rounded_to_original`. Not kept: 16-bit integers, which large pictures leave,
and rows of zeros for dropped boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper

from ocrmaps.compiled import compiled
from ocrmaps.extract.records import Found, Outcomes
from ocrmaps.extract.spec import ExtractSpec, Shape
from ocrmaps.geometry import FloatArray, PolygonSet

FloatMap = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


def published_boxes(values: FloatMap, spec: ExtractSpec) -> Found:
    """Rotated rectangles: smallest rectangle, score, growth with round corners, smallest rectangle again."""
    outlines, counts = _outlines(values, spec)
    seeds = []
    for i, outline in enumerate(outlines):
        rectangle = cv2.minAreaRect(outline)
        if min(rectangle[1]) >= spec.min_kernel_side:
            seeds.append((i, cv2.boxPoints(rectangle)))
    counts["small_kernel"] = len(outlines) - len(seeds)
    quads = np.array([quad for _, quad in seeds], dtype=np.float64).reshape(-1, 4, 2)
    # Truncated towards zero, here as by the clipper.
    corners = quads.astype(np.int32)
    scores = [
        _score(values, outlines[i] if spec.score == "slow" else corner)
        for (i, _), corner in zip(seeds, corners, strict=True)
    ]
    points, ends = grow_quads(corners, quads, spec.growth_ratio)
    boxes: list[Any] = []
    kept: list[float] = []
    for i, score in enumerate(scores):
        if spec.score_min > score:
            counts["low_score"] += 1
            continue
        grown: Any = points[ends[i] : ends[i + 1]]
        if len(grown) == 0:
            paths = _grow(corners[i], quads[i].tolist(), spec.growth_ratio)
            if not paths:
                counts["degenerate"] += 1
                continue
            grown = np.array(paths[0])
        rectangle = cv2.minAreaRect(grown)
        if min(rectangle[1]) < spec.min_side:
            counts["small"] += 1
            continue
        boxes.append(cv2.boxPoints(rectangle))
        kept.append(score)
    return _ordered_corners(boxes), np.array(kept), Outcomes(kept=len(kept), **counts)


def rounded_to_original(
    polygons: PolygonSet, *, shape: Shape, size: tuple[int, int], original: tuple[int, int]
) -> PolygonSet:
    """Extracted polygons of a map of `size` (height, width) in whole pixels of the upright `original`, clipped to it.

    For a picture that was resized as a whole. Boxes are scaled in float32, polygons in float64, as published: a box
    corner at 430.50003 becomes 430.

    >>> box = PolygonSet.of([[(1, 1), (7, 1), (7, 3), (1, 3)]], frame="canonical")
    >>> rounded_to_original(box, shape="boxes", size=(4, 8), original=(10, 11))[0].tolist()
    [[1.0, 2.0], [10.0, 2.0], [10.0, 8.0], [1.0, 8.0]]
    """
    found: npt.NDArray[Any] = polygons.points.astype(np.float32 if shape == "boxes" else np.float64)
    # Plain numbers: an array of them would be of another type and round otherwise.
    scaled = [
        np.clip(np.round(found[:, axis] / size[1 - axis] * original[1 - axis]), 0, original[1 - axis])
        for axis in range(2)
    ]
    return replace(polygons, points=np.stack(scaled, axis=1).astype(np.float64), frame="upright")


@compiled
def grow_quads(corners: npt.NDArray[Any], quads: FloatArray, ratio: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Int32 points whose hulls are those that the clipper gives for convex quads, and offsets (k + 1) into them.

    Integer quads are grown with round joins by area * ratio / length of the float quads. A clipper call costs ten times
    as much, most of it for cleaning, of which a convex shape needs none. Without points: not convex or under three
    pixels thick, left to the clipper.
    """
    k = len(corners)
    distances = np.zeros(k)
    steps = np.zeros(k)
    size = 0
    for i in range(k):
        area = length = 0.0
        for j in range(4):
            a, b = quads[i, j - 1], quads[i, j]
            area += (a[0] - quads[i, 0, 0]) * (b[1] - quads[i, 0, 1]) - (a[1] - quads[i, 0, 1]) * (
                b[0] - quads[i, 0, 0]
            )
            length += math.hypot(b[0] - a[0], b[1] - a[1])
        d = abs(area) / 2 * ratio / length if length > 0 else 0.0
        distances[i] = d
        # The clipper's arc: no farther than a quarter pixel (or a quarter of a short distance) from the circle.
        steps[i] = min(math.pi / math.acos(1 - 0.25 * min(1.0, d) / d), d * math.pi) if d > 0 else 0.0
        size += int(steps[i]) + 12  # a full turn of steps, and at each corner what rounding adds and its last point
    out = np.zeros((size, 2), np.int32)
    ends = np.zeros(k + 1, np.int64)
    n = 0
    for i in range(k):
        d = distances[i]
        ring = corners[i].astype(np.float64)
        ends[i + 1] = n
        turn = 0.0
        for j in range(4):
            a, b, c = ring[j - 2], ring[j - 1], ring[j]
            cross = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
            short = (c[0] - b[0]) * (c[0] - b[0]) + (c[1] - b[1]) * (c[1] - b[1]) < 9
            if short or cross == 0 or cross * turn < 0:
                turn = 0.0
                break
            turn = cross
        if turn == 0.0 or d < 1e-9:
            continue
        if turn < 0:
            ring = ring[::-1].copy()
        angle = 2 * math.pi / steps[i]
        sine, cosine = math.sin(angle), math.cos(angle)
        normals = np.empty((4, 2))
        for j in range(4):
            b, c = ring[j], ring[(j + 1) % 4]
            f = 1.0 / math.sqrt((c[0] - b[0]) * (c[0] - b[0]) + (c[1] - b[1]) * (c[1] - b[1]))
            normals[j, 0], normals[j, 1] = (c[1] - b[1]) * f, -(c[0] - b[0]) * f
        before = 3
        for j in range(4):
            px, py = normals[before]
            qx, qy = normals[j]
            b = ring[j]
            cross, dot = px * qy - qx * py, px * qx + qy * py
            x, y = px, py
            if abs(cross * d) >= 1.0 or dot <= 0:
                for _ in range(max(int(abs(math.atan2(cross, dot)) / angle + 0.5), 1)):
                    out[n, 0], out[n, 1] = _rounded(b[0] + x * d), _rounded(b[1] + y * d)
                    n += 1
                    x, y = x * cosine - sine * y, x * sine + y * cosine
                x, y = qx, qy
                # Where the turn is hardly one, the clipper goes on with the normal it had.
                before = j
            out[n, 0], out[n, 1] = _rounded(b[0] + x * d), _rounded(b[1] + y * d)
            n += 1
        ends[i + 1] = n
    return out, ends


@compiled
def _rounded(value: float) -> int:
    """Half away from zero."""
    return int(value - 0.5) if value < 0 else int(value + 0.5)


def published_polygons(values: FloatMap, spec: ExtractSpec) -> Found:
    """Polygons: outline simplified by 0.2 % of its length, score, growth with round corners into one part."""
    outlines, counts = _outlines(values, spec)
    rings: list[FloatArray] = []
    scores: list[float] = []
    for outline in outlines:
        corners: Ints = cv2.approxPolyDP(outline, 0.002 * cv2.arcLength(outline, True), True).reshape(-1, 2)  # type: ignore[assignment]
        if len(corners) < 4:
            counts["degenerate"] += 1
            continue
        if spec.min_kernel_side > 0 and min(cv2.minAreaRect(outline)[1]) < spec.min_kernel_side:
            counts["small_kernel"] += 1
            continue
        score = _score(values, outline if spec.score == "slow" else corners)
        if spec.score_min > score:
            counts["low_score"] += 1
            continue
        grown = _grow(corners, corners.tolist(), spec.growth_ratio)
        if len(grown) != 1:
            counts["degenerate"] += 1
            continue
        ring = np.array(grown[0])
        if min(cv2.minAreaRect(ring)[1]) < spec.min_side:
            counts["small"] += 1
            continue
        rings.append(ring.astype(np.float64))
        scores.append(score)
    return rings, np.array(scores), Outcomes(kept=len(rings), **counts)


def _outlines(values: FloatMap, spec: ExtractSpec) -> tuple[Sequence[Ints], dict[str, int]]:
    """Outer and inner outlines in the order of discovery, as many as the cap lets through."""
    binary = (values > np.float32(spec.binarize)).view(np.uint8)
    outlines: Sequence[Any] = cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    kept = outlines[: spec.max_candidates]
    counts = dict.fromkeys(("small_kernel", "low_score", "small", "degenerate"), 0)
    return kept, counts | {"found": len(outlines), "over_cap": len(outlines) - len(kept)}


def _score(values: FloatMap, corners: Ints) -> float:
    """Mean over a filled polygon, its outline included, as far as it lies on the map."""
    height, width = values.shape
    x, y, w, h = cv2.boundingRect(corners)
    if x < 0 or y < 0 or x + w > width or y + h > height:
        right, bottom = min(x + w, width), min(y + h, height)
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        w, h = max(right - x, 1), max(bottom - y, 1)
    mask = np.zeros((h, w), dtype=np.uint8)
    cv2.fillPoly(mask, [corners], 1, offset=(-x, -y))
    return float(cv2.mean(values[y : y + h, x : x + w], mask)[0])


def _grow(corners: Ints, outline: list[list[float]], ratio: float) -> list[list[list[int]]]:
    """The integer corners grown with round joins by area * ratio / length of the outline."""
    # Plain numbers: for a handful of vertices arrays cost ten times as much.
    area = length = 0.0
    x0, y0 = outline[0]
    ax, ay = outline[-1]
    for bx, by in outline:
        area += (ax - x0) * (by - y0) - (ay - y0) * (bx - x0)
        length += math.hypot(bx - ax, by - ay)
        ax, ay = bx, by
    if length == 0:
        return []
    clipper = pyclipper.PyclipperOffset()
    clipper.AddPath(corners.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    grown: list[list[list[int]]] = clipper.Execute(abs(area) / 2 * ratio / length)
    return grown


def _ordered_corners(boxes: list[Any]) -> list[FloatArray]:
    """Each box from its upper left corner on: of the two left corners the upper, of the two right ones the upper."""
    if not boxes:
        return []
    quads = np.array(boxes, dtype=np.float64)
    by_x = np.take_along_axis(quads, np.argsort(quads[:, :, 0], axis=1, kind="stable")[:, :, None], axis=1)
    left_up = (by_x[:, 1, 1] > by_x[:, 0, 1])[:, None]
    right_up = (by_x[:, 3, 1] > by_x[:, 2, 1])[:, None]
    return list(
        np.stack(
            [
                np.where(left_up, by_x[:, 0], by_x[:, 1]),
                np.where(right_up, by_x[:, 2], by_x[:, 3]),
                np.where(right_up, by_x[:, 3], by_x[:, 2]),
                np.where(left_up, by_x[:, 1], by_x[:, 0]),
            ],
            axis=1,
        )
    )
