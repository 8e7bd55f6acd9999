"""Rendering and coordinates come from one record: what a picture shows and where polygons say it is agree."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, needed_resolution, plan, render, turn_upright
from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import ORIENTATIONS, PolygonSet, upright_affine
from ocrmaps.pictures import decode

CANVASES = ((64, 64), (64, 32), (32, 64))
specs = st.builds(
    CanonicalSpec,
    canvases=st.lists(st.tuples(st.integers(1, 1500), st.integers(1, 1500)), min_size=1, max_size=4, unique=True),
    scale=st.sampled_from(["longest", "shortest", "fit", "native"]),
    max_scale=st.none() | st.floats(0.05, 4),
    anchor=st.sampled_from(["top-left", "center"]),
)
sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def picture(pixels: np.ndarray, orientation: int = 1, **kwargs):
    """A PNG with this EXIF orientation, through the real decoder."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kwargs.pop("format", "PNG"), exif=exif, **kwargs)
    return decode(data.getvalue(), name="test")


@given(sizes, st.sampled_from(ORIENTATIONS), specs, st.sampled_from(["raw", "upright"]))
def test_b5_round_trip_through_every_orientation_canvas_and_anchor(size, orientation, spec, frame):
    """The recorded transform, not the settings, gives the matrix both ways: < 0.01 px, here far less."""
    transform = plan(size, orientation, spec)
    height, width = transform.size(frame)
    xy = np.array([[0, 0], [width, height], [width / 3, height / 7], [-20, height + 20]])
    polygons = PolygonSet.of([xy], frame=frame)
    back = transform.apply(transform.apply(polygons, "canonical"), frame)
    np.testing.assert_allclose(back.points, xy, atol=1e-6)


@given(sizes, st.sampled_from(ORIENTATIONS), specs)
def test_the_picture_always_lies_inside_its_canvas(size, orientation, spec):
    transform = plan(size, orientation, spec)
    x, y = transform.offset
    assert x >= 0 and y >= 0
    assert y + transform.resized[0] <= transform.canvas[0]
    assert x + transform.resized[1] <= transform.canvas[1]
    assert transform.canvas in spec.canvases
    if spec.max_scale is not None:
        height, width = transform.upright_size
        assert transform.resized[0] <= max(1, round(height * spec.max_scale))
        assert transform.resized[1] <= max(1, round(width * spec.max_scale))


@pytest.mark.parametrize(
    ("orientation", "anchor", "canvas", "scale"),
    list(itertools.product(ORIENTATIONS, ["top-left", "center"], CANVASES, [0.31, 0.77, 1.0, 1.9])),
)
def test_a_marked_pixel_lands_where_its_coordinate_says(orientation, anchor, canvas, scale):
    """A white dot is rendered; its centroid is where the matrix sends the dot's center."""
    height, width = 30, 22
    spec = CanonicalSpec(canvases=[canvas], scale="native", anchor=anchor)
    if scale != 1.0:
        spec = CanonicalSpec(canvases=[canvas], scale="longest", side=max(4, round(30 * scale)), anchor=anchor)
    for x, y in [(3, 4), (18, 25), (11, 15)]:
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 255
        source = picture(pixels, orientation)
        transform = plan(source.header.size, source.header.orientation, spec)
        shown = render(source, transform, spec).astype(float).sum(axis=2)
        rows, columns = np.mgrid[0 : shown.shape[0], 0 : shown.shape[1]] + 0.5
        found = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
        dot = PolygonSet.of([[[x + 0.5, y + 0.5]]], frame="raw")
        assert np.abs(found - transform.apply(dot, "canonical")[0][0]).max() < 0.25


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turned_pixels_and_turned_points_agree(orientation):
    pixels = np.zeros((5, 8), dtype=np.uint8)
    pixels[1, 6] = 1
    turned = turn_upright(pixels, orientation)
    (y,), (x,) = np.nonzero(turned)
    assert upright_affine(orientation, (5, 8)).apply([[6.5, 1.5]]).tolist() == [[x + 0.5, y + 0.5]]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_b1_upright_annotations_of_turned_files_are_not_turned_again(orientation):
    """The same upright scene stored in eight ways gives one canonical picture and one set of coordinates."""
    scene = np.random.default_rng(0).integers(0, 255, (20, 34, 3), dtype=np.uint8)
    raw = next(
        np.rot90(m, k) for k in range(4) for m in (scene, scene[:, ::-1])
        if np.array_equal(turn_upright(np.rot90(m, k), orientation), scene)
    )  # fmt: skip
    spec = CanonicalSpec(canvases=[(32, 32), (64, 64)], scale="native")
    source = picture(np.ascontiguousarray(raw), orientation)
    transform = plan(source.header.size, source.header.orientation, spec)
    assert np.array_equal(render(source, transform, spec)[:20, :34], scene)
    box = PolygonSet.of([[[5, 5], [9, 5], [9, 8], [5, 8]]], frame="upright")
    assert transform.apply(box, "canonical").points.tolist() == box.points.tolist()


@pytest.mark.parametrize("tag", [0, 9, 255, None])
def test_junk_orientation_is_shown_as_stored_and_reported(tag):
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    if tag is not None:
        exif[0x0112] = tag
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", exif=exif)
    header = decode(data.getvalue(), name="x").header
    assert (header.orientation, header.orientation_tag) == (1, tag)


