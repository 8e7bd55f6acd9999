"""Boxes of two detectors are compared pair by pair, and only those that could meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from ocrmaps.detect.parity import least_iou
from ocrmaps.geometry import PolygonSet

CORNERS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6)


def boxes(corners) -> PolygonSet:
    return PolygonSet.of([[(x, y), (x + 9, y), (x + 9, y + 4), (x, y + 4)] for x, y in corners], frame="upright")


def plain(mine, theirs) -> float:
    """Every box with every other."""
    best, worst = [], 1.0
    for x, y in mine:
        a = box(x, y, x + 9, y + 4)
        ious = [a.intersection(b).area / a.union(b).area for b in (box(u, v, u + 9, v + 4) for u, v in theirs)]
        best.append(int(np.argmax(ious)))
        worst = min(worst, max(ious))
    return worst if len(set(best)) == len(best) else 0.0


@given(CORNERS, CORNERS)
def test_the_worst_of_the_best_overlaps(mine, theirs):
    assert least_iou(boxes(mine), boxes(theirs)) == pytest.approx(plain(mine, theirs), abs=1e-9)


def test_ten_thousand_boxes_are_compared():
    grid = boxes([(10 * (i % 100), 5 * (i // 100)) for i in range(10_000)])
    assert least_iou(grid, grid) == pytest.approx(1.0)
