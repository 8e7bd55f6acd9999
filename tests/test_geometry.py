"""Frames, orientations and affine maps. Museum entries are named where a test makes them impossible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.errors import FrameError
from ocrmaps.geometry import ORIENTATIONS, Affine, PolygonSet, upright_affine, upright_size

coordinates = st.floats(-5000, 5000, allow_nan=False, width=64)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=20)
sizes = st.tuples(st.integers(1, 6000), st.integers(1, 6000))


@given(points, sizes, st.sampled_from(ORIENTATIONS))
def test_upright_affine_and_its_inverse_return_the_point(xy, size, orientation):
    affine = upright_affine(orientation, size)
    np.testing.assert_allclose(affine.inverse().apply(affine.apply(xy)), np.array(xy), atol=1e-9)


def _compose(second: int, first: int, size=(20, 30)) -> int:
    """The orientation equal to `first` and then `second`, found among the eight by its matrix."""
    product = upright_affine(second, upright_size(first, size)) @ upright_affine(first, size)
    (found,) = [o for o in ORIENTATIONS if upright_affine(o, size).isclose(product)]
    return found


def test_eight_orientations_form_the_group_of_the_square():
    table = {(b, a): _compose(b, a) for a in ORIENTATIONS for b in ORIENTATIONS}
    assert set(table.values()) == set(ORIENTATIONS)
    for a in ORIENTATIONS:
        assert table[a, 1] == table[1, a] == a
        assert len({table[b, a] for b in ORIENTATIONS}) == 8  # every row is a permutation
        for b in ORIENTATIONS:
            for c in ORIENTATIONS:
                assert table[c, table[b, a]] == table[table[c, b], a]
    assert any(table[a, b] != table[b, a] for a in ORIENTATIONS for b in ORIENTATIONS)


def test_b5b_only_six_and_eight_are_each_others_inverse():
    """The earlier project swapped 5 and 7, twice: both mirrored transpositions undo themselves."""
    inverse = {a: next(b for b in ORIENTATIONS if _compose(b, a) == 1) for a in ORIENTATIONS}
    assert inverse == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_maps_the_picture_area_onto_the_upright_area(orientation):
    size = (20, 30)
    corners = upright_affine(orientation, size).apply([[0, 0], [30, 20]])
    height, width = upright_size(orientation, size)
    assert corners.min(axis=0).tolist() == [0, 0]
    assert corners.max(axis=0).tolist() == [width, height]


@pytest.mark.parametrize("value", [0, 9, -1])
def test_orientation_outside_one_to_eight_is_refused(value):
    with pytest.raises(FrameError, match="expected 1 to 8"):
        upright_affine(value, (10, 10))


def test_rotation_turns_clockwise_on_the_screen():
    np.testing.assert_allclose(Affine.rotation(90, (1, 1)).apply([[2, 1]]), [[1, 2]], atol=1e-12)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan)])
def test_affine_refuses_what_cannot_be_inverted(matrix):
    with pytest.raises(FrameError):
        Affine(matrix)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_affine_map_of_numbers_that_are_none_is_refused(wrong):
    with pytest.raises(FrameError, match="finite 3x3 matrix"):
        Affine.of(1, 0, wrong, 0, 1, 9)


@pytest.mark.parametrize("linear", [(0, 0, 0, 0), (1, 2, 2, 4), (0, 0, 0, 1)])
def test_an_affine_map_onto_a_line_or_a_point_is_refused(linear):
    a, b, d, e = linear
    with pytest.raises(FrameError, match="cannot be inverted"):
        Affine.of(a, b, 7, d, e, 9)


def test_inputs_are_copied_and_results_cannot_be_changed():
    mine = np.array([[0.0, 0], [4, 0], [4, 2]])
    polygons = PolygonSet.of([mine], frame="raw")
    mine[:] = 7
    assert polygons[0].tolist() == [[0, 0], [4, 0], [4, 2]]
    with pytest.raises(ValueError, match="read-only"):
        polygons.points[0, 0] = 1
    moved = polygons.transform(Affine.translation(1, 1), "upright")
    assert polygons[0].tolist() == [[0, 0], [4, 0], [4, 2]]
    assert moved[0].tolist() == [[1, 1], [5, 1], [5, 3]]


def test_b18_a_shape_and_its_transpose_are_different():
    shape = [[0, 0], [6, 0], [6, 2], [0, 2]]
    a = PolygonSet.of([shape], frame="raw")
    b = PolygonSet.of([[p[::-1] for p in shape]], frame="raw")
    assert a != b
    assert a != PolygonSet.of([shape[::-1]], frame="raw")
    assert a == PolygonSet.of([shape], frame="raw")


def test_b24_a_shape_that_is_not_n_by_two_is_refused():
    """The earlier project read shape[1] as the number of points and silently kept two of them."""
    with pytest.raises(ValueError, match=r"\(1, 4, 2\)"):
        PolygonSet.of([np.zeros((1, 4, 2))], frame="raw")
    with pytest.raises(ValueError, match="expected"):
        PolygonSet.of([np.zeros(8)], frame="raw")
    nine = PolygonSet.of([np.arange(18).reshape(9, 2), np.zeros((4, 2))], frame="raw")
    assert nine.counts().tolist() == [9, 4]
    assert [len(p) for p in nine] == [9, 4]


def test_b5f_moving_points_never_drops_or_shifts_later_polygons():
    """Points outside the picture stay: polygons are moved by a matrix, not through a list that deletes."""
    polygons = PolygonSet.of([[[-50, -50], [1, 0], [1, 1]], [[2, 2], [3, 2], [3, 3], [2, 3]]], frame="raw")
    moved = polygons.transform(Affine.translation(-10, 0), "upright")
    assert moved.counts().tolist() == [3, 4]
    assert moved[1].tolist() == [[-8, 2], [-7, 2], [-7, 3], [-8, 3]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_points_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        PolygonSet.of([[[0, 0], [1, 0], [1, bad]]], frame="raw")


def test_unknown_frame_is_refused_by_name():
    with pytest.raises(FrameError, match="'map'"):
        PolygonSet.of([], frame="map")


def test_select_keeps_flags_and_texts_beside_their_polygons():
    s = PolygonSet.of([np.zeros((3, 2)), np.ones((4, 2))], frame="raw", ignore=[True, False], texts=["a", "b"])
    t = s.select([1, 0])
    assert t.texts == ("b", "a")
    assert t.ignore.tolist() == [False, True]
    assert t.counts().tolist() == [4, 3]
    assert s.select(s.ignore).texts == ("a",)


def test_area_far_from_the_origin_keeps_its_digits():
    square = np.array([[0, 0], [1e-3, 0], [1e-3, 1e-3], [0, 1e-3]])
    near, far = PolygonSet.of([square, square + 2.0**20], frame="raw").areas()
    assert far == pytest.approx(near, rel=1e-6)
