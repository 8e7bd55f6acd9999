"""Which outlines of two sets may share area, and how many pairs of them a picture may have.

Polygons are flat `points` (n, 2) with `offsets` (k + 1), as in `PolygonSet`; pairs are two index arrays (p).
"""

from __future__ import annotations

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.errors import CrowdError
from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.limits import MOST_CROSSINGS, MOST_LOOKS, MOST_PAIRS

# Boxes of fewer pairs than this are compared each with each: sorting them costs more.
_FEW_PAIRS = 4096


def candidate_pairs(
    rows: FloatArray, row_ok: BoolArray, columns: FloatArray, column_ok: BoolArray
) -> tuple[IntArray, IntArray]:
    """Index pairs (p), (p) whose bounds share area, row after row and by rising column; unusable ones left out.

    Rows are looked up by their left or upper edge, whichever leaves less to compare: the work follows the picture,
    not rows times columns.
    """
    if len(rows) * len(columns) <= min(_FEW_PAIRS, MOST_PAIRS):
        return _few_touching(rows, row_ok, columns, column_ok)
    usable, wanted = np.flatnonzero(row_ok), np.flatnonzero(column_ok)
    looks = len(usable) * len(wanted)
    order, first, last = usable, np.zeros(len(wanted), dtype=np.int64), np.full(len(wanted), len(usable))
    if looks > _FEW_PAIRS:
        looks, order, first, last = min(
            (_lookup(rows, usable, columns[wanted], axis) for axis in (0, 1)), key=lambda found: found[0]
        )
    bear(looks, MOST_LOOKS, "lie above or beside each other")
    pairs, out_rows, out_columns = _touching(
        rows[order], order, columns[wanted], wanted, first, last, len(rows), MOST_PAIRS
    )
    bear(pairs, MOST_PAIRS, "overlap")
    return out_rows, out_columns


def _lookup(
    rows: FloatArray, usable: IntArray, columns: FloatArray, axis: int
) -> tuple[int, IntArray, IntArray, IntArray]:
    """Rows in the order of their lower edges on an axis, the range of them that each column can touch, and how many."""
    order = usable[np.argsort(rows[usable, axis], kind="stable")]
    low, widest = rows[order, axis], float(np.max(rows[usable, axis + 2] - rows[usable, axis], initial=0.0))
    slack = 1e-9 * (np.abs(columns[:, axis]) + widest)
    first = np.searchsorted(low, columns[:, axis] - widest - slack)
    last = np.searchsorted(low, columns[:, axis + 2])
    return int(np.maximum(last - first, 0).sum()), order, first, last


@compiled
def _few_touching(
    rows: FloatArray, row_ok: BoolArray, columns: FloatArray, column_ok: BoolArray
) -> tuple[IntArray, IntArray]:
    """`candidate_pairs`, each with each."""
    count = 0
    out_rows, out_columns = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for fill in range(2):
        if fill:
            out_rows, out_columns = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        count = 0
        for i in range(len(rows)):
            if not row_ok[i]:
                continue
            x0, y0, x1, y1 = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
            for j in range(len(columns)):
                if (
                    column_ok[j]
                    and x0 < columns[j, 2] and columns[j, 0] < x1
                    and y0 < columns[j, 3] and columns[j, 1] < y1
                ):  # fmt: skip
                    if fill:
                        out_rows[count], out_columns[count] = i, j
                    count += 1
    return out_rows, out_columns


def refuse_long(rows: IntArray, columns: IntArray, row_index: IntArray, column_index: IntArray) -> None:
    """Refuse index pairs of outlines, `offsets` each, whose corners are too many to be compared with each other."""
    if rows[-1] * columns[-1] <= MOST_LOOKS:
        return
    bear(
        int((np.diff(rows)[row_index] * np.diff(columns)[column_index]).sum()), MOST_LOOKS, "of their corners are near"
    )


def refuse_tangles(
    rows: tuple[FloatArray, IntArray], columns: tuple[FloatArray, IntArray], row_index: IntArray, column_index: IntArray
) -> None:
    """Refuse index pairs of outlines, (points, offsets) each, that cross too often to be intersected."""
    corners = int(np.diff(rows[1])[row_index].sum() + np.diff(columns[1])[column_index].sum())
    most = MOST_CROSSINGS + 10 * corners
    bear(_meeting_edges(*rows, *columns, row_index, column_index, most), most, "of their edges meet")


def bear(found: int, most: int, what: str) -> None:
    """Refuse a page of more pairs than can be worked on."""
    if found > most:
        raise CrowdError(
            f"found outlines of which over {most} pairs {what}: no text is written like that",
            hint="`ocrmaps data check` lists outlines that are given twice or cross themselves",
        )


@compiled
def _meeting_edges(
    row_points: FloatArray,
    row_offsets: IntArray,
    column_points: FloatArray,
    column_offsets: IntArray,
    row_index: IntArray,
    column_index: IntArray,
    most: int,
) -> int:
    """Pairs of edges whose boxes meet, over all pairs of outlines; counted no further than past `most`."""
    count = 0
    for p in range(len(row_index)):
        a = row_points[row_offsets[row_index[p]] : row_offsets[row_index[p] + 1]]
        b = column_points[column_offsets[column_index[p]] : column_offsets[column_index[p] + 1]]
        for i in range(len(a)):
            x0, y0, x1, y1 = a[i - 1, 0], a[i - 1, 1], a[i, 0], a[i, 1]
            for j in range(len(b)):
                u0, v0, u1, v1 = b[j - 1, 0], b[j - 1, 1], b[j, 0], b[j, 1]
                if (
                    min(x0, x1) <= max(u0, u1)
                    and min(u0, u1) <= max(x0, x1)
                    and min(y0, y1) <= max(v0, v1)
                    and min(v0, v1) <= max(y0, y1)
                ):
                    count += 1
            if count > most:
                return count
    return count


@compiled
def _touching(
    rows: FloatArray,
    row_index: IntArray,
    columns: FloatArray,
    column_index: IntArray,
    first: IntArray,
    last: IntArray,
    size: int,
    most: int,
) -> tuple[int, IntArray, IntArray]:
    """Pairs that share area, each column against rows first to last: counted by row, then put in their places.

    Columns are visited as they come, so those of a row end up in order without sorting. Over `most` pairs are counted
    no further and not put anywhere.
    """
    pairs = 0
    place = np.zeros(size + 1, dtype=np.int64)
    out_rows, out_columns = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for fill in range(2):
        for c in range(len(columns)):
            x0, y0, x1, y1 = columns[c, 0], columns[c, 1], columns[c, 2], columns[c, 3]
            for r in range(first[c], last[c]):
                if rows[r, 0] < x1 and x0 < rows[r, 2] and rows[r, 1] < y1 and y0 < rows[r, 3]:
                    if fill:
                        out_rows[place[row_index[r]]] = row_index[r]
                        out_columns[place[row_index[r]]] = column_index[c]
                    place[row_index[r] + 1 - fill] += 1
                    pairs += 1 - fill
            if pairs > most:
                return pairs, out_rows, out_columns
        if not fill:
            for i in range(size):
                place[i + 1] += place[i]
            out_rows, out_columns = np.empty(place[size], dtype=np.int64), np.empty(place[size], dtype=np.int64)
    return pairs, out_rows, out_columns
