"""Maps turn, flip and shift with their polygons: stored maps stay lawful under those augmentations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.geometry import Affine, FloatArray, PolygonSet, Size
from ocrmaps.maps import Maps, MapSpec, draw_maps
from tests.maps.brute import centers, distance_and_inside
from tests.maps.shapes import canonical, on_grid, rectangle, ribbon, simple_polygons, star

ARRAYS = ("probability", "threshold", "probability_mask", "threshold_mask")

# name -> how points move on a canvas of (height, width), and how arrays do
MOVES: dict[str, tuple[Callable[[FloatArray, Size], FloatArray], Callable[[np.ndarray], np.ndarray]]] = {
    "left for right": (lambda p, s: np.stack([s[1] - p[:, 0], p[:, 1]], 1), lambda a: a[:, ::-1]),
    "upside down": (lambda p, s: np.stack([p[:, 0], s[0] - p[:, 1]], 1), lambda a: a[::-1]),
    "half a turn": (lambda p, s: np.stack([s[1] - p[:, 0], s[0] - p[:, 1]], 1), lambda a: a[::-1, ::-1]),
    "a quarter turn": (lambda p, s: np.stack([s[0] - p[:, 1], p[:, 0]], 1), lambda a: np.rot90(a, -1)),
    "three quarters of a turn": (lambda p, s: np.stack([p[:, 1], s[1] - p[:, 0]], 1), lambda a: np.rot90(a)),
    "transposed": (lambda p, s: p[:, ::-1], lambda a: a.T),
}


def identical(one: Maps, other: Maps, move: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Every bit of every map, every distance and every outcome."""
    return (
        all(move(getattr(one, name)).tobytes() == getattr(other, name).tobytes() for name in ARRAYS)
        and one.distances.tobytes() == other.distances.tobytes()
        and one.outcomes == other.outcomes
    )


@st.composite
def pages(draw: st.DrawFn, inside: bool = False) -> tuple[PolygonSet, Size]:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    polygons = draw(st.lists(simple_polygons(size, inside=inside), min_size=1, max_size=3))
    return canonical(polygons, [draw(st.booleans()) for _ in polygons]), size


@pytest.mark.parametrize("move", MOVES)
@settings(max_examples=60)
@given(page=pages())
def test_flips_and_quarter_turns_are_identical_to_the_bit(move, page):
    polygons, size = page
    points, array = MOVES[move]
    turned = canonical([points(p, size) for p in polygons], polygons.ignore.tolist())
    height, width = array(np.empty(size)).shape
    spec = MapSpec(min_side=2.0)
    assert identical(draw_maps(polygons, spec, size), draw_maps(turned, spec, (height, width)), array)


@settings(max_examples=100)
@given(pages(inside=True), st.integers(0, 500), st.integers(0, 500))
def test_shifts_by_whole_pixels_are_identical_to_the_bit(page, dx, dy):
    polygons, (height, width) = page
    moved = canonical([p + (dx, dy) for p in polygons], polygons.ignore.tolist())
    here = draw_maps(polygons, MapSpec(), (height, width))
    there = draw_maps(moved, MapSpec(), (height + dy, width + dx))
    cropped = Maps(
        **{name: getattr(there, name)[dy:, dx:].copy() for name in ARRAYS},
        distances=there.distances.copy(),
        outcomes=there.outcomes,
    )
    assert identical(here, cropped, lambda a: a)


@settings(max_examples=100)
@given(pages(), st.integers(0, 100), st.booleans())
def test_the_first_vertex_and_the_direction_change_no_bit(page, start, backwards):
    polygons, size = page
    order = -1 if backwards else 1
    other = canonical([np.roll(p, start, axis=0)[::order] for p in polygons], polygons.ignore.tolist())
    assert identical(draw_maps(polygons, MapSpec(), size), draw_maps(other, MapSpec(), size), lambda a: a)


