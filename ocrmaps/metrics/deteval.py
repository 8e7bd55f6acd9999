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
from functools import cache
from typing import Annotated

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, PolygonSet
from ocrmaps.metrics.clipping import TIE
from ocrmaps.metrics.matching import PairGeometry, pair_geometry
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
    t, d = geometry.truth, geometry.detections
    one_to_one, splits, merges, recall_sum, precision_sum = _credited(
        rows, columns, recall, precision, truth_care, detection_care,
        t.points, t.polygons.offsets, t.bounds, d.points, d.polygons.offsets, d.bounds,
        rule.area_recall, rule.area_precision, _least(rule.area_recall), _least(rule.area_precision),
        rule.center_distance, rule.split_credit, rule.merge_credit,
    )  # fmt: skip
    scored, found = int(truth_care.sum()), int(detection_care.sum())
    return DetEvalCounts(
        truth_care=scored,
        truth_ignored=int(truth_valid.sum()) - scored,
        truth_invalid=int((~truth_valid).sum()),
        detection_care=found,
        detection_ignored=int(detection_valid.sum()) - found,
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


@cache
def _least(limit: float) -> float:
    """The least sum of shares that reaches a limit: the protocol rounds sums to four digits before it compares."""
    least = (math.ceil((limit - TIE) * 10_000) - 0.5) / 10_000
    while round(least, 4) < limit - TIE:
        least = math.nextafter(least, math.inf)
    while round(math.nextafter(least, -math.inf), 4) >= limit - TIE:
        least = math.nextafter(least, -math.inf)
    return least


@compiled
def _credited(
    rows: IntArray, columns: IntArray, recall: FloatArray, precision: FloatArray,
    truth_care: BoolArray, detection_care: BoolArray,
    truth_points: FloatArray, truth_offsets: IntArray, truth_bounds: FloatArray,
    found_points: FloatArray, found_offsets: IntArray, found_bounds: FloatArray,
    area_recall: float, area_precision: float, least_recall: float, least_precision: float,
    center_distance: float, split_credit: float, merge_credit: float,
) -> tuple[int, int, int, float, float]:  # fmt: skip
    """One to one pairs, split truths, merged detections; the credits of splits and merges for recall and precision.

    Pairs come truth after truth with rising detections.
    """
    k, m = len(truth_care), len(detection_care)
    around_truth, around_detection = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64)
    row_strong, column_strong = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64)
    starts = np.zeros(m + 1, dtype=np.int64)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        around_truth[i] += detection_care[j]
        around_detection[j] += truth_care[i]
        # What is not scored is not touched, but a strong pair with it stands in the way, as in the reference.
        strong = recall[p] >= area_recall and precision[p] >= area_precision
        row_strong[i] += strong
        column_strong[j] += strong
        starts[j + 1] += 1
    for j in range(m):
        starts[j + 1] += starts[j]
    by_detection, place = np.empty(len(rows), dtype=np.int64), starts.copy()
    for p in range(len(rows)):
        by_detection[place[columns[p]]] = p
        place[columns[p]] += 1
    free_truth, free_detection = truth_care.copy(), detection_care.copy()
    one_to_one, splits, merges, recall_sum, precision_sum = 0, 0, 0, 0.0, 0.0

    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        if not (truth_care[i] and detection_care[j] and around_truth[i] == 1 and around_detection[j] == 1):
            continue
        if row_strong[i] == 1 and column_strong[j] == 1 and recall[p] >= area_recall and precision[p] >= area_precision:
            x0, y0 = _center(truth_points, truth_offsets[i], truth_offsets[i + 1])
            x1, y1 = _center(found_points, found_offsets[j], found_offsets[j + 1])
            diagonals = _diagonal(truth_bounds[i]) + _diagonal(found_bounds[j])
            if 2.0 * math.hypot(x0 - x1, y0 - y1) / diagonals < center_distance:
                free_truth[i] = free_detection[j] = False
                one_to_one += 1

    stop = 0
    while stop < len(rows):
        start, i, size, covered = stop, rows[stop], 0, 0.0
        while stop < len(rows) and rows[stop] == i:
            if free_detection[columns[stop]] and precision[stop] >= area_precision:
                size += 1
                covered += recall[stop]
            stop += 1
        if free_truth[i] and around_truth[i] >= 2 and size and covered >= least_recall:
            free_truth[i] = False
            for p in range(start, stop):
                if precision[p] >= area_precision:
                    free_detection[columns[p]] = False
            if size == 1:
                one_to_one += 1
            else:
                splits += 1
                recall_sum += split_credit
                precision_sum += split_credit * size

    for j in range(m):
        size, used = 0, 0.0
        for p in by_detection[starts[j] : starts[j + 1]]:
            if free_truth[rows[p]] and recall[p] >= area_recall:
                size += 1
                used += precision[p]
        if free_detection[j] and around_detection[j] >= 2 and size and used >= least_precision:
            free_detection[j] = False
            for p in by_detection[starts[j] : starts[j + 1]]:
                if recall[p] >= area_recall:
                    free_truth[rows[p]] = False
            if size == 1:
                one_to_one += 1
            else:
                merges += 1
                recall_sum += merge_credit * size
                precision_sum += merge_credit
    return one_to_one, splits, merges, recall_sum, precision_sum


@compiled
def _center(points: FloatArray, start: int, stop: int) -> tuple[float, float]:
    """The mean of the corners."""
    x, y = 0.0, 0.0
    for p in range(start, stop):
        x += points[p, 0]
        y += points[p, 1]
    return x / (stop - start), y / (stop - start)


@compiled
def _diagonal(bounds: FloatArray) -> float:
    """Of the upright rectangle, also for turned quads, as in the reference."""
    return math.hypot(bounds[2] - bounds[0], bounds[3] - bounds[1])
