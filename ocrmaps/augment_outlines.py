"""The outlines of text on stored rows, and which of it a change of geometry makes unlearnable.

Maps alone cannot say which of their pixels belong to one text: bands of neighbouring lines run into each other. So
the outlines are kept on the host, where a few dozen points a sample are mapped and the texts that were cut drawn into
a mask; the device only has to AND it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet, Size
from ocrmaps.loader_batch import PROBABILITY_COUNTS

TOLERANCE = 0.5
"""Text that leaves the picture by less, in pixels, is whole."""
KERNEL_SIDE = 1.0
"""A kernel that a reduction makes thinner than this, in pixels, may miss every pixel centre."""
_FRACTION = 8
"""Bits of sub-pixel position in drawing."""


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

    @classmethod
    def of(cls, texts: Iterable[tuple[int, PolygonSet]], shrink_ratio: float) -> Outlines:
        """From (row, polygons in canonical pixels) pairs; ignored polygons are masked already and left out."""
        if not 0 < shrink_ratio < 1:
            raise SpecError(f"found shrink ratio {shrink_ratio!r}, expected the recipe's, between 0 and 1")
        points: list[FloatArray] = [np.zeros((0, 2))]
        sizes: list[int] = []
        distances: list[FloatArray] = [np.zeros(0)]
        sides: list[FloatArray] = [np.zeros(0)]
        rows: dict[int, tuple[int, int]] = {}
        for row, polygons in texts:
            if polygons.frame != "canonical":
                raise FrameError(f"found outlines of row {row} in frame {polygons.frame!r}, expected 'canonical'")
            areas, lengths = polygons.areas(), polygons.perimeters()
            chosen = ~polygons.ignore & (areas > 0)
            kept = polygons.select(chosen)
            d = areas[chosen] * (1 - shrink_ratio**2) / lengths[chosen]
            rows[int(row)] = (len(sizes), len(sizes) + len(kept))
            points.append(kept.points)
            sizes += kept.counts().tolist()
            distances.append(d)
            sides.append(kept.equivalent_sides()[:, 0] - 2 * d)
        return cls(
            points=np.concatenate(points),
            offsets=np.cumsum([0, *sizes]),
            distances=np.concatenate(distances),
            kernel_sides=np.concatenate(sides),
            rows=rows,
        )

    def unlearnable(self, row: int, matrix: FloatArray, source: Size, size: Size) -> list[tuple[FloatArray, float]]:
        """Outline and D, in new pixels, of each text that is seen there but cut, or without a kernel.

        What the canvas itself had cut off before is not counted as cut again.
        """
        if row not in self.rows:
            raise SpecError(
                f"row {row} has no outlines, {len(self.rows)} other rows have",
                hint="make them of every row that is trained on, of those without text too",
            )
        first, last = self.rows[row]
        if first == last:
            return []
        starts = self.offsets[first : last + 1]
        seen = np.clip(self.points[starts[0] : starts[-1]], 0, (source[1], source[0]))
        moved = seen @ matrix[:2, :2].T + matrix[:2, 2]
        low = np.minimum.reduceat(moved, starts[:-1] - starts[0])
        high = np.maximum.reduceat(moved, starts[:-1] - starts[0])
        limit = np.array([size[1], size[0]])
        leaves = ((low < -TOLERANCE) | (high > limit + TOLERANCE)).any(axis=1)
        visible = ((low < limit) & (high > 0)).all(axis=1)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        vanishes = scale * self.kernel_sides[first:last] < KERNEL_SIDE if scale < 1 else np.zeros_like(leaves)
        out = []
        for i in np.flatnonzero(visible & (leaves | vanishes)):
            outline = self.points[starts[i] : starts[i + 1]] @ matrix[:2, :2].T + matrix[:2, 2]
            out.append((outline, scale * float(self.distances[first + i])))
        return out


def draw_unlearnable(texts: Iterable[tuple[FloatArray, float]], out: npt.NDArray[np.uint8]) -> None:
    """Clear bits of `out` (h, w): both inside each outline, the threshold's also within D around it."""
    texts = list(texts)
    for outline, distance in texts:
        cv2.polylines(out, [_fixed(outline)], True, PROBABILITY_COUNTS, 2 * int(np.ceil(distance)) + 1, 8, _FRACTION)
    for outline, _ in texts:
        cv2.fillPoly(out, [_fixed(outline)], 0, 8, _FRACTION)


def _fixed(outline: FloatArray) -> npt.NDArray[Any]:
    """To OpenCV's fixed-point pixel indices, which count pixel centres; what is absurdly far comes nearer."""
    return np.rint(np.clip((outline - 0.5) * (1 << _FRACTION), -(2**30), 2**30)).astype(np.int32)
