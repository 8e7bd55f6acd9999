"""Predictions sit on the text in the stored pixels and in what a viewer shows, under every EXIF orientation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from shapely.geometry import Polygon

from ocrmaps.canonical import CanonicalSpec, turn_upright
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained
from tests.predict.bright import HEIGHT, TEXTS, WIDTH, bright

UPRIGHT_TO_RAW = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (WIDTH - x, y),
    3: lambda x, y: (WIDTH - x, HEIGHT - y),
    4: lambda x, y: (x, HEIGHT - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (y, WIDTH - x),
    7: lambda x, y: (HEIGHT - y, WIDTH - x),
    8: lambda x, y: (HEIGHT - y, x),
}
"""Written by hand, on purpose: the code under test computes them from one table."""


def stored(upright: Image.Image, orientation: int, path: Path) -> Path:
    """A file whose stored pixels look like `upright` once a viewer applies the orientation."""
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    raw = Image.fromarray(np.ascontiguousarray(turn_upright(np.asarray(upright), undo)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    raw.save(path, exif=exif)
    with Image.open(path) as saved:  # by somebody else's reading of the standard
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(saved)), np.asarray(upright))
    return path


def best(outline: np.ndarray, truths: list[Polygon]) -> tuple[float, np.ndarray]:
    """(IoU, center minus center) with the truth that fits best."""
    found = Polygon(outline)
    ious = [found.intersection(t).area / found.union(t).area for t in truths]
    truth = truths[int(np.argmax(ious))]
    return max(ious), np.array(found.centroid.coords[0]) - np.array(truth.centroid.coords[0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["upright", "raw"])
def test_polygons_sit_on_the_text(orientation, frame, trained: Trained, painted, tmp_path):
    path = stored(painted, orientation, tmp_path / "a.png")
    (found,) = predict_pictures(trained, [path], frame=frame)
    turn = UPRIGHT_TO_RAW[orientation] if frame == "raw" else UPRIGHT_TO_RAW[1]
    truths = [Polygon([turn(x, y) for x, y in text]) for text in TEXTS]
    assert found.polygons.frame == frame
    assert len(found.polygons) == len(TEXTS)
    fits = [best(outline, truths) for outline in found.polygons]
    assert min(iou for iou, _ in fits) > 0.92
    # Half a canonical pixel, the classic mistake, is 1.25 pixels each way at this scale.
    assert max(float(np.hypot(*off)) for _, off in fits) < 0.6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_inside_raw_polygons_are_text(orientation, trained: Trained, painted, tmp_path):
    path = stored(painted, orientation, tmp_path / "a.png")
    (found,) = predict_pictures(trained, [path], frame="raw")
    with Image.open(path) as image:
        pixels = np.asarray(image)  # as stored: no orientation applied
    red = (pixels[..., 0] > 180) & (pixels[..., 2] < 60)
    inside = np.zeros(red.shape, dtype=np.uint8)
    for outline in found.polygons:
        cv2.fillPoly(inside, [np.round(outline).astype(np.int32)], 1)
    assert found.size == red.shape
    assert (red & (inside == 0)).sum() == 0
    assert red.sum() > 0.3 * inside.sum()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_outlines_run_clockwise_in_every_frame(orientation, trained: Trained, painted, tmp_path):
    path = stored(painted, orientation, tmp_path / "a.png")
    for frame in ("upright", "raw"):
        (found,) = predict_pictures(trained, [path], frame=frame)
        assert (found.polygons.signed_areas() > 0).all()


@pytest.mark.parametrize("anchor", ["top-left", "center"])
@pytest.mark.parametrize("side", [160, 224, 640, 1024])
def test_canvas_scale_and_anchor_do_not_shift_the_text(side, anchor, painted, tmp_path):
    path = stored(painted, 6, tmp_path / "a.png")
    trained = bright(CanonicalSpec.longest(side, shapes=(1.0,), anchor=anchor))
    (found,) = predict_pictures(trained, [path])
    fits = [best(outline, [Polygon(t) for t in TEXTS]) for outline in found.polygons]
    assert len(fits) == len(TEXTS)
    # Single ends fall between pixels; what all outlines share would be a shift.
    shift = np.mean([off for _, off in fits], axis=0)
    assert np.abs(shift).max() < 0.25 * HEIGHT / side


def test_channels_are_read_as_red_green_blue(trained: Trained, painted, tmp_path):
    Image.fromarray(np.asarray(painted)[..., ::-1].copy()).save(tmp_path / "blue.png")
    painted.save(tmp_path / "red.png")
    red, blue = predict_pictures(trained, [tmp_path / "red.png", tmp_path / "blue.png"])
    assert (len(red.polygons), len(blue.polygons)) == (len(TEXTS), 0)
