"""DOTA txt."""

from __future__ import annotations

import pytest

from tests.contracts.reader import ReaderContract, kinds, scanned


class TestContract(ReaderContract):
    format = "dota"
    file = "a.txt"
    per_picture = True
    example = (
        "imagesource:GoogleEarth\ngsd:0.12\n1 2 30.5 2 30.5 12.25 1 12 text 0\n5.0 5.0 9.0 5.0 9.0 8.0 5.0 8.0 sign 1\n"
    )
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]], [[5, 5], [9, 5], [9, 8], [5, 8]])
    broken = ("30.5 12.25", "30.5", "a.txt:3")


def test_difficult_outlines_and_categories_called_ignore_are_ignored(tmp_path):
    row = "1 2 30 2 30 12 1 12 {}\n"
    content = "".join(map(row.format, ("text 0", "text 1", "text 2", "ignore 0", "text")))
    reading = scanned(tmp_path, "dota", content, "a.txt")
    assert reading.samples[0].polygons.ignore.tolist() == [False, True, True, True, False]
    assert reading.unused == {"category": 4}


@pytest.mark.parametrize("line", ["1 2 30 2 30 12 1 12", "1 2 3 4 5 6 7 8 text 3", "1 2 3 4 5 6 7 8 9 0", "x"])
def test_other_lines_are_named(tmp_path, line):
    assert kinds(scanned(tmp_path, "dota", line, "a.txt")) == ["invalid-line"]
