"""Who takes part with whom in CLEval, from areas and from the characters each detection holds.

Pairs come as two index arrays (p), truth after truth; sizes are k truths and m detections.
"""

from __future__ import annotations

import numpy as np
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.metrics.matching import CROSSING, TIE, VALID, Measured, shared_areas


def shares(truth: Measured, found: Measured, rows: IntArray, columns: IntArray) -> FloatArray:
    """(p): area of each pair over the detection's shoelace area; 0 where either encloses nothing."""
    # An outline that crosses itself may have no shoelace area and still fill some.
    whole = (truth.area > 0) & (truth.status == VALID) | (truth.status == CROSSING)
    piece = (found.area > 0) & ((found.status == VALID) | (found.status == CROSSING))
    both = whole[rows] & piece[columns]
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
    contested = _contested(rows, columns, ignored & enough[columns], scored, truth.bounds, m)
    if contested.size:  # all outlines at once: most of their cost is the call
        used = np.unique(rows[np.isin(columns, contested) & (scored | ignored)])
        outlines = np.empty(len(truth.area), dtype=object)
        outlines[used] = truth.shapes(used)
        for j, shape in zip(contested, found.shapes(contested), strict=True):
            mine = columns == j
            text = shapely.union_all(outlines[rows[mine & scored]])
            parts = shapely.difference(outlines[rows[mine & ignored]], text)
            net[mine & ignored] = shapely.area(shapely.intersection(parts, shape)) / found.area[j]
    return _lost(rows, columns, net, holds, m, limit)


@compiled
def _contested(
    rows: IntArray, columns: IntArray, ignored: BoolArray, scored: BoolArray, bounds: FloatArray, m: int
) -> IntArray:
    """Detections that touch an ignored and a scored truth whose bounds touch each other: the scored one cuts it."""
    starts = np.zeros(m + 1, dtype=np.int64)
    for p in range(len(rows)):
        starts[columns[p] + 1] += scored[p]
    for j in range(m):
        starts[j + 1] += starts[j]
    texts, place = np.empty(starts[m], dtype=np.int64), starts.copy()
    for p in range(len(rows)):
        if scored[p]:
            texts[place[columns[p]]] = rows[p]
            place[columns[p]] += 1
    hit = np.zeros(m, dtype=np.bool_)
    for p in range(len(rows)):
        if ignored[p] and not hit[columns[p]]:
            a = bounds[rows[p]]
            for q in range(starts[columns[p]], starts[columns[p] + 1]):
                b = bounds[texts[q]]
                if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
                    hit[columns[p]] = True
                    break
    return np.flatnonzero(hit)


@compiled
def _lost(rows: IntArray, columns: IntArray, net: FloatArray, holds: BoolArray, m: int, limit: float) -> BoolArray:
    most, together, out = np.zeros(m), np.zeros(m), np.zeros(m, dtype=np.bool_)
    for p in range(len(rows)):
        most[columns[p]] = max(most[columns[p]], net[p])
        together[columns[p]] += net[p] if holds[p] else 0.0
    for j in range(m):
        out[j] = max(most[j], together[j]) >= limit - TIE
    return out


@compiled
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
    # A detection on an ignored truth that would have been a second piece keeps the first from counting alone.
    row_strong, column_strong = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64)
    pieces, truths, area = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64), np.zeros(m)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        strong = holds[p] and share[p] >= limit - TIE
        row_strong[i] += strong
        column_strong[j] += strong
        if holds[p] and detection_care[j]:
            pieces[i] += strong
            truths[j] += 1
            area[j] += share[p]
    out = np.zeros(len(rows), dtype=np.bool_)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        if holds[p] and detection_care[j]:
            alone = row_strong[i] == 1 and column_strong[j] == 1
            merge = truths[j] >= 2 and area[j] >= limit - TIE
            out[p] = merge or (share[p] >= limit - TIE and (alone or pieces[i] >= 2))
    return out


@compiled
def only(
    match: BoolArray, rows: IntArray, columns: IntArray, flags: BoolArray, begins: IntArray
) -> tuple[IntArray, IntArray, BoolArray, IntArray]:
    """Rows, columns, flags and where they start, of the marked pairs alone."""
    count, held = 0, 0
    for p in range(len(rows)):
        count += match[p]
        held += begins[p + 1] - begins[p] if match[p] else 0
    out_rows, out_columns = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    out_flags, out_begins = np.empty(held, dtype=np.bool_), np.zeros(count + 1, dtype=np.int64)
    at = 0
    for p in range(len(rows)):
        if match[p]:
            out_rows[at], out_columns[at] = rows[p], columns[p]
            out_begins[at + 1] = out_begins[at] + begins[p + 1] - begins[p]
            out_flags[out_begins[at] : out_begins[at + 1]] = flags[begins[p] : begins[p + 1]]
            at += 1
    return out_rows, out_columns, out_flags, out_begins


@compiled
def hold(
    flags: BoolArray, begins: IntArray, starts: IntArray, rows: IntArray, columns: IntArray, detections: int
) -> tuple[IntArray, IntArray, IntArray, FloatArray, int, int]:
    """What matched pairs hold: characters found, pieces of each truth (k), truths of each detection, its correct sum.

    Then all characters held by pairs, and how many of them were held before.
    """
    k = len(starts) - 1
    times, found, pieces = np.zeros(starts[k], dtype=np.int64), np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    for p in range(len(rows)):
        pieces[rows[p]] += 1
        for c in range(begins[p + 1] - begins[p]):
            times[starts[rows[p]] + c] += flags[begins[p] + c]
    correct, merged = np.zeros(detections), np.zeros(detections, dtype=np.int64)
    held = 0
    for p in range(len(rows)):
        merged[columns[p]] += 1
        for c in range(begins[p + 1] - begins[p]):
            if flags[begins[p] + c]:
                correct[columns[p]] += 1.0 / times[starts[rows[p]] + c]
                held += 1
    for i in range(k):
        for c in range(starts[i], starts[i + 1]):
            found[i] += times[c] > 0
    return found, pieces, merged, correct, held, held - found.sum()
