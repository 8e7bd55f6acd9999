"""Pages in windows give the boxes of the whole page: none is cut or joined where windows meet."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ocrmaps import api
from ocrmaps.annotations import open_source
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.canonical import CanonicalSpec, plan, render
from ocrmaps.detect.load import load_any
from ocrmaps.detect.pages import PictureFile, open_page
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.tiles import Viewer, enlarged, merged, reach, render_part, spans
from ocrmaps.detect.trained import Trained
from ocrmaps.detect.view import PageView
from ocrmaps.errors import SpecError
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.extract import extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.model import DetectorSpec, build_detector
from ocrmaps.shipped import shipped
from tests.predict.bright import TEXTS, bright, paint
from tests.predict.test_command import ocrmaps  # noqa: F401  # a fixture


@pytest.fixture(scope="module")
def receipts() -> Trained:
    """A trained network with real weights."""
    return load_any(shipped("receipts"))


def text_like(height: int, width: int) -> np.ndarray:
    """Lines of letters, so that a trained detector finds some."""
    pixels = np.full((height, width, 3), 235, dtype=np.uint8)
    for y in range(40, height - 10, 34):
        cv2.putText(pixels, "TOTAL 12.50 CASH RECEIPT 0123456789 " * 3, (8 + y % 50, y), 0, 0.6, (30, 30, 30), 2)
    return pixels


def in_windows(trained: Trained, pixels: np.ndarray, tile: int, overlap: int) -> tuple[np.ndarray, float]:
    def network(window):
        top, bottom, left, right = window
        return trained.maps(pixels[None, top:bottom, left:right], threshold=False)[0][0], None

    (map, _), apart = merged(network, pixels.shape[:2], tile, overlap, 32)
    return map, apart


def same_boxes(a: PolygonSet, b: PolygonSet, atol: float) -> bool:
    return len(a) == len(b) and np.allclose(a.points, b.points, atol=atol)


def test_windows_with_the_reach_between_them_give_the_boxes_of_the_whole_page(receipts):
    pixels = text_like(1024, 1600)
    far = reach(receipts, 32)
    assert far % 32 == 0 and 128 < far < 512
    whole = receipts.maps(pixels[None], threshold=False)[0][0]
    parts, apart = in_windows(receipts, pixels, 1024, 2 * far)
    assert np.abs(whole - parts).max() < 1e-5 and apart < 1e-5
    mine, theirs = (extract(map, receipts.extract).polygons for map in (whole, parts))
    assert len(mine) > 20 and same_boxes(mine, theirs, 1e-3)
    # Windows that overlap too little are what the reach is there to prevent.
    short, apart = in_windows(receipts, pixels, 192, 32)
    assert np.abs(whole - short).max() > 0.01 and apart > 0.01


def test_a_network_that_pools_over_its_picture_has_no_reach_and_says_so(tmp_path):
    spec = DetectorSpec(encoder="mobilenetv3_small", seed=1)
    detector = build_detector(spec).eval().requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn.init.normal_(detector.head.probability[-1].weight, std=0.1)
    trained = replace(bright(CanonicalSpec.longest(64)), detector=detector)
    assert reach(trained, 32) is None
    Image.fromarray(text_like(608, 1408)).save(tmp_path / "page.png")
    viewer = Viewer.of(trained, PageView(tile=1024), trained.extract)
    assert not viewer.local
    looked = viewer.look(open_page(PictureFile(name="page", path=tmp_path / "page.png")))
    assert looked.probability.shape == (608, 1408) and "neighbors differ by up to" in looked.note


@pytest.mark.parametrize("length", [32, 96, 640, 672, 1888, 4096])
@pytest.mark.parametrize(("tile", "overlap"), [(96, 32), (640, 384), (128, 96)])
def test_windows_cover_a_side_and_overlap_enough(length, tile, overlap):
    windows = spans(length, tile, overlap, 32)
    assert windows[0][0] == 0 and windows[-1][1] == length
    assert all(end - start == min(tile, length) and start % 32 == 0 for start, end in windows)
    assert all(a[1] - b[0] >= overlap for a, b in pairwise(windows))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("anchor", ["top-left", "center"])
def test_a_window_shows_what_the_whole_picture_shows(orientation, anchor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(text_like(300, 410)).save(tmp_path / "page.png", exif=exif)
    picture = open_page(PictureFile(name="page", path=tmp_path / "page.png"))
    spec = CanonicalSpec(canvases=((256, 320), (320, 256)), scale="fit", anchor=anchor, fill=(9, 8, 7))
    transform = plan(picture.header.size, picture.header.orientation, spec)
    whole = render(picture, transform, spec)
    height, width = transform.canvas
    for window in ((0, height, 0, width), (64, 192, 96, 256), (height - 64, height, 0, 64)):
        part = render_part(picture, transform, spec, window)
        expected = whole[window[0] : window[1], window[2] : window[3]]
        assert np.abs(part.astype(int) - expected).max() <= 1


def test_pages_in_windows_are_read_in_their_own_pixels(painted, tmp_path):
    """Nine times as large as the canvas; a text lies across each seam."""
    large = Image.fromarray(np.tile(np.asarray(painted), (3, 3, 1)))
    large.save(tmp_path / "large.png")
    (found,) = api.predict(bright(), tmp_path / "large.png", tile=256)
    assert found.transform is not None and found.transform.scale == (1.0, 1.0)
    assert len(found.polygons) == 9 * len(TEXTS)
    centers = np.array([np.mean(p, axis=0) for p in found.polygons])
    for text in TEXTS:
        assert np.abs(centers - np.mean(text, axis=0)).sum(axis=1).min() < 1.0
    own = CanonicalSpec(canvases=((2400, 1824),), scale="native")
    (whole,) = predict_pictures(bright(own), [tmp_path / "large.png"])
    assert same_boxes(whole.polygons, found.polygons, 1e-6)


def test_auto_looks_closer_where_texts_are_small_and_not_where_they_are_high(tmp_path):
    line = [(20, 20), (220, 20), (220, 40), (20, 40)]
    small = paint((600, 3000), [[(x + dx, y + dy) for x, y in line] for dx in (0, 1500, 2700) for dy in (0, 300)])
    high = np.asarray(Image.fromarray(small).resize((9000, 1800)))
    sizes = {}
    for name, pixels in (("small", small), ("high", high)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        (found,) = predict_pictures(bright(), [tmp_path / f"{name}.png"], view=PageView(tile="auto"))
        assert found.transform is not None and len(found.polygons) == 6
        sizes[name] = found.transform.scale[0]
    assert sizes["small"] == pytest.approx(0.8, abs=0.15) and sizes["high"] == pytest.approx(16 / 60, abs=0.05)


def test_scales_are_averaged_in_the_pixels_of_the_largest(painted, tmp_path):
    painted.save(tmp_path / "page.png")
    (found,) = predict_pictures(bright(), [tmp_path / "page.png"], view=PageView(scales=(1.0, 2.0)), keep_maps=True)
    assert found.probability is not None and found.probability.shape == (640, 480) and len(found.polygons) == len(TEXTS)
    first = plan((800, 600), 1, bright().canonical)
    assert enlarged(first, 2.0, 32).resized == (640, 480)


def test_views_that_cannot_be_are_refused(receipts):
    for broken in ({"tile": 10}, {"tile": "some"}, {"scales": ()}, {"scales": (1.0, 1.0)}, {"scales": (9.0,)}):
        with pytest.raises(SpecError):
            PageView(**broken)
    with pytest.raises(SpecError, match=rf"looks {reach(receipts, 32)} pixels far.*") as caught:
        Viewer.of(receipts, PageView(tile=256), receipts.extract)
    assert f"--tile {4 * reach(receipts, 32)}" in caught.value.hint


def test_predicting_and_evaluating_take_the_same_windows(ocrmaps, tmp_path):  # noqa: F811
    save(SynthSpec(num=1, seed=3, size=(256, 160), lines=(2, 4), text_height=(10.0, 16.0)), tmp_path / "s")
    source = open_source(tmp_path / "s")
    view = PageView(tile=1024, scales=(1.0, 0.8))
    evaluation = evaluate_checkpoint(shipped("receipts"), source=source, view=view)
    (found,) = predict_pictures(load_any(shipped("receipts")), sorted(source.pictures.iterdir()), view=view)
    assert same_boxes(evaluation.pictures[0].detections, found.polygons, 0)
    assert evaluation.identity["view"] == {"tile": 1024, "scales": (1.0, 0.8)}
    code, _, err = ocrmaps("evaluate", "receipts", "--store", "none", "--tile", "auto", "--root", tmp_path)
    assert code != 0
    code, _, err = ocrmaps("predict", "receipts", tmp_path / "s", "--out", tmp_path / "p.json", "--tile", "wide")
    assert code == 2 and "expected a number of pixels, or auto" in err
