"""Published data sets with a json or text format of their own: LSVT/ArT, ReCTS, HierText, FUNSD, CORD and others."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import open_source
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import ReaderContract, kinds, lay, scanned

QUAD = [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]]
FLAT = [v for point in QUAD for v in point]


def read_as(tmp_path, format, root, name="a.json"):
    return scanned(tmp_path, format, json.dumps(root), name)


class TestLsvt(ReaderContract):
    format = "lsvt"
    file = "train_full_labels.json"
    example = json.dumps({"a.jpg": [{"points": QUAD, "transcription": "店", "illegibility": False}]})
    points = (QUAD,)
    broken = ("12.25]", "12.25, 3]", 'train_full_labels.json:["a.jpg"][0].points')


def test_lsvt_names_pictures_without_ending_and_marks_what_is_illegible(tmp_path):
    lay(tmp_path, {"gt_0.jpg": b""})
    words = [
        {"points": QUAD, "transcription": "x", "illegibility": True, "language": "Latin"},
        {"points": QUAD, "transcription": "###", "illegibility": False},
        {"points": QUAD, "transcription": "y"},
    ]
    reading = read_as(tmp_path, "lsvt", {"gt_0": words}, "l.json")
    (sample,) = reading.samples
    assert (sample.id, sample.polygons.texts) == ("gt_0.jpg", ("x", None, "y"))
    assert sample.polygons.ignore.tolist() == [True, True, False]
    assert reading.unused == {"word language": 1}


class TestRects(ReaderContract):
    format = "rects"
    file = "a.json"
    per_picture = True
    example = json.dumps({"chars": [], "lines": [{"points": FLAT, "transcription": "店", "ignore": 0}]})
    points = (QUAD,)
    broken = ("12.25, ", "", "a.json:lines[0].points")


def test_rects_ignore_is_a_number_or_a_mark(tmp_path):
    lines = [{"points": FLAT, "transcription": t, "ignore": i} for t, i in (("x", 1), ("###", 0), ("y", 0))]
    reading = read_as(tmp_path, "rects", {"chars": [{}, {}], "lines": lines})
    assert reading.samples[0].polygons.ignore.tolist() == [True, True, False]
    assert reading.unused == {"chars": 2}
    assert kinds(read_as(tmp_path, "rects", {"lines": [{"points": FLAT, "ignore": 2}]})) == ["wrong-type"]


def hiertext(*words, **line):
    lines = [{"vertices": QUAD, "text": "a b", "legible": True, "words": list(words), **line}]
    row = {"image_id": "a.jpg", "image_width": 40, "image_height": 30}
    return {"info": {}, "annotations": [{**row, "paragraphs": [{"vertices": QUAD, "legible": True, "lines": lines}]}]}


WORD = {"vertices": [[1, 2], [9, 2], [9, 8]], "text": "a", "legible": True}


class TestHierTextLines(ReaderContract):
    format = "hiertext-lines"
    file = "train.jsonl"
    example = json.dumps(hiertext())
    points = (QUAD,)
    broken = ('"vertices": [[1, 2], [30.5, 2], [30.5, 12.25]', '"vertices": [[1, 2], [30.5, 2], [30.5]', "")

    def test_names_the_place_of_a_fault(self, tmp_path):
        reading = read_as(tmp_path, self.format, hiertext(vertices=[[1, 2], [3]]), "t.json")
        assert [p.loc for p in reading.problems] == ["t.json:annotations[0].paragraphs[0].lines[0].vertices"]

    def test_leaves_out_a_picture_with_a_fault(self, tmp_path):
        assert read_as(tmp_path, self.format, hiertext(vertices=[[1, 2], [3]]), "t.json").samples == ()

    def test_is_recognized(self, tmp_path):
        """Every file holds both levels: which one is asked for."""
        lay(tmp_path, {self.file: self.example, "a.jpg": b""})
        with pytest.raises(AnnotationError) as caught:
            open_source(tmp_path)
        assert [p.message.split(":")[0] for p in caught.value.problems] == ["hiertext-lines", "hiertext-words"]


class TestHierTextWords(TestHierTextLines):
    format = "hiertext-words"
    example = json.dumps(hiertext(WORD, {**WORD, "legible": False}))
    points = (WORD["vertices"], WORD["vertices"])


def test_hiertext_levels_and_legibility(tmp_path):
    root = hiertext(WORD, {**WORD, "legible": False})
    (sample,) = read_as(tmp_path, "hiertext-words", root).samples
    assert (sample.polygons.texts, sample.polygons.ignore.tolist()) == (("a", "a"), [False, True])
    assert sample.size == (30, 40)
    (sample,) = read_as(tmp_path, "hiertext-lines", hiertext(legible=False)).samples
    assert (sample.polygons.texts, sample.polygons.ignore.tolist()) == (("a b",), [True])
    reading = read_as(tmp_path, "hiertext-words", hiertext())
    assert reading.samples[0].polygons.ignore.tolist() == [True]
    assert reading.unused == {"lines without words, ignored": 1}


class TestFunsd(ReaderContract):
    format = "funsd"
    file = "a.json"
    per_picture = True
    example = json.dumps(
        {"form": [{"box": [1, 2, 30, 12], "text": "a b", "label": "question", "linking": [], "id": 0,
                   "words": [{"box": [1, 2, 9.5, 12], "text": "a"}, {"box": [12, 2, 30, 12], "text": "b"}]}]}
    )  # fmt: skip
    points = ([[1, 2], [9.5, 2], [9.5, 12], [1, 12]], [[12, 2], [30, 2], [30, 12], [12, 12]])
    broken = ("9.5, 12", "9.5", "a.json:form[0].words[0].box")


def quad(points):
    return {f"{axis}{i}": v for i, point in enumerate(points, start=1) for axis, v in zip("xy", point, strict=True)}


class TestCord(ReaderContract):
    format = "cord"
    file = "a.json"
    per_picture = True
    example = json.dumps(
        {"dontcare": [], "valid_line": [{"words": [{"quad": quad(QUAD), "is_key": 0, "row_id": 1, "text": "x"}],
                                         "category": "menu.nm", "group_id": 3}],
         "meta": {"version": "1", "split": "train", "image_id": 4, "image_size": {"width": 40, "height": 30}}}
    )  # fmt: skip
    points = (QUAD,)
    broken = ('"x2": 30.5, ', "", "a.json:valid_line[0].words[0].quad")


def test_cord_ignores_what_nobody_cares_for(tmp_path):
    root = json.loads(TestCord.example)
    root |= {"dontcare": [[quad(QUAD)]], "repeating_symbol": [[{"quad": quad(QUAD), "text": "----"}]]}
    (sample,) = read_as(tmp_path, "cord", root).samples
    assert sample.polygons.texts == ("x", None, "----")
    assert sample.polygons.ignore.tolist() == [False, True, True]
    assert sample.size == (30, 40)


class TestWildReceipt(ReaderContract):
    format = "wildreceipt"
    file = "train.txt"
    example = json.dumps(
        {"file_name": "a.jpg", "height": 30, "width": 40, "annotations": [{"box": FLAT, "text": "x", "label": 25}]}
    )
    points = (QUAD,)
    broken = ("12.25, ", "", "train.txt:1:annotations[0].box")


def test_wildreceipt_has_a_picture_a_line(tmp_path):
    rows = TestWildReceipt.example + "\n" + TestWildReceipt.example.replace("a.jpg", "b/c.jpg") + "\n"
    lay(tmp_path, {"train.txt": rows, "a.jpg": b""})
    assert open_source(tmp_path).format == "wildreceipt"
    reading = scanned(tmp_path, "wildreceipt", rows, "train.txt")
    assert [(s.id, s.size, s.polygons.texts) for s in reading.samples] == [
        ("a.jpg", (30, 40), ("x",)),
        ("b/c.jpg", (30, 40), ("x",)),
    ]


class TestTd500(ReaderContract):
    format = "td500"
    file = "a.gt"
    per_picture = True
    example = "0 0 16 8 8 4 0.0\n1 1 16 8 8 4 1.5707963267948966\n"
    points = ([[16, 8], [24, 8], [24, 12], [16, 12]], [[22.0, 6.0], [22.0, 14.0], [18.0, 14.0], [18.0, 6.0]])
    broken = ("8 4 0.0", "8 0.0", "a.gt:1")

    def test_reads_its_example(self, tmp_path):
        (sample,) = scanned(tmp_path, self.format, self.example, self.file).samples
        assert [p.round(9).tolist() for p in sample.polygons] == list(self.points)
        assert sample.polygons.ignore.tolist() == [False, True]

    def test_reads_a_byte_order_mark_and_crlf(self, tmp_path):
        data = b"\xef\xbb\xbf" + self.example.replace("\n", "\r\n").encode()
        (sample,) = scanned(tmp_path, self.format, data, self.file).samples
        assert [p.round(9).tolist() for p in sample.polygons] == list(self.points)
