"""What an audit takes and gives: the evidence of a detector, kinds of errors, findings and scores of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalTransform
from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.text import visible

OUTLINE_KINDS = (
    "spurious", "shifted", "too_tight", "too_loose", "merged", "split", "duplicate", "should_ignore", "should_read",
)  # fmt: skip
"""Errors of one annotated outline."""
PICTURE_KINDS = ("wrong_frame", "wrong_page")
"""Errors of all outlines of a picture at once."""
KINDS = ("missing", *OUTLINE_KINDS, *PICTURE_KINDS)
MEANINGS: Mapping[str, str] = {
    "missing": "text without an outline",
    "spurious": "outline without text",
    "shifted": "outline beside its text",
    "too_tight": "outline cuts its text",
    "too_loose": "outline reaches beyond its text",
    "merged": "one outline over several texts",
    "split": "one text in several outlines",
    "duplicate": "one text outlined twice",
    "should_ignore": "outline of what nobody can read",
    "should_read": "ignored outline of clear text",
    "wrong_frame": "outlines turned or scaled against the picture",
    "wrong_page": "outlines of another picture",
}

SUITS = 0.75
"""Agreement from which a detector is taken to see what was annotated."""
BELIEF = 2 / 3
"""Of labels that look exactly like an error, the share that is taken to be one; the rest is the detector's own fault.

Nothing in a source can tell the two apart: decisions of a person do, and replace this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a detector saw in one picture, on the canvas it looks at."""

    picture: str
    detections: PolygonSet
    """In the canonical frame, down to a low score."""
    scores: npt.NDArray[np.floating[Any]]
    probability: npt.NDArray[np.floating[Any]]
    """(H, W) float map in 0 to 1, on the canvas."""
    transform: CanonicalTransform


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelFinding:
    """One suspicious label."""

    picture: str
    kind: str
    """The likeliest of `KINDS`."""
    probability: float
    """That something is wrong here."""
    kinds: Mapping[str, float]
    """The probability of each kind that is not negligible, largest first."""
    outline: int | None
    """Position among the picture's annotated outlines; None for text without one and for whole pictures."""
    others: tuple[int, ...]
    """Further outlines that belong to the same error: of one text in several parts, or outlined twice."""
    polygon: FloatArray | None
    """(n, 2) in the frame of the annotation: the outline, or the text without one."""
    proposed: tuple[FloatArray, ...]
    """Outlines that the detector would draw instead, in the same frame."""
    text: str | None
    remark: str = ""
    """What else is known: the picture whose outlines these are, or how they are turned."""

    @property
    def key(self) -> str:
        """A name that stays the same as long as the label does: decisions are kept under it."""
        where = "" if self.polygon is None else " ".join(f"{v:.1f}" for v in self.polygon.ravel())
        # Short and printable whatever the picture is called: it goes through a page and comes back.
        return f"{visible(self.picture, 300)}|{self.kind}|{hashlib.sha256(where.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureScore:
    """How far the labels of one picture can be trusted."""

    picture: str
    probability: float
    """That at least one label is wrong."""
    expected: float
    """Wrong labels to be expected."""
    outlines: int
    findings: int
    """Of those that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Findings and pictures, most suspicious first."""

    findings: tuple[LabelFinding, ...]
    pictures: tuple[PictureScore, ...]
    outlines: int
    expected: Mapping[str, float]
    """Wrong labels of each kind to be expected in the whole source."""
    agreement: float
    """Of outlines and detections, in the median picture: twice the shared area over both areas."""

    @property
    def warning(self) -> str:
        """Why the findings mean little here, if they do."""
        if self.agreement >= SUITS:
            return ""
        return (
            f"outlines and detections agree by {self.agreement:.2f} only, expected {SUITS} or more: this detector does "
            "not suit these pictures, and findings say more about it than about the labels"
        )
