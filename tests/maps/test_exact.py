"""Style exact against brute force, and the check against faults that it must see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import Maps, MapSpec, draw_maps
from tests.maps.brute import TIE, agrees_with_reference, centers, distance_and_inside, faults, shrink_distance
from tests.maps.shapes import canonical, rectangle, ribbon, simple_polygons, sizes, star

PAGE = canonical(
    [rectangle(4.3, 5.2, 40, 8), rectangle(10, 20, 30, 9, 25), ribbon(60, 45, 10, 6), rectangle(40, 2, 20, 12)],
    ignore=[False, False, False, True],
)
PAGE_SIZE = (72, 96)


def decided_by_ties(polygons: PolygonSet, ratio: float, size: tuple[int, int]) -> bool:
    """Whether a polygon's only kernel pixels are ties: then both answers are right."""
    x, y = centers(size)
    for polygon in polygons:
        distance, inside = distance_and_inside(polygon, x, y)
        reach = shrink_distance(polygon, ratio)
        if (inside & (abs(distance - reach) < TIE)).any() and not (inside & (distance > reach + TIE)).any():
            return True
    return False


@settings(max_examples=250)
@given(st.data())
def test_any_simple_polygons_agree_with_brute_force(data):
    size = data.draw(sizes)
    polygons = data.draw(st.lists(simple_polygons(size), max_size=4))
    page = canonical(polygons, ignore=[data.draw(st.booleans()) for _ in polygons])
    ratio = data.draw(st.sampled_from([0.2, 0.4, 0.6, 0.9]))
    assume(not decided_by_ties(page, ratio, size))
    assert faults(draw_maps(page, MapSpec(shrink_ratio=ratio), size), page, ratio) == []


TEETH = [(3.1 + 2.7 * i, y) for i in range(20) for y in ((4, 30) if i % 2 else (30, 4))]
COMB = np.roll([*TEETH, (60, 34), (2, 34)], 28, axis=0)
"""Crosses a row twenty times, and not from left to right."""
U_SHAPE = [(2, 2), (10, 2), (10, 30), (26, 30), (26, 2), (34, 2), (34, 38), (2, 38)]
CASES = {
    "concave": ([U_SHAPE], (40, 40)),
    "curved, 40 points": ([ribbon(30, 30, 14, 8)], (60, 60)),
    "crossing a row many times": ([COMB], (40, 64)),
    "triangle": ([[(3, 3), (30, 8), (12, 28)]], (32, 32)),
    "touching all sides of the canvas": ([[(0, 0), (20, 0), (20, 10), (0, 10)]], (10, 20)),
    "crossing a corner of the canvas": ([rectangle(-8, -5, 30, 20)], (24, 24)),
    "larger than the canvas": ([rectangle(-20, -20, 60, 60)], (16, 24)),
    "a hundred canvases wide, border on the canvas": ([rectangle(3, -3200, 6400, 6400)], (64, 64)),
    "a million pixels wide": ([rectangle(-5e5, -5e5, 1e6, 1e6, 0.0)], (8, 8)),
    "one vertex far outside": ([[(2, 2), (30000.5, 11), (2, 20)]], (24, 48)),
    "thinner than a pixel but on a row of centers": ([rectangle(2, 4.3, 30, 0.4)], (9, 36)),
    "more edges than are measured directly": ([star(300, 32, 32, 20)], (64, 64)),
    "many edges, wide band": ([star(500, 150, 150, 110, 0.01)], (300, 300)),
    "many edges in view, most of them outside": ([star(400, 10, 10, 300, 0.02)], (48, 48)),
    "one inside the other": ([rectangle(2, 2, 40, 30), rectangle(10, 8, 20, 12)], (36, 46)),
    "overlapping": ([rectangle(2, 2, 30, 12), rectangle(14, 8, 30, 12, 10)], (36, 50)),
    "neighbors that share a border": ([rectangle(2, 2, 30, 10), rectangle(2, 12, 30, 10)], (26, 36)),
    "one pixel": ([rectangle(-3, -3, 9, 9)], (1, 1)),
    "one row": ([rectangle(3, -2, 30, 5)], (1, 40)),
    "repeated vertices": ([[(2, 2), (2, 2), (20, 2), (20, 2), (20, 12), (2, 12), (2, 12), (2, 2)]], (16, 24)),
    "anticlockwise": ([rectangle(3, 3, 20, 9)[::-1]], (16, 28)),
    "no polygons": ([], (7, 9)),
}