def test_the_order_of_polygons_changes_no_bit():
    polygons = [
        rectangle(2.1, 3.2, 30, 9, 5),
        rectangle(8, 6, 30, 9, -5),
        rectangle(20, 2, 9, 30),
        rectangle(1, 1, 5, 5),
    ]
    ignore = [False, False, True, False]
    one = draw_maps(canonical(polygons, ignore), MapSpec(), (40, 48))
    other = draw_maps(canonical(polygons[::-1], ignore[::-1]), MapSpec(), (40, 48))
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


SIMILAR = [(17.0, 1.0), (-41.3, 0.6), (90.0, 1.37), (123.4, 2.0)]
SHAPES = {
    "line": rectangle(30, 40, 60, 11),
    "curve": ribbon(64, 64, 24, 13),
    "star": star(30, 60, 70, 24),
}


@pytest.mark.parametrize(("degrees", "scale"), SIMILAR)
@pytest.mark.parametrize("name", SHAPES)
def test_a_similar_polygon_has_the_same_maps_at_the_same_places(name, degrees, scale):
    """Bound: 1e-6 of the threshold at the place that a pixel center maps back to."""
    size = (256, 256)
    affine = Affine.translation(20, 20) @ Affine.scaling(scale, scale) @ Affine.rotation(degrees, (64, 64))
    polygon = on_grid(SHAPES[name])
    maps = draw_maps(canonical([affine.apply(polygon)]), MapSpec(), size)
    x, y = centers(size)
    back = affine.inverse().apply(np.stack([x.ravel(), y.ravel()], axis=1))
    distance, inside = distance_and_inside(polygon, back[:, 0].reshape(size), back[:, 1].reshape(size))
    reach = draw_maps(canonical([polygon]), MapSpec(), (128, 128)).distances[0]
    assert abs(maps.threshold - np.clip(1 - distance / reach, 0, 1)).max() < 1e-6
    sure = abs(distance - reach) > 1e-6
    assert ((maps.probability == 1) == (inside & (distance > reach)))[sure].all()
    assert maps.distances[0] == pytest.approx(scale * reach, rel=1e-7)


def bilinear(array: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at continuous positions, from the four pixel centers around."""
    u, v = x - 0.5, y - 0.5
    i, j = np.floor(v).astype(int), np.floor(u).astype(int)
    p, q = v - i, u - j
    return (
        array[i, j] * (1 - p) * (1 - q)
        + array[i + 1, j] * p * (1 - q)
        + array[i, j + 1] * (1 - p) * q
        + array[i + 1, j + 1] * p * q
    )


@pytest.mark.parametrize("degrees", [5.0, 30.0, -17.0])
@pytest.mark.parametrize("name", SHAPES)
def test_turning_drawn_maps_is_drawing_turned_polygons_within_a_bound(name, degrees):
    """Bound: sqrt(1/2) / D, as no place is farther than that from the centers it is blended from; kernels by 1 px."""
    size = (128, 128)
    affine = Affine.rotation(degrees, (64, 64))
    here = draw_maps(canonical([SHAPES[name]]), MapSpec(), size)
    there = draw_maps(canonical([affine.apply(SHAPES[name])]), MapSpec(), size)
    x, y = centers(size)
    back = affine.inverse().apply(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*size, 2)
    seen = ((back > 1) & (back < 127)).all(axis=2)
    back = np.clip(back, 1, 127 - 1e-9)
    turned = bilinear(here.threshold, back[..., 0], back[..., 1])
    assert abs(turned - there.threshold)[seen].max() <= np.sqrt(0.5) / here.distances[0] + 1e-6
    kernel = bilinear(here.probability.astype(float), back[..., 0], back[..., 1]) >= 0.5
    distance, _ = distance_and_inside(affine.apply(SHAPES[name]), x, y)
    wrong = (kernel != (there.probability == 1)) & seen
    assert abs(distance - there.distances[0])[wrong].max(initial=0) < 1.0
