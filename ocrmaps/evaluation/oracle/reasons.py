"""Why perfect maps lose a truth: told from what was drawn, what extraction dropped, and the shapes that overlap it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from ocrmaps.extract.records import Outcomes
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps import DRAWN, Outcome
from ocrmaps.metrics.matching import PairGeometry

BEYOND = 0.75
"""An outline with less than this share of its area on the canvas is told to reach beyond it."""


def reasons(
    geometry: PairGeometry,
    lost: npt.NDArray[np.int64],
    best_iou: npt.NDArray[np.float64],
    canonical: PolygonSet,
    canvas: Size,
    drawn: Sequence[Outcome],
    extracted: Outcomes,
) -> list[str]:
    """One reason for each truth in `lost`; all other columns are of all truths of the picture.

    `canonical`: the truths on the canvas; `extracted`: what became of the regions of their maps.
    """
    ignored = geometry.on_ignored()
    return [
        _beside(canonical[i], canvas)
        or _undrawn(drawn[i])
        or _unpaired(geometry, i, extracted)
        or _paired(geometry, i, float(best_iou[i]), canonical[i], canvas, ignored)
        for i in lost.tolist()
    ]


def _beside(points: npt.NDArray[np.float64], canvas: Size) -> str:
    height, width = canvas
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return "outside the canvas" if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height else ""


def _undrawn(outcome: Outcome) -> str:
    return "" if outcome in DRAWN else f"not drawn: {outcome}"


def _unpaired(geometry: PairGeometry, truth: int, extracted: Outcomes) -> str:
    """Drawn, but nothing that was extracted overlaps it: extraction dropped its region, or it has none of its own."""
    if (geometry.truth_index == truth).any():
        return ""
    if extracted.over_cap:
        return "over max_candidates"
    # On perfect maps the mean over what an outline encloses is only low where that is mostly a hole.
    if extracted.low_score:
        return "a ring around a hole, under score_min"
    return "under min_side" if extracted.small or extracted.small_kernel else "no detection"


def _paired(
    geometry: PairGeometry,
    truth: int,
    best_iou: float,
    points: npt.NDArray[np.float64],
    canvas: Size,
    ignored: npt.NDArray[np.bool_],
) -> str:
    mine = geometry.truth_index == truth
    share_of_truth = geometry.share_of_truth()[mine]
    partners = geometry.detection_index[mine]
    best = partners[np.argmax(share_of_truth)]
    if ignored[best]:
        return "inside an ignored region"
    others = (geometry.detection_index == best) & (geometry.truth_index != truth)
    if (geometry.share_of_truth()[others] > 0.5).any() and share_of_truth.max() > 0.5:
        return "merged with a neighbour"
    if best_iou > 0.5:
        return "paired with another truth"
    inside = geometry.share_of_detection()[mine] > 0.5
    if inside.sum() > 1 and share_of_truth[inside].max() < 0.8:
        return "split"
    if _share_on(points, canvas) < BEYOND:
        return "reaches beyond the canvas"
    area = geometry.detections.area[best]
    return "too tight" if area < geometry.truth.area[truth] else "too loose"


def _share_on(points: npt.NDArray[np.float64], canvas: Size) -> float:
    """Share of an outline's area that is on the canvas."""
    height, width = canvas
    whole = shapely.make_valid(shapely.Polygon(points))
    return float(shapely.intersection(whole, shapely.box(0, 0, width, height)).area / max(whole.area, 1e-9))
