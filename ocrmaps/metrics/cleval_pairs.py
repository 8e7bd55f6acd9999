"""Who takes part with whom in CLEval, from areas and from the characters each detection holds.

Pairs come as two index arrays (p), truth after truth; sizes are k truths and m detections.
"""

from __future__ import annotations

import numpy as np
import shapely
from numba import njit

from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.metrics.matching import CROSSING, TIE, VALID, Measured, shared_areas


def shares(truth: Measured, found: Measured, rows: IntArray, columns: IntArray) -> FloatArray:
    """(p): area of each pair over the detection's shoelace area; 0 where either encloses nothing."""
    solid = [np.isin(side.status, (VALID, CROSSING)) & (side.area > 0) for side in (truth, found)]
    # An outline that crosses itself may have no shoelace area and still fill some.
    solid[0] |= truth.status == CROSSING
    both = solid[0][rows] & solid[1][columns]
    out = np.zeros(len(rows))
    out[both] = shared_areas(truth, found, rows[both], columns[both]) / found.area[columns[both]]
    return out


def on_ignored(
    truth: Measured,
    found: Measured,
    rows: IntArray,
    columns: IntArray,
    share: FloatArray,
    holds: BoolArray,
    care: BoolArray,
    limit: float,
) -> BoolArray:
    """(detections): on one ignored truth, or on several that it holds characters of, where no scored truth lies."""
    m = len(found.area)
    ignored, scored = truth.polygons.ignore[rows] & (share > 0), care[rows] & (share > 0)
    if not ignored.any():
        return np.zeros(m, dtype=np.bool_)
    net = np.where(ignored, share, 0.0)
    enough = np.bincount(columns, weights=net, minlength=m) >= limit - TIE
    for j in np.flatnonzero(enough & (np.bincount(columns[scored], minlength=m) > 0)):
        mine = columns == j
        text = shapely.union_all(truth.shapes(rows[mine & scored]))
        shape = found.shapes(np.array([j]))[0]
        parts = shapely.difference(truth.shapes(rows[mine & ignored]), text)
        net[mine & ignored] = shapely.area(shapely.intersection(parts, shape)) / found.area[j]
    most = np.zeros(m)
    np.maximum.at(most, columns, net)
    together = np.bincount(columns[holds], weights=net[holds], minlength=m)
    return np.maximum(most, together) >= limit - TIE


def taking_part(
    rows: IntArray,
    columns: IntArray,
    share: FloatArray,
    holds: BoolArray,
    detection_care: BoolArray,
    k: int,
    limit: float,
) -> BoolArray:
    """(p): the pairs that take part, one to one, as pieces of one truth, or as truths merged in one detection."""
    m = len(detection_care)
    scored = holds & detection_care[columns]
    strong = holds & (share >= limit - TIE)
    live = strong & scored
    # A detection on an ignored truth that would have been a second piece keeps the first from counting alone.
    alone = np.bincount(rows[strong], minlength=k)[rows] == 1
    alone &= np.bincount(columns[strong], minlength=m)[columns] == 1
    piece = np.bincount(rows[live], minlength=k)[rows] >= 2
    truths = np.bincount(columns[scored], minlength=m)
    area = np.bincount(columns[scored], weights=share[scored], minlength=m)
    merge = ((truths >= 2) & (area >= limit - TIE))[columns]
    return (live & (alone | piece)) | (scored & merge)


@njit(cache=True, nogil=True)
def hold(
    flags: BoolArray, begins: IntArray, starts: IntArray, rows: IntArray, columns: IntArray, detections: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """How often matched pairs hold each character; per detection its characters, shared ones in parts, and all."""
    times = np.zeros(starts[-1], dtype=np.int64)
    for p in range(len(rows)):
        for k in range(begins[p + 1] - begins[p]):
            times[starts[rows[p]] + k] += flags[begins[p] + k]
    correct, held = np.zeros(detections), np.zeros(detections, dtype=np.int64)
    for p in range(len(rows)):
        for k in range(begins[p + 1] - begins[p]):
            if flags[begins[p] + k]:
                correct[columns[p]] += 1.0 / times[starts[rows[p]] + k]
                held[columns[p]] += 1
    return times, correct, held
