"""docTR labels.json."""

from __future__ import annotations

import json

from tests.contracts.reader import ReaderContract, kinds, scanned

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


class TestContract(ReaderContract):
    format = "doctr"
    file = "labels.json"
    example = """{"a.jpg": {"img_dimensions": [900, 600], "img_hash": "0f",
      "polygons": [[[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]]]}}"""
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],)
    broken = ("30.5, 12.25", "30.5", 'labels.json:["a.jpg"].polygons[0]')


def doctr(tmp_path, **entries):
    return scanned(tmp_path, "doctr", json.dumps(entries), "labels.json")


def test_classes_follow_each_other_and_are_counted(tmp_path):
    reading = doctr(tmp_path, a={"polygons": {"total": [QUAD], "date": [QUAD, QUAD[:3]]}})
    assert reading.samples[0].polygons.counts().tolist() == [4, 4, 3]
    assert reading.unused == {"class": 3}


def test_dimensions_of_unknown_order_are_not_believed(tmp_path):
    reading = doctr(tmp_path, a={"polygons": [], "img_dimensions": [900, 600], "img_hash": "0f"})
    assert reading.samples[0].size is None
    assert reading.unused == {"img_dimensions": 1, "img_hash": 1}


def test_a_place_inside_a_class_is_named(tmp_path):
    reading = doctr(tmp_path, a={"polygons": {"date": [QUAD, [[1, 2], [3, 4]]]}})
    assert [(p.loc, p.kind) for p in reading.problems] == [("labels.json:a.polygons.date[1]", "too-few-points")]


def test_a_picture_named_twice_is_a_duplicate_id(tmp_path):
    reading = scanned(tmp_path, "doctr", '{"a": {"polygons": []}, "a": {"polygons": []}}', "labels.json")
    assert kinds(reading) == ["duplicate-id"]
    assert reading.samples == ()
