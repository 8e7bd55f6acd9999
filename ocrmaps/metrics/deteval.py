"""DetEval as the receipt benchmarks use it: area recall and precision, with credit for splits and merges.

One to one counts 1 on both sides. A truth split into several detections counts 0.8, and 0.8 for each of them. A
detection over several truths counts 1 for each of them and 1 for itself. The order is one to one where neither
touches anything else that is scored, then truths that touch several scored detections, then detections that touch
several scored truths; whoever took part once does not take part again, and such a group of two counts as one to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet
from ocrmaps.metrics.matching import TIE, Measured, PairGeometry, pair_geometry
from ocrmaps.settings.ranges import Range, Share, check

_Area = Annotated[float, Range(gt=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetEvalRule:
    """The protocol's constants."""

    area_recall: _Area = 0.8
    """A truth is covered from this share of its area on."""
    area_precision: _Area = 0.4
    """A detection is used from this share of its area on; on an ignored truth it is not scored above it."""
    split_credit: Share = 0.8
    merge_credit: Share = 1.0
    center_distance: float = 1.0
    """One to one asks for twice the distance of the centers over the sum of the diagonals below this."""

    def __post_init__(self) -> None:
        check(self, "deteval")


DETEVAL = DetEvalRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetEvalCounts:
    """Credits and who was scored; counts of pictures add up."""

    truth_care: int = 0
    truth_ignored: int = 0
    truth_invalid: int = 0
    detection_care: int = 0
    detection_ignored: int = 0
    detection_invalid: int = 0
    recall_sum: float = 0.0
    precision_sum: float = 0.0
    one_to_one: int = 0
    splits: int = 0
    """Truths credited as split."""
    merges: int = 0
    """Detections credited as merge."""

    def __add__(self, other: DetEvalCounts) -> DetEvalCounts:
        return DetEvalCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def recall(self) -> float:
        """Credit per scored truth; 1 where there is none."""
        return self.recall_sum / self.truth_care if self.truth_care else 1.0

    @property
    def precision(self) -> float:
        """Credit per scored detection; where there is none, 1 if nothing was to be found and 0 otherwise."""
        if not self.truth_care:
            return 0.0 if self.detection_care else 1.0
        return self.precision_sum / self.detection_care if self.detection_care else 0.0

    @property
    def hmean(self) -> float:
        both = self.precision + self.recall
        return 2.0 * self.precision * self.recall / both if both else 0.0


def match_deteval(truth: PolygonSet, detections: PolygonSet, *, rule: DetEvalRule = DETEVAL) -> DetEvalCounts:
    """The credits of one picture.

    >>> line = PolygonSet.of([[(0, 0), (9, 0), (9, 2), (0, 2)]], frame="raw")
    >>> words = PolygonSet.of([[(0, 0), (4, 0), (4, 2), (0, 2)], [(5, 0), (9, 0), (9, 2), (5, 2)]], frame="raw")
    >>> counts = match_deteval(line, words)
    >>> counts.recall, counts.precision, counts.splits
    (0.8, 0.8, 1)
    """
    return deteval_geometry(pair_geometry(truth, detections), rule=rule)


