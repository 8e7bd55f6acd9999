"""CLEval end to end: which characters count as read, and when nothing does.

Numbers were read off the published implementation (0.1.1).
"""

from __future__ import annotations

import pytest

from tests.metrics.pages import score_of

G = (0, 0, 100, 20)


@pytest.mark.parametrize(
    ("text", "read", "recall", "precision"),
    [
        ("abcde", "abcde", 1, 1),
        ("abcde", "abxde", 0.8, 0.8),
        ("abcde", "edcba", 0.2, 0.2),
        ("abcde", "ABCDE", 0, 0),
        ("abcde", "abcdefgh", 1, 0.625),
        ("abcde", "", 0, 0),
        ("aaaaa", "a", 0.2, 1),
        ("abab", "baba", 0.75, 0.75),
        ("abcdef", "acebdf", 4 / 6, 4 / 6),
        ("ab cd", "abcd", 0.8, 1),
        ("###", "###", 1, 0.6),
        ("###", "abc", 0, 0),
        ("교환/환불", "교환환불", 0.8, 1),
        ("😀a😀", "😀😀", 2 / 3, 1),
    ],
)
def test_read_scores_of_one_detection(text, read, recall, precision):
    counts = score_of([G], [text], [G], [read])
    assert (counts.read_recall, counts.read_precision) == pytest.approx((recall, precision))


@pytest.mark.parametrize(
    ("found", "read", "recall", "precision"),
    [
        ([(0, 0, 40, 20), (40, 0, 100, 20)], ["ab", "cde"], 0.8, 1),
        ([(40, 0, 100, 20), (0, 0, 40, 20)], ["cde", "ab"], 0.8, 1),
        ([(0, 0, 40, 20), (40, 0, 100, 20)], ["cde", "ab"], 0.4, 0.6),
        ([(0, 0, 40, 20), (40, 0, 100, 20)], ["abcde", "abcde"], 0.8, 0.5),
        ([(0, 0, 40, 20), (40, 0, 100, 20)], ["x", "abcde"], 0.8, 5 / 6),
        ([(0, 0, 60, 20), (40, 0, 100, 20)], ["abcd", "bcde"], 0.8, 0.625),
    ],
)
def test_read_scores_of_pieces(found, read, recall, precision):
    counts = score_of([G], ["abcde"], found, read)
    assert (counts.read_recall, counts.read_precision) == pytest.approx((recall, precision))


@pytest.mark.parametrize(
    ("truth", "texts", "read", "recall", "precision"),
    [
        ([G, (110, 0, 150, 20)], ["abcde", "xy"], "abcde xy", 1, 0.75),
        ([G, (110, 0, 150, 20)], ["abcde", "xy"], "xyabcde", 1, 6 / 7),
        ([G, (110, 0, 150, 20)], ["abc", "ab"], "abcab", 1, 0.8),
        ([(110, 0, 150, 20), G], ["ab", "abc"], "abcab", 0.8, 0.6),
        ([G, (110, 0, 150, 20)], ["ab", "abc"], "abc", 0.6, 2 / 3),
    ],
)
def test_read_scores_of_a_merge_take_each_character_once(truth, texts, read, recall, precision):
    counts = score_of(truth, texts, [(0, 0, 150, 20)], [read])
    assert (counts.read_recall, counts.read_precision) == pytest.approx((recall, precision))


def test_of_many_pieces_over_few_characters_one_more_than_the_characters_is_read():
    held = (0, 0, 60, 20)
    for reader, counted in enumerate([1, 1, 0, 0]):
        read = ["a" if j == reader else "" for j in range(4)]
        assert score_of([(0, 0, 60, 20)], ["a"], [held] * 4, read).read_precision_sum == counted


def test_vertical_text_is_read_from_the_bottom_up_as_in_the_reference():
    tall, upper, lower = (0, 0, 20, 100), (0, 0, 20, 50), (0, 50, 20, 100)
    assert score_of([tall], ["abcd"], [upper, lower], ["cd", "ab"]).read_recall_sum == 4 - 1
    assert score_of([tall], ["abcd"], [upper, lower], ["ab", "cd"]).read_recall_sum == 2 - 1


def test_an_unread_detection_stands_for_as_many_signs_as_its_guessed_length():
    counts = score_of([(0, 0, 50, 50)], ["###"], [(0, 0, 50, 50)], ["###"])
    assert (counts.read_recall, counts.read_precision) == (pytest.approx(2 / 3), 1)


def test_case_can_be_passed_over():
    assert score_of([G], ["aBcdE"], [G], ["AbcdE"]).read_recall == pytest.approx(0.6)
    assert score_of([G], ["aBcdE"], [G], ["AbcdE"], case_sensitive=False).read_recall == 1
    assert score_of([G], ["İstanbul"], [G], ["İSTANBUL"], case_sensitive=False).read_recall == 1


def test_without_one_scored_text_nothing_is_scored_end_to_end():
    counts = score_of([G, (0, 50, 100, 70)], ["abcde", None], [G], ["abcde"])
    assert (counts.unread_pictures, counts.read_recall, counts.read_hmean) == (1, None, None)
    assert counts.recall_total == 5 + 5
    assert score_of([G], ["abcde"], [G], [None]).read_hmean is None


def test_texts_of_ignored_truths_and_of_detections_on_them_are_not_needed():
    counts = score_of([G, (0, 50, 100, 70)], ["abcde", None], [G, (0, 50, 100, 70)], ["abcde", None], [False, True])
    assert counts.read_hmean == 1
