"""The rule of style exact by brute force: every pixel against every segment in float64, to compare drawings with.

Shares nothing with the code under test: other formulas, no windows, no culling, no repair (simple polygons only).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps import Maps

TIE = 1e-6
"""Pixels this close to a decision (px) may fall either way: vertices are rounded to 2^-24 px before drawing."""

Array = npt.NDArray[np.float64]


def distance_and_inside(polygon: Array, x: Array, y: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Distance from points to the outline of a polygon, and whether it goes round them an odd number of times."""
    distance = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        length = np.hypot(bx - ax, by - ay)
        if length == 0:
            continue
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, length)
        distance = np.minimum(
            distance, np.hypot(x - ax - along * (bx - ax) / length, y - ay - along * (by - ay) / length)
        )
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return distance, inside


def shrink_distance(polygon: Array, ratio: float) -> float:
    x, y = (polygon - polygon[0]).T
    ahead = np.roll(polygon, -1, axis=0) - polygon
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    return float(area * (1 - ratio**2) / np.hypot(*ahead.T).sum())


def centers(size: Size) -> tuple[Array, Array]:
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return x, y


@dataclass(frozen=True)
class Brute:
    """The four maps, and for each the pixels where rounding may decide otherwise."""

    probability: npt.NDArray[np.bool_]
    threshold: Array
    probability_mask: npt.NDArray[np.bool_]
    threshold_mask: npt.NDArray[np.bool_]
    unsure: npt.NDArray[np.bool_]
    drawn: list[bool]


def draw_brute(polygons: PolygonSet, ratio: float, size: Size) -> Brute:
    x, y = centers(size)
    probability, band, region, unsure = (np.zeros(size, dtype=bool) for _ in range(4))
    threshold = np.zeros(size)
    drawn = []
    for polygon, ignore in zip(polygons, polygons.ignore, strict=True):
        distance, inside = distance_and_inside(polygon, x, y)
        reach = shrink_distance(polygon, ratio)
        kernel = inside & (distance > reach)
        unsure |= (abs(distance - reach) < TIE) | (distance < TIE)
        drawn.append(bool(kernel.any()) and not ignore)
        if drawn[-1]:
            probability |= kernel
            band |= inside | (distance <= reach)
            threshold = np.maximum(threshold, np.clip(1 - distance / reach, 0, 1))
        else:
            region |= inside
    return Brute(probability, threshold, ~region, band & ~region, unsure, drawn)


def faults(maps: Maps, polygons: PolygonSet, ratio: float) -> list[str]:
    """How maps differ from brute force; empty when they agree."""
    brute = draw_brute(polygons, ratio, maps.size)
    found = []
    for name in ("probability", "probability_mask", "threshold_mask"):
        wrong = (getattr(maps, name).astype(bool) != getattr(brute, name)) & ~brute.unsure
        if wrong.any():
            found.append(f"{name} differs in {wrong.sum()} pixels, first {np.argwhere(wrong)[0]}")
    error = abs(maps.threshold - brute.threshold)
    # Rounding the vertices moves a distance by 2^-24 px at most.
    if error.max(initial=0) > 1e-6 + 1e-7 / min([d for d in maps.distances if d > 0], default=1.0):
        found.append(f"threshold differs by {error.max():g} at {np.unravel_index(error.argmax(), error.shape)}")
    if brute.drawn != maps.drawn.tolist():
        found.append(f"drawn {maps.drawn.tolist()}, expected {brute.drawn}")
    return found


def agrees_with_reference(maps: Maps, polygons: PolygonSet, ratio: float) -> bool:
    return not faults(maps, polygons, ratio)