def test_b23_sizes_are_height_then_width_everywhere():
    source = picture(np.zeros((10, 30, 3), dtype=np.uint8), 6)
    assert source.header.size == (10, 30)
    assert source.header.upright == (30, 10)
    transform = plan((10, 30), 6, CanonicalSpec(canvases=[(64, 32)], scale="longest", side=60))
    assert transform.resized == (60, 20)
    assert transform.scale == (2.0, 2.0)


def test_b5c_the_transform_refuses_a_picture_it_was_not_planned_for():
    spec = CanonicalSpec(canvases=[(32, 32)])
    transform = plan((10, 30), 1, spec)
    with pytest.raises(FrameError, match="orientation 6"):
        render(picture(np.zeros((10, 30, 3), dtype=np.uint8), 6), transform, spec)


def test_b5e_the_scale_is_that_of_the_produced_sizes():
    """Rounding of the resized sides is in the matrix: picture corners land on picture-area corners exactly."""
    transform = plan((1283, 747), 1, CanonicalSpec.longest(640))
    corner = transform.matrix("raw", "canonical").apply([[747, 1283]])
    np.testing.assert_allclose(corner, [[transform.resized[1], transform.resized[0]]], atol=1e-9)


def test_b13_applying_the_same_frame_twice_changes_nothing():
    transform = plan((100, 50), 6, CanonicalSpec.longest(64))
    raw = PolygonSet.of([[[1, 2], [9, 2], [9, 8]]], frame="raw")
    once = transform.apply(raw, "canonical")
    assert transform.apply(once, "canonical") is once


def test_smallest_canvas_that_holds_the_picture_wins():
    spec = CanonicalSpec.longest(640, shapes=(1.0, 0.5))
    assert plan((1280, 600), 1, spec).canvas == (640, 320)
    assert plan((600, 1280), 1, spec).canvas == (320, 640)
    assert plan((1280, 900), 1, spec).canvas == (640, 640)
    assert plan((1280, 600), 6, spec).canvas == (320, 640)


def test_a_picture_that_fits_no_canvas_at_its_scale_is_reduced_to_where_it_stays_largest():
    spec = CanonicalSpec(canvases=[(320, 320), (320, 640)], scale="shortest", side=320)
    transform = plan((300, 3000), 1, spec)
    assert transform.canvas == (320, 640)
    assert transform.resized == (64, 640)


def test_native_never_resizes_within_the_cap():
    spec = CanonicalSpec(canvases=[(64, 64)], scale="native")
    assert plan((20, 30), 1, spec).resized == (20, 30)
    assert plan((128, 30), 1, spec).resized == (64, 15)


def test_a_transform_survives_its_dictionary():
    transform = plan((1283, 747), 6, CanonicalSpec.longest(640, anchor="center"))
    assert CanonicalTransform.from_dict(transform.as_dict()) == transform


def test_all_faults_of_a_spec_are_named_at_once():
    with pytest.raises(SpecError) as error:
        CanonicalSpec(canvases=[(0, 4)], scale="widest", anchor="left", fill=(0, 0, 300), shrink="area")
    for word in ("canvases", "widest", "left", "300", "area"):
        assert word in str(error.value)


def test_padding_has_the_fill_color_and_inputs_stay_untouched():
    pixels = np.full((8, 8, 3), 9, dtype=np.uint8)
    source = picture(pixels)
    spec = CanonicalSpec(canvases=[(8, 16)], scale="native", fill=(1, 2, 3), anchor="center")
    before = source.pixels
    shown = render(source, plan((8, 8), 1, spec), spec)
    assert shown[0, 0].tolist() == [1, 2, 3]
    assert shown[0, 15].tolist() == [1, 2, 3]
    assert (shown[:, 4:12] == 9).all()
    assert np.array_equal(source.pixels, before)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1000, 1400), (1001, 1399), (1007, 1393)])
def test_reduced_decoding_shows_the_same_picture_in_the_same_place(size, orientation):
    """The last block of a reduced JPEG reaches beyond the picture; the coordinates must not stretch with it."""
    height, width = size
    smooth = np.zeros((height, width, 3), dtype=np.uint8)
    for y, x in [(100, 150), (height - 60, width - 70), (500, 700)]:
        smooth[y - 24 : y + 24, x - 24 : x + 24] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    Image.fromarray(smooth).save(data, "JPEG", quality=95, exif=exif)
    spec = CanonicalSpec.longest(64, decode="reduced")
    full = decode(data.getvalue(), name="x")
    transform = plan(full.header.size, orientation, spec)
    reduced = decode(data.getvalue(), name="x", at_least=needed_resolution(transform))
    assert reduced.reduction == 8
    a, b = (render(p, transform, spec).astype(int) for p in (full, reduced))
    assert np.abs(a - b).mean() < 1
    for image in (a, b):
        rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]] + 0.5
        weight = image.sum(axis=2).astype(float)
        corner = transform.matrix("raw", "canonical").apply([[width - 70, height - 60]])[0]
        near = (np.abs(columns - corner[0]) < 5) & (np.abs(rows - corner[1]) < 5)
        weight = weight * near
        found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        assert np.abs(found - corner).max() < 0.1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_b5d_mirroring_is_part_of_the_matrix(orientation):
    """The earlier inverse lacked the flip: overlays were mirrored and nothing said so."""
    transform = plan((300, 400), orientation, CanonicalSpec.longest(200))
    for source, target in (("raw", "canonical"), ("canonical", "raw")):
        mirrored = np.linalg.det(transform.matrix(source, target).matrix) < 0
        assert mirrored == (orientation in (2, 4, 5, 7))
