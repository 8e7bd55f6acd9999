"""A pass is worth a number only if exactly its pictures were scored, once each."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocrmaps.errors import DataError, FrameError, RunError, SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics import METRICS, Accumulator, Metric, cleval_metric, iou_metric
from tests.metrics.pages import boxes, trouble

LINE = boxes([(0, 0, 100, 20)], texts=["abcde"])
NOTHING = boxes([])
HMEAN = {"iou": "hmean@0.5", "deteval": "hmean", "cleval": "dataset.hmean"}


@pytest.fixture(params=list(METRICS))
def metric(request: pytest.FixtureRequest) -> Metric:
    return METRICS[request.param]()


def test_all_expected_pictures_give_a_complete_score(metric):
    seen = Accumulator(metric, ["a", "b"])
    seen.add("b", LINE, LINE)
    seen.add("a", LINE, LINE)
    score = seen.compute()
    assert (score.status, score.seen, score.expected, score.missing) == ("complete", 2, 2, ())
    assert score[HMEAN[metric.name]] == 1


def test_a_missing_picture_leaves_no_number_but_counts(metric):
    seen = Accumulator(metric, ["a", "b"])
    seen.add("a", LINE, LINE)
    score = seen.compute()
    assert (score.status, score.seen, score.missing, score.values) == ("partial", 1, ("b",), {})
    assert score.counts["truth_care"] == 1
    with pytest.raises(RunError, match=r"partial: 1 of 2 .* missing b"):
        score[HMEAN[metric.name]]


def test_no_picture_at_all_is_partial_not_zero(metric):
    assert Accumulator(metric, ["a"]).compute().status == "partial"


def test_pictures_nobody_predicted_count_as_missed(metric):
    seen = Accumulator(metric, ["a", "b"])
    seen.add("a", LINE, LINE)
    assert seen.add_unpredicted({"a": LINE, "b": LINE}) == 1
    score = seen.compute()
    assert (score.status, score.unpredicted) == ("complete", 1)
    assert score[HMEAN[metric.name].replace("hmean", "recall")] == 0.5


def test_backgrounds_alone_are_empty_not_perfect(metric):
    seen = Accumulator(metric, ["a"])
    seen.add("a", NOTHING, NOTHING)
    score = seen.compute()
    assert (score.status, score.values) == ("empty", {})
    with pytest.raises(RunError, match="no text that is scored"):
        score[HMEAN[metric.name]]


def test_a_background_with_a_false_alarm_lowers_precision(metric):
    seen = Accumulator(metric, ["a", "b"])
    seen.add("a", LINE, LINE)
    seen.add("b", NOTHING, LINE)
    assert seen.compute()[HMEAN[metric.name].replace("hmean", "precision")] < 1


def test_an_unexpected_picture_is_refused(metric):
    with pytest.raises(DataError, match=r"c: not among the expected pictures"):
        Accumulator(metric, ["a"]).add("c", LINE, LINE)


def test_a_picture_is_scored_once(metric):
    seen = Accumulator(metric, ["a"])
    seen.add("a", LINE, LINE)
    with pytest.raises(DataError, match=r"a: already scored"):
        seen.add("a", LINE, LINE)
    assert seen.compute().seen == 1


def test_two_processes_with_the_same_picture_are_refused_as_a_whole(metric):
    one, other = (Accumulator(metric, ["a", "b", "c"]) for _ in range(2))
    one.add("a", LINE, LINE)
    other.add("a", LINE, LINE)
    other.add("b", LINE, LINE)
    with pytest.raises(DataError, match="1 results refused"):
        one.merge(other.results())
    assert list(one.results()) == ["a"]


def test_results_travel_and_the_score_does_not_depend_on_who_scored_what(metric):
    pictures = {f"p{seed}": trouble(seed) for seed in range(12)}
    whole = Accumulator(metric, pictures)
    for name, sets in pictures.items():
        whole.add(name, *sets)
    parts = [Accumulator(metric, pictures) for _ in range(3)]
    for i, name in enumerate(reversed(pictures)):
        parts[i % 3].add(name, *pictures[name])
    gathered = Accumulator(metric, pictures)
    for part in parts:
        gathered.merge(pickle.loads(pickle.dumps(part.results())))
    assert gathered.compute() == whole.compute()


def test_threads_may_add_at_the_same_time(metric):
    names = [f"p{i}" for i in range(64)]
    seen = Accumulator(metric, names)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: seen.add(name, LINE, LINE), names))
    assert seen.compute().status == "complete"


def test_repeated_expected_ids_are_refused(metric):
    with pytest.raises(SpecError, match=r"1 repeated: a"):
        Accumulator(metric, ["a", "b", "a"])


def test_one_text_is_not_a_list_of_ids(metric):
    with pytest.raises(SpecError, match="several names"):
        Accumulator(metric, "page-1.jpg")


def test_a_picture_that_cannot_be_scored_is_not_kept(metric):
    seen = Accumulator(metric, ["a"])
    with pytest.raises(FrameError):
        seen.add("a", LINE, PolygonSet.empty("upright"))
    assert seen.compute().seen == 0


def test_an_unknown_value_names_the_known_ones(metric):
    seen = Accumulator(metric, ["a"])
    seen.add("a", LINE, LINE)
    with pytest.raises(SpecError, match="hmean"):
        seen.compute()["f1"]


def test_invalid_truth_is_reported(metric):
    bow = PolygonSet.of([[(0, 0), (9, 9), (9, 0), (0, 9)], LINE[0]], frame="raw", texts=["ab", "abcde"])
    seen = Accumulator(metric, ["a"])
    seen.add("a", bow, LINE)
    assert seen.compute().counts["truth_invalid"] == 1


def test_iou_values_at_every_threshold_and_average_precision_with_scores():
    seen = Accumulator(iou_metric(thresholds=(0.5, 0.75)), ["a"])
    seen.add("a", LINE, LINE, [0.5])
    values = seen.compute().values
    assert values["hmean@0.75"] == values["average_precision@0.5"] == 1
    assert set(values) == {
        f"{name}@{t}" for name in ("precision", "recall", "hmean", "average_precision") for t in (0.5, 0.75)
    }


def test_cleval_names_both_ways_to_add_up_pictures():
    seen = Accumulator(cleval_metric(), ["long", "short"])
    seen.add("long", boxes([(0, 0, 100, 20)], texts=["abcdefghi"]), boxes([(0, 0, 100, 20)], texts=["abcdefghi"]))
    seen.add("short", boxes([(0, 0, 100, 20)], texts=["a"]), NOTHING)
    score = seen.compute()
    assert (score["dataset.recall"], score["picture_mean.recall"]) == (0.9, 0.5)
    assert (score["dataset.read_recall"], score["picture_mean.read_recall"]) == (0.9, 0.5)


def test_cleval_without_texts_has_no_end_to_end_values():
    seen = Accumulator(cleval_metric(), ["a"])
    seen.add("a", LINE, boxes([(0, 0, 100, 20)]))
    assert not [name for name in seen.compute().values if "read" in name]
    assert seen.compute().counts["unread_pictures"] == 1
