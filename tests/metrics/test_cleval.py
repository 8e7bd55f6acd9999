"""CLEval counts characters as the reference does: hand-made cases, the plain rule, and pictures of every kind.

Numbers in the tables without arithmetic beside them were read off the published implementation (0.1.1).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from ocrmaps.errors import CrowdError, FrameError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import (
    ClevalCounts,
    ClevalRule,
    cleval_pairs,
    clipping,
    match_cleval,
    match_cleval_scales,
    mean_per_picture,
)
from ocrmaps.metrics.bands import as_bands
from ocrmaps.metrics.characters import centers, false_alarm_length, short_sides, spines, text_length
from ocrmaps.pipelines.bench.references.metrics import plain_cleval
from tests.metrics.pages import box, boxes, score_of, trouble, wordless
from tests.strategies import outlines, polygon_sets

G = (0, 0, 100, 20)


def _detected(counts: ClevalCounts) -> tuple[float, ...]:
    scores = (round(counts.recall, 4), round(counts.precision, 4))
    return (*scores, counts.splits, counts.merges, counts.overlaps)


@pytest.mark.parametrize("seed", range(120))
def test_sums_and_counts_are_those_of_the_plain_rule(seed):
    truth, found = trouble(seed, crossing=0.05 * (seed % 2))
    truth = wordless(truth, 1 + seed % 2) if seed % 3 == 0 else truth
    plain, fast = plain_cleval(truth, found), match_cleval(truth, found).counts
    for name, value in plain.items():
        assert getattr(fast, name) == pytest.approx(value, abs=1e-6), name


@settings(max_examples=150)
@given(polygon_sets("raw", outline=outlines(1, 9, 40)), polygon_sets("raw", outline=outlines(1, 9, 40)))
def test_any_points_and_texts_at_all_are_counted_and_scored(truth, found):
    match = match_cleval(truth, found)
    c = match.counts
    few = sum(1 for points in truth if len(points) < 3)
    assert c.truth_care == sum(1 for p, flag in zip(truth, truth.ignore, strict=True) if len(p) >= 3 and not flag)
    assert few <= c.truth_invalid <= len(truth)
    assert c.detection_care + c.detection_ignored <= len(found)
    assert 0 <= c.recall <= 1 and 0 <= c.precision <= 1 and 0 <= c.hmean <= 1
    assert c.read_hmean is None or 0 <= c.read_hmean <= 1
    assert (match.found <= match.length).all()
    assert match.pieces.sum() == match.merged.sum() == len(match.pairs)


@pytest.mark.parametrize("seed", range(15))
def test_the_order_of_detections_does_not_matter_to_detection(seed):
    truth, found = trouble(seed)
    shuffled = found.select(np.random.default_rng(seed).permutation(len(found)))
    a, b = match_cleval(truth, found).counts, match_cleval(truth, shuffled).counts
    assert _detected(a) == _detected(b)


@pytest.mark.parametrize(
    ("truth", "texts", "found", "expected"),
    [
        ([G], ["abcde"], [G], (1, 1, 0, 0, 0)),
        ([G], ["abcde"], [(0, 0, 50, 20)], (0.4, 1, 0, 0, 0)),
        ([G], ["abcde"], [(0, 0, 55, 20), (55, 0, 100, 20)], (0.8, 1, 1, 0, 0)),
        ([G], ["abcde"], [(0, 0, 60, 20), (40, 0, 100, 20)], (0.8, 0.8333, 1, 0, 1)),
        ([G], ["abcde"], [G, G], (0.8, 0.5, 1, 0, 5)),
        ([G], ["abcdef"], [G, G, G], (0.6667, 0.3333, 1, 0, 12)),
        ([G, (110, 0, 150, 20)], ["abcde", "xy"], [(0, 0, 150, 20)], (1, 0.8571, 0, 1, 0)),
        ([G, (110, 0, 150, 20), (160, 0, 200, 20)], ["abcde", "xy", "zt"], [(0, 0, 200, 20)], (1, 0.7778, 0, 1, 0)),
        ([G], ["abcde"], [(0, 0, 100, 64)], (1, 1, 0, 0, 0)),
        ([G], ["abcde"], [(0, 0, 100, 68)], (0, 0, 0, 0, 0)),
        ([(0, 0, 30, 20)], ["abc"], [(0, 0, 100, 20)], (1, 1, 0, 0, 0)),
        ([(0, 0, 15, 20), (40, 0, 55, 20)], ["ab", "cd"], [(0, 0, 100, 20)], (1, 0.75, 0, 1, 0)),
        ([(0, 0, 14, 20), (40, 0, 54, 20)], ["ab", "cd"], [(0, 0, 100, 20)], (0, 0, 0, 0, 0)),
        ([(0, 0, 25, 20), (75, 0, 175, 20)], ["ab", "c"], [(0, 0, 100, 20)], (0, 0, 0, 0, 0)),
        ([G], [""], [G], (0, 0, 0, 0, 0)),
        ([G], ["abcde"], [], (0, 0, 0, 0, 0)),
        ([], [], [G], (0, 0, 0, 0, 0)),
        ([], [], [], (0, 0, 0, 0, 0)),
    ],
)
def test_detection_scores_of(truth, texts, found, expected):
    assert _detected(score_of(truth, texts, found)) == expected


@pytest.mark.parametrize(
    ("edge", "found"),
    [((0, 0, 10, 20), 0), ((0, 0, 11, 20), 1), ((10, 0, 100, 20), 5), ((11, 0, 100, 20), 4)]
    + [((0, 0, 100, 10), 0), ((0, 0, 100, 11), 5), ((0, 10, 100, 20), 5), ((0, 11, 100, 20), 0)],
)
def test_left_and_upper_edges_hold_a_character_and_right_and_lower_ones_do_not(edge, found):
    counts = score_of([G], ["abcde"], [edge], area_precision=0.05)
    assert round(counts.recall * 5) == found


@pytest.mark.parametrize(
    ("width", "height", "length"),
    [(100, 20, 1), (20, 20, 1), (20, 40, 2), (20, 41, 3), (20, 100, 5), (10, 90, 9), (10, 95, 10), (10, 200, 10)],
)
def test_a_false_alarm_costs_characters_by_its_height_over_its_width(width, height, length):
    counts = score_of([G], ["abcdefghij"], [G, (200, 0, 200 + width, height)])
    assert counts.precision == pytest.approx(10 / (10 + length))


def test_guessed_lengths_go_from_two_to_ten_and_round_half_to_even():
    aspect = (1.0, 1.999, 2.0, 3.0, 1 / 3, 4.0, 60.0)
    assert [text_length(a) for a in aspect] == [2, 2, 2, 4, 4, 4, 10]
    assert [false_alarm_length(a) for a in (1.0, 50.0, 1e-9)] == [1, 1, 10]


@pytest.mark.parametrize(("share", "scored"), [(29, True), (30, False), (31, False), (100, False)])
def test_a_detection_is_not_scored_from_three_tenths_on_ignored_text(share, scored):
    counts = score_of([G, (0, 0, share, 20)][1:], ["ab"], [G], ignore=[True])
    assert counts.detection_care == scored


@pytest.mark.parametrize(
    ("truth", "scored"),
    [
        ([(0, 0, 20, 20), (40, 0, 60, 20)], False),
        ([(0, 0, 14, 20), (40, 0, 55, 20)], True),
        ([(0, 0, 14, 20), (0, 0, 14, 20), (0, 0, 14, 20)], False),
    ],
)
def test_ignored_shares_add_up_over_regions_whose_characters_are_held(truth, scored):
    assert score_of(truth, ["ab"] * len(truth), [G], ignore=[True] * len(truth)).detection_care == scored


@pytest.mark.parametrize(("left", "scored"), [(71, True), (70, False), (50, False)])
def test_ignored_area_under_scored_text_does_not_count(left, scored):
    # Ignored over everything, scored text over the first part: what is left of the ignored share is 1 - left / 100.
    counts = score_of([G, (0, 0, left, 20)], ["abc", "abcde"], [G], ignore=[True, False])
    assert counts.detection_care == scored


def test_a_second_piece_that_is_not_scored_keeps_the_first_from_counting():
    truth, texts, ignore = [G, (100, 0, 500, 20), (0, 500, 100, 520)], ["abcde", "x", "h" * 10], [False, True, False]
    found = [G, (5, 0, 300, 20), (0, 500, 100, 520)]
    assert _detected(score_of(truth, texts, found, ignore=ignore))[:2] == (0.6667, 0.9091)
    assert _detected(score_of(truth, texts, [G, (15, 0, 300, 20), found[2]], ignore=ignore))[:2] == (1, 1)


def test_without_texts_lengths_are_guessed():
    counts = score_of([G], ["a"], [(0, 0, 50, 20)], use_texts=False)
    assert (counts.recall_total, counts.recall, counts.read_recall) == (5, 0.4, None)


@pytest.mark.parametrize(
    ("rule", "recall", "precision"), [({}, 0.8, 0.5), ({"split_price": 0}, 1, 0.5), ({"split_price": 2}, 0.6, 0.5)]
)
def test_the_price_of_a_split(rule, recall, precision):
    assert _detected(score_of([G], ["abcde"], [G, G], **rule))[:2] == (recall, precision)


def test_sums_below_nothing_weigh_on_the_data_set_but_no_score_falls_below_zero():
    bad, good = score_of([G], ["ab"], [G] * 6), score_of([G], ["abcdefghij"], [G])
    assert (bad.recall, bad.recall_sum) == (0, 2 - 5)
    assert (bad + good).recall == pytest.approx(7 / 12)
    assert mean_per_picture([bad, good])["recall"] == pytest.approx(0.5)


def test_a_picture_with_nothing_to_score_does_not_enter_the_mean_and_a_missed_one_does():
    good, nothing, missed = score_of([G], ["ab"], [G]), score_of([], [], []), score_of([G], ["ab"], [])
    assert mean_per_picture([good, nothing])["hmean"] == 1
    assert mean_per_picture([good, missed])["hmean"] == 0.5
    assert mean_per_picture([nothing]) == {}


def test_outlines_are_cut_to_whole_pixels_before_areas_are_compared():
    # 29.9 x 20 on 100 x 20 is cut to 29, below three tenths.
    assert score_of([(0, 0, 30.9, 20)], ["abc"], [G]).recall == 1
    assert score_of([(0, 0, 29.9, 20)], ["abc"], [G]).recall == 0


def test_characters_of_a_curved_line_follow_it():
    turn = np.linspace(np.pi, 2 * np.pi, 9)
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    outline = np.concatenate([100 * arc, 80 * arc[::-1]])
    lines = spines(PolygonSet.of([outline], frame="raw"))
    middles, starts = centers(lines.points, lines.offsets, np.array([7]))
    assert starts.tolist() == [0, 7]
    assert np.hypot(*middles.T) == pytest.approx([90] * 7, abs=2)
    assert np.diff(np.arctan2(middles[:, 1], middles[:, 0])) == pytest.approx([np.pi / 7] * 6, rel=0.03)
    truth = PolygonSet.of([outline], frame="raw", texts=["abcdefg"])
    assert match_cleval(truth, truth).counts.read_hmean == 1


def test_a_polygon_with_an_odd_number_of_points_is_read_along_the_rectangle_around_it():
    quad = PolygonSet.of([box(0, 0, 80, 20)], frame="raw")
    five = PolygonSet.of([[(0, 0), (80, 0), (80, 20), (40, 20), (0, 20)]], frame="raw")
    assert spines(five).points == pytest.approx(spines(quad).points)
    assert spines(five).aspect == pytest.approx(spines(quad).aspect)


def curved(seed: int) -> np.ndarray:
    """A band along an arc, one long side and the other backwards, with three to nine points a side."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 6) + np.linspace(0, rng.uniform(1, 4), rng.integers(3, 10))
    radius, arc = rng.uniform(40, 90), np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([(radius + 12) * arc, (radius - 12) * arc[::-1]]) + rng.uniform(100, 200, 2)


