"""Rectangles fitted to outlines are unbiased: position, direction and both sides, at any angle and thickness."""

from __future__ import annotations

import numpy as np
import pytest

from ocrmaps.extract.contours import trace_outlines
from ocrmaps.extract.rectangles import CX, CY, SLACK, UX, UY, A, B, fit_rectangles, rectangle_corners
from tests.extract.drawing import rectangle, signed_distance


def fit(mask, values=None):
    outlines = trace_outlines(mask, values)
    return fit_rectangles(outlines.points, outlines.cracks, outlines.offsets, np.arange(len(outlines)))


def errors(angles, *, sides, soft=0.0, number=150, seed=0):
    """(n, 5): errors of the center (x, y), the long and the short side, and the direction in degrees."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(number):
        angle = rng.uniform(*angles)
        a, b = (rng.uniform(*side) for side in sides)
        cx, cy = 32 + rng.uniform(0, 1), 28 + rng.uniform(0, 1)
        inner = signed_distance(rectangle(cx, cy, a, b, angle), (56, 64))
        values = np.clip(0.5 + inner / soft, 0, 1).astype(np.float32) if soft else None
        (found,) = fit(inner > 0, values)
        turn = np.degrees(np.arctan2(found[UY], found[UX])) - angle
        out.append((found[CX] - cx, found[CY] - cy, found[A] - a, found[B] - b, (turn + 90) % 180 - 90))
    return np.array(out)


@pytest.mark.parametrize("angles", [(0, 0), (3, 40), (50, 87), (45, 45)], ids=str)
def test_no_side_is_biased_on_drawn_kernels(angles):
    wrong = errors(angles, sides=((20, 40), (2, 6)))
    assert np.abs(wrong.mean(axis=0)[:4]).max() < 0.15


@pytest.mark.parametrize("angles", [(0, 0), (3, 40), (50, 87)], ids=str)
def test_every_side_is_exact_on_ramps(angles):
    wrong = errors(angles, sides=((20, 40), (3, 8)), soft=4.0, number=60)
    assert np.abs(wrong[:, [0, 1, 3]]).max() < 0.12
    assert np.abs(wrong[:, 2]).max() < 1.0  # corners of a ramp are round
    assert np.abs(wrong[:, 4]).max() < 0.5


def test_slanted_kernels_of_one_and_a_half_pixels_keep_their_thickness():
    wrong = errors((10, 35), sides=((25, 45), (1.4, 1.6)))
    assert abs(wrong[:, 3].mean()) < 0.1


def test_a_single_bump_does_not_widen_a_side():
    mask = np.zeros((20, 60), dtype=bool)
    mask[8:12, 10:50] = True
    mask[7, 30:32] = True
    (found,) = fit(mask)
    assert found[B] == pytest.approx(4, abs=0.15)


def test_what_is_no_rectangle_stays_covered():
    corner = np.zeros((40, 40), dtype=bool)
    corner[5:35, 5:10] = corner[30:35, 5:35] = True
    (found,) = fit(corner)
    points = trace_outlines(corner).points - found[:2]
    u, v = points @ found[[UX, UY]], points @ np.array([-found[UY], found[UX]])
    assert np.abs(u).max() <= found[A] / 2 + SLACK + 1e-9
    assert np.abs(v).max() <= found[B] / 2 + SLACK + 1e-9


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (1, 9), (9, 1), (2, 2), (7, 3)])
def test_upright_blocks_of_pixels_are_exact(height, width):
    mask = np.zeros((12, 12), dtype=bool)
    mask[1 : 1 + height, 2 : 2 + width] = True
    (found,) = fit(mask)
    assert found[[CX, CY]].tolist() == pytest.approx([2 + width / 2, 1 + height / 2])
    assert sorted(found[[A, B]].tolist()) == pytest.approx(sorted([height, width]))


def test_corners_run_clockwise_from_the_upper_left():
    flat = np.array([[10.0, 5.0, 1.0, 0.0, 8.0, 2.0]])
    assert rectangle_corners(flat, np.array([1.0]))[0].tolist() == [[5, 3], [15, 3], [15, 7], [5, 7]]
    upright = np.array([[10.0, 5.0, 0.0, 1.0, 8.0, 2.0]])
    assert rectangle_corners(upright, np.zeros(1))[0].tolist() == [[9, 1], [11, 1], [11, 9], [9, 9]]


def test_far_from_the_origin_no_digits_are_lost():
    mask = np.zeros((16, 40), dtype=bool)
    mask[5:9, 8:30] = True
    outlines = trace_outlines(mask)
    cracks = outlines.cracks.copy()
    cracks[:, :2] += 1_000_000
    keep = np.arange(1)
    near = fit_rectangles(outlines.points, outlines.cracks, outlines.offsets, keep)
    far = fit_rectangles(outlines.points + 1_000_000, cracks, outlines.offsets, keep)
    assert np.abs(far[0, 2:] - near[0, 2:]).max() < 1e-8
