"""Every text and detection has exactly one reason, and each reason is told in the situation it is named for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.errors import DataError
from ocrmaps.evaluation import DETECTION_REASONS, ERRORS, TEXT_REASONS, EvaluationSpec, judge_picture
from ocrmaps.evaluation.measures import measure
from ocrmaps.evaluation.reasons import dropped_sizes
from ocrmaps.extract import ExtractSpec
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import match_iou
from tests.strategies import outlines, simple_outlines

SPEC = EvaluationSpec(protocols=("iou",))
Box = tuple[float, float, float, float]


def boxes(*found: Box, ignore: tuple[int, ...] = ()) -> PolygonSet:
    """Polygons from x, y, width, height."""
    return PolygonSet.of(
        [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in found],
        frame="upright",
        ignore=[i in ignore for i in range(len(found))],
    )


def told(truth: PolygonSet, detections: PolygonSet, **settings):
    result = judge_picture("a", truth, detections, spec=SPEC, **settings)
    return result.text_reason, result.detection_reason


LINE: Box = (0, 0, 100, 10)


@pytest.mark.parametrize(
    ("truth", "detections", "texts", "found"),
    [
        pytest.param([LINE], [(0, 0, 90, 10)], ["matched"], ["matched"], id="matched"),
        pytest.param([LINE], [(0, 50, 90, 10)], ["missed"], ["false_alarm"], id="nothing-there"),
        pytest.param([LINE], [(0, 9.5, 100, 10)], ["missed"], ["false_alarm"], id="a-sliver-is-no-contact"),
        pytest.param([LINE], [(0, 8.5, 100, 10)], ["too_tight"], ["too_tight"], id="a-seventh-is-contact"),
        pytest.param([LINE], [(0, 0, 40, 10)], ["too_tight"], ["too_tight"], id="inside"),
        pytest.param([LINE], [(-20, -20, 160, 60)], ["too_loose"], ["too_loose"], id="outside"),
        pytest.param(
            [LINE], [(0, 0, 45, 10), (0, -90, 100, 110)], ["too_tight"], ["too_tight", "too_loose"], id="far-larger"
        ),
        pytest.param(
            [LINE], [(0, 0, 12, 10), (0, -2, 100, 24)], ["too_loose"], ["too_tight", "too_loose"], id="nearest-decides"
        ),
        pytest.param([LINE], [(0, 0, 45, 10), (50, 0, 45, 10)], ["split"], ["split"] * 2, id="two-halves"),
        pytest.param([LINE], [(0, 0, 70, 10), (75, 0, 25, 10)], ["matched"], ["matched", "split"], id="a-piece-more"),
        pytest.param([LINE], [(0, 0, 100, 10)] * 2, ["matched"], ["matched", "split"], id="found-twice"),
        pytest.param([LINE], [(0, 0, 45, 10), (60, 0, 2, 10)], ["too_tight"], ["too_tight", "split"], id="and-a-speck"),
        pytest.param([LINE, (0, 12, 100, 10)], [(0, 0, 100, 22)], ["merged"] * 2, ["merged"], id="two-lines-in-one"),
        pytest.param(
            [LINE, (110, 0, 20, 10)], [(0, 0, 130, 10)], ["matched", "merged"], ["matched"], id="merged-with-a-match"
        ),
        pytest.param([LINE, (0, 0, 99, 10)], [LINE], ["matched", "merged"], ["matched"], id="the-same-text-twice"),
    ],
)
def test_each_situation_has_its_reason(truth, detections, texts, found):
    assert told(boxes(*truth), boxes(*detections)) == (tuple(texts), tuple(found))


def test_the_iou_of_a_match_is_that_with_its_partner():
    """The first detection above the threshold is taken, here not the nearest one."""
    result = judge_picture("a", boxes(LINE), boxes((0, 0, 60, 10), (0, 0, 95, 10), (0, 8, 100, 10)), spec=SPEC)
    assert result.text_iou.tolist() == [0.6] and result.text_partner.tolist() == [0]
    assert result.detection_iou.round(3).tolist() == [0.6, 0.95, round(200 / 1800, 3)]


def test_what_reaches_the_threshold_covers_whatever_its_share():
    """At IoU 0.2 one detection over the ends of two texts would do for both, and one of them takes it."""
    spec = EvaluationSpec(protocols=("iou",), thresholds=(0.2,))
    result = judge_picture("a", boxes(LINE, (100, 0, 100, 10)), boxes((60, 0, 80, 10)), spec=spec)
    assert result.text_reason == ("matched", "merged")


def test_a_detection_on_an_ignored_region_is_not_counted_and_says_so():
    truth = boxes(LINE, (0, 50, 100, 10), ignore=(1,))
    assert told(truth, boxes((0, 50, 90, 10))) == (("missed", "ignored"), ("on_ignore",))


def test_a_text_that_only_an_uncounted_detection_found_says_so():
    """The region around a text is ignored, so what was found there does not count."""
    truth = boxes((0, 0, 100, 40), (0, 10, 100, 10), ignore=(0,))
    assert told(truth, boxes((0, 10, 100, 10))) == (("ignored", "on_ignore"), ("on_ignore",))


def test_an_ignored_text_is_neither_merged_nor_split():
    truth = boxes(LINE, (0, 12, 100, 10), ignore=(1,))
    assert told(truth, boxes((0, 0, 100, 21)))[0] == ("too_loose", "ignored")


def test_polygons_without_an_area_are_invalid():
    flat = PolygonSet.of([[(0, 0), (5, 0), (9, 0)]], frame="upright")
    assert told(flat, flat) == (("invalid",), ("invalid",))


def test_a_text_below_what_extraction_keeps_is_dropped_by_size():
    """At half the resolution a line of 14 px has a kernel under the 3 px that the published settings keep."""
    transform = plan((400, 400), 1, CanonicalSpec(canvases=((200, 200),)))
    truth = boxes((10, 10, 200, 14), (10, 100, 200, 60))
    known = {"transform": transform, "extract": ExtractSpec.peers()}
    assert told(truth, boxes(), **known)[0] == ("dropped_by_size", "missed")
    assert told(truth, boxes(), transform=transform)[0] == ("missed", "missed")
    assert told(truth, boxes((10, 10, 60, 14)), **known)[0] == ("too_tight", "missed"), "it was not dropped"


def test_the_kernel_that_is_asked_about_is_the_one_that_is_drawn():
    """A text whose kernel is just thick enough is kept by extraction itself, and one that is thinner is not."""
    from ocrmaps.extract import extract
    from ocrmaps.maps import MapSpec, draw_maps

    maps = MapSpec(style="exact", shrink_ratio=0.6)
    for height in (6.0, 8.0, 10.0, 12.0, 14.0):
        how = ExtractSpec(shrink_ratio=0.6, min_kernel_side=4.0)
        line = PolygonSet.of([[(10, 20), (110, 20), (110, 20 + height), (10, 20 + height)]], frame="canonical")
        kept = len(extract(draw_maps(line, maps, (64, 128)).probability.astype(np.float32), how))
        kernel = height - 0.64 * height * 100 / (height + 100)
        if abs(kernel - 4.0) > 1:  # nearer, it is the pixel grid that decides
            assert bool(dropped_sizes(np.array([height]), np.array([100.0]), how)[0]) is (kept == 0), height


def test_the_published_limits_after_growing_count_too():
    how = ExtractSpec(kernel="official", shrink_ratio=0.4, unclip="constant", min_side=12.0)
    heights = np.array([6.0, 40.0])
    assert dropped_sizes(heights, np.full(2, 100.0), how).tolist() == [True, False]


@st.composite
def pictures(draw):
    """Boxes crowded into a small space, some ignored, with outlines of any shape among them."""
    where = st.floats(0, 40)
    side = st.floats(0.5, 40)
    box = st.tuples(where, where, side, side).map(lambda b: boxes(b)[0].tolist())
    any_outline = box | box | simple_outlines(width=60, height=60) | outlines(limit=60)
    truth = draw(st.lists(any_outline, max_size=6))
    found = draw(st.lists(any_outline, max_size=6))
    ignore = draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    return PolygonSet.of(truth, frame="upright", ignore=ignore), PolygonSet.of(found, frame="upright")


@settings(max_examples=100)
@given(pictures(), st.sampled_from([0.5, 0.3, 0.8, 0.0]))
def test_reasons_are_complete_and_add_up_to_the_metrics_counts(picture, threshold):
    truth, detections = picture
    spec = EvaluationSpec(protocols=("iou",), thresholds=(threshold,))
    result = judge_picture("a", truth, detections, spec=spec)
    counts = match_iou(truth, detections, thresholds=(threshold,)).counts(threshold)
    texts, found = Counter(result.text_reason), Counter(result.detection_reason)
    assert len(result.text_reason) == len(truth) and len(result.detection_reason) == len(detections)
    assert set(texts) <= set(TEXT_REASONS) and set(found) <= set(DETECTION_REASONS)
    assert texts["matched"] == found["matched"] == counts.matched
    assert texts["ignored"] == counts.truth_ignored and texts["invalid"] == counts.truth_invalid
    assert found["on_ignore"] == counts.detection_ignored and found["invalid"] == counts.detection_invalid
    assert sum(texts[r] for r in ERRORS["text"]) == counts.truth_care - counts.matched
    assert sum(found[r] for r in ERRORS["detection"]) == counts.detection_care - counts.matched


@settings(max_examples=50)
@given(pictures())
def test_reasons_hold_what_their_names_say(picture):
    truth, detections = picture
    result = judge_picture("a", truth, detections, spec=SPEC)
    match = result.match
    scored_found = match.detection_care
    for i, reason in enumerate(result.text_reason):
        if reason in ("too_tight", "too_loose"):
            # A detection that an ignored text claims may lie on it exactly: it counts for nothing.
            assert 0 < result.text_iou[i]
            assert result.text_iou[i] <= 0.5 + 1e-9 or not scored_found[match.best_detection[i]]
        if reason == "merged":
            assert match.truth_care.sum() >= 2 and scored_found.any()
        if reason == "split":
            assert scored_found.sum() >= 2
    for j, reason in enumerate(result.detection_reason):
        if reason == "false_alarm":
            assert result.detection_iou[j] <= 0.11, "a tenth of the smaller is contact"
        if reason == "merged":
            assert match.truth_care.sum() >= 2


def test_scores_that_are_no_numbers_are_refused_with_their_place():
    with pytest.raises(DataError, match=r"a\.jpg: found score nan of detection 1"):
        judge_picture("a.jpg", boxes(LINE), boxes(LINE, LINE), spec=SPEC, scores=[0.5, float("nan")])
    with pytest.raises(DataError, match="expected one for each of 2 detections"):
        judge_picture("a.jpg", boxes(LINE), boxes(LINE, LINE), spec=SPEC, scores=[0.5])


@pytest.mark.parametrize("degrees", [-80, -45, -10, 0, 30, 60, 90])
def test_the_angle_is_that_of_the_long_axis(degrees):
    from ocrmaps.geometry import Affine

    turned = boxes((0, 0, 60, 8)).transform(Affine.rotation(degrees), "upright")
    angle = float(measure(turned).angle[0])
    assert min(abs(angle - degrees), 180 - abs(angle - degrees)) < 1e-6


def test_heights_are_told_in_both_scales_and_angles_upright():
    transform = plan((300, 200), 6, CanonicalSpec(canvases=((100, 150),)))
    upright = boxes((10, 20, 80, 12))
    raw = transform.apply(upright, "raw")
    found = measure(raw, transform)
    assert found.height[0] == pytest.approx(12) and found.direction(0) == "horizontal"
    assert found.canonical_height[0] == pytest.approx(12 * transform.scale[1])