REWRITTEN = {
    "begins at a side": lambda outline: np.roll(outline, 1, axis=0),
    "begins in the middle": lambda outline: np.roll(outline, len(outline) // 4, axis=0),
    "runs backwards": lambda outline: outline[::-1],
    "ends where it began": lambda outline: np.concatenate([outline, outline[:1]]),
    "a point more on one side": lambda outline: np.insert(outline, 1, outline[:2].mean(axis=0), axis=0),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_curved_text_found_exactly_is_found_however_its_outline_is_written(name):
    recalls = []
    for seed in range(40):
        truth = PolygonSet.of([REWRITTEN[name](curved(seed))], frame="raw", texts=["abcdefgh"])
        counts = match_cleval(truth, truth).counts
        assert counts.precision == 1
        recalls.append(counts.recall)
    assert np.mean(recalls) > 0.98


def test_an_outline_written_as_curved_text_data_sets_do_stays_as_it_is():
    outlines = PolygonSet.of([curved(0), box(*G), curved(3), box(*G)[:3]], frame="raw", texts=["a", "b", "c", "d"])
    bands = as_bands(outlines)
    assert bands.points.tolist() == outlines.points.tolist() and bands.offsets.tolist() == outlines.offsets.tolist()
    assert bands.texts == outlines.texts


def test_an_outline_that_no_ends_make_a_better_band_stays_as_it_is():
    star = [(45, 83), (31, 47), (84, 43), (65, 57), (102, 38), (71, 56)]
    assert as_bands(PolygonSet.of([star], frame="raw"))[0].tolist() == [[float(x), float(y)] for x, y in star]


@pytest.mark.parametrize("start", range(5))
@pytest.mark.parametrize("step", [1, -1])
def test_an_outline_written_anew_runs_to_the_right_or_else_upwards(start, step):
    """Detections of one text are read in this order."""
    wide = np.roll([(0, 0), (40, 0), (80, 0), (80, 20), (0, 20)], start, axis=0)[::step]
    for outline, axis, sign in ((wide, 0, 1), (wide[:, ::-1], 1, -1)):
        band = as_bands(PolygonSet.of([outline], frame="raw"))[0]
        begin, end = band[[0, -1]].mean(axis=0), band[[15, 16]].mean(axis=0)
        assert sign * (end - begin)[axis] == pytest.approx(80)


def test_the_ends_of_an_outline_of_many_points_are_found():
    wave = np.stack([np.linspace(0, 300, 60), 30 * np.sin(np.linspace(0, 9, 60))], axis=1)
    traced = np.roll(np.concatenate([wave - (0, 9), wave[::-1] + (0, 9)]), 31, axis=0)
    truth = PolygonSet.of([traced], frame="raw", texts=["abcdefghijklmno"])
    assert match_cleval(truth, truth).counts.recall == 1


def test_crossing_truth_stays_in_the_score_and_is_counted():
    bow = box(*G)[[0, 2, 1, 3]]
    truth = PolygonSet.of([bow, box(0, 50, 100, 70)], frame="raw", texts=["abcde", "abcde"])
    counts = match_cleval(truth, boxes([G, (0, 50, 100, 70)], texts=["abcde"] * 2)).counts
    assert (counts.truth_invalid, counts.truth_care, counts.recall) == (1, 2, 1)


def test_truth_of_two_points_leaves_the_score_and_is_counted():
    truth = PolygonSet.of([[(0, 0), (9, 9)], box(*G)], frame="raw", texts=["abc", "abcde"])
    counts = match_cleval(truth, boxes([G], texts=["abcde"])).counts
    assert (counts.truth_invalid, counts.truth_care, counts.recall) == (1, 1, 1)


@pytest.mark.parametrize("points", [3, 4])
def test_points_beyond_all_areas_are_counted_without_a_warning(points):
    far = PolygonSet.of([box(-1e308, -1e308, 1e308, 1e308)[:points], box(*G)], frame="raw", texts=["a", "abcde"])
    counts = match_cleval(far, far).counts
    assert (counts.truth_invalid, counts.detection_invalid, counts.recall) == (1, 1, 1)


def test_two_frames_are_refused():
    with pytest.raises(FrameError):
        match_cleval(PolygonSet.empty("raw"), PolygonSet.empty("upright"))


@pytest.mark.parametrize("rule", [{"area_precision": 0}, {"area_precision": 1.5}, {"split_price": -1}])
def test_rules_that_mean_nothing_are_refused(rule):
    with pytest.raises(SpecError, match=r"cleval\.\w+: found"):
        ClevalRule(**rule)


def test_scale_bins_score_texts_of_their_height_only():
    truth = boxes([G, (0, 100, 50, 105)], texts=["abcde", "xyz"])
    found = boxes([G, (0, 300, 50, 305)], texts=["abcde", "xyz"])
    bins = match_cleval_scales(truth, found, longer_side=1000)
    scores = {edges: (m.counts.recall_total, m.counts.recall) for edges, m in bins.items() if m.counts.recall_total}
    assert scores == {(0.0, 0.005): (3, 0), (0.005, 0.01): (3, 0), (0.015, 0.02): (5, 1), (0.02, 0.025): (5, 1)}
    assert bins[0.015, 0.02].counts.precision == pytest.approx(5 / 6)


def test_heights_are_those_of_the_rectangle_with_its_corners_in_whole_pixels():
    # 4.25 high as it stands; its corners are rounded to (0, 0), (20, 10), (18, 14), (-2, 4).
    line = PolygonSet.of([np.array([[0.4, 0.3], [20.4, 10.3], [18.1, 13.9], [-1.9, 3.9]])], frame="raw", texts=["abc"])
    assert short_sides(line).tolist() == pytest.approx([20**0.5])
    assert short_sides(boxes([(0, 0, 100, 4.4), (0, 0, 100, 4.6)])).tolist() == [4, 5]
    bins = match_cleval_scales(boxes([(0, 0, 100, 5.4)], texts=["a"]), line, longer_side=1000)
    assert bins[0.0, 0.005].counts.recall_total == 1


def test_text_of_another_height_keeps_the_characters_it_has():
    # Guessed, the ignored text would have ten characters and the detection hold some of them.
    truth = boxes([(0, 0, 300, 20), (290, 0, 300, 20), (0, 90, 90, 120)], texts=["a", "b", "c"])
    found = boxes([(200, 0, 300, 70)], texts=["q"])
    counts = match_cleval_scales(truth, found, longer_side=1000)[0.025, 0.1].counts
    assert (counts.truth_care, counts.detection_care) == (1, 1)


@pytest.mark.parametrize(("edges", "side"), [((0.0,), 100), ((0.1, 0.1), 100), ((0.5, 0.1), 100), ((0.0, 1.0), 0)])
def test_scale_bins_must_rise(edges, side):
    with pytest.raises(SpecError, match="rising edges"):
        match_cleval_scales(boxes([G]), boxes([G]), longer_side=side, bins=edges)


def _under(seed: int) -> tuple[PolygonSet, PolygonSet]:
    """Ignored and scored truths that lie over each other, and detections on top of them."""
    rng = np.random.default_rng(seed)
    low, side = rng.integers(0, 40, (10, 2)), rng.integers(6, 40, (10, 2))
    outlines = [box(*at, *(at + by)) + rng.normal(0, 1, (4, 2)) for at, by in zip(low, side, strict=True)]
    truth = PolygonSet.of(outlines[:6], frame="raw", ignore=[True, True, True, False, False, False], texts=["abc"] * 6)
    return truth, PolygonSet.of(outlines[6:], frame="raw", texts=["abc"] * 4)


def test_what_scored_truths_cover_of_ignored_ones_is_not_counted_however_it_is_computed(monkeypatch):
    asked, ours = [], clipping.uncovered

    def noted(*args):
        area = ours(*args)
        asked.append(area.copy())
        return area

    monkeypatch.setattr(clipping, "uncovered", noted)
    for seed in range(30):
        counts, plain = match_cleval(*_under(seed)).counts, plain_cleval(*_under(seed))
        assert {name: getattr(counts, name) for name in plain} == pytest.approx(plain, abs=1e-6)
    left = np.concatenate(asked)
    assert (left == clipping.BENT).sum() > 5 and (left >= 0).sum() > 5 and (left == -1).any()


def test_more_truths_over_each_other_than_can_be_borne_are_refused(monkeypatch):
    monkeypatch.setattr(cleval_pairs, "MOST_PAIRS", 1)
    with pytest.raises(CrowdError, match="of ignored and scored truths lie under detections"):
        match_cleval(*_under(0))
