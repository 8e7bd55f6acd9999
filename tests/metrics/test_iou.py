"""The ICDAR rule: pairs, counts and sweeps follow the definition, on ordinary and on absurd pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import (
    IouCounts,
    average_precision,
    match_geometry,
    match_iou,
    pair_geometry,
    sweep_geometry,
    total_iou,
)
from ocrmaps.pipelines.bench.references.metrics import plain_iou
from tests.metrics.pages import box, boxes, ties, trouble
from tests.strategies import outlines, polygon_sets, simple_outlines

LINE = (0, 0, 10, 4)
LEVELS = (0.0, 0.3, 0.5, 0.7, 0.9)


@pytest.mark.parametrize("seed", range(80))
def test_pairs_and_counts_are_those_of_the_plain_rule(seed):
    truth, found = trouble(seed, crossing=0.1, polygons=0.4)
    plain, match = plain_iou(truth, found), match_iou(truth, found)
    counts = match.counts(0.5)
    assert match.pairs(0.5).tolist() == plain["pairs"]
    assert (counts.truth_care, counts.detection_care) == (plain["truth_care"], plain["detection_care"])


def test_ties_are_decided_by_the_references_engine_detection_first():
    for seed in range(300):
        truth, found = ties(seed)
        assert match_iou(truth, found).pairs(0.5).tolist() == plain_iou(truth, found)["pairs"], seed


@settings(max_examples=60)
@given(
    st.lists(simple_outlines(60, 60), max_size=4),
    st.lists(simple_outlines(60, 60), max_size=4),
    st.sampled_from(LEVELS[1:]),
)
def test_any_polygons_agree_with_the_plain_rule_at_any_threshold(truth, found, threshold):
    sets = PolygonSet.of(truth, frame="raw"), PolygonSet.of(found, frame="raw")
    assert match_iou(*sets, thresholds=(threshold,)).pairs(threshold).tolist() == plain_iou(*sets, threshold)["pairs"]


@settings(max_examples=150)
@given(
    polygon_sets("raw", outline=outlines(1, 7, 40)),
    polygon_sets("raw", outline=outlines(1, 7, 40)),
    st.sampled_from(["first", "best"]),
)
def test_any_points_at_all_are_counted_and_scored(truth, found, order):
    match = match_iou(truth, found, order=order)
    for threshold in match.thresholds:
        c = match.counts(threshold)
        assert c.truth_care + c.truth_ignored + c.truth_invalid == len(truth)
        assert c.detection_care + c.detection_ignored + c.detection_invalid == len(found)
        assert 0 <= c.matched <= min(c.truth_care, c.detection_care)
        assert 0 <= c.recall <= 1 and 0 <= c.precision <= 1 and 0 <= c.hmean <= 1


@settings(max_examples=60)
@given(st.lists(simple_outlines(), min_size=1, max_size=5))
def test_a_truth_found_exactly_scores_one(polygons):
    polygons = [[(x + 700 * i, y) for x, y in p] for i, p in enumerate(polygons)]
    truth = PolygonSet.of(polygons, frame="raw")
    match = match_iou(truth, truth, thresholds=(0.5, 0.999999))
    assert match.counts(0.999999).hmean == 1.0
    assert match.best_iou.tolist() == pytest.approx([1.0] * len(truth), abs=1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_the_order_of_detections_changes_no_best_matching_and_no_best_iou(seed):
    truth, found = trouble(seed, polygons=0.3)
    match, shuffled = (
        match_iou(truth, d, order="best", thresholds=LEVELS)
        for d in (found, found.select(np.random.default_rng(seed).permutation(len(found))))
    )
    assert [match.counts(t) for t in LEVELS] == [shuffled.counts(t) for t in LEVELS]
    assert match.best_iou.tolist() == pytest.approx(shuffled.best_iou.tolist(), abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_best_matching_makes_as_many_pairs_as_trying_everything(seed):
    rng = np.random.default_rng(seed)
    corners = [(x, y, x + w, y + 9) for x, y, w in rng.integers(3, 14, (9, 3)).tolist()]
    truth, found = boxes(corners[:4]), boxes(corners[4:])
    iou = plain_iou(truth, found)["iou"]
    match = match_iou(truth, found, order="best", thresholds=(0.1, 0.3, 0.5))
    for threshold in match.thresholds:
        most = max(sum(iou[i, j] > threshold for i, j in enumerate(way)) for way in itertools.permutations(range(5), 4))
        assert match.counts(threshold).matched == most
        assert all(iou[i, j] > threshold for i, j in match.pairs(threshold))


def test_best_matching_gives_way_where_first_come_does_not():
    # The first truth could take either detection, the second only the first one.
    truth, found = boxes([(0, 0, 10, 4), (4, 0, 14, 4)]), boxes([(2, 0, 12, 4), (-2, 0, 8, 4)])
    assert match_iou(truth, found).pairs(0.5).tolist() == [[0, 0]]
    assert match_iou(truth, found, order="best").pairs(0.5).tolist() == [[0, 1], [1, 0]]


def test_an_unknown_order_is_refused():
    with pytest.raises(SpecError, match="first, best"):
        match_iou(boxes([LINE]), boxes([LINE]), order="hungarian")  # type: ignore[arg-type]


def test_the_threshold_itself_is_not_enough():
    match = match_iou(boxes([LINE]), boxes([(0, 0, 5, 4)]), thresholds=(0.4, 0.5))
    assert [match.counts(t).matched for t in match.thresholds] == [1, 0]


def test_first_come_takes_the_first_detection_not_the_best():
    match = match_iou(boxes([LINE]), boxes([(0, 0, 7, 4), LINE]))
    assert match.pairs(0.5).tolist() == [[0, 0]]
    assert match.pairs(0.9).tolist() == [[0, 1]]
    assert match.best_detection.tolist() == [1]


@pytest.mark.parametrize(("right", "scored"), [(16, 0), (20, 1), (19, 0), (21, 1)])
def test_a_detection_is_left_out_with_more_than_half_on_an_ignored_truth(right, scored):
    match = match_iou(boxes([LINE], ignore=[True]), boxes([(0, 0, right, 4)]))
    assert match.counts(0.5).detection_care == scored


def test_two_ignored_truths_do_not_add_up():
    match = match_iou(boxes([(0, 0, 10, 4), (10, 0, 20, 4)], ignore=[True, True]), boxes([(0, 0, 20, 4)]))
    assert match.counts(0.5).detection_care == 1


def test_ignored_truths_are_never_matched():
    counts = match_iou(boxes([LINE], ignore=[True]), boxes([LINE])).counts(0.5)
    assert (counts.matched, counts.truth_care, counts.detection_ignored) == (0, 0, 1)
    assert (counts.recall, counts.precision) == (1.0, 1.0)


def test_ignore_flags_of_detections_are_not_read():
    assert match_iou(boxes([LINE]), boxes([LINE], ignore=[True])).counts(0.5).matched == 1


@pytest.mark.parametrize(
    ("truth", "found", "scores"),
    [([], [], (1.0, 1.0, 1.0)), ([], [LINE], (1.0, 0.0, 0.0)), ([LINE], [], (0.0, 0.0, 0.0))],
)
def test_empty_sides(truth, found, scores):
    counts = match_iou(boxes(truth), boxes(found)).counts(0.5)
    assert (counts.recall, counts.precision, counts.hmean) == scores


def test_invalid_truth_leaves_the_score_and_is_counted():
    bow = box(0, 0, 4, 4)[[0, 2, 1, 3]]
    truth = PolygonSet.of([bow, box(20, 0, 24, 4)], frame="raw", ignore=[True, False])
    found = PolygonSet.of([bow, box(20, 0, 24, 4)], frame="raw")
    counts = match_iou(truth, found).counts(0.5)
    assert counts == IouCounts(truth_care=1, truth_invalid=1, detection_care=1, detection_invalid=1, matched=1)


def test_counts_of_pictures_add_up():
    one = match_iou(boxes([LINE]), boxes([LINE]))
    none = match_iou(boxes([LINE, (20, 0, 30, 4)]), boxes([]))
    assert total_iou([one, none])[0.5] == IouCounts(truth_care=3, detection_care=1, matched=1)


def test_asking_for_another_threshold_names_the_known_ones():
    with pytest.raises(SpecError, match=r"0\.5, 0\.7, 0\.9"):
        match_iou(boxes([LINE]), boxes([LINE])).counts(0.6)


@pytest.mark.parametrize("order", ["first", "best"])
@pytest.mark.parametrize("seed", range(12))
def test_a_sweep_is_what_each_cut_alone_gives(seed, order):
    truth, found = trouble(seed, polygons=0.3)
    scores = np.random.default_rng(seed).choice([0.2, 0.4, 0.6, 0.8], len(found))
    cuts = (0.0, 0.2, 0.5, 0.8, 1.0)
    sweep = sweep_geometry(pair_geometry(truth, found), scores, cuts=cuts, thresholds=LEVELS, order=order)
    for c, cut in enumerate(cuts):
        alone = match_iou(truth, found.select(scores >= cut), thresholds=LEVELS, order=order)
        for t, threshold in enumerate(LEVELS):
            swept, expected = sweep.counts(c, t), alone.counts(threshold)
            assert (swept.matched, swept.detection_care, swept.truth_care) == (
                expected.matched,
                expected.detection_care,
                expected.truth_care,
            )
            assert sweep.hmean()[c, t] == expected.hmean


def test_sweeps_of_pictures_add_up_and_unlike_ones_do_not():
    geometry = pair_geometry(boxes([LINE]), boxes([LINE]))
    sweep = sweep_geometry(geometry, [0.5], cuts=(0.4, 0.6))
    assert (sweep + sweep).matched.tolist() == [[2, 2, 2], [0, 0, 0]]
    with pytest.raises(SpecError, match="differ"):
        sweep + sweep_geometry(geometry, [0.5], cuts=(0.5,))


@pytest.mark.parametrize("scores", [[0.5], [0.5, float("nan")], [[0.5, 0.5]]])
def test_scores_must_be_one_finite_number_a_detection(scores):
    with pytest.raises(SpecError, match="2 finite numbers"):
        match_iou(boxes([LINE]), boxes([LINE, (20, 0, 30, 4)]), scores=scores)


def test_average_precision_goes_down_the_scores_of_all_pictures():
    # Ranked: hit (1/1), miss, hit (2/3) over three truths.
    first = match_iou(boxes([LINE]), boxes([LINE, (20, 0, 30, 4)]), scores=[0.9, 0.8])
    second = match_iou(boxes([LINE, (50, 0, 60, 4)]), boxes([LINE]), scores=[0.3])
    assert average_precision([first, second]) == pytest.approx((1 + 2 / 3) / 3)


def test_average_precision_without_scores_is_refused():
    with pytest.raises(SpecError, match="score"):
        average_precision([match_iou(boxes([LINE]), boxes([LINE]))])


def test_geometry_computed_once_serves_every_threshold_list():
    geometry = pair_geometry(*trouble(3))
    for levels in [(0.5,), LEVELS, tuple(np.linspace(0.05, 0.95, 19))]:
        match = match_geometry(geometry, thresholds=levels)
        singles = [match_geometry(geometry, thresholds=(t,)).counts(t) for t in levels]
        assert [match.counts(t) for t in levels] == singles
