"""Kernels drawn pixel by pixel from the definition, shapes with known answers, and how well two polygons agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.geometry import Size

Array = npt.NDArray[np.float64]


def rectangle(cx: float, cy: float, width: float, height: float, degrees: float = 0.0) -> Array:
    """(4, 2) corners, clockwise on the screen from the upper left one of the unturned rectangle."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]).T * np.array([[width], [height]]) / 2
    return np.stack([cx + x * c - y * s, cy + x * s + y * c], axis=1)


def arc_text(cx: float, cy: float, radius: float, height: float, degrees: float, pieces: int = 6) -> Array:
    """A band along a circle, open to below, like curved text."""
    angles = np.radians(np.linspace(-90 - degrees / 2, -90 + degrees / 2, pieces + 1))
    outer = np.stack([cx + (radius + height / 2) * np.cos(angles), cy + (radius + height / 2) * np.sin(angles)], 1)
    inner = np.stack([cx + (radius - height / 2) * np.cos(angles), cy + (radius - height / 2) * np.sin(angles)], 1)
    return np.concatenate([outer, inner[::-1]])


def shrink_distance(polygon: Array, shrink_ratio: float) -> float:
    shape = shapely.Polygon(polygon)
    return float(shape.area * (1 - shrink_ratio**2) / shape.length)


def signed_distance(polygon: Array, size: Size) -> Array:
    """(H, W) distance of each pixel center from the border, positive inside."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    centers = shapely.points(x, y)
    shape = shapely.Polygon(polygon)
    distance = shapely.distance(centers, shape.exterior)
    return np.where(shapely.contains(shape, centers), distance, -distance)


def draw_kernels(polygons: Sequence[Array], shrink_ratio: float, size: Size) -> npt.NDArray[np.bool_]:
    """The probability map of style exact: pixel centers inside and farther than D from the border."""
    out = np.zeros(size, dtype=bool)
    for polygon in polygons:
        out |= signed_distance(polygon, size) > shrink_distance(polygon, shrink_ratio)
    return out


def iou(a: Array, b: Array) -> float:
    one, other = shapely.make_valid(shapely.Polygon(a)), shapely.make_valid(shapely.Polygon(b))
    return float(one.intersection(other).area / one.union(other).area)


def best_iou(found: Sequence[Array], truth: Array) -> float:
    return max((iou(polygon, truth) for polygon in found), default=0.0)
