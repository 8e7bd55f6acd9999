"""From a map to texts: conventions, order, counts, and every kind of map that is wrong or odd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.extract.reading import _in_order
from ocrmaps.pipelines.bench.cases.extract import speck_map
from tests.extract.drawing import arc_text, best_iou, draw_kernels, iou, rectangle

POLYGONS = ExtractSpec(shape="polygons")


def block(height, width, *spans, value=1.0):
    """A map with blocks of pixels at (top, bottom, left, right)."""
    map = np.zeros((height, width), dtype=np.float32)
    for top, bottom, left, right in spans:
        map[top:bottom, left:right] = value
    return map


# Conventions


@pytest.mark.parametrize("spec", [ExtractSpec(), POLYGONS, ExtractSpec(contour="pixel")], ids=lambda s: s.shape)
def test_exact_kernels_reach_half_a_pixel_beyond_their_pixel_centers(spec):
    # 22.4 x 8.4 shrinks by D = 1.955 at r = 0.6, to 18.49 x 4.49: 18 x 4 pixels.
    (found,) = extract(block(20, 40, (8, 12, 10, 28)), spec).polygons
    d = (found[:, 0].max() - found[:, 0].min() - 18) / 2
    width, height = 18 + 2 * d, 4 + 2 * d
    assert d == pytest.approx(width * height * 0.64 / (2 * (width + height)), abs=1e-6)
    assert found.mean(axis=0).tolist() == pytest.approx([19, 10])


def test_official_kernels_end_at_their_pixel_centers():
    (found,) = extract(block(20, 40, (8, 13, 10, 29)), ExtractSpec(kernel="official", shrink_ratio=0.6)).polygons
    (exact,) = extract(block(20, 40, (8, 12, 10, 28)), ExtractSpec(shrink_ratio=0.6)).polygons
    assert np.allclose(found, exact + 0.5)  # 19 x 5 pixels hold an outline of 18 x 4


def test_a_kernel_of_one_pixel_row_is_one_pixel_thick():
    (found,) = extract(block(11, 60, (5, 6, 10, 50)), ExtractSpec(shrink_ratio=0.4)).polygons
    assert found[:, 1].min() < 4.0 and found[:, 1].max() > 7.0  # 1 px is 16 % of a long line's height
    assert found.mean(axis=0).tolist() == pytest.approx([30, 5.5])


def test_subpixel_outlines_keep_the_thickness_of_a_soft_kernel():
    map = block(20, 60, (8, 11, 10, 50))
    map[7, 10:50] = 0.45  # 0.5 is crossed at 0.9 of the way from row 8 to row 7
    soft, hard = extract(map), extract(map, ExtractSpec(contour="pixel"))
    assert soft.polygons[0][:, 1].min() < hard.polygons[0][:, 1].min() - 0.5


def test_results_are_not_clipped_to_the_map():
    (found,) = extract(block(20, 40, (0, 3, 0, 40))).polygons
    assert found[:, 0].min() < 0 and found[:, 0].max() > 40 and found[:, 1].min() < 0


def test_results_are_canonical_clockwise_float_and_read_only():
    found = extract(block(20, 40, (8, 12, 10, 28)))
    assert found.polygons.frame == "canonical"
    assert (found.polygons.signed_areas() > 0).all()
    assert found.scores.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        found.scores[0] = 0


def test_order_is_by_the_top_of_the_text_then_its_left_end():
    # The thick kernel starts lower but its text starts higher than those of the two thin ones.
    map = block(80, 120, (20, 23, 65, 95), (20, 23, 5, 35), (21, 37, 40, 56))
    bounds = extract(map).polygons.bounds()
    assert bounds[:, 0].argsort().tolist() == [1, 0, 2]
    assert bounds[0, 1] < bounds[1, 1] == bounds[2, 1]


def test_texts_at_one_place_are_ordered_by_score():
    assert _in_order([np.eye(3)[:, :2]] * 3, np.array([0.7, 0.9, 0.8]))[1].tolist() == pytest.approx([0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    "spec",
    [ExtractSpec(), POLYGONS, ExtractSpec(score="fast", score_min=0.2, split=0.3)],
    ids=["boxes", "polygons", "fast"],
)
@pytest.mark.parametrize("turn", ["flip x", "flip y", "transpose", "quarter"])
def test_a_turned_map_gives_turned_texts(spec, turn):
    rng = np.random.default_rng(1)
    truths = [rectangle(40, 25, 55, 12, 8), rectangle(45, 60, 50, 9, -15), arc_text(50, 120, 35, 12, 90)]
    hard = draw_kernels(truths, 0.6, (110, 95)).astype(np.float32)
    kernel = np.hanning(7)[:, None] * np.hanning(7)
    soft = sum(
        np.roll(hard, (i - 3, j - 3), (0, 1)) * kernel[i, j] for i in range(7) for j in range(7)
    ) / kernel.sum()  # fmt: skip
    map = np.clip(soft + rng.normal(0, 0.02, soft.shape), 0, 1).astype(np.float32)
    height, width = map.shape
    turns = {
        "flip x": (map[:, ::-1], lambda p: np.stack([width - p[:, 0], p[:, 1]], 1)),
        "flip y": (map[::-1], lambda p: np.stack([p[:, 0], height - p[:, 1]], 1)),
        "transpose": (map.T, lambda p: p[:, ::-1]),
        "quarter": (np.rot90(map), lambda p: np.stack([p[:, 1], width - p[:, 0]], 1)),
    }
    turned, move = turns[turn]
    straight, found = extract(map, spec), extract(turned, spec)
    assert len(found) == len(straight) >= 3
    for polygon in straight.polygons:
        assert best_iou(found.polygons, move(polygon)) > 1 - 1e-6


def test_a_map_that_is_moved_gives_moved_texts():
    map = np.zeros((60, 90), dtype=np.float32)
    map[:50, :70] = np.clip(np.random.default_rng(0).random((50, 70)) + 0.2 * (np.mgrid[:50, :70][0] % 12 < 6), 0, 1)
    moved = np.roll(map, (7, 13), (0, 1))
    a, b = extract(map), extract(moved)
    assert len(a) == len(b) > 3
    assert np.abs(a.polygons.points + (13, 7) - b.polygons.points).max() < 1e-9


# Candidates


def test_a_hole_is_no_text_but_a_text_in_a_hole_is():
    ring = block(60, 60, (5, 55, 5, 55))
    ring[12:48, 12:48] = 0
    ring[28:32, 20:40] = 1
    found = extract(ring, ExtractSpec(score_min=0.3))
    assert len(found) == 2
    assert found.outcomes.holes == 1


def test_the_cap_takes_the_best_scores_not_the_first_found():
    map = (
        block(60, 40, (5, 9, 5, 30), value=0.7)
        + block(60, 40, (25, 29, 5, 30))
        + block(60, 40, (45, 49, 5, 30), value=0.8)
    )
    found = extract(map, ExtractSpec(max_candidates=2))
    assert found.scores.tolist() == pytest.approx([1.0, 0.8])
    assert (found.outcomes.found, found.outcomes.over_cap) == (3, 1)


def test_every_region_is_accounted_for():
    map = block(60, 90, (5, 6, 5, 80), (20, 28, 5, 30), (40, 48, 5, 80))
    map[20:28] *= 0.55
    found = extract(map, ExtractSpec(min_kernel_side=2))
    assert found.outcomes.as_dict() == {
        "found": 3, "kept": 1, "small_kernel": 1, "low_score": 1, "over_cap": 0, "small": 0, "degenerate": 0,
        "holes": 0, "parts": 0,
    }  # fmt: skip


def test_small_results_can_be_dropped():
    map = block(40, 60, (5, 7, 5, 10), (20, 28, 5, 50))
    assert len(extract(map)) == 2
    small = extract(map, ExtractSpec(min_side=5))
    assert (len(small), small.outcomes.small) == (1, 1)


@pytest.mark.parametrize("shape", ["boxes", "polygons"])
@pytest.mark.parametrize("unclip", ["inverse", "constant"])
def test_a_margin_moves_every_side_out_by_a_share_of_the_texts_height(shape, unclip):
    map = draw_kernels([rectangle(75, 50, 90, 24, 12)], 0.6, (100, 150)).astype(np.float32)
    plain = ExtractSpec(shape=shape, unclip=unclip)
    text = shapely.Polygon(extract(map, plain).polygons[0])
    sides = sorted(np.hypot(*np.diff(np.array(text.minimum_rotated_rectangle.exterior.coords), axis=0).T))
    for margin in (0.1, 0.5):
        grown = shapely.Polygon(extract(map, replace(plain, margin=margin)).polygons[0])
        moved = sorted(np.hypot(*np.diff(np.array(grown.minimum_rotated_rectangle.exterior.coords), axis=0).T))
        assert np.allclose(np.subtract(moved, sides), 2 * margin * sides[0], atol=0.02)
        assert grown.centroid.distance(text.centroid) < 0.01


def test_the_margin_of_curved_text_is_a_share_of_its_height_not_of_its_rectangle():
    map = draw_kernels([arc_text(150, 170, 110, 24, 160, pieces=16)], 0.6, (300, 300))
    text, grown = (shapely.Polygon(extract(map, replace(POLYGONS, margin=m)).polygons[0]) for m in (0, 0.25))
    wanted = text.buffer(6, join_style="mitre")
    assert grown.intersection(wanted).area / grown.union(wanted).area > 0.97


def test_the_margin_decides_nothing_about_which_texts_are_kept():
    map = np.zeros((40, 60), dtype=np.float32)
    map[18:22, 15:45] = 1
    assert not len(extract(map, ExtractSpec(min_side=9, margin=0.5)))
    with pytest.raises(SpecError, match=r"extract.margin: found 0.1, the published arithmetic has 0"):
        ExtractSpec.peers(margin=0.1)


def test_slow_scores_are_means_over_the_region_and_fast_ones_over_its_shape():
    map = np.zeros((40, 60), dtype=np.float32)
    map[10:30, 10:40] = np.linspace(0.6, 1.0, 30, dtype=np.float32)
    map[15:25, 20:30] = 0  # a hole counts in both
    slow, fast = extract(map, ExtractSpec(score_min=0)), extract(map, ExtractSpec(score_min=0, score="fast"))
    assert slow.scores[0] == pytest.approx(map[10:30, 10:40].mean(), abs=1e-6)
    assert fast.scores[0] == pytest.approx(map[10:30, 10:40].mean(), abs=0.02)
    slanted = draw_kernels([rectangle(30, 20, 45, 14, 20)], 0.6, (40, 60))
    assert extract(slanted).scores[0] == 1.0
    assert 0.8 < extract(slanted, ExtractSpec(score="fast")).scores[0] <= 1.0


def test_the_learned_threshold_decides_pixel_by_pixel():
    map = block(30, 60, (8, 12, 5, 25), (8, 12, 35, 55), value=0.5)
    threshold = np.full(map.shape, 0.4, dtype=np.float32)
    threshold[:, 30:] = 0.6
    found = extract(map, ExtractSpec(binarize="learned", score_min=0.3), threshold=threshold)
    assert len(found) == 1 and found.polygons[0][:, 0].max() < 30


def test_an_even_learned_threshold_is_a_fixed_one():
    rng = np.random.default_rng(0)
    map = np.clip(block(40, 60, (8, 14, 5, 25), (25, 30, 15, 55)) + rng.normal(0, 0.2, (40, 60)), 0, 1)
    fixed = extract(map, ExtractSpec(binarize=0.375))
    learned = extract(map, ExtractSpec(binarize="learned"), threshold=np.full(map.shape, 0.375))
    # The level goes on beyond the border, so even cut-off kernels are the same.
    assert fixed.polygons == learned.polygons


def test_thousands_of_specks_are_capped_by_score():
    map = speck_map()
    found = extract(map, ExtractSpec(max_candidates=1000))
    assert found.outcomes.found == 11449 and len(found) == 1000
    assert found.scores.min() >= np.sort(np.unique(map))[-1000]
    assert len(extract(map)) == 10_000


# Curved and concave shapes


@pytest.mark.parametrize("shrink_ratio", [0.4, 0.6])
def test_curved_text_comes_back(shrink_ratio):
    truth = arc_text(100, 130, 80, 24, 120, 8)
    map = draw_kernels([truth], shrink_ratio, (160, 200))
    (found,) = extract(map, ExtractSpec(shape="polygons", shrink_ratio=shrink_ratio)).polygons
    assert iou(found, truth) > 0.93


def test_the_polygon_of_a_straight_text_is_its_rectangle():
    truth = rectangle(50, 30, 70, 18, 17)
    map = draw_kernels([truth], 0.6, (60, 100))
    (found,) = extract(map, POLYGONS).polygons
    assert len(found) == 4 and iou(found, truth) > 0.95


def test_a_coarser_tolerance_gives_fewer_vertices():
    map = draw_kernels([arc_text(100, 130, 80, 30, 150, 12)], 0.6, (160, 200))
    fine, coarse = (extract(map, ExtractSpec(shape="polygons", simplify=s)).polygons for s in (0.75, 3.0))
    assert len(fine[0]) > len(coarse[0])


# Odd and wrong maps


@pytest.mark.parametrize("spec", [ExtractSpec(), POLYGONS, ExtractSpec(split=0.5), ExtractSpec.peers()], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (17, 23)])
def test_empty_and_full_maps(spec, size):
    assert len(extract(np.zeros(size, dtype=np.float32), spec)) == 0
    full = extract(np.ones(size, dtype=np.float32), spec)
    assert full.outcomes.found == 1
    if spec.arithmetic == "float":
        assert len(full) == 1


@pytest.mark.parametrize("convert", [
    lambda m: m.astype(np.float64), lambda m: m.astype(np.float16), lambda m: m.astype(bool),
    lambda m: (m * 255).astype(np.uint8), lambda m: np.asfortranarray(m), lambda m: np.repeat(m, 2, axis=1)[:, ::2],
    lambda m: m.astype(">f4"),
])  # fmt: skip
def test_the_same_map_in_another_form_gives_the_same_texts(convert):
    map = block(40, 60, (8, 14, 5, 25), (25, 30, 15, 55))
    assert extract(convert(map)).polygons == extract(map).polygons


@pytest.mark.parametrize("spec", [ExtractSpec(), POLYGONS, ExtractSpec(split=0.5), ExtractSpec.peers()], ids=str)
def test_the_map_is_not_changed(spec):
    map = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    before = map.copy()
    map.flags.writeable = False
    extract(map, spec)
    assert (map == before).all()


@pytest.mark.parametrize(
    ("map", "message"),
    [
        (np.full((4, 4), np.nan), r"found nan at \(x=0, y=0\) and 16 such"),
        (np.where(np.arange(16).reshape(4, 4) == 6, np.inf, 0.5), r"found inf at \(x=2, y=1\) and 1 such"),
        (np.where(np.arange(16).reshape(4, 4) == 6, -np.inf, 0.5), r"found -inf at \(x=2, y=1\)"),
        (np.full((4, 4), 1.5), "found values from 1.5 to 1.5, expected 0 to 1"),
        (np.full((4, 4), -0.1), "found values from -0.1"),
        (np.ones((4, 4), dtype=np.int64), "found numbers of type int64"),
        (np.ones((4, 4), dtype=np.complex64), "complex64"),
        (np.full((4, 4), "a"), "expected a float, uint8 or bool map"),
        (np.ones((1, 4, 4)), r"shape \(1, 4, 4\), expected \(height, width\)"),
        (np.ones(4), "expected"),
        (np.ones((0, 4)), "expected"),
        (np.eye(4, dtype=np.uint8), "uint8 map of zeros and ones"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_map_that_is_none_is_refused_by_name(map, message):
    with pytest.raises(SpecError, match=message):
        extract(map)


@pytest.mark.parametrize("number", [np.nan, np.inf, -0.1, np.nextafter(np.float32(1), np.float32(2))])
def test_a_single_number_of_a_network_that_is_none_is_refused(number):
    map = np.full((9, 21), 0.25, dtype=np.float32)
    map[7, 19] = number
    with pytest.raises(SpecError, match="found"):
        extract(map)


@pytest.mark.parametrize(
    ("spec", "threshold", "message"),
    [
        (ExtractSpec(binarize="learned"), None, "no threshold map"),
        (ExtractSpec(), np.zeros((8, 8)), "binarize is 0.5"),
        (ExtractSpec(binarize="learned"), np.zeros((8, 9)), r"found shape \(8, 9\)"),
        (ExtractSpec(binarize="learned"), np.full((8, 8), 254, np.uint8), "uint8"),
        (ExtractSpec(binarize="learned"), np.full((8, 8), np.nan), "threshold: found nan"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_threshold_map_that_does_not_fit_is_refused(spec, threshold, message):
    with pytest.raises(SpecError, match=message):
        extract(np.zeros((8, 8)), spec, threshold=threshold)


SPECS = st.builds(
    ExtractSpec,
    shape=st.sampled_from(["boxes", "polygons"]),
    kernel=st.sampled_from(["exact", "official"]),
    unclip=st.sampled_from(["inverse", "constant"]),
    shrink_ratio=st.sampled_from([0.1, 0.4, 0.6, 0.9]),
    binarize=st.sampled_from([0.0, 0.3, 0.5, 0.75]),
    contour=st.sampled_from(["subpixel", "pixel"]),
    split=st.sampled_from([None, 0.3, 1.0]),
    score=st.sampled_from(["slow", "fast"]),
    score_min=st.sampled_from([0.0, 0.6]),
    max_candidates=st.sampled_from([None, 1, 20]),
    simplify=st.sampled_from([0.0, 1.0, 5.0]),
)


@given(SPECS | st.sampled_from([ExtractSpec.peers(), ExtractSpec.peers("polygons")]), st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_any_map_gives_simple_polygons_and_complete_counts(spec, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.random(rng.integers(1, 12, 2))
    map = np.kron(coarse, np.ones(rng.integers(1, 7, 2)))
    map = np.clip(map + rng.normal(0, rng.choice([0, 0.1, 0.4]), map.shape), 0, 1).astype(np.float32)
    found = extract(map, spec)
    outcomes = found.outcomes
    assert outcomes.found == outcomes.kept + outcomes.dropped
    assert len(found) == len(found.scores) == outcomes.kept
    assert ((found.scores >= spec.score_min - 1e-6) & (found.scores <= 1)).all()
    if spec.arithmetic == "float":
        shapes = [shapely.Polygon(p) for p in found.polygons]
        assert all(shape.is_valid and shape.area > 0 for shape in shapes)
        assert (found.polygons.signed_areas() > 0).all()
