"""The published DB post-processing, one contour after the other in plain calls, to time and to test against.

Written from the definition. `probability` is an (h, w) float32 map, coordinates are pixel indices, `dest_size` is the
(height, width) that results are scaled to. For each contour of `probability > binarize`, inner ones too, at most
`max_candidates` in the order in which they are found:

boxes     the smallest rectangle around the contour; under `min_size` it is dropped; the score is the mean under the
          filled rectangle; it grows by area * 1.5 / perimeter with round joins on truncated integers; the smallest
          rectangle around that is dropped under `min_size + 2`, scaled, rounded and clipped to the destination.
polygons  the contour simplified by 0.002 of its length; under four vertices it is dropped; score and growth (2.0) as
          above on the polygon; more than one path, or a smallest rectangle under `min_size + 2`, is dropped.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyclipper
from shapely.geometry import Polygon

from ocrmaps.geometry import Size

Array = npt.NDArray[Any]


def plain_boxes(
    probability: Array,
    dest_size: Size,
    *,
    binarize: float = 0.3,
    score_min: float = 0.6,
    unclip: float = 1.5,
    max_candidates: int = 1000,
    min_size: int = 3,
) -> tuple[list[Array], list[float]]:
    """Quads (4, 2), upper left corner first, and their scores; dropped contours leave no rows."""
    quads, scores = [], []
    for contour in _contours(probability, binarize)[:max_candidates]:
        points, short = _smallest_rectangle(contour.squeeze(1))
        if short < min_size:
            continue
        score = _mean_under(probability, points)
        if score < score_min:
            continue
        grown = np.array(_grow(points, unclip)).reshape(-1, 2)
        box, short = _smallest_rectangle(grown)
        if short < min_size + 2:
            continue
        quads.append(_scaled(box, probability.shape, dest_size))
        scores.append(score)
    return quads, scores


def plain_polygons(
    probability: Array,
    dest_size: Size,
    *,
    binarize: float = 0.3,
    score_min: float = 0.6,
    unclip: float = 2.0,
    max_candidates: int = 1000,
    min_size: int = 3,
) -> tuple[list[Array], list[float]]:
    """Polygons (n, 2) and their scores."""
    polygons, scores = [], []
    for contour in _contours(probability, binarize)[:max_candidates]:
        points = cv2.approxPolyDP(contour, 0.002 * cv2.arcLength(contour, True), True).reshape(-1, 2)
        if len(points) < 4:
            continue
        score = _mean_under(probability, points)
        if score < score_min:
            continue
        paths = _grow(points, unclip)
        if len(paths) != 1:
            continue
        polygon = np.array(paths[0]).reshape(-1, 2)
        _, short = _smallest_rectangle(polygon)
        if short < min_size + 2:
            continue
        polygons.append(_scaled(polygon, probability.shape, dest_size))
        scores.append(score)
    return polygons, scores


def _contours(probability: Array, binarize: float) -> Any:
    binary = ((probability > binarize) * 255).astype(np.uint8)
    return cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]


def _smallest_rectangle(points: Array) -> tuple[Array, float]:
    """Corners from the upper left one clockwise, and the shorter side."""
    rectangle = cv2.minAreaRect(points)
    corners = sorted(cv2.boxPoints(rectangle), key=lambda corner: corner[0])
    left, right = sorted(corners[:2], key=lambda c: c[1]), sorted(corners[2:], key=lambda c: c[1])
    return np.array([left[0], right[0], right[1], left[1]]), min(rectangle[1])


def _mean_under(probability: Array, points: Array) -> float:
    """Mean of the map under a filled polygon, measured in the window around it."""
    height, width = probability.shape
    corners = np.array(points, dtype=np.float64)
    x0 = int(np.clip(np.floor(corners[:, 0].min()), 0, width - 1))
    x1 = int(np.clip(np.ceil(corners[:, 0].max()), 0, width - 1))
    y0 = int(np.clip(np.floor(corners[:, 1].min()), 0, height - 1))
    y1 = int(np.clip(np.ceil(corners[:, 1].max()), 0, height - 1))
    mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), dtype=np.uint8)
    cv2.fillPoly(mask, [(corners - (x0, y0)).astype(np.int32)], 1)
    return float(cv2.mean(probability[y0 : y1 + 1, x0 : x1 + 1], mask)[0])


def _grow(points: Array, ratio: float) -> list[list[list[int]]]:
    polygon = Polygon(points)
    clipper = pyclipper.PyclipperOffset()
    clipper.AddPath(points, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    paths: list[list[list[int]]] = clipper.Execute(polygon.area * ratio / polygon.length)
    return paths


def _scaled(points: Array, size: Size, dest_size: Size) -> Array:
    x = np.clip(np.round(points[:, 0] / size[1] * dest_size[1]), 0, dest_size[1])
    y = np.clip(np.round(points[:, 1] / size[0] * dest_size[0]), 0, dest_size[0])
    return np.stack([x, y], axis=1).astype(np.int32)
