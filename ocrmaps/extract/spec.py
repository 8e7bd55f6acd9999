"""How polygons are read from a map: the settings alone, without what reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ocrmaps.settings.ranges import AtLeast0, Range, Share, Whole1, check

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
    ocrmaps.errors.SpecError: these extract settings make no sense:
      extract.shape: found 'circles', expected one of boxes, polygons
      extract.score_min: found 3, expected a number from 0 to 1
    """

    shape: Shape = "boxes"
    """boxes: rotated rectangles; polygons: the outline, curved where the text is."""
    kernel: Kernel = "exact"
    """Style of the recipe that drew the maps: where a kernel's outline runs between the pixels."""
    shrink_ratio: Annotated[float, Range(gt=0, lt=1)] = None  # type: ignore[assignment]
    """r of the recipe that drew the maps: how far kernels were shrunk; None is the kernel's own, 0.6 or 0.4."""
    unclip: Unclip = "inverse"
    """inverse: what undoes the shrink by `shrink_ratio`; constant: area * unclip_ratio / perimeter."""
    unclip_ratio: AtLeast0 | None = None
    """For `constant`; None is the published 1.5 for boxes and 2.0 for polygons."""
    margin: Annotated[float, Range(ge=0, le=1)] = 0.0
    """Then outward on every side by this share of the text's height; protocols that want text covered reward it."""
    binarize: Annotated[float, Range(ge=0, lt=1)] | Literal["learned"] = 0.5
    """A pixel is text above this probability, or above the threshold map that is given ("learned")."""
    contour: Contour = "subpixel"
    """subpixel: outlines run where the interpolated map crosses the threshold; pixel: half way between pixels."""
    split: Annotated[float, Range(gt=0, le=1)] | None = None
    """Part a region at a neck narrower than this share of the thinner part's thickness (0 to 1); None leaves it."""
    score: Score = "slow"
    """slow: mean probability over the region's own pixels, holes filled; fast: over the fitted rectangle or polygon."""
    score_min: Share = 0.6
    """Candidates with a lower score are dropped."""
    max_candidates: Whole1 | None = 10_000
    """At most so many, the best scores first; None keeps all. Dense pages hold several thousand words."""
    min_kernel_side: AtLeast0 = 0.0
    """Drop kernels whose rectangle has a shorter side than this, in pixels."""
    min_side: AtLeast0 = 0.0
    """Drop texts whose rectangle has a shorter side than this, in pixels, before `margin`."""
    simplify: AtLeast0 = 1.0
    """For `polygons`: pixels that an outline may deviate from the polygon that stands for it."""
    arithmetic: Arithmetic = "float"
    """published: the original implementation's integers, order and cap, for its settings only (see `peers`)."""

    def __post_init__(self) -> None:
        if self.shrink_ratio is None:
            object.__setattr__(self, "shrink_ratio", 0.4 if self.kernel == "official" else 0.6)
        check(self, "extract", _contradictions)

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
            "binarize": 0.3,
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


def _contradictions(spec: ExtractSpec) -> Iterator[tuple[str, str]]:
    """Settings that would do nothing, or that the published arithmetic does not have."""
    if spec.unclip == "inverse" and spec.unclip_ratio is not None:
        yield "unclip_ratio", "is only for unclip = constant"
    if spec.arithmetic == "published":
        fixed = {
            "kernel": "official",
            "unclip": "constant",
            "contour": "pixel",
            "split": None,
            "simplify": 1.0,
            "margin": 0.0,
        }
        for name, value in fixed.items():
            found = getattr(spec, name)
            if found != value:
                yield name, f"found {found!r}, the published arithmetic has {value!r}"
        if spec.binarize == "learned":
            yield "binarize", "the published arithmetic has a fixed threshold"
