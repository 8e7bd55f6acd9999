"""Why a text was not found, or a detection found nothing: one reason each, told from shared areas.

Words used in the definitions, for a text t and a detection d with shared area s:
contact    s is at least a tenth of the smaller of the two: slivers between neighboring lines are none.
covers     d holds at least half of t, or their IoU is above the threshold.
piece      d lies on t with at least half of its own area, and holds at least a tenth of t.
Only polygons that enclose an area take part. docs/explanation/evaluation.md has the order in which reasons are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ocrmaps.extract import ExtractSpec
from ocrmaps.extract.unclip import rectangle_growth
from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.metrics.iou import IouMatch
from ocrmaps.metrics.matching import PairGeometry

CONTACT = 0.1
COVERS = 0.5
PIECE_ON_TEXT = 0.5
PIECE_OF_TEXT = 0.1
THINNEST_KERNEL = 0.5
"""Pixels: a thinner kernel more often falls between pixel centers than on one, so no map shows it for sure."""

TEXT_REASONS: tuple[str, ...] = (
    "matched", "ignored", "invalid", "dropped_by_size", "missed", "on_ignore", "merged", "split", "too_tight",
    "too_loose",
)  # fmt: skip
DETECTION_REASONS: tuple[str, ...] = (
    "matched", "invalid", "on_ignore", "false_alarm", "merged", "split", "too_tight", "too_loose",
)  # fmt: skip
ERRORS: dict[str, tuple[str, ...]] = {
    "text": ("missed", "dropped_by_size", "on_ignore", "merged", "split", "too_tight", "too_loose"),
    "detection": ("false_alarm", "merged", "split", "too_tight", "too_loose"),
}
"""Reasons that cost recall (texts) and precision (detections); all others are no errors."""
NO_LOSS = frozenset(TEXT_REASONS) - frozenset(ERRORS["text"])
"""What a text that costs no recall is called."""


def words(reason: str) -> str:
    """A reason for people."""
    return reason.replace("_", " ")


def tell_reasons(
    geometry: PairGeometry, match: IouMatch, threshold: float, *, too_small: BoolArray
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(texts), (detections): a reason for each at one threshold of the match.

    `too_small` (texts): extraction is known to drop a text of this size.
    """
    rows, columns = geometry.truth_index, geometry.detection_index
    texts, found = len(match.truth_care), len(match.detection_care)
    iou = geometry.iou(match.thresholds)
    of_text, of_detection = geometry.share_of_truth(), geometry.share_of_detection()
    contact = np.maximum(of_text, of_detection) >= CONTACT
    scored = contact & match.truth_care[rows] & match.detection_care[columns]
    partner = match.layer(threshold)
    paired = partner[rows] == columns

    covers = scored & ((of_text >= COVERS) | (iou > threshold))
    over_several = np.bincount(columns[covers], minlength=found) >= 2
    piece = scored & (of_detection >= PIECE_ON_TEXT) & (of_text >= PIECE_OF_TEXT)
    in_pieces = np.bincount(rows[piece], minlength=texts) >= 2
    # A detection is one of several also where the others are no pieces: the text's own match holds it already.
    shared = np.bincount(rows[piece | (paired & scored)], minlength=texts)
    one_of_several = scored & (of_detection >= PIECE_ON_TEXT) & (shared[rows] - (piece | paired) >= 1)

    larger = geometry.detections.area[columns] > geometry.truth.area[rows]
    text_looser = _at_best(texts, rows, iou, scored, larger)
    detection_looser = _at_best(found, columns, iou, scored, larger)

    text_reason = _first(
        texts,
        ("matched", partner >= 0),
        ("invalid", ~match.truth_valid),
        ("ignored", ~match.truth_care),
        ("dropped_by_size", too_small & ~_any(texts, rows[contact])),
        ("missed", ~_any(texts, rows[contact])),
        ("on_ignore", ~_any(texts, rows[scored])),
        ("merged", _any(texts, rows[covers & over_several[columns]])),
        ("split", in_pieces),
        ("too_loose", text_looser),
        last="too_tight",
    )
    detection_reason = _first(
        found,
        ("matched", match.found(threshold)),
        ("invalid", ~match.detection_valid),
        ("on_ignore", ~match.detection_care),
        ("false_alarm", ~_any(found, columns[scored])),
        ("merged", over_several),
        ("split", _any(found, columns[one_of_several])),
        ("too_loose", detection_looser),
        last="too_tight",
    )
    return text_reason, detection_reason


def dropped_sizes(height: FloatArray, length: FloatArray, extract: ExtractSpec) -> BoolArray:
    """(k): texts of this canonical height and length whose perfect kernel `extract` would drop, or could not see.

    >>> dropped_sizes(np.array([10.0, 30.0]), np.array([90.0, 90.0]), ExtractSpec.peers()).tolist()
    [True, False]
    """
    height, length = np.maximum(height, 0.0), np.maximum(length, 1e-9)
    shrink = (1 - extract.shrink_ratio**2) * height * length / (2 * (height + length))
    short, long = height - 2 * shrink, length - 2 * shrink
    positive = np.maximum(short, 1e-9)
    grown = short + 2 * rectangle_growth(np.maximum(long, 1e-9), positive, q=extract.q, ratio=extract.growth_ratio)
    unseen = short < max(extract.min_kernel_side, THINNEST_KERNEL)
    # The inverse gives the height back up to rounding, which must not decide.
    return np.asarray(unseen | (grown < extract.min_side - 1e-6), dtype=np.bool_)


def _any(size: int, members: IntArray) -> BoolArray:
    out = np.zeros(size, dtype=np.bool_)
    out[members] = True
    return out


def _at_best(
    size: int, members: IntArray, value: FloatArray, usable: BoolArray, flag: npt.NDArray[np.bool_]
) -> BoolArray:
    """(size): the flag of each member's pair of largest value, the earliest of equals; False without a pair."""
    out = np.zeros(size, dtype=np.bool_)
    pairs = np.flatnonzero(usable)
    # Written from the smallest value to the largest, so that the largest stays; of equals the earliest comes last.
    order = pairs[np.lexsort((-pairs, value[pairs]))]
    out[members[order]] = flag[order]
    return out


def _first(size: int, *rules: tuple[str, BoolArray], last: str) -> tuple[str, ...]:
    """The first rule that holds for each, else `last`."""
    names: Sequence[str] = [name for name, _ in rules]
    table = np.stack([holds for _, holds in rules] + [np.ones(size, dtype=np.bool_)])
    chosen = table.argmax(axis=0)
    return tuple((*names, last)[i] for i in chosen.tolist())
