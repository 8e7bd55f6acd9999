"""Submission csv."""

from __future__ import annotations

import pytest

from tests.contracts.reader import ReaderContract, kinds, scanned

HEAD = "filename,polygons\n"


class TestContract(ReaderContract):
    format = "submission"
    file = "submission.csv"
    example = HEAD + "a.jpg,1 2 30.5 2 30.5 12.25 1 12|5 6 7 6 7 9\n"
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]], [[5, 6], [7, 6], [7, 9]])
    broken = ("5 6 7 6 7 9", "5 6 7 6 7 x", "submission.csv:2")


def test_a_picture_without_text_has_an_empty_column(tmp_path):
    (sample,) = scanned(tmp_path, "submission", HEAD + "a.jpg,\n", "s.csv").samples
    assert (sample.id, len(sample.polygons)) == ("a.jpg", 0)


def test_names_with_commas_and_quotes_come_back(tmp_path):
    (sample,) = scanned(tmp_path, "submission", HEAD + '"a, ""b"".jpg",\n', "s.csv").samples
    assert sample.id == 'a, "b".jpg'


def test_further_columns_are_counted(tmp_path):
    text = "filename,polygons,avg_confidence\na.jpg,1 2 3 2 3 4,0.9\nb.jpg,,0\n"
    reading = scanned(tmp_path, "submission", text, "s.csv")
    assert (len(reading.samples), dict(reading.unused)) == (2, {"column avg_confidence": 2})


def test_a_dense_page_is_one_long_column(tmp_path):
    polygons = [f"100.123456789012 {y}.123456789012 300.123456789012 {y}.5 300.25 {y + 1}.125" for y in range(3000)]
    text = HEAD + "a.jpg," + "|".join(polygons) + "\n"
    (sample,) = scanned(tmp_path, "submission", text, "s.csv").samples
    assert len(sample.polygons) == 3000


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.jpg", "invalid-line"),
        ("a.jpg,1 2 3 4,5", "invalid-line"),
        ("a.jpg,1 2 3 4 5 6|", "invalid-line"),
        ("a.jpg,1 2 3 4 5", "odd-count"),
        ("a.jpg,1 2 3 4", "too-few-points"),
        ("a.jpg,1 2 3 4 5 nan", "invalid-line"),
    ],
)
def test_each_bad_row_is_named(tmp_path, row, kind):
    reading = scanned(tmp_path, "submission", HEAD + row + "\nb.jpg,\n", "s.csv")
    assert kinds(reading) == [kind]
    assert reading.problems[0].loc.startswith("s.csv:2")
    assert [s.id for s in reading.samples] == ["b.jpg"]


def test_other_columns_are_refused(tmp_path):
    assert kinds(scanned(tmp_path, "submission", "name,boxes\na.jpg,\n", "s.csv")) == ["invalid"]
