"""No page, however wild, has a score outside 0 to 1, under any protocol, order and convention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.metrics import (
    CONVENTIONS,
    METRICS,
    ORDERS,
    Accumulator,
    DetEvalRule,
    match_cleval,
    match_cleval_scales,
    match_deteval,
    match_iou,
    page_parts,
)
from tests.metrics.pages import ties, trouble
from tests.strategies import outlines, polygon_sets

WORDS = st.sampled_from(["", "#", "##", "###", "####", "a", "ab", "aab", "###a", "ABBA###", "x" * 40, None])


@st.composite
def pages(draw: st.DrawFn) -> Any:
    """Any points, boxes that pile up, exact halves; any flags and texts, unread ones among them."""
    kind = draw(st.sampled_from(["points", "trouble", "ties", "copies"]))
    if kind == "points":
        anything = polygon_sets("raw", outline=outlines(1, 7, 40))
        truth, found = draw(anything), draw(anything)
    else:
        seed = draw(st.integers(0, 2**31))
        truth, found = ties(seed) if kind == "ties" else trouble(seed, crossing=0.2, polygons=0.5)
        found = truth if kind == "copies" else found
    truth = truth.with_ignore([draw(st.booleans()) and draw(st.booleans()) for _ in range(len(truth))])
    texts = [tuple(draw(WORDS) for _ in range(len(side))) for side in (truth, found)]
    return replace(truth, texts=texts[0]), replace(found, texts=texts[1])


def within(values: Any) -> None:
    for value in values:
        assert value is None or 0.0 <= value <= 1.0, value


@settings(max_examples=150, deadline=None)
@given(pages(), st.sampled_from(ORDERS), st.sampled_from(CONVENTIONS))
def test_every_score_of_a_page_lies_between_0_and_1(page, order, convention):
    match = match_iou(*page, order=order)
    counts = match_cleval(*page).counts
    within(match.best_iou)
    for each in (*(match.counts(t) for t in match.thresholds), match_deteval(*page)):
        within(page_parts(each, convention).values())
    for c in (counts, *(m.counts for m in match_cleval_scales(*page, longer_side=100.0).values())):
        within([c.recall, c.precision, c.hmean, c.read_recall, c.read_precision, c.read_hmean])


@settings(max_examples=40, deadline=None)
@given(st.lists(pages(), max_size=4), st.sampled_from(CONVENTIONS), st.booleans())
def test_every_score_of_a_data_set_lies_between_0_and_1(several, convention, ranked):
    for name in METRICS:
        whole = Accumulator(METRICS[name](convention=convention), [str(i) for i in range(len(several))])
        for i, (truth, found) in enumerate(several):
            whole.add(str(i), truth, found, [0.5] * len(found) if ranked else None)
        within(whole.compute().values.values())


def test_unread_text_under_an_unread_detection_was_outside():
    # Three characters of truth read by a detection that was counted as two.
    _, found = ties(0)
    square = replace(found.select([0]), points=(found.select([0]).points * 0 + [[0, 0], [50, 0], [50, 50], [0, 50]]))
    square = replace(square, texts=("###",))
    within([match_cleval(square, square).counts.read_precision])


@pytest.mark.parametrize("credit", [{"split_credit": 3.0}, {"merge_credit": 3.0}])
def test_credits_above_one_are_refused(credit):
    with pytest.raises(SpecError, match="credit"):
        DetEvalRule(**credit)
