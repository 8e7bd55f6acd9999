"""What evaluation is asked for, what it says of one picture, and what all pictures come to.

Polygons and areas are in the frame of the annotations; `canonical` figures are in pixels of the picture the model saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ocrmaps import inline
from ocrmaps.canonical import CanonicalTransform
from ocrmaps.errors import SpecError
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet
from ocrmaps.metrics.accumulate import Score
from ocrmaps.metrics.cleval import ClevalMatch
from ocrmaps.metrics.conventions import Convention, checked_convention
from ocrmaps.metrics.deteval import DetEvalCounts
from ocrmaps.metrics.iou import IouCounts, IouMatch, IouSweep
from ocrmaps.metrics.matching import Order, checked_thresholds

PROTOCOLS: tuple[str, ...] = ("iou", "deteval", "cleval")
Status = Literal["scored", "unpredicted", "failed"]
"""unpredicted: nobody gave a prediction; failed: the picture could not be read. Both count as empty predictions."""
STATUSES: tuple[str, ...] = get_args(Status)
CUTS: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Scores at which the curves are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSpec:
    """Which protocols score, and at which IoU thresholds; reasons are told at the first of these."""

    thresholds: tuple[float, ...] = (0.5, 0.7)
    protocols: tuple[str, ...] = PROTOCOLS
    cuts: tuple[float, ...] = CUTS
    """Score cuts of the curves; none for no curves."""
    order: Order = "first"
    convention: Convention = "ocrmaps"
    """What pages and data sets without truth score."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", checked_thresholds(self.thresholds))
        checked_convention(self.convention)
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown or not self.protocols or len(set(self.protocols)) != len(self.protocols):
            found = ", ".join(map(str, self.protocols)) or "none"
            raise SpecError(f"found protocols {found}; expected some of {', '.join(PROTOCOLS)}, each once")

    @property
    def iou(self) -> float:
        """The threshold at which reasons are told."""
        return self.thresholds[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measures:
    """Size and direction of the polygons of one set; all (k)."""

    height: FloatArray
    """Short side of the equivalent rectangle, in pixels of the annotations' frame."""
    canonical_height: FloatArray
    """The same on the canonical picture; nan where it is not known."""
    aspect: FloatArray
    """Long side over short side, at least 1."""
    angle: FloatArray
    """Degrees of the long axis from horizontal, clockwise, above -90 up to 90, upright picture; nan for squares."""

    def direction(self, index: int) -> str:
        """horizontal (within 15 degrees), vertical (within 15 of upright), slanted, or square."""
        angle = abs(float(self.angle[index]))
        if angle != angle:
            return "square"
        return "horizontal" if angle <= 15 else "vertical" if angle >= 75 else "slanted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureResult:
    """One picture: what was to be found, what was found, and why they differ."""

    picture: str
    """The sample's id."""
    status: Status
    problem: str
    """Why it failed; empty otherwise."""
    transform: CanonicalTransform | None
    """None where only original coordinates are known."""
    orientation: int | None
    """EXIF orientation, 1 to 8; None where nobody said."""
    truth: PolygonSet
    detections: PolygonSet
    """In the frame of the truth."""
    scores: FloatArray | None
    match: IouMatch
    """At all thresholds."""
    deteval: DetEvalCounts | None
    cleval: ClevalMatch | None
    sweep: IouSweep | None
    """Over the cuts of the spec; None without scores or cuts."""
    text_reason: tuple[str, ...]
    """For each truth, one of `TEXT_REASONS`."""
    detection_reason: tuple[str, ...]
    """For each detection, one of `DETECTION_REASONS`."""
    text_measures: Measures
    detection_measures: Measures
    text_partner: IntArray
    """(truths): the detection matched at the first threshold, or -1."""
    text_iou: FloatArray
    """(truths): with the partner, or else the largest with any detection."""
    detection_iou: FloatArray
    """(detections): with the partner, or else the largest with any scored truth."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evaluation:
    """All pictures of a pass, and what they come to."""

    spec: EvaluationSpec
    expected: tuple[str, ...]
    """Ids the pass had to see."""
    pictures: tuple[PictureResult, ...]
    """In the order of `expected`."""
    scores: Mapping[str, Score]
    """By protocol: status, values (none unless complete), counts."""
    seen: Mapping[str, Mapping[str, float]]
    """By protocol: the values over the pictures that were seen; a score only if the pass is complete."""
    totals: Mapping[float, IouCounts]
    """By IoU threshold, over the pictures seen."""
    sweep: IouSweep | None
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What was evaluated on what: checkpoint, store, source, predictions, extraction."""
    stores: tuple[Evaluation, ...] = ()
    """Of a pass over several stores: that over each alone; their identity says which. None of a pass over one."""

    @property
    def complete(self) -> bool:
        return len(self.pictures) == len(self.expected)

    @property
    def state(self) -> str:
        """`complete`, or how much of it there is."""
        return "complete" if self.complete else f"partial {len(self.pictures)}/{len(self.expected)}"

    @property
    def hmean(self) -> float | None:
        """IoU hmean at the first threshold; None of a partial pass, and where nothing was to be found."""
        value = self.scores["iou"].values.get(f"hmean@{self.spec.iou}") if "iou" in self.scores else None
        return None if value is None else float(value)

    def __repr__(self) -> str:
        hmean = "no hmean" if self.hmean is None else f"hmean {self.hmean:.4f} at IoU {self.spec.iou:g}"
        return f"Evaluation({len(self.pictures)} pictures, {self.state}, {hmean})"

    def _repr_html_(self) -> str:
        """The scores of each protocol, for notebooks; it says where they are of a part of the pictures only."""
        from ocrmaps.evaluation.summary import score_rows

        head, *rows = score_rows(self)
        return f"<div>{inline.safe(repr(self))}{inline.table(head, rows)}</div>"

    def count(self, status: Status) -> int:
        return sum(picture.status == status for picture in self.pictures)
