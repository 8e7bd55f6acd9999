"""Polygons fitted to outlines: few vertices, edges through all their points, corners where the edges meet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely

from ocrmaps.extract.contours import trace_outlines
from ocrmaps.extract.polygons import PIECE, fit_polygons, simplify_ring
from ocrmaps.extract.rectangles import fit_rectangles, rectangle_corners
from tests.extract.drawing import arc_text, rectangle, signed_distance


def fit(mask, tolerance=1.0, values=None):
    outlines = trace_outlines(mask, values)
    keep = np.arange(len(outlines))
    rectangles = fit_rectangles(outlines.points, outlines.cracks, outlines.offsets, keep)
    corners = rectangle_corners(rectangles, np.zeros(len(keep)))
    points, offsets = fit_polygons(outlines.points, outlines.offsets, keep, rectangles, corners, tolerance)
    assert len(offsets) == len(keep) + 1
    return [points[a:b] for a, b in pairwise(offsets)]


TRAPEZIUM = np.array([(10.3, 12.6), (70.2, 8.4), (64.9, 31.7), (18.8, 29.1)])


def test_the_corners_that_the_grid_cut_off_come_back():
    (found,) = fit(signed_distance(TRAPEZIUM, (40, 80)) > 0)
    assert len(found) == 4
    assert all(np.hypot(*(found - corner).T).min() < 0.45 for corner in TRAPEZIUM)


def test_edges_follow_a_ramp_to_a_tenth_of_a_pixel():
    inner = signed_distance(TRAPEZIUM, (40, 80))
    values = np.clip(0.5 + inner / 4, 0, 1).astype(np.float32)
    (found,) = fit(inner > 0, values=values)
    assert shapely.Polygon(found).symmetric_difference(shapely.Polygon(TRAPEZIUM)).area < 0.1 * 190


def test_an_outline_near_its_rectangle_is_the_rectangle():
    (found,) = fit(signed_distance(rectangle(40, 20, 50, 7, 12), (40, 80)) > 0)
    assert len(found) == 4
    edges = np.diff(found, axis=0, append=found[:1])
    assert np.abs((edges * np.roll(edges, 1, axis=0)).sum(axis=1)).max() < 1e-9


def test_no_point_of_the_outline_is_farther_than_the_tolerance_from_the_simplified_ring():
    ring = trace_outlines(signed_distance(arc_text(80, 100, 60, 20, 200, 30), (160, 160)) > 0).points
    for tolerance in (0.6, 1.0, 3.0):
        kept = simplify_ring(ring, tolerance)
        distance = shapely.distance(shapely.LinearRing(ring[kept]), shapely.points(ring))
        assert distance.max() <= tolerance + 1e-9


def test_long_rings_are_simplified_in_pieces_within_the_tolerance_and_a_half():
    angles = np.linspace(0, 2 * np.pi, 5 * PIECE, endpoint=False)
    radius = 400 + 30 * np.sin(9 * angles)
    ring = np.stack([500 + radius * np.cos(angles), 500 + radius * np.sin(angles)], axis=1)
    kept = simplify_ring(ring, 1.0)
    assert len(kept) < 200
    assert shapely.distance(shapely.LinearRing(ring[kept]), shapely.points(ring)).max() <= 1.5


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 50.0])
def test_the_smallest_regions_still_have_an_area(tolerance):
    mask = np.zeros((12, 12), dtype=bool)
    mask[1, 1] = mask[4, 4:7] = mask[8, 8] = mask[9, 9] = True
    found = fit(mask, tolerance)
    assert len(found) == 3
    assert all(shapely.Polygon(p).area >= 0.25 for p in found)
