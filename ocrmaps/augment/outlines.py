"""The outlines of text on stored rows, and which of it a change of geometry makes unlearnable.

Maps alone cannot say which of their pixels belong to one text: bands of neighboring lines run into each other. So
the outlines are kept on the host, where a few dozen points a sample are mapped and the texts that were cut drawn into
a mask; the device only has to AND it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet, Size, read_only
from ocrmaps.maps.records import PROBABILITY_COUNTS

TOLERANCE = 0.5
"""Text that leaves the picture by less, in pixels, is whole."""
KERNEL_SIDE = 1.0
"""A kernel that a reduction makes thinner than this, in pixels, may miss every pixel center."""
_FRACTION = 8
"""Bits of sub-pixel position in drawing."""
_THICKEST = 32767
"""OpenCV draws no thicker lines; no canvas is as large."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlines:
    """Learnable text of many rows in canonical pixels: flat arrays, a few kilobytes a row."""

    points: FloatArray
    """(n, 2)."""
    offsets: IntArray
    """(k + 1): text i has the points offsets[i] to offsets[i + 1]."""
    distances: FloatArray
    """(k): D of each text."""
    kernel_sides: FloatArray
    """(k): the shorter side of each kernel."""
    rows: Mapping[int, tuple[int, int]]
    """Row -> its first text and the one after its last."""
    every: int | None = None
    """Rows that are this many apart are the same stored row, shown several times; None where none is."""

    @classmethod
    def of(cls, texts: Iterable[tuple[int, PolygonSet]], shrink_ratio: float, *, every: int | None = None) -> Outlines:
        """From (row, polygons in canonical pixels) pairs; ignored polygons are masked already and left out."""
        if not 0 < shrink_ratio < 1:
            raise SpecError(f"found shrink ratio {shrink_ratio!r}, expected the recipe's, between 0 and 1")
        points: list[FloatArray] = [np.zeros((0, 2))]
        counts: list[IntArray] = [np.zeros(0, np.int64)]
        rows: dict[int, tuple[int, int]] = {}
        total = 0
        for row, polygons in texts:
            if polygons.frame != "canonical":
                raise FrameError(f"found outlines of row {row} in frame {polygons.frame!r}, expected 'canonical'")
            lengths = polygons.counts()
            kept = ~polygons.ignore & (lengths >= 3)
            points.append(polygons.points[np.repeat(kept, lengths)])
            counts.append(lengths[kept])
            rows[int(row)] = (total, total + int(kept.sum()))
            total += int(kept.sum())
        flat, offsets = np.concatenate(points), np.cumsum([0, *np.concatenate(counts)])
        areas, borders = _measure(flat, offsets)
        distances = areas * (1 - shrink_ratio**2) / np.maximum(borders, 1e-9)
        # The shorter side of the rectangle with this area and length, as `PolygonSet.equivalent_sides` has it.
        half = borders / 2
        short = np.where(half**2 < 4 * areas, np.sqrt(areas), (half - np.sqrt(np.maximum(half**2 - 4 * areas, 0))) / 2)
        return cls(
            points=read_only(flat, np.float64),
            offsets=read_only(offsets, np.int64),
            distances=read_only(distances, np.float64),
            kernel_sides=read_only(short - 2 * distances, np.float64),
            rows=rows,
            every=every,
        )

    def unlearnable(self, row: int, matrix: FloatArray, source: Size, size: Size) -> list[tuple[FloatArray, float]]:
        """Outline and D, in new pixels, of each text that shows there, if only its band, but is cut or has no kernel.

        What the canvas itself had cut off before is not counted as cut again.
        """
        row = row if self.every is None else row % self.every
        if row not in self.rows:
            raise SpecError(
                f"row {row} has no outlines, {len(self.rows)} other rows have",
                hint="make them of every row that is trained on, of those without text too",
            )
        first, last = self.rows[row]
        if first == last:
            return []
        starts = self.offsets[first : last + 1]
        points = self.points[starts[0] : starts[-1]]
        seen = np.clip(points, 0, (source[1], source[0]))
        beside = np.logical_or.reduceat((seen != points).any(axis=1), starts[:-1] - starts[0])
        moved = seen @ matrix[:2, :2].T + matrix[:2, 2]
        low = np.minimum.reduceat(moved, starts[:-1] - starts[0])
        high = np.maximum.reduceat(moved, starts[:-1] - starts[0])
        for i in np.flatnonzero(beside):  # the part of a slanted text ends elsewhere than its nearest corners on canvas
            part = _part_on(source, self.points[starts[i] : starts[i + 1]]) @ matrix[:2, :2].T + matrix[:2, 2]
            if len(part):
                low[i], high[i] = part.min(axis=0), part.max(axis=0)
        limit = np.array([size[1], size[0]])
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        distances = scale * self.distances[first:last]
        leaves = ((low < -TOLERANCE) | (high > limit + TOLERANCE)).any(axis=1)
        shows = ((low < limit + distances[:, None]) & (high > -distances[:, None])).all(axis=1)
        # A rotation alone may come out a rounding below 1.
        vanishes = (scale < 1 - 1e-9) & (scale * self.kernel_sides[first:last] < KERNEL_SIDE)
        out = []
        for i in np.flatnonzero(shows & (leaves | vanishes)):
            outline = self.points[starts[i] : starts[i + 1]] @ matrix[:2, :2].T + matrix[:2, 2]
            out.append((outline, float(distances[i])))
        return out


def _measure(points: FloatArray, offsets: IntArray) -> tuple[FloatArray, FloatArray]:
    """Areas and perimeters of all polygons at once: a store has a million, and one at a time they take a minute."""
    if len(offsets) == 1:
        return np.zeros(0), np.zeros(0)
    starts, counts = offsets[:-1], np.diff(offsets)
    following = np.arange(1, len(points) + 1)
    following[offsets[1:] - 1] = starts
    x, y = (points - np.repeat(points[starts], counts, axis=0)).T
    cross = np.add.reduceat(x * y[following] - x[following] * y, starts)
    steps = np.hypot(x[following] - x, y[following] - y)
    return np.abs(cross) / 2, np.add.reduceat(steps, starts)


def _part_on(canvas: Size, outline: FloatArray) -> FloatArray:
    """Corners of the part of an outline on a canvas; none where they share nothing."""
    import shapely  # most canvases hold all of their texts

    height, width = canvas
    text = shapely.make_valid(shapely.Polygon(outline))  # of one that crosses itself, clipping may fail
    return np.asarray(shapely.get_coordinates(shapely.clip_by_rect(text, 0, 0, width, height)))


def draw_unlearnable(texts: Iterable[tuple[FloatArray, float]], out: npt.NDArray[np.uint8]) -> None:
    """Clear bits of `out` (h, w): both inside each outline, the threshold's also within D around it."""
    texts = list(texts)
    for outline, distance in texts:
        thickness = min(2 * math.ceil(distance) + 1, _THICKEST)
        cv2.polylines(out, [_fixed(outline)], True, PROBABILITY_COUNTS, thickness, 8, _FRACTION)
    for outline, _ in texts:
        cv2.fillPoly(out, [_fixed(outline)], 0, 8, _FRACTION)


def _fixed(outline: FloatArray) -> npt.NDArray[Any]:
    """To OpenCV's fixed-point pixel indices, which count pixel centers; what is absurdly far comes nearer."""
    return np.rint(np.clip((outline - 0.5) * (1 << _FRACTION), -(2**30), 2**30)).astype(np.int32)
