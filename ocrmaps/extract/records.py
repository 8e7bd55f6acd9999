"""How polygons are read from a map, what is found and what became of every candidate: the records of extraction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import Problem, SpecError
from ocrmaps.geometry import FloatArray, PolygonSet

Shape = Literal["boxes", "polygons"]
Unclip = Literal["inverse", "constant"]
Kernel = Literal["exact", "official"]
Contour = Literal["subpixel", "pixel"]
Score = Literal["slow", "fast"]
Arithmetic = Literal["float", "published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractSpec:
    """How polygons are read from a probability map. The defaults invert `exact` maps.

    >>> ExtractSpec(shape="circles", score_min=3)
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: 2 settings of extraction are wrong
      extract.shape: found 'circles', expected one of boxes, polygons
      extract.score_min: found 3, expected a number from 0 to 1
    """

    shape: Shape = "boxes"
    """boxes: rotated rectangles; polygons: the outline, curved where the text is."""
    kernel: Kernel = "exact"
    """Style of the recipe that drew the maps: where a kernel's outline runs between the pixels."""
    shrink_ratio: float = None  # type: ignore[assignment]
    """r of the recipe that drew the maps: how far kernels were shrunk; None is the kernel's own, 0.6 or 0.4."""
    unclip: Unclip = "inverse"
    """inverse: what undoes the shrink by `shrink_ratio`; constant: area * unclip_ratio / perimeter."""
    unclip_ratio: float | None = None
    """For `constant`; None is the published 1.5 for boxes and 2.0 for polygons."""
    binarise: float | Literal["learned"] = 0.5
    """A pixel is text above this probability, or above the threshold map that is given ("learned")."""
    contour: Contour = "subpixel"
    """subpixel: outlines run where the interpolated map crosses the threshold; pixel: half way between pixels."""
    split: float | None = None
    """Part a region at a neck narrower than this share of the thinner part's thickness (0 to 1); None leaves it."""
    score: Score = "slow"
    """slow: mean probability over the region's own pixels, holes filled; fast: over the fitted rectangle or polygon."""
    score_min: float = 0.6
    """Candidates with a lower score are dropped."""
    max_candidates: int | None = 10_000
    """At most so many, the best scores first; None keeps all. Dense pages hold several thousand words."""
    min_kernel_side: float = 0.0
    """Drop kernels whose rectangle has a shorter side than this, in pixels."""
    min_side: float = 0.0
    """Drop results whose rectangle has a shorter side than this, in pixels."""
    simplify: float = 1.0
    """For `polygons`: pixels that an outline may deviate from the polygon that stands for it."""
    arithmetic: Arithmetic = "float"
    """published: the original implementation's integers, order and cap, for its settings only (see `peers`)."""

    def __post_init__(self) -> None:
        if self.shrink_ratio is None:
            object.__setattr__(self, "shrink_ratio", 0.4 if self.kernel == "official" else 0.6)
        problems = [
            Problem(loc=f"extract.{name}", message=f"found {getattr(self, name)!r}, expected {expected}")
            for name, expected, good in _rules(self)
            if not good
        ]
        problems = problems or _contradictions(self)
        if problems:
            number = (
                "1 setting of extraction is" if len(problems) == 1 else f"{len(problems)} settings of extraction are"
            )
            raise SpecError(f"{number} wrong", problems=problems)

    @classmethod
    def peers(cls, shape: Shape = "boxes", **changes: Any) -> ExtractSpec:
        """The published settings in the published arithmetic, for comparison and for networks tuned to them.

        >>> ExtractSpec.peers().growth_ratio, ExtractSpec.peers("polygons").growth_ratio
        (1.5, 2.0)
        """
        settings: dict[str, Any] = {
            "shape": shape,
            "kernel": "official",
            "unclip": "constant",
            "binarise": 0.3,
            "contour": "pixel",
            "score": "fast",
            "score_min": 0.6,
            "max_candidates": 1000,
            # The published code looks at the kernel's side for boxes only.
            "min_kernel_side": 3.0 if shape == "boxes" else 0.0,
            "min_side": 5.0,
            "arithmetic": "published",
        }
        return cls(**(settings | changes))

    @property
    def growth_ratio(self) -> float:
        """The constant unclip ratio in force."""
        if self.unclip_ratio is not None:
            return self.unclip_ratio
        return 1.5 if self.shape == "boxes" else 2.0

    @property
    def q(self) -> float | None:
        """1 - r^2 for the inverse, None for the constant rule."""
        return 1 - self.shrink_ratio**2 if self.unclip == "inverse" else None


def _number(value: object) -> bool:
    """A finite number that is no truth value: True is not a threshold of 1."""
    known = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return known and math.isfinite(value)  # type: ignore[arg-type]


def _rules(spec: ExtractSpec) -> list[tuple[str, str, bool]]:
    """(field, what is expected, whether it holds) for every field by itself."""
    rules: list[tuple[str, str, bool]] = []
    words = {
        "shape": Shape,
        "kernel": Kernel,
        "unclip": Unclip,
        "contour": Contour,
        "score": Score,
        "arithmetic": Arithmetic,
    }
    for name, choice in words.items():
        known = get_args(choice)
        value = getattr(spec, name)
        rules.append((name, f"one of {', '.join(known)}", isinstance(value, str) and value in known))

    def number(name: str, expected: str, good: Callable[[Any], bool]) -> None:
        value = getattr(spec, name)
        rules.append((name, expected, _number(value) and bool(good(value))))

    number("shrink_ratio", "a number above 0 and below 1", lambda v: 0 < v < 1)
    number("score_min", "a number from 0 to 1", lambda v: 0 <= v <= 1)
    number("min_kernel_side", "a number of 0 or more", lambda v: v >= 0)
    number("min_side", "a number of 0 or more", lambda v: v >= 0)
    number("simplify", "a number of 0 or more", lambda v: v >= 0)
    if spec.unclip_ratio is not None:
        number("unclip_ratio", "a number of 0 or more, or None", lambda v: v >= 0)
    if spec.split is not None:
        number("split", "a number above 0 up to 1, or None", lambda v: 0 < v <= 1)
    if not (isinstance(spec.binarise, str) and spec.binarise == "learned"):
        number("binarise", 'a number from 0 to below 1, or "learned"', lambda v: 0 <= v < 1)
    if spec.max_candidates is not None:
        cap = spec.max_candidates
        whole = isinstance(cap, (int, np.integer)) and not isinstance(cap, bool) and cap >= 1
        rules.append(("max_candidates", "a whole number of 1 or more, or None", bool(whole)))
    return rules


def _contradictions(spec: ExtractSpec) -> list[Problem]:
    """Settings that would do nothing, or that the published arithmetic does not have."""
    problems = []
    if spec.unclip == "inverse" and spec.unclip_ratio is not None:
        problems.append(Problem(loc="extract.unclip_ratio", message="is only for unclip = constant"))
    if spec.arithmetic == "published":
        fixed = {"kernel": "official", "unclip": "constant", "contour": "pixel", "split": None, "simplify": 1.0}
        for name, value in fixed.items():
            found = getattr(spec, name)
            if found != value:
                message = f"found {found!r}, the published arithmetic has {value!r}"
                problems.append(Problem(loc=f"extract.{name}", message=message))
        if spec.binarise == "learned":
            problems.append(Problem(loc="extract.binarise", message="the published arithmetic has a fixed threshold"))
    return problems


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


Found = tuple[list[FloatArray], npt.NDArray[np.float64], Outcomes]
"""What both arithmetics hand over: rings, their scores, and what became of all candidates."""
