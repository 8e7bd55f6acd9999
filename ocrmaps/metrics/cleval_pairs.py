"""Who takes part with whom in CLEval, from areas and from the characters each detection holds.

Pairs come as two index arrays (p), truth after truth; sizes are k truths and m detections.
"""

from __future__ import annotations

import numpy as np
import shapely

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.limits import MOST_PAIRS
from ocrmaps.metrics import candidates, clipping
from ocrmaps.metrics.clipping import CROSSING, TIE, VALID
from ocrmaps.metrics.matching import Measured, shared_areas


def shares(truth: Measured, found: Measured, rows: IntArray, columns: IntArray) -> FloatArray:
    """(p): area of each pair over the detection's shoelace area; 0 where either encloses nothing."""
    both = _enclosing(truth.area, truth.status, found.area, found.status, rows, columns)
    if len(both) == len(rows):
        return shared_areas(truth, found, rows, columns) / found.area[columns]
    out = np.zeros(len(rows))
    out[both] = shared_areas(truth, found, rows[both], columns[both]) / found.area[columns[both]]
    return out


@compiled
def _enclosing(
    truth_area: FloatArray,
    truth_status: IntArray,
    area: FloatArray,
    status: IntArray,
    rows: IntArray,
    columns: IntArray,
) -> IntArray:
    """Pairs of which both enclose something; an outline that crosses itself may do so without a shoelace area."""
    out, count = np.empty(len(rows), dtype=np.int64), 0
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        whole = truth_status[i] == CROSSING or (truth_status[i] == VALID and truth_area[i] > 0)
        if whole and area[j] > 0 and (status[j] == VALID or status[j] == CROSSING):
            out[count] = p
            count += 1
    return out[:count]


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
    net, size, starts, ignored, scored = _contested(
        rows, columns, share, truth.polygons.ignore, care, truth.bounds, m, limit, MOST_PAIRS
    )
    if size:
        candidates.bear(size, MOST_PAIRS, "of ignored and scored truths lie under detections")
        _uncover(truth, found, net, rows, columns, starts, ignored, scored)
    return _lost(rows, columns, net, holds, m, limit)


def _uncover(
    truth: Measured,
    found: Measured,
    net: FloatArray,
    rows: IntArray,
    columns: IntArray,
    starts: IntArray,
    ignored: IntArray,
    scored: IntArray,
) -> None:
    """Take out of `net` what scored truths cover: of each pair in `ignored` by scored[starts[q]:starts[q + 1]].

    By clipping where all are surely convex and no two cover the same, by shapely elsewhere.
    """
    i, j = rows[ignored], columns[ignored]
    again = np.repeat(np.arange(len(ignored)), np.diff(starts))
    cover = shared_areas(truth, truth, i[again], scored)
    area = clipping.uncovered(
        truth.points, truth.polygons.offsets, truth.signed_area, truth.convex,
        found.points, found.polygons.offsets, found.signed_area, found.convex,
        i, j, starts, scored, cover,
    )  # fmt: skip
    left = np.flatnonzero(area == clipping.BENT)
    if left.size:  # all outlines at once: most of their cost is the call
        covered = cover > 0
        used = np.unique(np.concatenate([i[left], scored[covered & np.isin(again, left)]]))
        outlines = np.empty(len(truth.area), dtype=object)
        outlines[used] = truth.shapes(used)
        text = [shapely.union_all(outlines[scored[covered & (again == q)]]) for q in left]
        parts = shapely.difference(outlines[i[left]], np.array(text, dtype=object))
        area[left] = shapely.area(shapely.intersection(parts, found.shapes(j[left])))
    taken = np.flatnonzero(area >= 0)
    net[ignored[taken]] = area[taken] / found.area[j[taken]]


