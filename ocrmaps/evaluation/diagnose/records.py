"""What is diagnosed, what a cure is, and what a diagnosis says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import FloatArray, PolygonSet, Size
from ocrmaps.metrics.iou import IouCounts, IouMatch, match_geometry
from ocrmaps.metrics.matching import PairGeometry, pair_geometry

KINDS: dict[str, str] = {
    "names": "predictions carry other names than the pictures",
    "shifted-pages": "predictions belong to the neighboring picture",
    "exif": "EXIF orientation is not applied, or applied twice",
    "turned": "axes are swapped, mirrored or turned",
    "normalized": "coordinates are shares of the sides",
    "scaled": "coordinates count pixels of a resized picture",
    "offset": "all coordinates are shifted",
    "corner-format": "corners, sizes and centers are mixed up",
    "point-order": "outlines cross themselves",
    "duplicates": "texts are found several times",
    "words": "parts of the annotated texts are found",
    "lines": "several annotated texts are found as one",
    "box-shape": "upright boxes meet rotated outlines",
    "margin": "outlines are too tight or too loose",
    "threshold-low": "the score threshold is too low",
    "empty-pages": "pictures are without detections",
    "missed-direction": "texts of some directions are missed",
    "missed-height": "texts of some heights are missed",
    "missed-aspect": "short or long texts are missed",
    "missed-place": "texts at some places of the page are missed",
    "threshold-high": "the score threshold is too high",
}
"""Everything that is looked for. Of two that explain a loss alike, the earlier one is named: it causes the later."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PageOutput:
    """One picture: its annotations, and what a system gave for it."""

    id: str
    size: Size
    """(height, width) in the frame of the annotations."""
    orientation: int
    truth: PolygonSet
    found: PolygonSet
    """As written: its frame says what it should be in, which may be wrong."""
    scores: FloatArray | None
    named: bool = True
    """Whether the predictions name this picture at all."""

    def moved(self, points: npt.ArrayLike) -> PageOutput:
        """The same detections with other points."""
        return replace(self, found=replace(self.found, points=np.asarray(points, dtype=np.float64)))

    def kept(self, keep: npt.ArrayLike) -> PageOutput:
        """Only some of the detections."""
        scores = None if self.scores is None else self.scores[np.asarray(keep)]
        return replace(self, found=self.found.select(keep), scores=scores)


Pages = Sequence[PageOutput]
Mend = Callable[[Pages], Pages]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cure:
    """One thing that may be wrong, and the output as it would be without it."""

    kind: str
    wrong: str
    """What is wrong, as a sentence."""
    change: str
    """What to change, as a sentence."""
    pages: Pages | None = None
    """The mended output."""
    counts: IouCounts | None = None
    """What is expected where nothing can be mended without running the system again: an estimate."""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TriedCure:
    """A cure with the score it gives."""

    cure: Cure
    counts: IouCounts
    """At the IoU threshold that is asked for."""
    strict: IouCounts | None
    """At a stricter one; None of an estimate."""
    before: float
    strict_before: float

    @property
    def gain(self) -> float:
        """hmean at the IoU threshold, after minus before."""
        return self.counts.hmean - self.before

    @property
    def worth(self) -> float:
        """What cures are ranked by: the gain, or half of the gain at the stricter threshold where that is more."""
        strict = -1.0 if self.strict is None else self.strict.hmean - self.strict_before
        return max(self.gain, strict / 2)

    @property
    def estimate(self) -> bool:
        """Whether the score is an estimate: the system has to run again to know."""
        return self.cure.pages is None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagnosis:
    """What is wrong with an output, the first thing to change first."""

    iou: float
    pages: Pages
    counts: IouCounts
    strict: IouCounts
    """At the stricter threshold."""
    findings: tuple[TriedCure, ...]
    """Cures that help by themselves, the best first."""
    steps: tuple[TriedCure, ...]
    """The best cure, then the best of what is left once it is done, and so on."""
    protocols: tuple[tuple[str, float | None], ...]
    """The same output under other rules."""
    losses: Mapping[str, Mapping[str, int]]
    """Reasons for texts and detections that cost score, as they are now."""
    notes: tuple[str, ...] = ()

    @property
    def hmean(self) -> float:
        return self.counts.hmean

    @property
    def first(self) -> TriedCure | None:
        """The first thing to change; None where nothing systematic was found."""
        return self.findings[0] if self.findings else None


def geometry_of(page: PageOutput) -> PairGeometry:
    """Overlaps of annotations and detections, whatever frame the latter are in."""
    return pair_geometry(page.truth, replace(page.found, frame=page.truth.frame))


def matches_of(pages: Pages, *levels: float) -> list[IouMatch]:
    return [match_geometry(geometry_of(page), thresholds=levels) for page in pages]


def score(pages: Pages, iou: float) -> tuple[IouCounts, IouCounts]:
    """Counts over all pages at the IoU threshold and at the stricter one."""
    strict = stricter(iou)
    matches = matches_of(pages, iou, strict)
    return tuple(sum((m.counts(t) for m in matches), IouCounts()) for t in (iou, strict))  # type: ignore[return-value]


def stricter(iou: float) -> float:
    """The stricter threshold beside one: at 0.5, outlines may be a third too small and nothing shows.

    >>> stricter(0.5), stricter(0.9)
    (0.7, 0.95)
    """
    return round(min(iou + 0.2, (1 + iou) / 2), 4)


def share(part: int, whole: int) -> float:
    """part / whole, 0 of nothing."""
    return part / whole if whole else 0.0
