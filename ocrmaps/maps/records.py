"""How maps are drawn, what they are and what became of each polygon: the records that both styles share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import BoolArray, FloatArray, Size
from ocrmaps.settings.ranges import Range, check

Style = Literal["exact", "official"]
STYLES: tuple[str, ...] = get_args(Style)
ALGORITHMS: dict[str, int] = {"exact": 1, "official": 1}
"""Raised whenever the same polygons would give other bytes; part of every fingerprint."""
_SHRINK_RATIO = {"exact": 0.6, "official": 0.4}
_MIN_SIDE = {"exact": 0.0, "official": 8.0}
U8Array = npt.NDArray[np.uint8]


class Outcome(StrEnum):
    """What became of one polygon."""

    DRAWN = "drawn"
    REPAIRED = "drawn after repair"
    """It crossed or touched itself: drawn as the largest part of its inside."""
    SPLIT = "drawn in part"
    """Style official: its kernel fell apart and only the first part is drawn, as published."""
    IGNORED = "ignored"
    """By its annotation."""
    TOO_SMALL = "too small"
    """Under `min_side`."""
    NO_KERNEL = "no kernel pixel"
    """Its kernel holds no pixel center: no extraction can find it."""
    CUT_OFF = "cut off"
    """It leaves the canvas and the part on the canvas holds no kernel pixel."""
    OUTSIDE = "outside"
    """Wholly beside the canvas."""
    SELF_CROSSING = "self-crossing"
    """It falls into parts of which none is the text."""
    DEGENERATE = "degenerate"
    """Without an area: fewer than three distinct vertices, or all on one line."""
    OUT_OF_RANGE = "out of range"
    """With vertices over a million pixels away."""


DRAWN = frozenset({Outcome.DRAWN, Outcome.REPAIRED, Outcome.SPLIT})
"""Outcomes that leave a kernel in the probability map."""


PROBABILITY_COUNTS = 1
"""Bit of a packed mask: the probability is learnt at this pixel."""
THRESHOLD_COUNTS = 2
"""Bit of a packed mask: the threshold is learnt at this pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """How maps are drawn; None takes the style's own value, so a spec always holds numbers.

    >>> MapSpec(style="official")
    MapSpec(style='official', shrink_ratio=0.4, min_side=8.0)
    """

    style: Style = "exact"
    """exact: sub-pixel distances; official: pixel for pixel what the original implementation draws."""
    shrink_ratio: Annotated[float, Range(gt=0, lt=1)] = None  # type: ignore[assignment]
    """r in D = A (1 - r^2) / L, over 0 and under 1: the larger, the thicker the kernels; exact 0.6, official 0.4."""
    min_side: Annotated[float, Range(ge=0, noun="number of pixels")] = None  # type: ignore[assignment]
    """Thinner text is ignored, in canonical pixels; 0 for exact, 8 for official.

    Exact asks the shorter side of the rectangle with the same area and perimeter, which turning does not change;
    official asks the smaller extent along x or y."""

    def __post_init__(self) -> None:
        for name, default in (("shrink_ratio", _SHRINK_RATIO), ("min_side", _MIN_SIDE)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default.get(str(self.style), 0.5))
        check(self, "maps")

    @property
    def algorithm(self) -> int:
        return ALGORITHMS[self.style]

    def identity(self) -> dict[str, Any]:
        """Everything that decides the bytes, to be hashed into a fingerprint."""
        return {
            "style": self.style,
            "shrink_ratio": self.shrink_ratio,
            "min_side": self.min_side,
            "algorithm": self.algorithm,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """The target maps of one picture, all (h, w) and read-only, and what became of each of its k polygons."""

    probability: U8Array
    """1 in a kernel."""
    threshold: npt.NDArray[np.float32]
    """In [0, 1]: 1 on a border, 0 from D away."""
    probability_mask: U8Array
    """1 where the probability counts."""
    threshold_mask: U8Array
    """1 where the threshold counts."""
    outcomes: tuple[Outcome, ...]
    """(k)."""
    distances: FloatArray
    """(k): the D that was drawn with, 0 where nothing was drawn."""

    def __post_init__(self) -> None:
        for name in ("probability", "threshold", "probability_mask", "threshold_mask", "distances"):
            getattr(self, name).flags.writeable = False

    @property
    def size(self) -> Size:
        height, width = self.probability.shape
        return height, width

    @property
    def drawn(self) -> BoolArray:
        """(k): polygons with a kernel in the probability map; the others are ignored regions."""
        return np.array([outcome in DRAWN for outcome in self.outcomes], dtype=np.bool_)

    @property
    def mask(self) -> U8Array:
        """Both masks in one byte a pixel, as bits PROBABILITY_COUNTS and THRESHOLD_COUNTS: what stores keep."""
        out = self.threshold_mask * np.uint8(THRESHOLD_COUNTS)
        out |= self.probability_mask  # PROBABILITY_COUNTS is the lowest bit
        return out

    @property
    def quantized(self) -> U8Array:
        """The threshold as 0 to 254, halves up: what stores keep (255 is their fill value)."""
        from ocrmaps.maps.kernels import quantize  # a compiler: not for those who only need the records

        out = np.empty(self.threshold.shape, dtype=np.uint8)
        quantize(self.threshold.reshape(-1), out.reshape(-1))
        return out

    def counts(self) -> dict[Outcome, int]:
        """How many polygons met each outcome, for those that happened."""
        return dict(Counter(self.outcomes))
