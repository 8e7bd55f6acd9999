"""COCO and COCO-Text json."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import scan
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of

FLAT = [1, 2, 30, 2, 30, 12, 1, 12]
QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


class TestContract(ReaderContract):
    format = "coco"
    file = "instances.json"
    example = """{"images": [{"id": 7, "file_name": "a.jpg", "height": 20, "width": 40}],
      "annotations": [
        {"id": 1, "image_id": 7, "segmentation": [[1, 2, 30.5, 2, 30.5, 12.25, 1, 12]], "iscrowd": 0},
        {"id": 2, "image_id": 7, "bbox": [1, 20, 8, 5.5]}]}"""
    points = (
        [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],
        [[1, 20], [9, 20], [9, 25.5], [1, 25.5]],
    )
    broken = ("30.5, 12.25,", "30.5,", "instances.json:annotations[0].segmentation[0]")


def coco(tmp_path, annotations, images=({"id": 1, "file_name": "a.jpg"},), **more):
    content = {"images": list(images), "annotations": [{"image_id": 1, **a} for a in annotations], **more}
    return scanned(tmp_path, "coco", json.dumps(content), "c.json")


@pytest.mark.parametrize(
    "extra, ignored",
    [({"iscrowd": 1}, True), ({"iscrowd": 0}, False), ({"ignore": True}, True), ({"legibility": "illegible"}, True),
     ({"legibility": "legible"}, False), ({"iscrowd": None}, False)],
)  # fmt: skip
def test_ignore_flags(tmp_path, extra, ignored):
    (sample,) = coco(tmp_path, [{"segmentation": [FLAT], **extra}]).samples
    assert sample.polygons.ignore.tolist() == [ignored]


def test_rle_is_refused_by_name(tmp_path):
    reading = coco(tmp_path, [{"segmentation": {"counts": [1, 2], "size": [3, 4]}, "iscrowd": 1}])
    assert [(p.loc, p.kind) for p in reading.problems] == [("c.json:annotations[0].segmentation", "rle-mask")]


def test_a_segmentation_in_parts_gives_one_outline_a_part_and_no_text(tmp_path):
    reading = coco(tmp_path, [{"segmentation": [FLAT, [50, 50, 60, 50, 60, 60]], "utf8_string": "ab"}])
    assert reading.samples[0].polygons.counts().tolist() == [4, 3]
    assert reading.samples[0].polygons.texts == (None, None)
    assert reading.unused == {"texts of outlines in several parts": 1}


def test_coco_text_v2(tmp_path):
    content = {
        "imgs": {"9": {"id": 9, "file_name": "a.jpg", "set": "train", "width": 640, "height": 480}},
        "anns": {"3": {"id": 3, "image_id": 9, "mask": FLAT, "bbox": [1, 2, 29, 10], "utf8_string": "New",
                       "legibility": "legible", "language": "english", "class": "machine printed", "area": 290}},
        "imgToAnns": {"9": [3]},
        "cats": {},
        "info": {},
    }  # fmt: skip
    reading = scanned(tmp_path, "coco", json.dumps(content), "cocotext.v2.json")
    (sample,) = reading.samples
    assert [p.tolist() for p in sample.polygons] == [QUAD]
    assert (sample.polygons.texts, sample.size) == (("New",), (480, 640))
    assert reading.unused == {"annotation class": 1, "annotation language": 1, "cats": 1, "info": 1}


def test_coco_text_v1_pairs_and_boxes(tmp_path):
    rows = [{"polygon": QUAD, "bbox": [0, 0, 1, 1]}, {"polygon": [], "bbox": [1, 2, 29, 10]}]
    (sample,) = coco(tmp_path, rows).samples
    assert [p.tolist() for p in sample.polygons] == [QUAD, QUAD]


def test_the_declared_split_selects_the_set_and_counts_the_rest(tmp_path):
    images = [{"id": i, "file_name": f"{i}.jpg", "set": s} for i, s in enumerate(["train", "val", "train"])]
    path = lay(tmp_path, {"c.json": json.dumps({"images": images, "annotations": []})}) / "c.json"
    reading = scan(source_of(path, "coco", split="train"))
    assert [s.id for s in reading.samples] == ["0.jpg", "2.jpg"]
    assert reading.unused == {"pictures of set 'val'": 1}


def test_pictures_keep_their_order_and_may_be_without_text(tmp_path):
    images = [{"id": 2, "file_name": "b.jpg"}, {"id": 1, "file_name": "a.jpg"}]
    reading = coco(tmp_path, [{"segmentation": [FLAT]}], images)
    assert [(s.id, len(s.polygons)) for s in reading.samples] == [("b.jpg", 0), ("a.jpg", 1)]


@pytest.mark.parametrize(
    "annotations, images, kind",
    [
        ([{"image_id": 5, "segmentation": [FLAT]}], [{"id": 1, "file_name": "a.jpg"}], "unknown-picture"),
        ([], [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}], "duplicate-id"),
        ([], [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}], "duplicate-id"),
        ([{"id": 4, "bbox": [1, 1, 2, 2]}] * 2, [{"id": 1, "file_name": "a"}], "duplicate-id"),
        ([{"image_id": True, "bbox": [1, 1, 2, 2]}], [{"id": 1, "file_name": "a.jpg"}], "wrong-type"),
        ([{"bbox": [1, 1, -2, 2]}], [{"id": 1, "file_name": "a.jpg"}], "invalid-box"),
        ([{"bbox": [1, 1, "2", 2]}], [{"id": 1, "file_name": "a.jpg"}], "wrong-type"),
        ([{"segmentation": [[]]}], [{"id": 1, "file_name": "a.jpg"}], "too-few-points"),
        ([{"segmentation": [FLAT], "iscrowd": 2}], [{"id": 1, "file_name": "a.jpg"}], "wrong-type"),
        ([{"segmentation": [FLAT], "utf8_string": 7}], [{"id": 1, "file_name": "a.jpg"}], "wrong-type"),
        ([], [{"id": 1}], "wrong-type"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path, annotations, images, kind):
    assert kinds(coco(tmp_path, annotations, images)) == [kind]


def test_a_picture_with_a_doubled_annotation_is_left_out(tmp_path):
    rows = [{"id": 4, "bbox": [1, 1, 2, 2]}, {"id": 4, "bbox": [1, 1, 2, 2]}]
    assert coco(tmp_path, rows).samples == ()


def test_textocr_has_its_outlines_in_points_and_a_dot_for_unreadable_text(tmp_path):
    rows = [
        {"id": "a_1", "points": [1, 2, 30, 4, 29, 12, 1, 12], "bbox": [1, 2, 29, 10], "utf8_string": "Fresh"},
        {"id": "a_2", "points": [1, 20, 20, 18, 40, 20, 40, 30, 1, 30], "bbox": [1, 18, 39, 12], "utf8_string": "."},
        {"id": "a_3", "bbox": [1, 40, 3, 3], "utf8_string": "."},
    ]
    content = {
        "info": {},
        "imgs": {"a": {"id": "a", "file_name": "train/a.jpg", "set": "train", "width": 64, "height": 48}},
        "anns": {row["id"]: {"image_id": "a", "area": 1.0, **row} for row in rows},
        "imgToAnns": {"a": ["a_1", "a_2", "a_3"]},
    }
    reading = scanned(tmp_path, "coco", json.dumps(content), "TextOCR.json")
    polygons = reading.samples[0].polygons
    assert [p.tolist() for p in polygons][:2] == [
        [[1, 2], [30, 4], [29, 12], [1, 12]],
        [[1, 20], [20, 18], [40, 20], [40, 30], [1, 30]],
    ]
    assert polygons.texts == ("Fresh", None, ".")
    assert polygons.ignore.tolist() == [False, True, False]
    assert reading.unused == {"info": 1}


@pytest.mark.parametrize(
    "attributes, points",
    [({"rotation": 90.0}, [[23, 13], [23, 33], [17, 33], [17, 13]]), ({"rotation": 0.0}, None),
     ({"rotation": "up"}, None), ({"rotation": 1e300}, None), ([], None)],
)  # fmt: skip
def test_a_box_that_cvat_turned_is_turned(tmp_path, attributes, points):
    """CVAT's export keeps the box as it was before it was turned, and the angle beside it."""
    (sample,) = coco(tmp_path, [{"bbox": [10, 20, 20, 6], "segmentation": [], "attributes": attributes}]).samples
    assert sample.polygons[0].round(9).tolist() == (points or [[10, 20], [30, 20], [30, 26], [10, 26]])


def test_an_outline_is_not_turned_by_an_attribute(tmp_path):
    (sample,) = coco(tmp_path, [{"segmentation": [FLAT], "attributes": {"rotation": 90.0}}]).samples
    assert sample.polygons[0].tolist() == QUAD