@compiled
def _contested(
    rows: IntArray, columns: IntArray, share: FloatArray, ignore: BoolArray, care: BoolArray, bounds: FloatArray,
    m: int, limit: float, most: int,
) -> tuple[FloatArray, int, IntArray, IntArray, IntArray]:  # fmt: skip
    """(p): the shares of ignored truths; how many scored truths may cut them, starts (q + 1), pairs (q), these truths.

    Such a truth shares area with the same detection, and its bounds touch those of the ignored one. Pairs of
    detections that lie on ignored truths by less than the limit are left out: cutting makes them less still.
    Over `most` are counted no further and not put anywhere.
    """
    net, total = np.zeros(len(rows)), np.zeros(m)
    places = np.zeros(m + 1, dtype=np.int64)
    for p in range(len(rows)):
        if share[p] > 0:
            if ignore[rows[p]]:
                net[p] = share[p]
                total[columns[p]] += share[p]
            elif care[rows[p]]:
                places[columns[p] + 1] += 1
    for j in range(m):
        places[j + 1] += places[j]
    texts, place = np.empty(places[m], dtype=np.int64), places.copy()
    for p in range(len(rows)):
        if share[p] > 0 and care[rows[p]]:
            texts[place[columns[p]]] = rows[p]
            place[columns[p]] += 1
    starts, pairs, scored = np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    size = 0
    for fill in range(2):
        found, size = 0, 0
        for p in range(len(rows)):
            j = columns[p]
            if not net[p] > 0 or not total[j] >= limit - TIE:
                continue
            a, before = bounds[rows[p]], size
            for q in range(places[j], places[j + 1]):
                b = bounds[texts[q]]
                if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]:
                    if fill:
                        scored[size] = texts[q]
                    size += 1
            if size > before:
                if fill:
                    pairs[found], starts[found + 1] = p, size
                found += 1
            if size > most:
                return net, size, starts, pairs, scored
        if not fill:
            starts, pairs = np.zeros(found + 1, dtype=np.int64), np.empty(found, dtype=np.int64)
            scored = np.empty(size, dtype=np.int64)
    return net, size, starts, pairs, scored


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
    care: BoolArray,
    detection_care: BoolArray,
    limit: float,
) -> BoolArray:
    """(p): the pairs that take part, one to one, as pieces of one truth, or as truths merged in one detection."""
    k, m = len(care), len(detection_care)
    # A detection on an ignored truth that would have been a second piece keeps the first from counting alone.
    row_strong, column_strong = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64)
    pieces, truths, area = np.zeros(k, dtype=np.int64), np.zeros(m, dtype=np.int64), np.zeros(m)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        strong = holds[p] and care[i] and share[p] >= limit - TIE
        row_strong[i] += strong
        column_strong[j] += strong
        if holds[p] and care[i] and detection_care[j]:
            pieces[i] += strong
            truths[j] += 1
            area[j] += share[p]
    out = np.zeros(len(rows), dtype=np.bool_)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        if holds[p] and care[i] and detection_care[j]:
            alone = row_strong[i] == 1 and column_strong[j] == 1
            merge = truths[j] >= 2 and area[j] >= limit - TIE
            out[p] = merge or (share[p] >= limit - TIE and (alone or pieces[i] >= 2))
    return out


@compiled
def counted(
    match: BoolArray, rows: IntArray, columns: IntArray, flags: BoolArray, begins: IntArray, starts: IntArray,
    lengths: IntArray, ignore: BoolArray, care: BoolArray,
    detection_usable: BoolArray, detection_care: BoolArray, charge: IntArray,
) -> tuple[
    tuple[IntArray, IntArray, BoolArray, IntArray, IntArray], tuple[IntArray, IntArray, IntArray],
    tuple[int, int, int, int], tuple[int, int, int, int, float], tuple[int, int, int, int],
]:  # fmt: skip
    """What the marked pairs hold and cost; `charge` (m) is what a detection on nothing costs.

    Of these pairs alone rows, columns, flags and where they start, and rows beside columns; characters found (k),
    pieces of each truth (k), truths of each detection (m); splits, merges, further pieces, further truths; characters
    found, to be found, held or charged, held once too often, and held in parts where several hold the same one; scored
    and ignored truths, scored and other detections.
    """
    k, m, count, size = len(care), len(detection_care), 0, 0
    for p in range(len(rows)):
        count += match[p]
        size += begins[p + 1] - begins[p] if match[p] else 0
    out_rows, out_columns = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    out_flags, out_begins = np.empty(size, dtype=np.bool_), np.zeros(count + 1, dtype=np.int64)
    pairs = np.empty((count, 2), dtype=np.int64)
    times, pieces, merged = (
        np.zeros(starts[k], dtype=np.int64),
        np.zeros(k, dtype=np.int64),
        np.zeros(m, dtype=np.int64),
    )
    at = 0
    for p in range(len(rows)):
        if match[p]:
            out_rows[at], out_columns[at] = rows[p], columns[p]
            pairs[at, 0], pairs[at, 1] = rows[p], columns[p]
            out_begins[at + 1] = out_begins[at] + begins[p + 1] - begins[p]
            pieces[rows[p]] += 1
            merged[columns[p]] += 1
            # By element: assigning slices compiles numba's message about unequal shapes, which takes two seconds.
            for c in range(begins[p + 1] - begins[p]):
                out_flags[out_begins[at] + c] = flags[begins[p] + c]
                times[starts[rows[p]] + c] += flags[begins[p] + c]
            at += 1
    correct, held = np.zeros(m), 0
    for p in range(count):
        for c in range(out_begins[p + 1] - out_begins[p]):
            if out_flags[out_begins[p] + c]:
                correct[out_columns[p]] += 1.0 / times[starts[out_rows[p]] + c]
                held += 1
    found = np.zeros(k, dtype=np.int64)
    splits, further, recalled, wanted, scored, ignored = 0, 0, 0, 0, 0, 0
    for i in range(k):
        for c in range(starts[i], starts[i + 1]):
            found[i] += times[c] > 0
        splits += pieces[i] >= 2
        further += max(pieces[i] - 1, 0)
        recalled += found[i]
        wanted += lengths[i] if care[i] else 0
        scored += care[i]
        ignored += ignore[i]
    merges, more, used, other, charged, right = 0, 0, 0, 0, 0, 0.0
    for j in range(m):
        merges += merged[j] >= 2
        more += max(merged[j] - 1, 0)
        used += detection_care[j]
        other += detection_usable[j] and not detection_care[j]
        charged += charge[j] if detection_care[j] and merged[j] == 0 else 0
        right += correct[j]
    return (
        (out_rows, out_columns, out_flags, out_begins, pairs), (found, pieces, merged), (splits, merges, further, more),
        (recalled, wanted, held + charged, held - recalled, right), (scored, ignored, used, other),
    )  # fmt: skip
