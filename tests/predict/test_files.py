"""Files of predictions read back with the project's own readers and say what they can."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.annotations import open_source, read
from ocrmaps.detect.predict import PictureFile, predict_pictures
from ocrmaps.detect.results import FORMATS, Sheet, check_names, file_for, write_predictions
from ocrmaps.errors import AnnotationError, SpecError
from tests.predict.bright import paint

READ_AS = {"json": "ufo", "ufo": "ufo", "icdar-zip": "icdar", "coco": "coco", "paddle": "paddle", "csv": "submission"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two folders with pictures of one name, one without text, one that is none."""
    root = tmp_path_factory.mktemp("pictures")
    tilted = [(30, 100), (200, 120), (196, 150), (26, 130)]
    for name, texts in (("a/1.png", [tilted]), ("b/1.png", [tilted, [(50, 220), (260, 220), (260, 250), (50, 250)]]),
                        ("b/empty.png", [])):  # fmt: skip
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(paint((400, 300), texts)).save(root / name)
    (root / "bad.png").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def sheet(trained, pictures) -> Sheet:
    files = [PictureFile(name=n, path=pictures / n) for n in ("b/1.png", "a/1.png", "b/empty.png", "bad.png")]
    found = list(predict_pictures(trained, files, on_error="report"))
    return Sheet(predictions=found, frame="upright", head={"made_by": "a test"})


@pytest.mark.parametrize("format", FORMATS)
def test_polygons_read_back(format, sheet, pictures, tmp_path):
    report = write_predictions(sheet, tmp_path, format)
    back = {s.id: s for s in read(open_source(report.path, format=READ_AS[format], pictures=pictures))}
    assert set(back) == {"b/1.png", "a/1.png", "b/empty.png"}
    for prediction in sheet.read:
        polygons = back[prediction.name].polygons
        expected = prediction.polygons.points
        assert np.array_equal(polygons.offsets, prediction.polygons.offsets)
        assert np.array_equal(polygons.points, np.rint(expected) if format == "icdar-zip" else expected)


@pytest.mark.parametrize("format", ["json", "ufo", "coco", "csv", "icdar-zip"])
def test_files_are_recognized_without_being_told(format, sheet, pictures, tmp_path):
    report = write_predictions(sheet, tmp_path, format)
    assert open_source(report.path, pictures=pictures).format == READ_AS[format]


@pytest.mark.parametrize("format", FORMATS)
def test_pictures_keep_their_order(format, sheet, tmp_path):
    report = write_predictions(sheet, tmp_path, format)
    if format == "icdar-zip":
        with zipfile.ZipFile(report.path) as archive:
            assert archive.namelist() == ["a/res_1.txt", "b/res_1.txt", "b/res_empty.txt"]
        return
    text = report.path.read_text()
    places = [text.index(name) for name in ("b/1.png", "a/1.png", "b/empty.png")]
    assert places == sorted(places)


def test_scores_stand_where_the_format_has_a_place(sheet, tmp_path):
    scores = [float(s) for p in sheet.read for s in p.scores]
    for format in ("json", "ufo"):
        images = json.loads(write_predictions(sheet, tmp_path, format).path.read_text())["images"]
        found = [w["confidence"] for image in images.values() for w in image["words"].values()]
        assert np.array_equal(np.float32(found), np.float32(scores))
    rows = json.loads(write_predictions(sheet, tmp_path, "coco").path.read_text())["annotations"]
    assert np.array_equal(np.float32([r["score"] for r in rows]), np.float32(scores))
    lines = write_predictions(sheet, tmp_path, "paddle").path.read_text().splitlines()
    found = [w["score"] for line in lines for w in json.loads(line.split("\t")[1])]
    assert np.array_equal(np.float32(found), np.float32(scores))


def test_the_json_head_says_frame_maker_and_failures(sheet, tmp_path):
    content = json.loads(write_predictions(sheet, tmp_path, "json").path.read_text())
    assert (content["frame"], content["made_by"], list(content["failed"])) == ("upright", "a test", ["bad.png"])
    assert list(content["images"]) == ["b/1.png", "a/1.png", "b/empty.png"]


def test_the_csv_has_two_columns_and_bars(sheet, tmp_path):
    with write_predictions(sheet, tmp_path, "csv").path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["filename", "polygons"]
    assert [row[0] for row in rows[1:]] == ["b/1.png", "a/1.png", "b/empty.png"]
    assert [len(part.split(" ")) for part in rows[1][1].split("|")] == [8, 8]
    assert rows[3][1] == ""


def test_the_icdar_archive_holds_clockwise_whole_numbers(sheet, tmp_path):
    with zipfile.ZipFile(write_predictions(sheet, tmp_path, "icdar-zip").path) as archive:
        line = archive.read("a/res_1.txt").decode().splitlines()[0]
    points = np.array([int(v) for v in line.split(",")]).reshape(4, 2)
    x, y = points.T
    assert np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y) > 0


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_written_over_unless_agreed(format, sheet, tmp_path):
    path = file_for(tmp_path, format)
    path.write_text("mine")
    with pytest.raises(AnnotationError):
        write_predictions(sheet, path, format)
    assert path.read_text() == "mine"
    write_predictions(sheet, path, format, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_names_that_an_archive_cannot_tell_apart_are_refused_first():
    with pytest.raises(SpecError, match=r"res_a\.txt with a\.jpg"):
        check_names(["a.jpg", "b/a.jpg", "a.png"], "icdar-zip")
    check_names(["a.jpg", "b/a.jpg", "a.png"], "json")


def test_an_unknown_format_lists_the_known(tmp_path):
    with pytest.raises(SpecError, match="json, ufo, icdar-zip, coco, paddle, csv"):
        file_for(tmp_path, "yaml")
