"""PaddleOCR label txt."""

from __future__ import annotations

import json

from tests.contracts.reader import ReaderContract, kinds, scanned

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


class TestContract(ReaderContract):
    format = "paddle"
    file = "Label.txt"
    example = 'a.jpg\t[{"transcription": "x", "points": [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]]}]\n'
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],)
    broken = ("30.5, 12.25", "30.5", "Label.txt:1:[0].points")


def label(tmp_path, *words, name="a.jpg"):
    return scanned(tmp_path, "paddle", f"{name}\t{json.dumps(words)}\n", "Label.txt")


def test_star_and_hashes_mean_ignore(tmp_path):
    words = [{"transcription": t, "points": QUAD} for t in ("*", "###", "**", "")]
    (sample,) = label(tmp_path, *words).samples
    assert sample.polygons.ignore.tolist() == [True, True, False, False]
    assert sample.polygons.texts == (None, None, "**", "")


def test_what_the_detector_writes_alone_has_no_texts(tmp_path):
    (sample,) = label(tmp_path, QUAD, [[5, 5], [9, 5], [9, 9]]).samples
    assert [len(outline) for outline in sample.polygons] == [4, 3]
    assert (sample.polygons.texts, sample.polygons.ignore.any()) == ((None, None), False)
    (problem,) = label(tmp_path, [[5, 5], [9, 5]]).problems
    assert (problem.loc, problem.kind) == ("Label.txt:1:[0]", "too-few-points")


def test_names_with_folders_and_blanks(tmp_path):
    (sample,) = label(tmp_path, name="train set/a 1.jpg").samples
    assert (sample.id, len(sample.polygons)) == ("train set/a 1.jpg", 0)


def test_each_bad_line_is_named_and_none_replaces_another(tmp_path):
    good = f"good.jpg\t{json.dumps([{'transcription': 'a', 'points': QUAD}])}"
    bad = 'no tab here\n["a.jpg", "b.jpg"]\t[]\nc.jpg\t[{"points":\nd.jpg\t{}\ne.jpg\t[3]\n\nf.jpg\t[]\nf.jpg\t[]'
    text = f"{good}\n{bad}"
    reading = scanned(tmp_path, "paddle", text, "Label.txt")
    assert [(p.loc.split(":")[1], p.kind) for p in reading.problems] == [
        ("2", "invalid-line"), ("3", "invalid-line"), ("4", "invalid-json"), ("5", "wrong-type"), ("6", "wrong-type"),
        ("9", "duplicate-id"),
    ]  # fmt: skip
    assert [s.id for s in reading.samples] == ["good.jpg"]


def test_what_is_not_kept_is_counted(tmp_path):
    reading = label(tmp_path, {"transcription": "a", "points": QUAD, "difficult": True})
    assert reading.unused == {"word difficult": 1}


def test_wrong_types_are_named(tmp_path):
    assert kinds(label(tmp_path, {"transcription": 5, "points": QUAD}, {"points": {"x": 1}})) == ["wrong-type"] * 2
