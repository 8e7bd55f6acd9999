"""Published settings: the reference outputs, and a plain loop written from the definition, give the same texts."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pyclipper
import pytest

from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.extract.published import grow_quads, rounded_to_original
from ocrmaps.geometry import PolygonSet
from ocrmaps.pipelines.bench.cases.extract import receipt_map
from ocrmaps.pipelines.bench.references.extract import plain_boxes, plain_polygons

PIXELS, SCORE = 1, 1e-4
"""How well results must agree."""


def scaled(polygons, size, dest_size):
    """Canonical polygons in whole pixels of the destination, as the published code writes them."""
    scale = np.array([dest_size[1] / size[1], dest_size[0] / size[0]])
    return [np.clip(np.round(p * scale), 0, [dest_size[1], dest_size[0]]) for p in polygons]


def assert_same(found, scores, expected, expected_scores):
    """Every text has its own partner with as many vertices, in any order."""
    assert len(found) == len(expected)
    free = list(range(len(expected)))
    for polygon, score in zip(found, scores, strict=True):
        for i in free:
            same = len(expected[i]) == len(polygon) and np.abs(expected[i] - polygon).max() <= PIXELS
            if same and abs(float(expected_scores[i]) - float(score)) <= SCORE:
                free.remove(i)
                break
        else:
            raise AssertionError(f"no partner for {polygon.tolist()} with score {score}")


@pytest.fixture(scope="module")
def golden(shared):
    paths = sorted((shared / "golden" / "db_boxes").glob("*.npz"))
    assert len(paths) == 11
    return [(path.stem, dict(np.load(path))) for path in paths]


@pytest.mark.shared
def test_boxes_are_those_of_the_original_implementation(golden):
    for _, case in golden:
        found = extract(case["probability_u8"].astype(np.float32) / 255, ExtractSpec.peers())
        assert_same(
            scaled(found.polygons, case["probability_u8"].shape, case["dest_size"]),
            found.scores,
            list(case["quads"].astype(np.int64)),
            case["quad_scores"],
        )


@pytest.mark.shared
def test_polygons_are_those_of_the_original_implementation(golden):
    for _, case in golden:
        found = extract(case["probability_u8"].astype(np.float32) / 255, ExtractSpec.peers("polygons"))
        offsets = case["polygon_offsets"]
        assert_same(
            scaled(found.polygons, case["probability_u8"].shape, case["dest_size"]),
            found.scores,
            [case["polygon_points"][a:b] for a, b in pairwise(offsets)],
            case["polygon_scores"],
        )


@pytest.mark.shared
@pytest.mark.parametrize("shape", ["boxes", "polygons"])
def test_texts_of_the_original_picture_are_the_same_whole_numbers(golden, shape):
    for name, case in golden:
        found = extract(case["probability_u8"].astype(np.float32) / 255, ExtractSpec.peers(shape)).polygons
        size, original = case["probability_u8"].shape, tuple(case["dest_size"].tolist())
        rounded = rounded_to_original(found, shape=shape, size=size, original=original)
        offsets = case["polygon_offsets"]
        expected = [case["polygon_points"][a:b] for a, b in pairwise(offsets)] if shape == "polygons" else case["quads"]
        assert rounded.frame == "upright"
        assert sorted(p.tolist() for p in rounded) == sorted(np.asarray(p, float).tolist() for p in expected), name


def test_boxes_are_scaled_in_float32_and_polygons_are_not():
    # 0.1 of 4305 is 430.5 to float32 and goes to the even 430; the float64 of the same corner is a little more.
    corner = np.float64(np.float32(0.1))
    square = PolygonSet.of([[(corner, 0), (0.9, 0), (0.9, 0.9), (corner, 0.9)]], frame="canonical")
    sizes = {"size": (1, 1), "original": (4305, 4305)}
    assert rounded_to_original(square, shape="boxes", **sizes).points[0, 0] == 430
    assert rounded_to_original(square, shape="polygons", **sizes).points[0, 0] == 431


@pytest.mark.shared
def test_uint8_maps_are_read_as_shares_of_255(golden):
    _, case = golden[4]
    from_bytes = extract(case["probability_u8"], ExtractSpec.peers())
    from_floats = extract(case["probability_u8"].astype(np.float32) / 255, ExtractSpec.peers())
    assert from_bytes.polygons == from_floats.polygons
    assert (from_bytes.scores == from_floats.scores).all()


def noisy_map(seed: int) -> np.ndarray:
    """Kernels of all sizes with holes, bumps and specks, some cut off by the border."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((200, 260), dtype=np.float32)
    for _ in range(14):
        box = (
            (rng.uniform(-5, 265), rng.uniform(-5, 205)),
            (rng.uniform(2, 90), rng.uniform(1, 22)),
            rng.uniform(0, 90),
        )
        cv2.fillPoly(drawn, [np.round(cv2.boxPoints(box)).astype(np.int32)], 1.0)
    noise = cv2.GaussianBlur(rng.normal(size=drawn.shape).astype(np.float32), (0, 0), 1.0)
    return np.clip(0.9 * cv2.GaussianBlur(drawn, (0, 0), 0.8) + 0.5 * noise * (rng.random() < 0.7), 0, 1)


