"""What nothing scores: each convention gives the numbers of the evaluators it is named after.

The numbers of `db` were read off the DB repository's IoU and DetEval evaluators (65ca77a) and off CLEval 0.1.1.
"""

from __future__ import annotations

import pytest

from ocrmaps.errors import SpecError
from ocrmaps.metrics import (
    METRICS,
    Accumulator,
    cleval_metric,
    deteval_metric,
    iou_metric,
    match_deteval,
    match_iou,
    page_parts,
)
from tests.metrics.pages import boxes

LINE, FAR = (0, 0, 100, 20), (0, 500, 100, 520)
PAGES = {
    "nothing at all": ([], [], []),
    "false alarm": ([], [], [FAR]),
    "ignored only": ([LINE], [True], []),
    "ignored and found": ([LINE], [True], [LINE]),
    "ignored and false alarm": ([LINE], [True], [FAR]),
    "missed": ([LINE], [False], []),
    "found": ([LINE], [False], [LINE]),
}


def sides(name):
    truth, ignore, found = PAGES[name]
    return boxes(truth, ignore=ignore, texts=["abc"] * len(truth)), boxes(found, texts=["abc"] * len(found))


@pytest.mark.parametrize(
    ("name", "iou", "ours", "db"),
    [
        ("nothing at all", (1, 1, 1), (1, 1, 1), (1, 1, 0)),
        ("false alarm", (0, 1, 0), (0, 1, 0), (0, 1, 0)),
        ("ignored only", (1, 1, 1), (1, 1, 1), (0, 0, 0)),
        ("ignored and found", (1, 1, 1), (1, 1, 1), (0, 1, 0)),
        ("ignored and false alarm", (0, 1, 0), (0, 1, 0), (0, 1, 0)),
        ("missed", (0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ("found", (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_a_page_in_both_conventions(name, iou, ours, db):
    """IoU is the same in both; DetEval's is not."""
    counts = match_iou(*sides(name)).counts(0.5)
    assert tuple(page_parts(counts).values()) == tuple(page_parts(counts, "db").values()) == iou
    counts = match_deteval(*sides(name))
    assert (tuple(page_parts(counts).values()), tuple(page_parts(counts, "db").values())) == (ours, db)


@pytest.mark.parametrize("metric", [iou_metric, deteval_metric, cleval_metric])
def test_a_data_set_without_truth_has_no_score_or_scores_nothing(metric):
    for convention, status in (("ocrmaps", "empty"), ("db", "complete")):
        whole = Accumulator(metric(convention=convention), list(PAGES)[:5])
        for name in list(PAGES)[:5]:
            whole.add(name, *sides(name), [0.5] * len(PAGES[name][2]))
        score = whole.compute()
        assert score.status == status
        assert set(score.values.values()) == ({0.0} if convention == "db" else set())
    empty = Accumulator(metric(convention="db"), [])
    assert empty.compute().status == "complete" and set(empty.compute().values.values()) == {0.0}


@pytest.mark.parametrize("metric", METRICS)
def test_with_truth_the_convention_changes_nothing(metric):
    scores = []
    for convention in ("ocrmaps", "db"):
        whole = Accumulator(METRICS[metric](convention=convention), list(PAGES))
        for name in PAGES:
            whole.add(name, *sides(name))
        scores.append(whole.compute())
    assert scores[0] == scores[1] and scores[0].status == "complete"


@pytest.mark.parametrize("metric", [iou_metric, deteval_metric, cleval_metric])
def test_other_conventions_are_refused(metric):
    with pytest.raises(SpecError, match="found convention 'icdar', expected one of ocrmaps, db"):
        metric(convention="icdar")