@pytest.mark.parametrize("name", CASES)
def test_odd_polygons_agree_with_brute_force(name):
    polygons, size = CASES[name]
    page = canonical(polygons)
    assert faults(draw_maps(page, MapSpec(), size), page, 0.6) == []


def test_the_distance_of_cut_text_comes_from_the_whole_polygon():
    whole = draw_maps(canonical([rectangle(10, 10, 60, 12)]), MapSpec(), (32, 80))
    cut = draw_maps(canonical([rectangle(10, 10, 60, 12)]), MapSpec(), (32, 40))
    assert cut.distances.tolist() == whole.distances.tolist()
    assert np.array_equal(cut.threshold, whole.threshold[:, :40])


def test_a_tie_is_not_in_the_kernel():
    # 8 x 8, r^2 = 0.25 + 1/8: D = 64 / 32 * 0.625 = 1.25; the square of 40 x 40 at r = 0.5 has D = 7.5 exactly.
    maps = draw_maps(canonical([rectangle(0, 0, 40, 40)]), MapSpec(shrink_ratio=0.5), (40, 40))
    assert maps.distances.tolist() == [7.5]
    assert maps.probability[20].tolist() == [0] * 8 + [1] * 24 + [0] * 8
    assert maps.threshold[20, 7] == 0 and maps.threshold_mask[20, 7] == 1


# Each fault is something a person could write by mistake; a check that misses one would miss it in the code as well.


def shifted_by_half_a_pixel(page: PolygonSet) -> Maps:
    return draw_maps(canonical([p - 0.5 for p in page], ignore=page.ignore.tolist()), MapSpec(), PAGE_SIZE)


def with_axes_swapped(page: PolygonSet) -> Maps:
    return draw_maps(canonical([p[:, ::-1] for p in page], ignore=page.ignore.tolist()), MapSpec(), PAGE_SIZE)


def with_r_for_r_squared(page: PolygonSet) -> Maps:
    return draw_maps(page, MapSpec(shrink_ratio=0.6**0.5), PAGE_SIZE)


def without_ignore_flags(page: PolygonSet) -> Maps:
    return draw_maps(page.with_ignore([False] * len(page)), MapSpec(), PAGE_SIZE)


def with_a_polygon_lost(page: PolygonSet) -> Maps:
    return draw_maps(page.with_ignore([False, True, False, True]), MapSpec(), PAGE_SIZE)


def clipped_to_the_canvas_first(page: PolygonSet) -> Maps:
    clipped = [np.clip(p, 0, (PAGE_SIZE[1] - 1, PAGE_SIZE[0] - 1)) for p in page]
    return draw_maps(canonical(clipped, ignore=page.ignore.tolist()), MapSpec(), PAGE_SIZE)


def as_the_other_style(page: PolygonSet) -> Maps:
    return draw_maps(page, MapSpec(style="official", shrink_ratio=0.6, min_side=0), PAGE_SIZE)


def test_the_check_passes_what_is_right():
    assert agrees_with_reference(draw_maps(PAGE, MapSpec(), PAGE_SIZE), PAGE, 0.6)


@pytest.mark.parametrize(
    "fault",
    [
        shifted_by_half_a_pixel,
        with_axes_swapped,
        with_r_for_r_squared,
        without_ignore_flags,
        with_a_polygon_lost,
        as_the_other_style,
    ],
)
def test_the_check_sees_a_fault(fault):
    assert not agrees_with_reference(fault(PAGE), PAGE, 0.6)


def test_the_check_sees_text_that_was_clipped_before_measuring():
    page = canonical([rectangle(60, 30, 60, 14)])
    assert agrees_with_reference(draw_maps(page, MapSpec(), PAGE_SIZE), page, 0.6)
    assert not agrees_with_reference(clipped_to_the_canvas_first(page), page, 0.6)


@pytest.mark.parametrize("name", ["probability", "threshold", "probability_mask", "threshold_mask"])
def test_the_check_sees_one_wrong_pixel_in_each_map(name):
    maps = draw_maps(PAGE, MapSpec(), PAGE_SIZE)
    arrays = {n: getattr(maps, n).copy() for n in ("probability", "threshold", "probability_mask", "threshold_mask")}
    arrays[name][9, 21] = 1 - arrays[name][9, 21] if name != "threshold" else arrays[name][9, 21] + 1e-3
    broken = Maps(**arrays, outcomes=maps.outcomes, distances=maps.distances)
    assert not agrees_with_reference(broken, PAGE, 0.6)
