"""What a map spec accepts, what maps promise, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec, draw_maps
from tests.maps.shapes import canonical, rectangle

LINE = canonical([rectangle(4, 4, 40, 10)])


def test_a_style_brings_its_own_values():
    assert (MapSpec().style, MapSpec().shrink_ratio, MapSpec().min_side) == ("exact", 0.6, 0.0)
    assert (MapSpec(style="official").shrink_ratio, MapSpec(style="official").min_side) == (0.4, 8.0)


def test_a_value_given_is_the_same_spec_as_the_default():
    assert MapSpec(shrink_ratio=0.6) == MapSpec() == MapSpec(min_side=0)
    assert MapSpec(shrink_ratio=0.6).identity() == MapSpec().identity()


def test_all_problems_of_a_spec_come_at_once():
    with pytest.raises(SpecError) as caught:
        MapSpec(style="exakt", shrink_ratio=1.0, min_side=-1)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "'exakt'" in text and "exact, official" in text
    assert "maps.shrink_ratio: found 1" in text and "maps.min_side: found -1" in text


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 2, float("nan"), float("inf"), "0.4", True])
def test_a_ratio_that_cannot_shrink_is_refused(ratio):
    with pytest.raises(SpecError, match="shrink_ratio"):
        MapSpec(shrink_ratio=ratio)


@pytest.mark.parametrize("side", [-0.1, float("nan"), float("inf"), "8", False])
def test_a_side_that_is_no_length_is_refused(side):
    with pytest.raises(SpecError, match="min_side"):
        MapSpec(min_side=side)


def test_identity_tells_everything_that_decides_the_bytes():
    specs = [MapSpec(), MapSpec(style="official"), MapSpec(shrink_ratio=0.5), MapSpec(min_side=3)]
    assert len({tuple(spec.identity().values()) for spec in specs}) == 4
    assert MapSpec().identity()["algorithm"] == MapSpec().algorithm


@pytest.mark.parametrize("frame", ["raw", "upright"])
@pytest.mark.parametrize("style", ["exact", "official"])
def test_polygons_in_another_frame_are_refused(frame, style):
    page = PolygonSet.of([rectangle(4, 4, 40, 10)], frame=frame)
    with pytest.raises(FrameError, match=f"'{frame}', expected 'canonical'"):
        draw_maps(page, MapSpec(style=style), (20, 50))


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (5.5, 5), (5,), (1, 2, 3), "ab", None])
def test_a_size_that_is_no_canvas_is_refused(size):
    with pytest.raises(SpecError, match="canvas size"):
        draw_maps(LINE, MapSpec(), size)


@pytest.mark.parametrize("style", ["exact", "official"])
def test_maps_have_the_size_and_types_they_promise_and_cannot_be_changed(style):
    maps = draw_maps(LINE, MapSpec(style=style), (20, 50))
    assert maps.size == (20, 50)
    for name in ("probability", "probability_mask", "threshold_mask"):
        assert getattr(maps, name).dtype == np.uint8 and getattr(maps, name).shape == (20, 50)
    assert maps.threshold.dtype == np.float32
    for name in ("probability", "threshold", "probability_mask", "threshold_mask", "distances"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(maps, name)[0] = 1


@pytest.mark.parametrize("style", ["exact", "official"])
def test_drawing_changes_no_input(style):
    page = canonical([rectangle(4, 4, 40, 10)[::-1], rectangle(-4.5, 14, 40, 10)])
    before = page.points.copy()
    draw_maps(page, MapSpec(style=style), (20, 50))
    assert np.array_equal(page.points, before)


def test_the_quantized_threshold_leaves_255_free_and_rounds_to_the_nearest():
    maps = draw_maps(canonical([rectangle(3, 3, 40, 14), rectangle(3.5, 22, 9, 9)]), MapSpec(), (36, 50))
    assert maps.quantized.dtype == np.uint8 and maps.quantized.max() == 254
    assert abs(maps.quantized / 254 - maps.threshold).max() <= 0.5 / 254 + 1e-6
    assert not maps.quantized[maps.threshold == 0].any()
