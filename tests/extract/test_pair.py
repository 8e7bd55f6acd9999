"""Drawing and extraction undo each other: perfect maps give the polygons they were drawn from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import DRAWN, MapSpec, draw_maps
from tests.extract.drawing import arc_text, best_iou, rectangle


def texts(seed, *, angles, heights, number=40, aspects=(2, 14)):
    """One text on each canvas, at any sub-pixel position."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        height = rng.uniform(*heights)
        width = height * rng.uniform(*aspects)
        center = 120 + rng.uniform(0, 1, 2)
        yield rectangle(*center, width, height, rng.uniform(*angles))


def round_trip(truth, style, shrink_ratio, shape="boxes", size=(240, 240)):
    polygons = PolygonSet.of([truth], frame="canonical")
    maps = draw_maps(polygons, MapSpec(style=style, shrink_ratio=shrink_ratio), size)
    spec = ExtractSpec(kernel=style, shrink_ratio=shrink_ratio, shape=shape)
    return maps, extract(maps.probability.astype(bool), spec).polygons


@pytest.mark.parametrize("shrink_ratio", [0.4, 0.6])
@pytest.mark.parametrize("angles", [(0, 0), (-45, 45), (90, 90)], ids=str)
def test_lines_of_ten_pixels_come_back(angles, shrink_ratio):
    agreement = [best_iou(round_trip(t, "exact", shrink_ratio)[1], t) for t in texts(0, angles=angles, heights=(9, 12))]
    assert min(agreement) > 0.65
    assert np.mean(agreement) > 0.87


@pytest.mark.parametrize("shape", ["boxes", "polygons"])
def test_words_of_forty_pixels_come_back_almost_exactly(shape):
    found = [
        best_iou(round_trip(t, "exact", 0.6, shape)[1], t)
        for t in texts(1, angles=(-45, 45), heights=(25, 50), aspects=(1, 4))
    ]
    assert min(found) > 0.9
    assert np.mean(found) > 0.96


@pytest.mark.parametrize("shrink_ratio", [0.4, 0.6])
def test_texts_come_back_without_a_shift_and_with_their_size(shrink_ratio):
    """Half a pixel, a swapped axis or another D would show in these means long before it shows in an IoU."""
    shifts, sizes = [], []
    for truth in texts(2, angles=(0, 0), heights=(20, 30), aspects=(3, 6), number=80):
        (found,) = round_trip(truth, "exact", shrink_ratio)[1]
        shifts.append(found.mean(axis=0) - truth.mean(axis=0))
        sizes.append(np.ptp(found, axis=0) / np.ptp(truth, axis=0))
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.12
    assert np.abs(np.mean(sizes, axis=0) - 1).max() < 0.025


def test_official_texts_come_back_without_a_shift_on_average():
    shifts = []
    for truth in texts(3, angles=(0, 0), heights=(20, 30), aspects=(3, 6), number=80):
        (found,) = round_trip(truth, "official", 0.4)[1]
        shifts.append(found.mean(axis=0) - truth.mean(axis=0))
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.15


@pytest.mark.parametrize("style", ["exact", "official"])
def test_the_wrong_style_or_ratio_is_worse(style):
    other = {"exact": "official", "official": "exact"}[style]
    right, wrong_style, wrong_ratio = [], [], []
    for truth in texts(4, angles=(-20, 20), heights=(12, 20)):
        maps, found = round_trip(truth, style, 0.4)
        map = maps.probability.astype(bool)
        right.append(best_iou(found, truth))
        wrong_style.append(best_iou(extract(map, ExtractSpec(kernel=other, shrink_ratio=0.4)).polygons, truth))
        wrong_ratio.append(best_iou(extract(map, ExtractSpec(kernel=style, shrink_ratio=0.6)).polygons, truth))
    assert np.mean(right) > np.mean(wrong_style) + 0.03
    assert np.mean(right) > np.mean(wrong_ratio) + 0.1


@pytest.mark.parametrize("shrink_ratio", [0.4, 0.6])
def test_curved_text_comes_back(shrink_ratio):
    rng = np.random.default_rng(5)
    for _ in range(12):
        truth = arc_text(*(150 + rng.uniform(0, 1, 2)), rng.uniform(60, 110), rng.uniform(16, 34), rng.uniform(60, 200))
        _, found = round_trip(truth, "exact", shrink_ratio, "polygons", (300, 300))
        assert best_iou(found, truth) > 0.9


@pytest.mark.shared
def test_every_golden_curved_text_comes_back(shared):
    """All polygons that are drawn, at the default shrink ratio; IoU of each at least 0.9."""
    count = 0
    for path in sorted((shared / "golden" / "db_maps").glob("curved_*.npz")):
        with np.load(path) as case:
            polygons = PolygonSet(
                points=case["points"],
                offsets=case["offsets"],
                ignore=case["ignore"],
                texts=(None,) * len(case["ignore"]),
                frame="canonical",
            )
            maps = draw_maps(polygons, MapSpec(), tuple(int(side) for side in case["size"]))
        found = extract(maps.probability.astype(bool), ExtractSpec(shape="polygons")).polygons
        for polygon, outcome in zip(polygons, maps.outcomes, strict=True):
            if outcome in DRAWN:
                assert best_iou(found, polygon) >= 0.9, path.stem
                count += 1
    assert count == 39


def test_long_curved_text_with_a_ragged_outline_keeps_its_shape():
    """Its kernel has some hundred vertices, and growing it makes edges vanish."""
    turn = np.linspace(0, 5 * np.pi, 160)
    radius, around = 80 + 22 * turn, np.stack([np.cos(turn), np.sin(turn)], axis=1)
    truth = np.concatenate([(radius + 26)[:, None] * around, ((radius - 26)[:, None] * around)[::-1]]) + 470
    maps, _ = round_trip(truth, "exact", 0.6, "polygons", (940, 940))
    rng, kernel = np.random.default_rng(0), maps.probability.astype(np.float32)
    rough = cv2.GaussianBlur(rng.normal(0, 1.2, kernel.shape), (0, 0), 1.5) * cv2.dilate(kernel, np.ones((3, 3)))
    map = np.clip(cv2.GaussianBlur(kernel, (0, 0), 1.0) + rough, 0, 1)
    found = extract(map, ExtractSpec(shrink_ratio=0.6, shape="polygons", score_min=0.3)).polygons
    assert best_iou(found, truth) > 0.93
