"""What is found in a map and what became of every candidate: the records of extraction."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import FloatArray, PolygonSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of every region of one map: found = kept + all that were dropped.

    >>> Outcomes(found=3, kept=2, low_score=1).dropped
    1
    """

    found: int = 0
    """Regions above the threshold, after splitting; in published arithmetic outlines, holes among them."""
    kept: int = 0
    small_kernel: int = 0
    """Under `min_kernel_side`."""
    low_score: int = 0
    """Under `score_min`."""
    over_cap: int = 0
    """Beyond `max_candidates`."""
    small: int = 0
    """Under `min_side` after growing."""
    degenerate: int = 0
    """No simple polygon could be made of it: published arithmetic only (fewer than 4 vertices, or several parts)."""
    holes: int = 0
    """Inner outlines, which are no candidates; 0 in published arithmetic, where they are."""
    parts: int = 0
    """How many of the regions found are there because a neck was split."""

    @property
    def dropped(self) -> int:
        return self.small_kernel + self.low_score + self.over_cap + self.small + self.degenerate

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extraction:
    """The texts of one map: canonical polygons, clockwise on the screen, with their scores."""

    polygons: PolygonSet
    scores: npt.NDArray[np.float32]
    """(k), read-only."""
    outcomes: Outcomes

    def __len__(self) -> int:
        return len(self.polygons)


ONE_AS_BITS = 0x3F800000
"""1.0 as float32: as unsigned numbers, the bits of all in 0 to 1 are at most this, of all others and NaN above it."""
Rings = list[FloatArray] | FloatArray
"""Outlines one by one, or (k, n, 2) where all have as many vertices."""
Found = tuple[Rings, npt.NDArray[np.float64], Outcomes]
"""What both arithmetics hand over: rings, their scores, and what became of all candidates."""
