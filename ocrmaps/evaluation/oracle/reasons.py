"""Names the step that lost a text of perfect maps: drawing, extraction or the canvas, where one of them is to blame.

A network's maps do not tell what was drawn, so evaluation only sees that nothing was found, or that a box is tight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.evaluation.reasons import NO_LOSS
from ocrmaps.evaluation.records import PictureResult
from ocrmaps.extract.records import Outcomes
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps import DRAWN, Maps, Outcome

BEYOND = 0.75
"""An outline with less than this share of its area on the canvas reaches beyond it."""
UNDRAWN: dict[Outcome, str] = {outcome: str(outcome).replace(" ", "_").replace("-", "_") for outcome in Outcome}
PERFECT_REASONS: tuple[str, ...] = (
    *(UNDRAWN[outcome] for outcome in Outcome if outcome not in DRAWN and outcome != Outcome.IGNORED),
    "over_max_candidates",
    "under_score_min",
    "beyond_canvas",
)
"""What a truth can be lost by besides `TEXT_REASONS`; the first ones are the outcomes of drawing."""


def loss_reasons(
    result: PictureResult, canonical: PolygonSet, canvas: Size, maps: Maps, extracted: Outcomes
) -> tuple[str, ...]:
    """(truths): evaluation's reasons, more exact where a truth is lost; `canonical` are the truths on the canvas."""
    return tuple(
        reason if reason in NO_LOSS else _loss(reason, canonical[i], canvas, maps.outcomes[i], extracted)
        for i, reason in enumerate(result.text_reason)
    )


def _loss(reason: str, points: npt.NDArray[np.float64], canvas: Size, drawn: Outcome, extracted: Outcomes) -> str:
    if drawn not in DRAWN:
        return UNDRAWN[drawn]
    if reason == "missed":
        return _dropped(extracted)
    if reason in ("too_tight", "too_loose") and _share_on(points, canvas) < BEYOND:
        return "beyond_canvas"
    return reason


def _dropped(extracted: Outcomes) -> str:
    """Drawn, but nothing that was extracted touches it: extraction dropped its region, or it has none of its own."""
    if extracted.over_cap:
        return "over_max_candidates"
    # On perfect maps the mean over what an outline encloses is only low where that is mostly a hole.
    if extracted.low_score:
        return "under_score_min"
    return "dropped_by_size" if extracted.small or extracted.small_kernel else "missed"


def _share_on(points: npt.NDArray[np.float64], canvas: Size) -> float:
    """Share of an outline's area that is on the canvas."""
    height, width = canvas
    whole = shapely.make_valid(shapely.Polygon(points))
    return float(shapely.intersection(whole, shapely.box(0, 0, width, height)).area / max(whole.area, 1e-9))
