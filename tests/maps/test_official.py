"""Style official against the plain published algorithm, and both against arrays of the original implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps import MapSpec, Outcome, draw_maps
from ocrmaps.pipelines.bench.references.maps import PlainMaps, draw_plain
from tests.maps.shapes import canonical, rectangle, ribbon, simple_polygons, star
from tests.strategies import outlines

SHARED = Path(__file__).resolve().parents[3] / "shared"
CASES = sorted(path.stem for path in (SHARED / "golden" / "db_maps").glob("*.npz"))


def golden(shared: Path, name: str) -> tuple[PolygonSet, Size, dict[str, np.ndarray]]:
    """The polygons, canvas and arrays of one case; the threshold scaled to [0.3, 0.7] as the original stores it."""
    case = np.load(shared / "golden" / "db_maps" / f"{name}.npz")
    height, width = case["size"].tolist()
    polygons = PolygonSet(
        points=case["points"],
        offsets=case["offsets"],
        ignore=case["ignore"],
        texts=(None,) * (len(case["offsets"]) - 1),
        frame="canonical",
    )
    arrays = {
        key: np.unpackbits(case[key])[: height * width].reshape(height, width)
        for key in ("probability", "probability_mask", "threshold_mask")
    }
    return polygons, (height, width), {**arrays, "threshold": case["threshold"], "ignore": case["ignore_after"]}


def scaled(threshold: np.ndarray) -> np.ndarray:
    return threshold * np.float32(0.7 - 0.3) + np.float32(0.3)


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES or ["none"])
def test_official_draws_the_arrays_of_the_original(shared, name):
    polygons, size, expected = golden(shared, name)
    maps = draw_maps(polygons, MapSpec(style="official"), size)
    for key in ("probability", "probability_mask", "threshold_mask"):
        assert np.array_equal(getattr(maps, key), expected[key]), key
    assert abs(scaled(maps.threshold) - expected["threshold"]).max() < 1e-6
    assert np.array_equal(~maps.drawn, expected["ignore"])


@pytest.mark.shared
def test_all_cases_of_the_original_are_there(shared):
    assert len(CASES) == 32


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES or ["none"])
def test_the_plain_reference_draws_the_arrays_of_the_original(shared, name):
    polygons, size, expected = golden(shared, name)
    plain = draw_plain(list(polygons), polygons.ignore, size)
    for key in ("probability", "probability_mask", "threshold_mask", "ignore"):
        assert np.array_equal(getattr(plain, key), expected[key]), key
    assert np.array_equal(scaled(plain.threshold), expected["threshold"])


def differences(page: PolygonSet, size: Size, spec: MapSpec, plain: PlainMaps) -> list[str]:
    maps = draw_maps(page, spec, size)
    found = [
        key
        for key in ("probability", "probability_mask", "threshold_mask")
        if not np.array_equal(getattr(maps, key), getattr(plain, key))
    ]
    if abs(maps.threshold - plain.threshold).max() >= 1e-6:
        found.append("threshold")
    return found if np.array_equal(~maps.drawn, plain.ignore) else [*found, "ignore"]


PAGES = {
    "lines": [rectangle(3.4, 2.7, 50.3, 11.8), rectangle(3.4, 16.2, 30.9, 9.1), rectangle(40.5, 17.5, 19.5, 6.3)],
    "whole numbers, pixels on every border": [rectangle(4, 4, 40, 20), rectangle(20, 12, 30, 16)],
    "turned": [rectangle(20, 5, 40, 12, 25), rectangle(14, 20, 30, 10, 70)],
    "curved": [ribbon(32, 30, 14, 10)],
    "concave": [[(4, 4), (60, 4), (60, 44), (34, 44), (34, 20), (28, 20), (28, 44), (4, 44)]],
    "clipped at two sides": [rectangle(-10, -6, 60, 24), rectangle(50, 30, 40, 40, 10)],
    "anticlockwise": [rectangle(4.5, 4.5, 40, 20)[::-1]],
    "repeated vertices on pixels": [[(4, 4), (4, 4), (44, 4), (44, 24), (44, 24), (4, 24)]],
    "crossing itself": [[(4, 4), (60, 30), (60, 4), (4, 30)], [(4, 34), (60, 34), (60, 46), (30, 46), (34, 30)]],
    "falls apart": [[(2, 4), (22, 4), (22, 13), (42, 13), (42, 4), (62, 4), (62, 24), (42, 24), (42, 15), (22, 15)]],
    "many vertices": [star(60, 32, 24, 16, 0.2)],
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("ratio", [0.4, 0.7])
def test_official_equals_the_plain_algorithm(name, ratio):
    page = canonical([*PAGES[name], rectangle(50, 38, 12, 9)], [False] * len(PAGES[name]) + [True])
    plain = draw_plain(list(page), page.ignore, (48, 64), shrink_ratio=ratio, min_side=5.0)
    spec = MapSpec(style="official", shrink_ratio=ratio, min_side=5.0)
    assert plain.probability.any()
    assert differences(page, (48, 64), spec, plain) == []


@settings(max_examples=250)
@given(st.data())
def test_official_equals_the_plain_algorithm_on_any_polygons(data):
    size = data.draw(st.tuples(st.integers(2, 60), st.integers(2, 60)))
    shape = simple_polygons(size) | outlines(limit=60) | simple_polygons(size).map(np.round)
    polygons = [np.asarray(p, dtype=float) for p in data.draw(st.lists(shape, min_size=1, max_size=4))]
    page = canonical(polygons, [data.draw(st.booleans()) for _ in polygons])
    plain = draw_plain(list(page), page.ignore, size, min_side=2.0)
    assert differences(page, size, MapSpec(style="official", min_side=2.0), plain) == []


def test_a_path_that_truncation_leaves_without_area_is_masked():
    page = canonical([rectangle(10.2, 10.2, 20, 0.7)])
    maps = draw_maps(page, MapSpec(style="official", min_side=0), (30, 40))
    assert maps.outcomes == (Outcome.NO_KERNEL,)
    assert (maps.probability_mask == 0).sum() == 21
    assert (
        differences(
            page, (30, 40), MapSpec(style="official", min_side=0), draw_plain(list(page), page.ignore, (30, 40))
        )
        == []
    )


def half_a_pixel_off(page: PolygonSet) -> PolygonSet:
    return canonical([p + 0.5 for p in page])


def axes_swapped(page: PolygonSet) -> PolygonSet:
    return canonical([p[:, ::-1] for p in page])


@pytest.mark.parametrize("fault", [half_a_pixel_off, axes_swapped])
def test_the_comparison_sees_moved_polygons(fault):
    page = canonical(PAGES["lines"])
    plain = draw_plain(list(page), page.ignore, (48, 64))
    assert differences(page, (48, 64), MapSpec(style="official"), plain) == []
    assert differences(fault(page), (48, 64), MapSpec(style="official"), plain)


def test_the_comparison_sees_another_distance():
    page = canonical(PAGES["lines"])
    plain = draw_plain(list(page), page.ignore, (48, 64))
    assert differences(page, (48, 64), MapSpec(style="official", shrink_ratio=0.4**0.5), plain)
