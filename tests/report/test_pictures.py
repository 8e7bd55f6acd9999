"""Overlays lie where the coordinates say, in every frame; museum B5c: frames that disagree are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit.pictures import Canvas, beside, jpeg, overlay, png, see, shrink, window
from ocrmaps.pictures import decode

SPEC = CanonicalSpec.longest(96)


def stored(width: int, height: int, orientation: int, value: int = 128):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height), (value, value, value)).save(buffer, "PNG", exif=exif)
    return decode(buffer.getvalue())


def drawn_box(before, after):
    """x0, y0, x1, y1 of the changed pixels as continuous bounds."""
    y, x = np.nonzero((before != after).any(axis=2))
    return x.min(), y.min(), x.max() + 1, y.max() + 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["raw", "upright", "canonical"])
def test_outlines_are_drawn_where_the_transform_puts_them(orientation, frame):
    canvas = see(stored(96, 64, orientation), frame, SPEC)
    width, height = canvas.transform.upright_size[::-1]
    quad = [(0.25 * width, 0.25 * height), (0.75 * width, 0.25 * height), (0.75 * width, 0.5 * height),
            (0.25 * width, 0.5 * height)]  # fmt: skip
    polygons = canvas.transform.apply(PolygonSet.of([quad], frame="upright"), frame)
    found = drawn_box(canvas.pixels, overlay(canvas, polygons, width=1))
    x, y = polygons.points.T
    # A line of one pixel in a casing of three, smoothed: some pixels around the edge, as many on either side of it.
    assert found == pytest.approx((x.min(), y.min(), x.max(), y.max()), abs=4.1)
    assert (found[0] + found[2]) / 2 == pytest.approx((x.min() + x.max()) / 2, abs=0.6)
    assert (found[1] + found[3]) / 2 == pytest.approx((y.min() + y.max()) / 2, abs=0.6)


@pytest.mark.parametrize(("of_picture", "of_outlines"), [("raw", "upright"), ("upright", "raw"), ("canonical", "raw")])
def test_b5c_frames_that_disagree_are_refused(of_picture, of_outlines):
    canvas = see(stored(96, 64, 6), of_picture, SPEC)
    with pytest.raises(FrameError, match=f"outlines in the frame {of_outlines}"):
        overlay(canvas, PolygonSet.of([[(1, 1), (9, 1), (9, 9)]], frame=of_outlines))


def test_pixels_of_another_size_than_their_frame_are_refused():
    canvas = see(stored(96, 64, 6), "upright", SPEC)
    with pytest.raises(FrameError, match="raw picture has"):
        Canvas(pixels=canvas.pixels, frame="raw", transform=canvas.transform)


def test_the_picture_itself_is_not_drawn_on():
    canvas = see(stored(96, 64, 1), "upright", SPEC)
    before = canvas.pixels.copy()
    overlay(canvas, PolygonSet.of([[(1, 1), (90, 1), (90, 60)]], frame="upright"), label="number")
    assert (canvas.pixels == before).all()


@pytest.mark.parametrize("label", ["none", "number", "text"])
def test_outlines_far_outside_and_without_points_are_bearable(label):
    canvas = see(stored(96, 64, 1), "upright", SPEC)
    huge = [(-1e12, 32), (1e12, 32), (1e12, 1e12), (-1e12, 1e12)]
    away = [(500, 500), (510, 500), (510, 510)]
    texts = ["a", "\x1b\u202e日本", None]
    polygons = PolygonSet.of([huge, away, [(3, 3)]], frame="upright", texts=texts)
    after = overlay(canvas, polygons, label=label, width=1)
    assert (after[31:33] != canvas.pixels[31:33]).any(axis=(0, 2)).all(), "the long edge crosses the whole picture"
    assert after.shape == canvas.pixels.shape


def test_ignored_and_picked_outlines_have_their_own_colors():
    canvas = see(stored(96, 64, 1, value=255), "upright", SPEC)
    boxes = [[(5, y), (90, y), (90, y + 10), (5, y + 10)] for y in (5, 25, 45)]
    polygons = PolygonSet.of(boxes, frame="upright", ignore=[False, True, False])
    after = overlay(canvas, polygons, picked=[2], width=2).astype(int)
    text, ignored, picked = (after[y - 1 : y + 2, 20:70].min(axis=0).mean(axis=0) for y in (5, 25, 45))
    assert text[2] > text[0] and ignored[0] > ignored[2] and picked[0] > picked[1]


def test_a_window_keeps_the_outline_inside_and_stays_on_the_picture():
    for points in ([(0, 0), (30, 0), (30, 9)], [(390, 290), (399, 290), (399, 299)], [(-50, 10), (900, 10), (5, 20)]):
        rows, columns = window(np.array(points, dtype=float), (300, 400), least=100)
        assert 0 <= rows.start < rows.stop <= 300 and 0 <= columns.start < columns.stop <= 400
        assert rows.stop - rows.start >= 100 and columns.stop - columns.start >= 100
        inside = np.clip(points, 0, (400, 300))
        assert columns.start <= inside[:, 0].min() and inside[:, 0].max() <= columns.stop
        assert rows.start <= inside[:, 1].min() and inside[:, 1].max() <= rows.stop


def test_small_pictures_survive_every_step():
    dot = np.zeros((1, 1, 3), dtype=np.uint8)
    assert shrink(dot, 100).shape == (1, 1, 3)
    assert beside(dot, np.zeros((900, 2, 3), dtype=np.uint8)).shape[0] == 320
    assert Image.open(io.BytesIO(jpeg(dot))).size == Image.open(io.BytesIO(png(dot))).size == (1, 1)
    assert shrink(np.zeros((3, 4000, 3), dtype=np.uint8), 100).shape == (1, 100, 3)


def test_the_pale_casing_stays_outside_so_that_the_edges_of_text_are_seen():
    canvas = see(stored(96, 64, 1, value=0), "upright", SPEC)
    boxes = [[(10, 10), (80, 10), (80, 22), (10, 22)], [(10, 40), (80, 40), (80, 44), (10, 44)]]
    after = overlay(canvas, PolygonSet.of(boxes, frame="upright"), width=2)
    for (left, top), _, (right, bottom), _ in boxes:
        assert after[top:bottom, left:right, 0].max() < 100, "the line is blue, the casing white"
        assert after[top - 2, left:right, 0].min() > 40, "outside there is a casing"


def test_lines_on_small_text_are_thin_and_scores_stand_left_of_it():
    pixels = np.full((1200, 900, 3), 255, dtype=np.uint8)
    large = PolygonSet.of([[(300, 300), (700, 300), (700, 360), (300, 360)]], frame="upright")
    polygons = PolygonSet.of([[(300, 100), (500, 100), (500, 112), (300, 112)], *large], frame="upright")
    canvas = see(decode(jpeg(pixels)), "upright", CanonicalSpec.longest(640))
    plain = overlay(canvas, polygons, width=4)
    assert (plain < 200).any(axis=2)[95:118, 400].sum() < 6
    assert (overlay(canvas, large, width=4) < 200).any(axis=2)[290:370, 400].sum() >= 8
    told = overlay(canvas, polygons, width=4, label="score", scores=[0.93, 1.0])
    changed = (told != plain).any(axis=2)
    assert changed[90:125, 250:299].any() and not changed[:, 301:].any()
    with pytest.raises(SpecError, match="found 1 scores for 2 outlines"):
        overlay(canvas, polygons, label="score", scores=[0.5])
