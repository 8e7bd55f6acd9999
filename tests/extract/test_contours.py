"""Outlines: the same regions as OpenCV finds, crossing points where the level is, exact areas and means."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.extract import extract
from ocrmaps.extract.contours import _mark, _trace, enclosed_means, polygon_means, trace_outlines
from tests.extract.drawing import rectangle, signed_distance


@st.composite
def masks(draw):
    h, w = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (rng.random((h, w)) < draw(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]))).astype(np.uint8)


def opencv_regions(mask):
    """Filled outer contours as masks, and the number of inner ones."""
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = hierarchy[0, :, 3] if hierarchy is not None else []
    filled = [cv2.fillPoly(np.zeros_like(mask), [c], 1) > 0 for c, p in zip(contours, parents, strict=True) if p < 0]
    return filled, len(contours) - len(filled)


@given(masks())
def test_regions_holes_areas_and_means_are_those_of_opencv(mask):
    values = np.random.default_rng(0).random(mask.shape).astype(np.float32)
    outlines = trace_outlines(mask)
    filled, holes = opencv_regions(mask)
    means = enclosed_means(values, outlines.cracks, outlines.offsets)
    expected = sorted((int(f.sum()), float(values[f].mean(dtype=np.float64))) for f in filled)
    found = sorted(zip(outlines.areas.tolist(), means.tolist(), strict=True))
    assert outlines.holes == holes
    assert [area for area, _ in found] == [area for area, _ in expected]
    assert np.allclose([mean for _, mean in found], [mean for _, mean in expected], atol=1e-6)


def test_a_region_inside_a_hole_is_found():
    mask = np.ones((9, 9), dtype=np.uint8)
    mask[2:7, 2:7] = 0
    mask[4, 4] = 1
    outlines = trace_outlines(mask)
    assert sorted(outlines.areas.tolist()) == [1, 81]
    assert outlines.holes == 1


def test_corners_connect_and_unequal_numbers_part():
    diagonal = np.eye(4, dtype=np.uint8)
    assert len(trace_outlines(diagonal)) == 1
    labels = np.array([[1, 1, 2, 2]], dtype=np.int32)
    assert trace_outlines(labels).areas.tolist() == [2, 2]


def test_outlines_run_clockwise_on_the_screen():
    x, y = trace_outlines(np.ones((3, 5), dtype=np.uint8)).points.T
    assert np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y) > 0


def test_without_values_n_pixels_are_n_wide():
    mask = np.zeros((8, 12), dtype=np.uint8)
    mask[3:5, 4:9] = 1
    points = trace_outlines(mask).points
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([4, 3], [9, 5])


def test_crossing_points_lie_where_a_ramp_reaches_the_level():
    polygon = rectangle(20.3, 10.8, 20.6, 7.4, 25)
    ramp = np.clip(0.5 + signed_distance(polygon, (24, 40)) / 4, 0, 1).astype(np.float32)
    points = trace_outlines(ramp > 0.5, ramp, 0.5).points
    x, y = points.T
    c, s = np.cos(np.radians(25)), np.sin(np.radians(25))
    u, v = (x - 20.3) * c + (y - 10.8) * s, (y - 10.8) * c - (x - 20.3) * s
    off = np.maximum(np.abs(u) - 10.3, np.abs(v) - 3.7)
    straight = (np.abs(u) < 8) | (np.abs(v) < 1.5)
    assert np.abs(off[straight]).max() < 1e-5


def test_crossing_points_follow_a_map_of_levels():
    values = np.tile(np.array([1.0, 1.0, 0.0, 0.0], dtype=np.float32), (3, 1))
    levels = np.full_like(values, 0.5)
    levels[1] = 0.25
    outlines = trace_outlines(values > levels, values, levels)
    right = {float(y): float(x) for x, y in outlines.points[outlines.cracks[:, 2] == 1]}
    assert right == {0.5: 2.0, 1.5: 2.25, 2.5: 2.0}


def test_beyond_the_map_the_value_is_zero():
    values = np.full((1, 1), 0.8, dtype=np.float32)
    points = trace_outlines(values > 0.5, values, 0.5).points
    assert np.allclose(points.min(axis=0), 0.5 - 0.3 / 0.8)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32])
def test_cells_may_be_truth_values_or_labels(dtype):
    cells = np.zeros((5, 11), dtype=dtype)
    cells[1:3, 8:11] = 1
    assert trace_outlines(cells).areas.tolist() == [6]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_polygon_mean_takes_the_pixel_centers_inside(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((20, 30)).astype(np.float32)
    polygon = rectangle(*rng.uniform(0, 20, 2), *rng.uniform(2, 20, 2), rng.uniform(0, 180))
    inside = signed_distance(polygon, values.shape) > 0
    mean = polygon_means(values, polygon, np.array([0, 4]))[0]
    assert mean == pytest.approx(values[inside].mean(dtype=np.float64) if inside.any() else 0.0, abs=1e-6)


def test_maps_that_may_not_be_written_use_the_same_machine_code():
    map = np.zeros((12, 20), dtype=np.float32)
    map[4:8, 4:16] = 0.9
    free = extract(map)
    codes = [len(function.signatures) for function in (_trace, _mark, enclosed_means)]
    map.flags.writeable = False
    assert extract(map).polygons == free.polygons
    assert [len(function.signatures) for function in (_trace, _mark, enclosed_means)] == codes


def test_rows_alike_in_one_place_and_unlike_in_another_are_all_traced():
    # Words of eight pixels: the first of each row is as the one above, the second is not.
    cells = np.zeros((4, 30), dtype=np.uint8)
    cells[1:3, 2:9] = 1
    cells[2, 12:20] = 1
    assert sorted(trace_outlines(cells).areas.tolist()) == [8, 14]
