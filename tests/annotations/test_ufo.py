"""UFO json."""

from __future__ import annotations

import json

import pytest

from tests.contracts.reader import ReaderContract, kinds, scanned


class TestContract(ReaderContract):
    format = "ufo"
    file = "train.json"
    example = """{"images": {"a.jpg": {"words": {
      "0001": {"points": [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]]},
      "0002": {"points": [[1, 20], [9, 20], [9, 30]]}}}}}"""
    points = (
        [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],
        [[1, 20], [9, 20], [9, 30]],
    )
    broken = ("30.5, 12.25", '"x", 12.25', 'train.json:images["a.jpg"].words["0001"].points')


def ufo(tmp_path, images):
    return scanned(tmp_path, "ufo", json.dumps({"images": images}), "u.json")


def test_text_illegibility_and_size_are_kept(tmp_path):
    quad = [[0, 0], [9, 0], [9, 9], [0, 9]]
    words = {"1": {"points": quad, "transcription": "a,b", "illegibility": True}, "2": {"points": quad}}
    (sample,) = ufo(tmp_path, {"a.jpg": {"img_h": 20, "img_w": 30, "words": words}}).samples
    assert sample.size == (20, 30)
    assert sample.polygons.texts == ("a,b", None)
    assert sample.polygons.ignore.tolist() == [True, False]


def test_what_is_not_kept_is_counted(tmp_path):
    word = {"points": [[0, 0], [9, 0], [9, 9]], "language": ["en"], "tags": ["Auto"]}
    reading = ufo(tmp_path, {"a.jpg": {"tags": ["x"], "words": {"1": word, "2": word}}})
    assert reading.unused == {"image tags": 1, "word language": 2, "word tags": 2}
    assert reading.problems == ()


def test_a_picture_without_words_is_a_sample_without_text(tmp_path):
    reading = ufo(tmp_path, {"a.jpg": {}, "b.jpg": {"words": {}}, "c.jpg": {"words": None}})
    assert [(s.id, len(s.polygons)) for s in reading.samples] == [("a.jpg", 0), ("b.jpg", 0), ("c.jpg", 0)]


def test_a_missing_images_key_is_not_an_empty_source(tmp_path):
    reading = scanned(tmp_path, "ufo", '{"image": {}}', "u.json")
    assert kinds(reading) == ["wrong-type"]
    assert reading.problems[0].loc == "u.json:images"


def test_a_picture_named_twice_is_a_duplicate_id(tmp_path):
    quad = "[[0,0],[9,0],[9,9],[0,9]]"
    entry = f'"a.jpg": {{"words": {{"1": {{"points": {quad}}}}}}}'
    reading = scanned(tmp_path, "ufo", f'{{"images": {{{entry}, {entry}, "b.jpg": {{}}}}}}', "u.json")
    assert [(p.loc, p.kind) for p in reading.problems] == [('u.json:images["a.jpg"]', "duplicate-id")]
    assert [s.id for s in reading.samples] == ["b.jpg"]


def test_two_spellings_of_one_picture_are_a_duplicate_id(tmp_path):
    reading = ufo(tmp_path, {"s/a.jpg": {}, "s\\a.jpg": {}, "./s//a.jpg": {}})
    assert kinds(reading) == ["duplicate-id", "duplicate-id"]


def test_a_word_id_named_twice_loses_no_outline_silently(tmp_path):
    word = '"1": {"points": [[0,0],[9,0],[9,9]]}'
    reading = scanned(tmp_path, "ufo", f'{{"images": {{"a.jpg": {{"words": {{{word}, {word}}}}}}}}}', "u.json")
    assert [(p.loc, p.kind) for p in reading.problems] == [('u.json:images["a.jpg"].words["1"]', "duplicate-key")]
    assert reading.samples == ()


def test_all_problems_are_found_at_once(tmp_path):
    bad = {
        "a.jpg": {"words": {"1": {"points": [[0, 0], [1, 1]]}, "2": {"points": [[0, 0], [1, True], [2, 2]]}, "3": 7}},
        "b.jpg": {"img_w": 0, "img_h": 5, "words": {"1": {}}},
        "../c.jpg": {},
        "d.jpg": [],
        "e.jpg": {"words": []},
        "good.jpg": {},
    }
    reading = ufo(tmp_path, bad)
    assert sorted(kinds(reading)) == [
        "size", "too-few-points", "unsafe-path", "wrong-type", "wrong-type", "wrong-type", "wrong-type", "wrong-type",
    ]  # fmt: skip
    assert [s.id for s in reading.samples] == ["good.jpg"]


@pytest.mark.parametrize(
    "number, kind",
    [("NaN", "not-finite"), ("-Infinity", "not-finite"), ("1e999", "not-finite"), ("1e8", "huge-number"),
     ("9" * 400, "huge-number"), ("-10000001", "huge-number"), ("true", "wrong-type"), ("null", "wrong-type"),
     ('"5"', "wrong-type"), ("[5]", "wrong-type")],
)  # fmt: skip
def test_every_coordinate_is_a_finite_number_of_bearable_size(tmp_path, number, kind):
    text = f'{{"images": {{"a.jpg": {{"words": {{"1": {{"points": [[0, 0], [9, 0], [9, {number}]]}}}}}}}}}}'
    assert kinds(scanned(tmp_path, "ufo", text, "u.json")) == [kind]


def test_the_largest_allowed_coordinate_is_read(tmp_path):
    (sample,) = ufo(tmp_path, {"a.jpg": {"words": {"1": {"points": [[0, 0], [1e7, 0], [-1e7, 1e7]]}}}}).samples
    assert sample.polygons[0].tolist() == [[0, 0], [1e7, 0], [-1e7, 1e7]]
