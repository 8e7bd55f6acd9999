"""Growing kernels back: the inverse undoes the shrink to 1e-6, by its definition and for real offsets."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ocrmaps.extract.unclip import MITRE_LIMIT, corner_terms, grow_polygons, offset_rings, rectangle_growth
from tests.extract.drawing import arc_text, rectangle
from tests.strategies import simple_outlines

RATIOS = st.floats(0.1, 0.95)
SIDES = st.floats(0.5, 800)


def grow(ring, q, inset=0.0, ratio=0.0):
    rings, d = grow_polygons(
        np.asarray(ring, dtype=float), np.array([0, len(ring)]), np.array([inset]), q=q, ratio=ratio
    )
    return rings[0], float(d[0])


@given(SIDES, SIDES, RATIOS)
def test_a_grown_rectangle_shrinks_to_its_kernel(a, b, r):
    d = float(rectangle_growth(np.array([a]), np.array([b]), q=1 - r * r)[0])
    width, height = a + 2 * d, b + 2 * d
    shrink = width * height * (1 - r * r) / (2 * (width + height))
    assert shrink == pytest.approx(d, abs=1e-6)
    assert (width - 2 * shrink, height - 2 * shrink) == pytest.approx((a, b), abs=1e-6)


@given(SIDES, SIDES, RATIOS)
def test_a_shrunk_rectangle_grows_to_what_it_was(width, height, r):
    shrink = width * height * (1 - r * r) / (2 * (width + height))
    kernel = np.array([width - 2 * shrink]), np.array([height - 2 * shrink])
    assert float(rectangle_growth(*kernel, q=1 - r * r)[0]) == pytest.approx(shrink, abs=1e-6)


def test_a_rectangle_is_grown_the_same_as_a_polygon():
    ring, d = grow(rectangle(50, 40, 30, 4, 20), 1 - 0.4**2)
    assert d == pytest.approx(float(rectangle_growth(np.array([30.0]), np.array([4.0]), q=1 - 0.4**2)[0]), abs=1e-9)
    assert np.allclose(ring, rectangle(50, 40, 30 + 2 * d, 4 + 2 * d, 20))


@given(simple_outlines(300, 200), RATIOS)
@settings(max_examples=200)
def test_a_grown_polygon_meets_the_definition(outline, r):
    assume(shapely.Polygon(outline).area > 1)
    q = 1 - r * r
    ring, d = grow(outline, q)
    grown = shapely.Polygon(ring)
    assert grown.is_valid
    assert q * grown.area / grown.length == pytest.approx(d, abs=1e-6)
    assert grown.buffer(1e-6).contains(shapely.Polygon(outline))


@given(simple_outlines(300, 200), RATIOS)
@settings(max_examples=100)
def test_shrinking_a_grown_convex_polygon_gives_its_kernel(outline, r):
    kernel = shapely.convex_hull(shapely.MultiPoint(outline))
    assume(kernel.geom_type == "Polygon" and kernel.area > 1)
    corners = np.array(kernel.exterior.coords)[:-1]
    corners = corners if shapely.is_ccw(kernel.exterior) else corners[::-1]
    ring, d = grow(corners, 1 - r * r)
    assume(len(ring) == len(corners))  # a sharp corner that was cut off does not come back
    back = shapely.Polygon(ring).buffer(-d, join_style="mitre", mitre_limit=100)
    assert shapely.hausdorff_distance(back, kernel) < 1e-6


def test_area_and_length_of_an_offset_follow_the_corner_terms():
    ring = np.array([(10, 10), (60, 5), (62, 9), (40, 14), (70, 30), (30, 40)], dtype=float)
    offsets = np.array([0, len(ring)])
    area, length, t, u = corner_terms(ring, offsets)[0]
    for d in (0.5, 1.0, 2.0):
        points, _, straight = offset_rings(ring, offsets, np.array([d]))
        grown = shapely.Polygon(points)
        assert straight[0]
        assert grown.is_valid
        assert grown.area == pytest.approx(area + length * d + t * d * d, rel=1e-12)
        assert grown.length == pytest.approx(length + u * d, rel=1e-12)


def test_a_sharp_corner_is_cut_off_at_the_limit():
    needle = np.array([(10, 20), (60, 18), (60, 22)], dtype=float)
    ring, d = grow(needle, 0.64)
    assert len(ring) == 4
    assert 10 - ring[:, 0].min() == pytest.approx(MITRE_LIMIT * d)


def test_a_closing_ring_is_grown_as_a_clean_outline():
    letter_c = arc_text(60, 60, 40, 6, 320, 24)
    ring, d = grow(letter_c, 1 - 0.4**2)
    clean = shapely.buffer(shapely.Polygon(letter_c), d, join_style="mitre", mitre_limit=MITRE_LIMIT)
    assert shapely.Polygon(ring).is_valid
    assert shapely.Polygon(ring).symmetric_difference(shapely.Polygon(clean.exterior)).area < 0.01 * clean.area


def test_the_definition_holds_where_edges_vanish():
    notched = np.array([(10, 10), (50, 10), (50, 30), (31, 30), (30, 12), (29, 30), (10, 30)], dtype=float)
    ring, d = grow(notched, 1 - 0.4**2)
    grown = shapely.Polygon(ring)
    assert len(ring) < len(notched)
    assert (1 - 0.4**2) * grown.area / grown.length == pytest.approx(d, abs=1e-6)


def test_an_inset_outline_counts_from_the_true_kernel():
    q = 1 - 0.4**2
    outer, d = grow(rectangle(50, 40, 31, 5), q, inset=0.5)
    inner, expected = grow(rectangle(50, 40, 30, 4), q)
    assert d == pytest.approx(expected, abs=1e-9)
    assert np.allclose(outer, inner)


@pytest.mark.parametrize("ratio", [1.5, 2.0])
def test_the_constant_rule_is_area_times_ratio_over_perimeter(ratio):
    assert float(rectangle_growth(np.array([30.0]), np.array([6.0]), q=None, ratio=ratio)[0]) == 30 * 6 * ratio / 72
    _, d = grow(rectangle(50, 40, 30, 6, 33), None, ratio=ratio)
    assert d == pytest.approx(30 * 6 * ratio / 72)


def test_a_self_crossing_kernel_still_gives_a_simple_polygon():
    bow_tie = np.array([(10, 10), (40, 30), (40, 10), (10, 32)], dtype=float)
    for q, ratio in ((0.64, 0.0), (None, 2.0)):
        ring, _ = grow(bow_tie, q, ratio=ratio)
        assert shapely.Polygon(ring).is_valid and shapely.Polygon(ring).area > 0


def test_no_polygons_give_no_rings():
    rings, d = grow_polygons(np.zeros((0, 2)), np.array([0]), np.zeros(0), q=0.64)
    assert rings == [] and len(d) == 0
