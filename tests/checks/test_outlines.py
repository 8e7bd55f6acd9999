"""OutlineTable as columns: sizes that turning does not change, and faults that are what they are called."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.annotations.checks.outlines import OutlineTable
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import FrameError
from ocrmaps.geometry import Affine, PolygonSet


def table(*polygon_lists, ignore=None) -> OutlineTable:
    """OutlineTable of one sample for each list of polygons."""
    return OutlineTable.of(
        [
            Sample(id=f"{i}.png", polygons=PolygonSet.of(polygons, frame="upright", ignore=ignore), loc=f"l:{i}")
            for i, polygons in enumerate(polygon_lists)
        ]
    )


def box(x=0.0, y=0.0, w=30.0, h=10.0):
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


@given(st.floats(2, 400), st.floats(1, 60), st.floats(0, 360), st.floats(-3000, 3000))
def test_thickness_and_length_are_the_sides_of_a_rectangle_however_it_lies(w, h, degrees, place):
    turned = Affine.rotation(degrees).apply(box(place, -place, w, h))
    o = table([turned])
    assert o.thickness[0] == pytest.approx(min(w, h), rel=1e-3, abs=1e-3)
    assert o.length[0] == pytest.approx(max(w, h), rel=1e-3, abs=1e-3)
    assert o.area[0] == pytest.approx(w * h, rel=1e-6)


def test_a_curved_band_is_as_thick_as_it_looks():
    angles = np.linspace(math.pi, 2 * math.pi, 9)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    band = np.concatenate([110 * ring, 90 * ring[::-1]])
    o = table([band])
    assert o.thickness[0] == pytest.approx(20, rel=0.05)
    assert not o.crossing[0]


def test_a_kernel_is_thinner_by_twice_the_inset():
    o = table([box(w=100, h=10)])
    inset = 1000 * (1 - 0.4**2) / 220
    assert o.kernel_thickness(0.4)[0] == pytest.approx(10 - 2 * inset)


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (10, 0)],
        [(0, 0), (10, 0), (0, 0), (10, 0)],
        [(5, 5), (5, 5), (5, 5)],
        [(0, 0), (10, 0), (20, 0), (30, 0)],
        [(0, 0), (10, 10), (20, 20)],
    ],
    ids=["two points", "two different points", "one point", "flat", "slanted line"],
)
def test_outlines_that_enclose_nothing_are_degenerate_and_nothing_else(points):
    o = table([points])
    assert o.degenerate.tolist() == [True]
    assert not o.crossing.any() and not o.absurd.any()
    assert o.thickness[0] == pytest.approx(0, abs=1e-6)


def test_a_figure_of_eight_crosses_even_where_its_signed_area_is_zero():
    o = table([[(0, 0), (10, 10), (10, 0), (0, 10)]])
    assert o.crossing.tolist() == [True] and o.degenerate.tolist() == [False]


def test_a_pentagram_crosses_although_all_its_turns_go_one_way():
    star = [(math.cos(a), math.sin(a)) for a in np.arange(5) * 4 * math.pi / 5]
    assert table([star]).crossing.tolist() == [True]


def test_a_quad_with_one_corner_doubled_is_a_sound_triangle():
    o = table([[(0, 0), (30, 0), (30, 20), (30, 20)]])
    assert o.sound.tolist() == [True]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=7))
def test_crossing_agrees_with_the_definition_of_a_simple_polygon(points):
    o = table([points])
    if not o.degenerate[0]:
        assert o.crossing[0] == (not shapely.Polygon(points).is_valid)


@given(st.permutations(range(4)), st.floats(-1e4, 1e4))
def test_twins_are_found_in_any_order_of_their_vertices(order, place):
    first = box(place, place, 33.3, 11.1)
    o = table([first, box(1, 2, 3, 4), [first[i] for i in order]])
    assert o.twin.tolist() == [-1, -1, 0]


def test_twins_of_twins_point_to_the_first_and_other_samples_do_not_count():
    o = table([box(), box(5), box(), box()], [box()])
    assert o.twin.tolist() == [-1, -1, 0, 0, -1]


def test_outlines_with_equal_sums_but_other_vertices_are_no_twins():
    one = [(0, 0), (4, 0), (4, 4), (0, 4), (1, 2), (3, 2)]
    two = [(0, 0), (4, 0), (4, 4), (0, 4), (2, 1), (2, 3)]
    assert table([one, two]).twin.tolist() == [-1, -1]


@pytest.mark.parametrize(("shift", "near"), [(1.0, 0), (8.0, -1)])
def test_near_duplicates_share_nine_tenths(shift, near):
    o = table([box(0, 0, 100, 20), box(shift, 0, 100, 20), box(0, 22, 100, 20)])
    assert o.near.tolist() == [-1, near, -1]


@given(st.integers(0, 10_000))
def test_near_duplicates_agree_with_a_plain_comparison_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    quads = [box(*rng.uniform(0, 60, 2), *rng.uniform(8, 40, 2)) for _ in range(12)]
    quads += [np.array(q) + rng.uniform(-1, 1, 2) for q in quads[:6]]
    shapes = [shapely.Polygon(q) for q in quads]
    expected = [any(a.intersection(b).area >= 0.9 * a.union(b).area for a in shapes[:j]) for j, b in enumerate(shapes)]
    o = table(quads)
    assert ((o.near >= 0) | (o.twin >= 0)).tolist() == expected


def test_a_heap_of_equal_lines_stays_affordable():
    rng = np.random.default_rng(0)
    heap = [box(*rng.uniform(0, 2, 2), 100, 30) for _ in range(3000)]
    assert (table(heap).near >= 0).sum() > 2900


def test_huge_numbers_are_called_absurd_and_overflow_nothing():
    o = table([[(0, 0), (1e308, 0), (1e308, -1e308)], box()])
    assert o.absurd.tolist() == [True, False]
    assert np.isfinite(o.area).all() and np.isfinite(o.thickness).all()


def test_excess_counts_pixels_beyond_the_nearest_border_and_knows_when_nothing_is_left():
    o = table([box(), box(-4, 2), box(90, 0), box(200, 0), box(-31, 5)])
    sizes = [(50, 100)]
    assert o.excess(sizes).tolist() == [0, 4, 20, 130, 31]
    assert o.outside(sizes).tolist() == [False, False, False, True, True]


def test_unknown_sizes_have_no_bounds():
    o = table([box(-4, 2)])
    assert np.isnan(o.excess([(np.nan, np.nan)])[0])
    assert o.outside([(np.nan, np.nan)]).tolist() == [False]


def test_samples_without_outlines_keep_their_place():
    o = table([], [box(), box(50)], [])
    assert (o.samples, o.sample.tolist(), o.index.tolist()) == (3, [1, 1], [0, 1])
    assert len(table()) == 0 and len(table([])) == 0


def test_an_outline_without_points_is_degenerate():
    points = np.array(box())
    s = PolygonSet(points=points, offsets=[0, 0, 4, 4], ignore=[0, 0, 0], texts=(None,) * 3, frame="raw")
    o = OutlineTable.of([Sample(id="a", polygons=s, loc="l")])
    assert o.degenerate.tolist() == [True, False, True]
    assert o.area.tolist() == [0, 300, 0]


def test_two_frames_in_one_source_are_refused():
    samples = [
        Sample(id=f, polygons=PolygonSet.of([box()], frame=f), loc=f)
        for f in ("raw", "upright")  # type: ignore[arg-type]
    ]
    with pytest.raises(FrameError, match="raw and upright"):
        OutlineTable.of(samples)
