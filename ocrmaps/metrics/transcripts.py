"""Which characters of the truth the detected texts spell: longest common subsequences with elimination."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, IntArray


def code_points(texts: Sequence[str]) -> tuple[IntArray, IntArray]:
    """All characters as numbers, and (k + 1) where each text starts.

    >>> [a.tolist() for a in code_points(["ab", "", "c"])]
    [[97, 98, 99], [0, 2, 2, 3]]
    """
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    starts = np.array([0, *itertools.accumulate(map(len, texts))], dtype=np.int64)
    return np.frombuffer(joined, dtype=np.uint32).astype(np.int64), starts


@compiled
def _common(a: IntArray, b: IntArray) -> BoolArray:
    """Marks the members of `b` that a longest common subsequence of both uses."""
    n, m = len(a), len(b)
    best = np.zeros((n + 1, m + 1), dtype=np.int32)
    for i in range(n):
        for j in range(m):
            if a[i] == b[j]:
                best[i + 1, j + 1] = best[i, j] + 1
            else:
                best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j])
    used = np.zeros(m, dtype=np.bool_)
    i, j = n, m
    while i > 0 and j > 0:
        if a[i - 1] == b[j - 1]:
            used[j - 1] = True
            i -= 1
            j -= 1
        elif best[i - 1, j] > best[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return used


@compiled
def spelled(
    truth: IntArray,
    truth_starts: IntArray,
    found: IntArray,
    found_starts: IntArray,
    rows: IntArray,
    columns: IntArray,
    flags: BoolArray,
    begins: IntArray,
) -> tuple[IntArray, IntArray]:
    """Characters of each truth (k) and of each detection (m) that count as read, over the matched pairs.

    Truth after truth: its detections are put in reading order, what is left of their texts is strung together and
    compared, and each common character is then taken from the first of these detections that still has one like it.
    Reading order takes, character by character, the first detection not yet taken that holds it, and at the end
    one more of those that never got a turn: that is what the reference does, whichever it leaves out.
    Pairs come row after row; `flags[begins[p]:begins[p + 1]]` says which characters of the row the column holds.
    """
    read_truth = np.zeros(len(truth_starts) - 1, dtype=np.int64)
    read_found = np.zeros(len(found_starts) - 1, dtype=np.int64)
    left = np.ones(len(found), dtype=np.bool_)
    stop = 0
    while stop < len(rows):
        start, i = stop, rows[stop]
        while stop < len(rows) and rows[stop] == i:
            stop += 1
        order = np.empty(stop - start, dtype=np.int64)
        taken = np.zeros(stop - start, dtype=np.bool_)
        turns = 0
        length = truth_starts[i + 1] - truth_starts[i]
        for k in range(length + 1):
            for p in range(start, stop):
                if not taken[p - start] and (k == length or flags[begins[p] + k]):
                    taken[p - start] = True
                    order[turns] = columns[p]
                    turns += 1
                    break
        size = 0
        for t in range(turns):
            for c in range(found_starts[order[t]], found_starts[order[t] + 1]):
                size += left[c]
        line = np.empty(size, dtype=np.int64)
        size = 0
        for t in range(turns):
            for c in range(found_starts[order[t]], found_starts[order[t] + 1]):
                if left[c]:
                    line[size] = found[c]
                    size += 1
        used = _common(truth[truth_starts[i] : truth_starts[i + 1]], line)
        for s in range(size):
            if not used[s]:
                continue
            read_truth[i] += 1
            gone = False
            for t in range(turns):
                for c in range(found_starts[order[t]], found_starts[order[t] + 1]):
                    if left[c] and found[c] == line[s]:
                        left[c] = False
                        read_found[order[t]] += 1
                        gone = True
                        break
                if gone:
                    break
    return read_truth, read_found
