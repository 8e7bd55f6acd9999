"""Every polygon gets an outcome with a name, and what is not drawn is masked, not taught as background."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.maps import DRAWN, MapSpec, Outcome, draw_maps
from ocrmaps.maps.rings import settle_rings
from tests.maps.brute import TIE, centers, distance_and_inside
from tests.maps.shapes import canonical, rectangle
from tests.strategies import outlines

LINE = rectangle(4, 4, 40, 10)
BOW_TIE = [(4, 4), (44, 20), (44, 4), (4, 20)]
SLIP = [(4, 4), (44, 4), (44, 20), (6, 20), (4, 21.5), (7, 21.5)]
"""A rectangle with a small loop at its last corner."""
KEYHOLE = [(4, 4), (44, 4), (44, 44), (4, 44), (4, 4), (16, 16), (16, 32), (32, 32), (32, 16), (16, 16)]
"""A frame cut open along one line."""
CURL = [(5, 5), (45, 5), (45, 30), (15, 30), (15, 40), (25, 40), (25, 2), (35, 2), (35, 45), (5, 45)]
"""Runs over itself: parts of its inside are wound around twice."""

EXACT = {
    Outcome.DRAWN: LINE,
    Outcome.REPAIRED: SLIP,
    Outcome.TOO_SMALL: rectangle(4, 4, 40, 4.9),
    Outcome.NO_KERNEL: rectangle(4.1, 4.1, 0.3, 0.3),
    Outcome.CUT_OFF: rectangle(-38, 4, 40, 10),
    Outcome.OUTSIDE: rectangle(70, 4, 40, 10),
    Outcome.SELF_CROSSING: BOW_TIE,
    Outcome.DEGENERATE: [(4, 4), (44, 4), (20, 4)],
    Outcome.OUT_OF_RANGE: rectangle(-2e6, 4, 3e6, 10),
}


@pytest.mark.parametrize("outcome", EXACT)
def test_exact_names_what_became_of_a_polygon(outcome):
    min_side = 5.0 if outcome is Outcome.TOO_SMALL else 0.0
    maps = draw_maps(canonical([EXACT[outcome]]), MapSpec(min_side=min_side), (48, 64))
    assert maps.outcomes == (outcome,)
    assert maps.drawn.tolist() == [outcome in DRAWN] == [maps.distances[0] > 0] == [bool(maps.probability.any())]


OFFICIAL = {
    Outcome.DRAWN: LINE,
    Outcome.SPLIT: [(2, 4), (22, 4), (22, 13), (42, 13), (42, 4), (62, 4), (62, 24), (42, 24), (42, 15), (22, 15)],
    Outcome.TOO_SMALL: rectangle(4, 4, 40, 7),
    Outcome.NO_KERNEL: rectangle(4.1, 4.1, 40, 0.7),
    Outcome.CUT_OFF: rectangle(-39.3, 4, 40, 10),
    Outcome.OUTSIDE: rectangle(90, 4, 40, 10),
    Outcome.DEGENERATE: [(4, 4), (44, 4), (20, 4)],
}  # fmt: skip


@pytest.mark.parametrize("outcome", OFFICIAL)
def test_official_names_what_became_of_a_polygon(outcome):
    min_side = 8.0 if outcome is Outcome.TOO_SMALL else 0.0
    maps = draw_maps(canonical([OFFICIAL[outcome]]), MapSpec(style="official", min_side=min_side), (48, 80))
    assert maps.outcomes == (outcome,)
    assert maps.drawn.tolist() == [outcome in DRAWN]


@pytest.mark.parametrize("style", ["exact", "official"])
@pytest.mark.parametrize("polygon", [LINE, BOW_TIE, rectangle(90, 4, 40, 10), [(4, 4), (9, 4)], [], [(3, 3)]])
def test_an_annotated_ignore_is_named_so_whatever_its_shape(style, polygon):
    points = np.array(polygon, dtype=float).reshape(-1, 2)
    maps = draw_maps(canonical([points], ignore=[True]), MapSpec(style=style), (48, 64))
    assert maps.outcomes == (Outcome.IGNORED,)
    assert not maps.probability.any() and not maps.threshold.any()


@pytest.mark.parametrize("style", ["exact", "official"])
@pytest.mark.parametrize("points", [[], [(3, 3)], [(3, 3), (9, 9)], [(3, 3)] * 5])
def test_fewer_than_three_distinct_vertices_are_degenerate(style, points):
    maps = draw_maps(canonical([np.array(points, dtype=float).reshape(-1, 2), LINE]), MapSpec(style=style), (48, 64))
    assert maps.outcomes == (Outcome.DEGENERATE, Outcome.DRAWN)


@pytest.mark.parametrize("style", ["exact", "official"])
@settings(max_examples=80)
@given(st.lists(outlines(min_points=1, limit=1e3) | outlines(max_points=5, limit=60), max_size=4))
def test_any_outline_at_all_gets_an_outcome_and_lawful_maps(style, polygons):
    maps = draw_maps(canonical(polygons), MapSpec(style=style), (40, 50))
    assert len(maps.outcomes) == len(maps.distances) == len(polygons)
    assert sum(maps.counts().values()) == len(polygons)
    for name in ("probability", "probability_mask", "threshold_mask"):
        assert getattr(maps, name).max(initial=0) <= 1
    assert maps.threshold.min() >= 0 and maps.threshold.max() <= 1
    assert (maps.distances > 0).tolist() == maps.drawn.tolist()


@pytest.mark.parametrize("scale", [1e7, 1e12, 1e200, 1e300])
def test_absurd_coordinates_are_masked_where_they_cover_the_canvas(scale):
    outline = [(-scale, -scale), (20, -scale), (20, scale), (-scale, scale)]
    maps = draw_maps(canonical([outline]), MapSpec(), (30, 40))
    assert maps.outcomes == (Outcome.OUT_OF_RANGE,)
    assert not maps.probability.any()
    assert not maps.probability_mask[:, :20].any() and maps.probability_mask[:, 20:].all()


def mask_of(polygon: object, spec: MapSpec | None = None, ignore: bool = False) -> np.ndarray:
    maps = draw_maps(canonical([polygon], [ignore]), spec or MapSpec(), (48, 64))
    return maps.probability_mask


@pytest.mark.parametrize("case", ["ignored", "too small", "no kernel"])
def test_what_is_not_drawn_is_masked_in_its_own_shape(case):
    polygon, spec, ignore = {
        "ignored": (rectangle(10.2, 5, 30, 12, 20), MapSpec(), True),
        "too small": (rectangle(10.2, 5, 30, 12, 20), MapSpec(min_side=12.5), False),
        "no kernel": (rectangle(4.0, 4.05, 40, 1.4), MapSpec(shrink_ratio=0.05), False),
    }[case]
    x, y = centers((48, 64))
    distance, inside = distance_and_inside(np.asarray(polygon), x, y)
    assert inside.sum() > 30
    assert np.array_equal(mask_of(polygon, spec, ignore) == 0, inside | (distance < TIE))


def test_an_ignored_region_is_closed():
    assert mask_of(rectangle(3.5, 4.5, 10, 6), ignore=True)[3:12, 2:15].tolist() == (
        [[1] * 13] + [[1, *[0] * 11, 1]] * 7 + [[1] * 13]
    )


def test_nothing_is_taught_in_an_ignored_region_even_over_drawn_text():
    page = canonical([rectangle(4, 4, 50, 12), rectangle(20, 2, 10, 16)], ignore=[False, True])
    maps = draw_maps(page, MapSpec(), (24, 64))
    alone = draw_maps(page.select([0]), MapSpec(), (24, 64))
    assert np.array_equal(maps.probability, alone.probability) and np.array_equal(maps.threshold, alone.threshold)
    assert not maps.probability_mask[2:18, 20:30].any() and not maps.threshold_mask[2:18, 20:30].any()
    assert maps.probability_mask[:, :20].all() and maps.probability_mask[:, 30:].all()
    assert np.array_equal(maps.threshold_mask[:, 30:], alone.threshold_mask[:, 30:])


def test_an_ignored_region_draws_no_threshold_of_its_own():
    maps = draw_maps(canonical([LINE], ignore=[True]), MapSpec(), (24, 64))
    assert not maps.threshold.any() and not maps.threshold_mask.any()


def test_the_threshold_of_text_reaches_into_the_gap_before_an_ignored_region():
    page = canonical([rectangle(4, 4, 40, 10), rectangle(4, 15, 40, 8)], ignore=[False, True])
    maps = draw_maps(page, MapSpec(), (30, 50))
    assert maps.threshold_mask[14, 20] == 1 and maps.threshold_mask[15, 20] == 0


def test_a_cut_off_polygon_is_masked_where_it_is_seen():
    maps = draw_maps(canonical([EXACT[Outcome.CUT_OFF]]), MapSpec(), (48, 64))
    assert (maps.probability_mask == 0).sum() == 2 * 10


def test_a_repaired_polygon_is_drawn_as_its_largest_part():
    maps = draw_maps(canonical([SLIP]), MapSpec(), (48, 64))
    clean = draw_maps(canonical([[(4, 4), (44, 4), (44, 20), (6, 20), (5.2, 20.6)]]), MapSpec(), (48, 64))
    assert maps.distances[0] == pytest.approx(clean.distances[0], rel=0.02)
    assert maps.probability_mask.all()


def test_a_cut_open_frame_is_drawn_with_its_hole():
    maps = draw_maps(canonical([KEYHOLE]), MapSpec(), (48, 48))
    assert maps.outcomes == (Outcome.REPAIRED,)
    assert maps.distances[0] == pytest.approx((1600 - 256) * 0.64 / (160 + 64))
    assert maps.probability[24, 24] == 0 and maps.threshold_mask[24, 24] == 0
    assert maps.probability[10, 24] == 1 and maps.threshold[24, 15] > 0.8


def test_the_inside_of_a_curl_has_no_holes():
    assert not mask_of(CURL, ignore=True)[6:29, 26:34].any()


def test_parts_of_a_bow_tie_are_masked_and_not_guessed():
    mask = mask_of(BOW_TIE)
    assert mask[12, 8] == 0 and mask[12, 40] == 0
    assert mask[5, 24] == 1


def test_min_side_asks_the_thickness_of_text_however_it_is_turned():
    spec = MapSpec(min_side=8.0)
    for degrees in (0, 30, 45, 90):
        thin, thick = rectangle(60, 40, 60, 7.9, degrees), rectangle(60, 40, 60, 8.1, degrees)
        assert draw_maps(canonical([thin, thick]), spec, (200, 200)).outcomes == (Outcome.TOO_SMALL, Outcome.DRAWN)


def test_empty_maps_are_maps():
    for style in ("exact", "official"):
        maps = draw_maps(canonical([]), MapSpec(style=style), (5, 7))
        assert maps.size == (5, 7) and maps.outcomes == () and maps.counts() == {}
        assert not maps.probability.any() and not maps.threshold_mask.any() and maps.probability_mask.all()


def test_four_thousand_polygons_all_get_an_outcome():
    corners = [(8.0 * (i % 80), 6.0 * (i // 80)) for i in range(4000)]
    maps = draw_maps(canonical([rectangle(x + 0.25, y + 0.25, 6, 4) for x, y in corners]), MapSpec(), (300, 640))
    assert maps.counts() == {Outcome.DRAWN: 4000}


def test_a_scribble_is_masked_as_a_whole_without_looking_for_its_parts():
    """A thousand vertices at random took 6 s and 450 MB to part, three thousand a minute and 2.3 GB."""
    scribble = np.random.default_rng(0).uniform(0, 200, (1000, 2))
    maps = draw_maps(canonical([scribble]), MapSpec(), (200, 200))
    assert maps.outcomes == (Outcome.SELF_CROSSING,)
    assert not maps.probability.any()
    rings = settle_rings(canonical([scribble]), (200, 200))
    assert len(rings.offsets) == 2 and len(rings.points) < 100
    assert maps.probability_mask[20:-20, 20:-20].max() == 0


def test_a_spiral_of_many_turns_is_text_all_the_same():
    turns = np.linspace(0, 2 * np.pi * 12, 600)
    arm = np.stack([np.cos(turns), np.sin(turns)], 1)
    spiral = np.concatenate([arm * (10 + 2.5 * turns)[:, None], (arm * (4 + 2.5 * turns)[:, None])[::-1]]) + 210
    loop = np.concatenate([spiral, [[215.0, 210.0], [205.0, 209.0], [214.0, 212.0]]])  # a knot at its inner end
    maps = draw_maps(canonical([loop]), MapSpec(), (420, 420))
    assert maps.outcomes == (Outcome.REPAIRED,)