def deteval_geometry(geometry: PairGeometry, *, rule: DetEvalRule = DETEVAL) -> DetEvalCounts:
    """`match_deteval` on geometry that is already known."""
    limits = (rule.area_recall, rule.area_precision)
    recall, precision = geometry.share_of_truth(limits), geometry.share_of_detection(limits)
    rows, columns = geometry.truth_index, geometry.detection_index
    truth_valid, detection_valid = geometry.truth.valid, geometry.detections.valid
    truth_care = truth_valid & ~geometry.truth.polygons.ignore
    detection_care = detection_valid & ~geometry.on_ignored(rule.area_precision)
    scored = truth_care[rows] & detection_care[columns]
    free_truth, free_detection = truth_care.copy(), detection_care.copy()

    around_truth = np.bincount(rows[detection_care[columns]], minlength=len(truth_care))
    around_detection = np.bincount(columns[truth_care[rows]], minlength=len(detection_care))
    strong = (recall >= rule.area_recall) & (precision >= rule.area_precision)
    # What is not scored does not count as touched, but a strong pair with it stands in the way, as in the reference.
    rivals = np.bincount(rows[strong], minlength=len(truth_care))[rows]
    rivals = np.maximum(rivals, np.bincount(columns[strong], minlength=len(detection_care))[columns])
    single = (around_truth[rows] == 1) & (around_detection[columns] == 1) & (rivals == 1)
    one_to_one = splits = merges = 0
    recall_sum = precision_sum = 0.0

    for p in np.flatnonzero(single & scored & strong):
        if _center_distance(geometry, int(p)) < rule.center_distance:
            free_truth[rows[p]] = free_detection[columns[p]] = False
            one_to_one += 1

    used_pairs = scored & (precision >= rule.area_precision) & (around_truth[rows] >= 2)
    for i, members in _groups(rows, used_pairs):
        used = members[free_detection[columns[members]]]
        if free_truth[i] and used.size and _reaches(recall[used], rule.area_recall):
            free_truth[i], free_detection[columns[used]] = False, False
            if used.size == 1:
                one_to_one += 1
            else:
                recall_sum += rule.split_credit
                precision_sum += rule.split_credit * used.size
                splits += 1

    order = np.argsort(columns, kind="stable")
    used_pairs = scored & (recall >= rule.area_recall) & (around_detection[columns] >= 2)
    for j, places in _groups(columns[order], used_pairs[order]):
        used = order[places][free_truth[rows[order[places]]]]
        if free_detection[j] and used.size and _reaches(precision[used], rule.area_precision):
            free_detection[j], free_truth[rows[used]] = False, False
            if used.size == 1:
                one_to_one += 1
            else:
                recall_sum += rule.merge_credit * used.size
                precision_sum += rule.merge_credit
                merges += 1

    return DetEvalCounts(
        truth_care=int(truth_care.sum()),
        truth_ignored=int((truth_valid & ~truth_care).sum()),
        truth_invalid=int((~truth_valid).sum()),
        detection_care=int(detection_care.sum()),
        detection_ignored=int((detection_valid & ~detection_care).sum()),
        detection_invalid=int((~detection_valid).sum()),
        recall_sum=recall_sum + one_to_one,
        precision_sum=precision_sum + one_to_one,
        one_to_one=one_to_one,
        splits=splits,
        merges=merges,
    )


def total_deteval(pictures: Iterable[DetEvalCounts]) -> DetEvalCounts:
    """The data set's credits: sums over pictures (micro average)."""
    return sum(pictures, DetEvalCounts())


def _groups(index: IntArray, mask: BoolArray) -> Iterable[tuple[int, IntArray]]:
    """Positions of the marked pairs, group by group of an index that rises."""
    places = np.flatnonzero(mask)
    values, starts = np.unique(index[places], return_index=True)
    return zip(values.tolist(), np.split(places, starts[1:]), strict=True) if places.size else ()


def _reaches(shares: FloatArray, limit: float) -> bool:
    """The protocol rounds sums of shares to four digits before it compares them."""
    return round(float(shares.sum()), 4) >= limit - TIE


def _center_distance(geometry: PairGeometry, pair: int) -> float:
    i, j = int(geometry.truth_index[pair]), int(geometry.detection_index[pair])
    a, b = geometry.truth.polygons[i], geometry.detections.polygons[j]
    apart = math.dist(a.mean(axis=0), b.mean(axis=0))
    return 2.0 * apart / (_diagonal(geometry.truth, i) + _diagonal(geometry.detections, j))


def _diagonal(side: Measured, index: int) -> float:
    """The diagonal of the bounds, also for turned quads, as in the reference."""
    x0, y0, x1, y1 = side.bounds[index]
    return math.hypot(x1 - x0, y1 - y0)
