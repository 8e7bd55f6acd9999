"""MMOCR json."""

from __future__ import annotations

import json

from ocrmaps.annotations import open_source
from tests.contracts.reader import ReaderContract, kinds, scanned

FLAT = [1, 2, 30, 2, 30, 12, 1, 12]


class TestContract(ReaderContract):
    format = "mmocr"
    file = "textdet_train.json"
    example = """{"metainfo": {"dataset_type": "TextDetDataset"}, "data_list": [
      {"img_path": "a.jpg", "height": 20, "width": 40, "instances": [
        {"polygon": [1, 2, 30.5, 2, 30.5, 12.25, 1, 12], "bbox": [1, 2, 30, 12], "bbox_label": 0, "ignore": false},
        {"bbox": [1, 20, 9, 25.5], "ignore": true}]}]}"""
    points = (
        [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],
        [[1, 20], [9, 20], [9, 25.5], [1, 25.5]],
    )
    broken = ("30.5, 12.25,", "30.5,", "textdet_train.json:data_list[0].instances[0].polygon")


class TestOldContract(ReaderContract):
    """0.x: one json object a line."""

    format = "mmocr"
    file = "instances.txt"
    example = (
        '{"file_name": "a.jpg", "height": 20, "width": 40, "annotations": '
        '[{"iscrowd": 1, "category_id": 1, "bbox": [1, 2, 29, 10], "segmentation": [[1, 2, 30, 2, 30, 12, 1, 12]]}]}\n'
    )
    points = ([[1, 2], [30, 2], [30, 12], [1, 12]],)
    broken = ("30, 12,", "30,", "instances.txt:1.annotations[0].segmentation[0]")


def test_text_ignore_and_size_are_kept(tmp_path):
    instance = {"polygon": FLAT, "ignore": True, "text": "x"}
    entry = {"img_path": "a.jpg", "height": 20, "width": 40, "instances": [instance]}
    (sample,) = scanned(tmp_path, "mmocr", json.dumps({"data_list": [entry]}), "m.json").samples
    assert (sample.size, sample.polygons.texts, sample.polygons.ignore.tolist()) == ((20, 40), ("x",), [True])


def test_old_files_of_many_lines(tmp_path):
    row = {"file_name": "a.jpg", "height": 20, "width": 40, "annotations": [{"bbox": [1, 2, 29, 10], "iscrowd": 1}]}
    text = "\n".join(json.dumps({**row, "file_name": f"{i}.jpg"}) for i in range(3)) + '\n{"file_name": \n'
    reading = scanned(tmp_path, "mmocr", text, "m.txt")
    assert [s.id for s in reading.samples] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [p.tolist() for p in reading.samples[0].polygons] == [[[1, 2], [30, 2], [30, 12], [1, 12]]]
    assert reading.samples[0].polygons.ignore.tolist() == [True]
    assert [(p.loc, p.kind) for p in reading.problems] == [("m.txt:4:15", "invalid-json")]


def test_an_old_coco_shaped_file_is_recognized_as_coco(tmp_path):
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}
    (tmp_path / "instances_training.json").write_text(json.dumps(content))
    assert open_source(tmp_path).format == "coco"


def test_all_problems_are_found_at_once(tmp_path):
    entries = [{"img_path": 5, "instances": [{"polygon": "x"}]}, {"img_path": "a.jpg", "instances": {}}, [], {}]
    reading = scanned(tmp_path, "mmocr", json.dumps({"data_list": entries}), "m.json")
    assert kinds(reading) == ["wrong-type"] * 5
