"""Compiled one-to-one matching over weighted pairs, for many thresholds and cuts in one call.

Pairs are two index arrays (p), row after row, with a value each; a pair can be matched where its value exceeds the
threshold. Only columns whose rank reaches a cut take part in that cut's layer.
"""

from __future__ import annotations

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import FloatArray, IntArray


@compiled
def first_come(
    rows: int,
    columns: int,
    row_index: IntArray,
    column_index: IntArray,
    value: FloatArray,
    thresholds: FloatArray,
    rank: FloatArray,
    cuts: FloatArray,
) -> IntArray:
    """(cuts, thresholds, rows): the column each row takes, or -1, visiting pairs in order, first above threshold wins.

    Only columns with rank >= cut take part in a sweep's layer.
    """
    taken_by = np.full((len(cuts), len(thresholds), rows), -1, dtype=np.int64)
    for c in range(len(cuts)):
        for t in range(len(thresholds)):
            used = np.zeros(columns, dtype=np.bool_)
            for p in range(len(row_index)):
                i, j = row_index[p], column_index[p]
                if value[p] > thresholds[t] and rank[j] >= cuts[c] and not used[j] and taken_by[c, t, i] < 0:
                    used[j] = True
                    taken_by[c, t, i] = j
    return taken_by


@compiled
def most_pairs(
    rows: int,
    columns: int,
    row_index: IntArray,
    column_index: IntArray,
    value: FloatArray,
    thresholds: FloatArray,
    rank: FloatArray,
    cuts: FloatArray,
) -> IntArray:
    """(cuts, thresholds, rows): like `first_come`, then improved by alternating paths to the largest possible number.

    Pairs must come row after row; a row prefers the earlier of its pairs.
    """
    taken_by = first_come(rows, columns, row_index, column_index, value, thresholds, rank, cuts)
    start = np.searchsorted(row_index, np.arange(rows + 1))
    queue, parent, owner = np.empty(rows, np.int64), np.empty(columns, np.int64), np.empty(columns, np.int64)
    for c in range(len(cuts)):
        for t in range(len(thresholds)):
            taken = taken_by[c, t]
            owner[:] = -1
            dead = np.zeros(columns, dtype=np.bool_)
            for i in range(rows):
                if taken[i] >= 0:
                    owner[taken[i]] = i
            for root in range(rows):
                if taken[root] >= 0:
                    continue
                parent[:] = -1
                queue[0] = root
                head, tail, free = 0, 1, -1
                while head < tail and free < 0:
                    i = queue[head]
                    head += 1
                    for p in range(start[i], start[i + 1]):
                        j = column_index[p]
                        if value[p] <= thresholds[t] or rank[j] < cuts[c] or parent[j] >= 0 or dead[j]:
                            continue
                        parent[j] = i
                        if owner[j] < 0:
                            free = j
                            break
                        queue[tail] = owner[j]
                        tail += 1
                if free < 0:
                    # What a search that finds nothing has reached leads nowhere for later rows either.
                    dead |= parent >= 0
                while free >= 0:
                    i = parent[free]
                    previous = taken[i]
                    taken[i], owner[free] = free, i
                    free = previous
    return taken_by


@compiled
def largest(rows: int, row_index: IntArray, column_index: IntArray, value: FloatArray) -> tuple[FloatArray, IntArray]:
    """(rows), (rows): the largest value of each row and its column, the first of equals; 0 and -1 without a pair."""
    best, which = np.zeros(rows), np.full(rows, -1, dtype=np.int64)
    for p in range(len(row_index)):
        i = row_index[p]
        if value[p] > best[i]:
            best[i], which[i] = value[p], column_index[p]
    return best, which
