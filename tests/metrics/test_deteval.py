"""DetEval credits whole, split and merged text as the protocol says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import DetEvalRule, deteval, match_deteval, total_deteval
from ocrmaps.pipelines.bench.references.metrics import plain_deteval
from tests.metrics.pages import box, boxes, ties, trouble
from tests.strategies import outlines, polygon_sets

LINE = (0, 0, 100, 20)
LEFT, RIGHT = (0, 0, 50, 20), (50, 0, 100, 20)


@pytest.mark.parametrize("seed", range(80))
def test_credits_are_those_of_the_plain_rule(seed):
    truth, found = trouble(seed, crossing=0.1, polygons=0.3)
    plain, fast = plain_deteval(truth, found), match_deteval(truth, found)
    for name, value in plain.items():
        assert getattr(fast, name) == pytest.approx(value, abs=1e-9), name


@settings(max_examples=100)
@given(polygon_sets("raw", outline=outlines(1, 7, 40)), polygon_sets("raw", outline=outlines(1, 7, 40)))
def test_any_points_at_all_are_counted_and_scored(truth, found):
    c = match_deteval(truth, found)
    assert c.truth_care + c.truth_ignored + c.truth_invalid == len(truth)
    assert c.detection_care + c.detection_ignored + c.detection_invalid == len(found)
    assert 0 <= c.recall <= 1 and 0 <= c.precision <= 1 and 0 <= c.hmean <= 1


@pytest.mark.parametrize(
    ("truth", "found", "recall", "precision"),
    [
        ([LINE], [LINE], 1, 1),
        ([LINE], [LEFT, RIGHT], 0.8, 0.8),
        ([LEFT, RIGHT], [LINE], 1, 1),
        ([LINE], [LEFT], 0, 0),
        ([LINE], [(0, 0, 80, 20)], 1, 1),
        ([LINE], [(0, 0, 79, 20)], 0, 0),
        ([LINE], [(0, 0, 100, 50)], 1, 1),
        ([LINE], [(0, 0, 100, 51)], 0, 0),
        ([LINE], [LINE, LINE], 0.8, 0.8),
        ([LINE], [LINE, (90, 0, 400, 20)], 1, 0.5),
        ([LINE, (90, 0, 400, 20)], [LINE], 0.5, 1),
        ([LINE], [], 0, 0),
        ([], [LINE], 1, 0),
        ([], [], 1, 1),
    ],
)
def test_credit_of(truth, found, recall, precision):
    counts = match_deteval(boxes(truth), boxes(found))
    assert (counts.recall, counts.precision) == pytest.approx((recall, precision))


def test_one_to_one_is_for_those_that_touch_nothing_else():
    counts = match_deteval(boxes([LINE, (0, 19, 100, 40)]), boxes([LINE]))
    assert (counts.one_to_one, counts.merges, counts.splits) == (1, 0, 0)


def test_a_strong_pair_that_is_not_scored_stands_in_the_way_of_one_to_one():
    # The second detection lies half on ignored text; without it, or where it is weak, the first counts.
    truth = boxes([LINE, (0, -10, 100, 6)], ignore=[False, True])
    for second, credit in (((0, -6, 100, 18), 0), ((0, -6, 100, 15), 1)):
        counts = match_deteval(truth, boxes([LINE, second]))
        assert (counts.detection_care, counts.recall_sum, counts.precision_sum) == (1, credit, credit)


def test_what_is_not_scored_is_not_touched():
    # Far from the center, so no one to one; the ignored truth does not make it one of several truths either.
    truth, found = boxes([LINE, (200, 0, 300, 20)], ignore=[False, True]), boxes([(0, 0, 240, 20)])
    assert match_deteval(truth, found, rule=DetEvalRule(center_distance=0.2)).recall == 0


def test_centers_are_measured_against_the_upright_rectangle():
    # 120 of its diagonal beside 102 of the line's own.
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    truth = PolygonSet.of([box(*LINE) @ turn], frame="raw")
    found = PolygonSet.of([box(20, 0, 120, 20) @ turn], frame="raw")
    apart = 2 * 20 / (2 * 120)
    for limit, credit in ((apart - 0.001, 0), (apart + 0.001, 1)):
        assert match_deteval(truth, found, rule=DetEvalRule(center_distance=limit)).recall_sum == credit


@pytest.mark.parametrize("seed", range(80))
def test_areas_at_the_limits_are_decided_as_in_the_plain_rule(seed):
    fast, plain = match_deteval(*ties(seed)), plain_deteval(*ties(seed))
    assert {name: getattr(fast, name) for name in plain} == pytest.approx(plain, abs=1e-9)


def test_far_centers_are_no_one_to_one():
    rule = DetEvalRule(center_distance=0.2)
    truth, found = boxes([LINE]), boxes([(0, 0, 240, 20)])
    assert match_deteval(truth, found).recall == 1
    assert match_deteval(truth, found, rule=rule).recall == 0


@pytest.mark.parametrize(("right", "scored"), [(240, 0), (260, 1)])
def test_a_detection_is_left_out_with_more_than_area_precision_on_an_ignored_truth(right, scored):
    counts = match_deteval(boxes([LINE], ignore=[True]), boxes([(0, 0, right, 20)]))
    assert counts.detection_care == scored


def test_invalid_truth_is_counted():
    truth = PolygonSet.of([box(*LINE)[[0, 2, 1, 3]], box(*LINE)], frame="raw")
    counts = match_deteval(truth, boxes([LINE]))
    assert (counts.truth_invalid, counts.truth_care, counts.recall) == (1, 1, 1)


def test_credits_of_pictures_add_up():
    pictures = [match_deteval(boxes([LINE]), boxes(found)) for found in ([LINE], [LEFT, RIGHT], [])]
    whole = total_deteval(pictures)
    assert (whole.recall, whole.precision) == pytest.approx((1.8 / 3, 2.6 / 3))
    assert (whole.one_to_one, whole.splits) == (1, 1)


@pytest.mark.parametrize("field", [{"area_recall": 0.0}, {"area_precision": 1.2}, {"split_credit": -1.0}])
def test_rules_that_mean_nothing_are_refused(field):
    with pytest.raises(SpecError, match=r"deteval\.\w+: found"):
        DetEvalRule(**field)


@pytest.mark.parametrize("limit", [0.8, 0.4, 0.79995, 0.12345678, 1e-6, 1.0])
def test_sums_reach_a_limit_as_soon_as_four_digits_of_them_do(limit):
    least = deteval._least(limit)
    near = [least + step * np.spacing(least) for step in range(-20, 21)]
    assert [value >= least for value in near] == [round(float(value), 4) >= limit - 1e-9 for value in near]
