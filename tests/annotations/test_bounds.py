"""Small files that ask for much: lines, elements, problems and polygons beyond what any source has are not gathered."""

from __future__ import annotations

import json
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.annotations import detect, gather
from ocrmaps.annotations.discovery import candidates
from ocrmaps.annotations.formats import icdar, yolo
from ocrmaps.annotations.grammar import lines, xml
from ocrmaps.cells import polygons_in
from ocrmaps.errors import AnnotationError, Problem
from ocrmaps.evaluation.predictions import read_prediction_file
from ocrmaps.limits import MOST_POINTS, MOST_TEXTS
from tests.contracts.reader import blank, kinds, lay, scanned

QUAD = "1,2,30,2,30,20,1,20,x"
BAD = {
    "coco": ("c.json", json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{}] * 50})),
    "paddle": ("Label.txt", "a\n" * 50),
    "via": ("v.json", json.dumps({"a.jpg": {"filename": "a.jpg", "regions": [0] * 50}})),
    "labelstudio": ("l.json", json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": [0] * 50}]}])),
    "icdar": ("a.txt", "1,2,x\n" * 50),
}


@pytest.mark.parametrize("format", BAD)
def test_problems_are_told_up_to_a_number(tmp_path, monkeypatch, format):
    monkeypatch.setattr(gather, "MOST_PROBLEMS", 7)
    name, text = BAD[format]
    reading = scanned(tmp_path, format, text, name)
    assert reading.samples == ()
    assert 1 <= len(reading.problems) <= 8
    assert reading.problems[-1].kind == "too-many-problems"
    assert reading.problems[-1].message == "found over 7 problems, read no further"


def test_problems_of_a_file_read_twice_count_once(tmp_path, monkeypatch):
    """A file in which anything is unusual is read again as a whole."""
    monkeypatch.setattr(gather, "MOST_PROBLEMS", 2)
    text = '{"images": [{}, {}], "annotations": [], "info": 1, "info": 2}'
    assert kinds(scanned(tmp_path, "coco", text, "c.json")) != []
    assert "too-many-problems" in kinds(scanned(tmp_path, "coco", text, "c.json"))
    monkeypatch.setattr(gather, "MOST_PROBLEMS", 3)
    assert "too-many-problems" not in kinds(scanned(tmp_path, "coco", text, "c.json"))


@pytest.mark.parametrize(
    "format, line",
    [("icdar", QUAD), ("sroie", QUAD), ("yolo", "0 0.5 0.5 0.2 0.1"), ("totaltext", "1,2,30,2,30,20,x")],
)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_about_one_picture_are_bounded(tmp_path, monkeypatch, format, line, end):
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    lay(tmp_path, {"a.jpg": blank(40, 30)})
    name = "a.csv" if format == "sroie" else "a.txt"
    assert len(scanned(tmp_path, format, (line + end) * 3, name).samples[0].polygons) == 3
    assert kinds(scanned(tmp_path, format, (line + end) * 4, name)) == ["too-many-outlines"]


def test_lines_of_predictions_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 3)
    (tmp_path / "a.txt").write_text("1,2,30,20\n" * 4)
    with pytest.raises(AnnotationError, match="lines about one picture"):
        read_prediction_file(tmp_path / "a.txt", format="icdar")
    (tmp_path / "label.txt").write_text("a.jpg\t[]\nb.jpg\t[]\nc.jpg\t[]\nd.jpg\t[]\n")
    assert len(read_prediction_file(tmp_path / "label.txt").pictures) == 4


@given(st.text("a \t\r\n", max_size=40), st.integers(1, 9))
def test_lines_are_numbered_alike_in_pieces_of_any_length(text, piece):
    expected = [(n, line) for n, line in enumerate(re.split("\r\n|\n|\r", text), start=1) if line.strip(" \t")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_PIECE", piece)
        assert list(lines.numbered(text)) == expected


def test_deciding_about_lines_takes_little_more_than_they_do(monkeypatch):
    monkeypatch.setattr(lines, "_PIECE", 1000)
    texts = ["1,2,30,2,30,20,1,20,11,12,13,14,some words\n" * 5000]
    tracemalloc.start()
    try:
        icdar.decide(texts)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(texts[0])
    finally:
        tracemalloc.stop()


def test_elements_of_xml_are_bounded(monkeypatch):
    monkeypatch.setattr(xml, "MOST_ELEMENTS", 3)
    assert len(xml.parse_xml("<a><b/><b/></a>", "x").children) == 2
    with pytest.raises(AnnotationError) as caught:
        xml.parse_xml("<a><b/>\n<b/><b/></a>", "x")
    assert [(p.loc, p.kind) for p in caught.value.problems] == [("x:2", "too-large")]


def test_polygons_in_a_cell_are_bounded(tmp_path):
    for cell in ("|" * MOST_TEXTS, "1 " * (2 * MOST_POINTS + 1)):
        with pytest.raises(ValueError, match="outline"):
            list(polygons_in(cell))
        text = f"filename,polygons\na.jpg,{cell}\n"
        assert kinds(scanned(tmp_path, "submission", text, "s.csv")) == ["too-many-points"]
        with pytest.raises(AnnotationError, match="outline"):
            read_prediction_file(tmp_path / "s.csv")


def test_names_of_classes_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(yolo, "_MOST_BYTES", 10)
    lay(tmp_path, {"a.jpg": blank(40, 30), "classes.txt": "text\nignore\n"})
    assert "too-large" in kinds(scanned(tmp_path / "labels", "yolo", "0 0.5 0.5 0.2 0.1\n", "a.txt"))


def test_a_long_file_without_format_is_not_parsed(tmp_path, monkeypatch):
    lay(tmp_path, {"x.json": '{"foo": [1, 2}'})
    with pytest.raises(AnnotationError, match="found invalid JSON"):
        detect(tmp_path / "x.json")
    monkeypatch.setattr(candidates, "_PARSED", 5)
    with pytest.raises(AnnotationError, match="found json with 'foo'"):
        detect(tmp_path / "x.json")


def test_a_name_with_line_breaks_stays_on_its_line():
    assert str(Problem("a.json", "found no picture 'a\n  try: b'")) == r"a.json: found no picture 'a\n  try: b'"
