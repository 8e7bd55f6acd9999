"""The ICDAR rule: a truth is found where a detection overlaps it by more than an IoU threshold, one to one.

Ignored truths are not scored, and a detection with more than half of its area in one of them is not scored
either. Truths that are no polygon leave the score, as in the reference evaluators, and are counted. Detections
carry no ignore flags of their own: theirs are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import SpecError
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet
from ocrmaps.metrics import pairing
from ocrmaps.metrics.matching import Order, PairGeometry, checked_thresholds, pair_geometry, take_pairs

THRESHOLDS = (0.5, 0.7, 0.9)
IGNORED_SHARE = 0.5
"""A detection is not scored if more than this share of its area lies in one ignored truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IouCounts:
    """Who was scored and how many pairs were made at one threshold; counts of pictures add up.

    >>> a = IouCounts(truth_care=2, detection_care=1, matched=1)
    >>> (a + a).recall, (a + a).precision, a.hmean
    (0.5, 1.0, 0.6666666666666666)
    """

    truth_care: int = 0
    truth_ignored: int = 0
    truth_invalid: int = 0
    """No polygon: not scored, whether ignored or not."""
    detection_care: int = 0
    detection_ignored: int = 0
    """On an ignored truth."""
    detection_invalid: int = 0
    matched: int = 0

    def __add__(self, other: IouCounts) -> IouCounts:
        return IouCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def recall(self) -> float:
        """Matched over scored truths; 1 where there is none."""
        return self.matched / self.truth_care if self.truth_care else 1.0

    @property
    def precision(self) -> float:
        """Matched over scored detections; where there is none, 1 if nothing was to be found and 0 otherwise."""
        if self.detection_care:
            return self.matched / self.detection_care
        return 0.0 if self.truth_care else 1.0

    @property
    def hmean(self) -> float:
        both = self.precision + self.recall
        return 2.0 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IouMatch:
    """What one picture's detections are worth at each threshold."""

    thresholds: tuple[float, ...]
    matched: IntArray
    """(thresholds, truths): the detection each truth is paired with, or -1."""
    truth_care: BoolArray
    """(truths): a polygon, and not ignored."""
    truth_valid: BoolArray
    detection_care: BoolArray
    """(detections): a polygon, and not on an ignored truth."""
    detection_valid: BoolArray
    best_iou: FloatArray
    """(truths): the largest IoU with any detection, scored or not; 0 where nothing overlaps or the truth is invalid."""
    best_detection: IntArray
    """(truths): the detection of `best_iou`, the earliest of equals, or -1."""
    scores: FloatArray | None
    """(detections) as given."""

    def layer(self, threshold: float) -> IntArray:
        """(truths): the pairing at one of the thresholds."""
        if threshold not in self.thresholds:
            raise SpecError(f"no matching at IoU {threshold}: found {', '.join(map(str, self.thresholds))}")
        return self.matched[self.thresholds.index(threshold)]

    def pairs(self, threshold: float = 0.5) -> IntArray:
        """(n, 2): truth and detection indices, by rising truth."""
        taken = self.layer(threshold)
        truths = np.flatnonzero(taken >= 0)
        return np.stack([truths, taken[truths]], axis=1)

    def counts(self, threshold: float = 0.5) -> IouCounts:
        care, valid, dets = self.truth_care, self.truth_valid, self.detection_valid
        return IouCounts(
            truth_care=int(care.sum()),
            truth_ignored=int((valid & ~care).sum()),
            truth_invalid=int((~valid).sum()),
            detection_care=int(self.detection_care.sum()),
            detection_ignored=int((dets & ~self.detection_care).sum()),
            detection_invalid=int((~dets).sum()),
            matched=int((self.layer(threshold) >= 0).sum()),
        )

    def found(self, threshold: float = 0.5) -> BoolArray:
        """(detections): paired with a truth."""
        out = np.zeros(len(self.detection_care), dtype=np.bool_)
        out[self.pairs(threshold)[:, 1]] = True
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IouSweep:
    """Counts of one picture, or of many added up, for every score cut and IoU threshold."""

    cuts: tuple[float, ...]
    """Detections with score >= cut take part."""
    thresholds: tuple[float, ...]
    matched: IntArray
    """(cuts, thresholds)"""
    detection_care: IntArray
    """(cuts)"""
    truth_care: int

    def __add__(self, other: IouSweep) -> IouSweep:
        if (self.cuts, self.thresholds) != (other.cuts, other.thresholds):
            raise SpecError(f"sweeps over {self.cuts} x {self.thresholds} and {other.cuts} x {other.thresholds} differ")
        return IouSweep(
            cuts=self.cuts,
            thresholds=self.thresholds,
            matched=self.matched + other.matched,
            detection_care=self.detection_care + other.detection_care,
            truth_care=self.truth_care + other.truth_care,
        )

    def counts(self, cut: int, threshold: int) -> IouCounts:
        """By position in `cuts` and `thresholds`; what the sweep does not count stays 0."""
        return IouCounts(
            truth_care=self.truth_care,
            detection_care=int(self.detection_care[cut]),
            matched=int(self.matched[cut, threshold]),
        )

    def hmean(self) -> FloatArray:
        """(cuts, thresholds)"""
        grid = [
            [self.counts(c, t).hmean for t in range(len(self.thresholds))]
            for c in range(len(self.cuts))
        ]  # fmt: skip
        return np.array(grid, dtype=np.float64)


