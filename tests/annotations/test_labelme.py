"""LabelMe json."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import read, scan
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of


class TestContract(ReaderContract):
    format = "labelme"
    file = "a.json"
    example = """{"version": "5.5.0", "flags": {}, "imagePath": "a.jpg", "imageData": null, "imageHeight": 20,
      "imageWidth": 40, "shapes": [
        {"label": "text", "points": [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]], "shape_type": "polygon"},
        {"label": "text", "points": [[9, 25.5], [1, 20]], "shape_type": "rectangle"}]}"""
    points = (
        [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],
        [[1, 20], [9, 20], [9, 25.5], [1, 25.5]],
    )
    broken = ("30.5, 12.25", "30.5", "a.json:shapes[0].points")


TRIANGLE = [[0, 0], [9, 0], [9, 9]]


def labelme(tmp_path, *shapes, **root):
    content = {"imagePath": "a.jpg", "shapes": [{"points": TRIANGLE, **s} for s in shapes], **root}
    return scanned(tmp_path, "labelme", json.dumps(content), "a.json")


def test_the_text_is_the_description_and_the_label_a_class(tmp_path):
    reading = labelme(tmp_path, {"label": "text", "description": "Total"}, {"label": "text", "description": ""})
    assert reading.samples[0].polygons.texts == ("Total", None)
    assert reading.unused == {"label": 2}


@pytest.mark.parametrize("shape", [{"label": "ignore"}, {"label": "###"}, {"label": "text", "flags": {"ignore": True}}])
def test_ignore_by_label_or_flag(tmp_path, shape):
    (sample,) = labelme(tmp_path, shape, {"label": "text", "flags": {"ignore": False}}).samples
    assert sample.polygons.ignore.tolist() == [True, False]


@pytest.mark.parametrize("kind", ["circle", "line", "point", "linestrip", "mask", None, 7, ["polygon"]])
def test_other_shapes_are_refused_by_name(tmp_path, kind):
    reading = labelme(tmp_path, {"label": "x"}, {"label": "x", "shape_type": kind})
    assert [(p.loc, p.kind) for p in reading.problems] == [("a.json:shapes[1].shape_type", "unsupported-shape")]
    assert reading.samples == ()


@pytest.mark.parametrize("points", [[[0, 0]], [[0, 0], [1, "x"]], [[0, 0], [1, 1], [2, 2]], None, [0, 0, 1, 1, 2]])
def test_a_rectangle_has_two_corners_or_four_points(tmp_path, points):
    assert kinds(labelme(tmp_path, {"shape_type": "rectangle", "points": points})) == ["wrong-type"]


def test_a_path_beside_the_json_folder_is_followed_into_the_picture_folder(tmp_path):
    content = json.dumps({"imagePath": "..\\img\\a.jpg", "shapes": []})
    lay(tmp_path, {"labels/a.json": content, "img/a.jpg": b""})
    assert [s.id for s in read(source_of(tmp_path / "labels", "labelme", pictures=tmp_path / "img"))] == ["a.jpg"]


@pytest.mark.parametrize(
    "path", ["../other/a.jpg", "../img/../other/a.jpg", "../img", "../imgs/a.jpg", "x/../../img/a.jpg"]
)
def test_a_path_that_ends_beside_the_picture_folder_is_refused(tmp_path, path):
    lay(
        tmp_path, {"labels/a.json": json.dumps({"imagePath": path, "shapes": []}), "img/a.jpg": b"", "other/a.jpg": b""}
    )
    assert kinds(scan(source_of(tmp_path / "labels", "labelme", pictures=tmp_path / "img"))) == ["unsafe-path"]


def test_subfolders_of_json_files_mirror_the_pictures(tmp_path):
    content = json.dumps({"imagePath": "a.jpg", "shapes": []})
    lay(tmp_path, {"labels/x/a.json": content, "labels/y/a.json": content})
    samples = read(source_of(tmp_path / "labels", "labelme", pictures=tmp_path))
    assert [s.id for s in samples] == ["x/a.jpg", "y/a.jpg"]


def test_a_drive_letter_in_a_subfolder_is_refused(tmp_path):
    lay(tmp_path, {"x/a.json": json.dumps({"imagePath": "C:\\a.jpg", "shapes": []})})
    assert kinds(scan(source_of(tmp_path, "labelme"))) == ["unsafe-path"]


def test_two_files_for_one_picture_are_a_duplicate_id(tmp_path):
    content = json.dumps({"imagePath": "a.jpg", "shapes": []})
    lay(tmp_path, {"a.json": content, "b.json": content})
    assert kinds(scan(source_of(tmp_path, "labelme"))) == ["duplicate-id"]
