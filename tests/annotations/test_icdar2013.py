"""ICDAR 2013 boxes."""

from __future__ import annotations

import pytest

from tests.contracts.reader import ReaderContract, kinds, scanned


class TestContract(ReaderContract):
    format = "icdar2013"
    file = "gt_a.txt"
    example = '38, 43, 920, 215, "Tired, ness"\n275,264,665,450,"A"\n'
    points = (
        [[38, 43], [920, 43], [920, 215], [38, 215]],
        [[275, 264], [665, 264], [665, 450], [275, 450]],
    )
    broken = ("665,450", "665,44", "gt_a.txt:2")
    per_picture = True

    def test_names_the_place_of_a_fault(self, tmp_path):
        found, replaced, place = self.broken
        (problem,) = scanned(tmp_path, self.format, self.example.replace(found, replaced), self.file).problems
        assert (problem.loc, problem.kind) == (place, "invalid-box")


def lines(tmp_path, *rows):
    return scanned(tmp_path, "icdar2013", "\n".join(rows), "gt_a.txt")


@pytest.mark.parametrize(
    "row, text",
    [
        ('158 128 411 181 "Foot path"', "Foot path"),
        ("158 128 411 181 Foot path", "Foot path"),
        ('158, 128, 411, 181, "a, b"', "a, b"),
        ("158,128,411,181,a,b", "a,b"),
        ("158,128,411,181", None),
        ('158 128 411 181 "1, 2, 3, 4, 5"', "1, 2, 3, 4, 5"),
        ("158 128 411 181 ###", None),
    ],
)
def test_blanks_or_commas_separate_the_numbers(tmp_path, row, text):
    reading = lines(tmp_path, row)
    assert reading.problems == ()
    assert reading.samples[0].polygons.texts == (text,)
    assert reading.samples[0].polygons.ignore.tolist() == ["###" in row]


def test_a_file_does_not_mix_separators(tmp_path):
    reading = lines(tmp_path, '1,2,3,4,"a"', '1,2,3,4,"b"', '1 2 3 4 "c"')
    assert [(p.loc, p.kind) for p in reading.problems] == [("gt_a.txt:3", "invalid-line")]


@pytest.mark.parametrize("row", ["1,2,30,2,30,12,1,12", "1,2,30,40,5,6,7,8,text", "1 2 30 40 5 6 7 8"])
def test_what_could_be_a_quad_is_refused_with_a_hint(tmp_path, row):
    reading = lines(tmp_path, row)
    assert kinds(reading) == ["ambiguous-line"]
    assert "--format icdar" in reading.problems[0].message


def test_width_and_height_boxes_are_noticed(tmp_path):
    assert kinds(lines(tmp_path, "500,400,80,20,x")) == ["invalid-box"]


def test_shares_of_the_sides_are_no_lines(tmp_path):
    """`0 0.1 0.5 0.3 0.04` reads as a box of half a pixel with the text 0.04 to whoever only counts numbers."""
    reading = lines(tmp_path, "0 0.1 0.5 0.3 0.04")
    assert kinds(reading) == ["invalid-line"]
    assert "--format yolo" in reading.problems[0].message
    assert lines(tmp_path, '0 1 5 3 "0.04"').problems == ()