def match_iou(
    truth: PolygonSet,
    detections: PolygonSet,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    scores: npt.ArrayLike | None = None,
    order: Order = "first",
) -> IouMatch:
    """Pair the detections of one picture with its truth at every threshold; `scores` are kept for average precision.

    >>> t = PolygonSet.of([[(0, 0), (4, 0), (4, 2), (0, 2)]], frame="raw")
    >>> d = PolygonSet.of([[(0, 0), (3, 0), (3, 2), (0, 2)], [(0, 5), (1, 5), (1, 6)]], frame="raw")
    >>> m = match_iou(t, d)
    >>> [m.counts(x).matched for x in m.thresholds], m.pairs(0.5).tolist(), m.best_iou.tolist()
    ([1, 1, 0], [[0, 0]], [0.75])
    """
    return match_geometry(pair_geometry(truth, detections), thresholds=thresholds, scores=scores, order=order)


def match_geometry(
    geometry: PairGeometry,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    scores: npt.ArrayLike | None = None,
    order: Order = "first",
) -> IouMatch:
    """`match_iou` on geometry that is already known."""
    levels = checked_thresholds(thresholds)
    truth_care, detection_care = care(geometry)
    value = geometry.iou(levels)
    usable = truth_care[geometry.truth_index] & detection_care[geometry.detection_index]
    best_iou, best_detection = pairing.largest(len(truth_care), geometry.truth_index, geometry.detection_index, value)
    return IouMatch(
        thresholds=levels,
        matched=take_pairs(geometry, value, usable, thresholds=levels, order=order)[0],
        truth_care=truth_care,
        truth_valid=geometry.truth.valid,
        detection_care=detection_care,
        detection_valid=geometry.detections.valid,
        best_iou=best_iou,
        best_detection=best_detection,
        scores=None if scores is None else checked_scores(scores, len(detection_care)),
    )


def sweep_geometry(
    geometry: PairGeometry,
    scores: npt.ArrayLike,
    *,
    cuts: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
    order: Order = "first",
) -> IouSweep:
    """Counts for every score cut and IoU threshold, as if each cut were evaluated by itself."""
    levels, layers = checked_thresholds(thresholds), tuple(float(c) for c in cuts)
    if not layers or not np.isfinite(layers).all():
        raise SpecError(f"found score cuts {list(layers)}, expected at least one finite number")
    rank = checked_scores(scores, len(geometry.detections.status))
    truth_care, detection_care = care(geometry)
    usable = truth_care[geometry.truth_index] & detection_care[geometry.detection_index]
    taken = take_pairs(
        geometry, geometry.iou(levels), usable, thresholds=levels, order=order, rank=rank, cuts=layers
    )  # fmt: skip
    kept = np.sort(rank[detection_care])
    return IouSweep(
        cuts=layers,
        thresholds=levels,
        matched=(taken >= 0).sum(axis=2),
        detection_care=len(kept) - np.searchsorted(kept, np.array(layers)),
        truth_care=int(truth_care.sum()),
    )


def care(geometry: PairGeometry) -> tuple[BoolArray, BoolArray]:
    """(truths), (detections): what is scored."""
    truth_care = geometry.truth.valid & ~geometry.truth.polygons.ignore
    return truth_care, geometry.detections.valid & ~geometry.on_ignored(IGNORED_SHARE)


def checked_scores(scores: npt.ArrayLike, expected: int) -> FloatArray:
    """(detections) finite float64."""
    out = np.asarray(scores, dtype=np.float64)
    if out.shape != (expected,) or not np.isfinite(out).all():
        raise SpecError(f"found scores of shape {out.shape}, expected {expected} finite numbers, one per detection")
    return out


def average_precision(matches: Iterable[IouMatch], threshold: float = 0.5) -> float:
    """Mean over the scored truths of the precision at which each was found, going down the scores of all pictures.

    Detections of equal score keep their order: picture after picture.
    """
    ranks, hits, truths = [np.zeros(0)], [np.zeros(0, dtype=np.bool_)], 0
    for match in matches:
        if match.scores is None:
            raise SpecError("average precision needs a score for every detection, found a picture without scores")
        ranks.append(match.scores[match.detection_care])
        hits.append(match.found(threshold)[match.detection_care])
        truths += int(match.truth_care.sum())
    hit = np.concatenate(hits)[np.argsort(-np.concatenate(ranks), kind="stable")]
    if not truths:
        return 1.0 if not len(hit) else 0.0
    return float((np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].sum() / truths)


def total_iou(matches: Iterable[IouMatch]) -> Mapping[float, IouCounts]:
    """The data set's counts per threshold, added up over pictures (micro average)."""
    out: dict[float, IouCounts] = {}
    for match in matches:
        for threshold in match.thresholds:
            out[threshold] = out.get(threshold, IouCounts()) + match.counts(threshold)
    return out