MAPS = {"receipt": lambda: receipt_map(5), **{f"noisy{i}": lambda i=i: noisy_map(i) for i in range(12)}}


@pytest.mark.parametrize("name", MAPS)
def test_boxes_are_those_of_the_plain_loop(name):
    map = MAPS[name]()
    dest_size = (317, 411)
    quads, scores = plain_boxes(map, dest_size)
    found = extract(map, ExtractSpec.peers())
    assert len(quads) > 1
    assert_same(scaled(found.polygons, map.shape, dest_size), found.scores, quads, scores)


@pytest.mark.parametrize("name", MAPS)
def test_polygons_are_those_of_the_plain_loop(name):
    map = MAPS[name]()
    dest_size = (317, 411)
    polygons, scores = plain_polygons(map, dest_size)
    found = extract(map, ExtractSpec.peers("polygons"))
    assert len(polygons) > 1
    assert_same(scaled(found.polygons, map.shape, dest_size), found.scores, polygons, scores)


@pytest.mark.parametrize("changes", [{"binarize": 0.5, "score_min": 0.3}, {"unclip_ratio": 2.5}, {"max_candidates": 6}])
def test_other_numbers_at_published_arithmetic_follow_the_plain_loop(changes):
    map = noisy_map(3)
    names = {"unclip_ratio": "unclip"}
    quads, scores = plain_boxes(map, map.shape, **{names.get(k, k): v for k, v in changes.items()})
    found = extract(map, ExtractSpec.peers(**changes))
    assert len(quads)
    assert_same(scaled(found.polygons, map.shape, map.shape), found.scores, quads, scores)


def test_holes_are_candidates_and_the_cap_follows_discovery():
    map = np.zeros((40, 60), dtype=np.float32)
    map[5:35, 5:35] = 1
    map[12:28, 12:28] = 0
    map[5:15, 45:55] = 0.7
    outcomes = extract(map, ExtractSpec.peers()).outcomes
    assert (outcomes.found, outcomes.holes) == (3, 0)
    # Found from the bottom up: the better of the two comes later and is not looked at.
    better_later = np.zeros((40, 60), dtype=np.float32)
    better_later[5:15, 5:35] = 1
    better_later[25:35, 5:35] = 0.7
    capped = extract(better_later, ExtractSpec.peers(max_candidates=1))
    assert capped.scores.tolist() == pytest.approx([0.7])
    assert capped.outcomes.over_cap == 1


def test_the_slow_score_is_the_mean_over_the_contour():
    slanted = np.zeros((60, 60), dtype=np.float32)
    cv2.line(slanted, (10, 10), (50, 45), 1.0, 9)
    fast = extract(slanted, ExtractSpec.peers(score_min=0.0))
    slow = extract(slanted, ExtractSpec.peers(score_min=0.0, score="slow"))
    assert slow.scores[0] == 1.0 > fast.scores[0]
    assert slow.polygons == fast.polygons


def test_dropped_boxes_leave_no_rows_of_zeros():
    map = np.zeros((30, 60), dtype=np.float32)
    map[5:7, 5:50] = 1
    map[15:25, 5:50] = 0.4
    found = extract(map, ExtractSpec.peers())
    assert len(found) == 0
    assert (found.outcomes.small_kernel, found.outcomes.low_score) == (1, 1)


def test_quads_are_grown_as_by_the_clipper():
    rng = np.random.default_rng(7)
    quads = np.array(
        [
            cv2.boxPoints(((*rng.uniform(-20, 600, 2),), (rng.uniform(3, 300), rng.uniform(3, 60)), rng.uniform(0, 90)))
            for _ in range(3000)
        ],
        dtype=np.float64,
    )
    corners = quads.astype(np.int32)
    points, ends = grow_quads(corners, quads, 1.5)
    compared = 0
    for i in range(len(quads)):
        mine = points[ends[i] : ends[i + 1]]
        if len(mine) == 0:
            continue
        x, y = quads[i].T
        area = abs(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2
        length = np.hypot(x - np.roll(x, -1), y - np.roll(y, -1)).sum()
        clipper = pyclipper.PyclipperOffset()
        clipper.AddPath(corners[i].tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        (path,) = clipper.Execute(area * 1.5 / length)
        hulls = [cv2.convexHull(np.array(p, dtype=np.int32)).reshape(-1, 2).tolist() for p in (mine, path)]
        assert sorted(hulls[0]) == sorted(hulls[1])
        compared += 1
    assert compared > 2000
