"""YOLO txt: boxes, segments and oriented boxes in shares of the picture's sides."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from ocrmaps.annotations import Source, open_source, scan
from tests.contracts.reader import ReaderContract, blank, kinds, lay, source_of


class TestContract(ReaderContract):
    format = "yolo"
    file = "a.txt"
    per_picture = True
    picture = blank(200, 100)
    example = "0 0.5 0.5 0.2 0.1\n1 0.1 0.1 0.2 0.1 0.2 0.25\n0 0.005 0.02 0.1 0.02 0.1 0.2 0.005 0.2\n"
    points = (
        [[80, 45], [120, 45], [120, 55], [80, 55]],
        [[20, 10], [40, 10], [40, 25]],
        [[1, 2], [20, 2], [20, 20], [1, 20]],
    )
    broken = ("0.2 0.25", "0.2 25", "a.txt:2")


class TestCornersContract(ReaderContract):
    format = "yolo-obb"
    file = "a.txt"
    per_picture = True
    picture = blank(200, 100)
    example = "0 0.4 0.45 0.6 0.45 0.6 0.55 0.4 0.55\n1 0.005 0.02 0.1 0.02 0.1 0.2 0.005 0.2\n"
    points = ([[80, 45], [120, 45], [120, 55], [80, 55]], [[1, 2], [20, 2], [20, 20], [1, 20]])
    broken = ("0.6 0.55", "0.6 55", "a.txt:1")
    detected_as = "yolo"


ROW = "{} 0.5 0.5 0.2 0.1\n"


def yolo(tmp_path, text, **files):
    lay(tmp_path, {"a.jpg": blank(200, 100), "a.txt": text, **files})
    return scan(source_of(tmp_path, "yolo"))


@pytest.mark.parametrize(
    "file, content",
    [
        ("data.yaml", "path: .\ntrain: images\nnames:\n  0: text\n  1: 'ignore'\nnc: 2\n"),
        ("data.yaml", "nc: 2\nnames: [text, \"###\"]  # two\n"),
        ("data.yaml", "names:\n- text\n# the rest\n- illegible\n"),
        ("data.yaml", "names: {0: text, 1: ignore}\n"),
        ("classes.txt", "text\nignore\n"),
        ("obj.names", "text\nignore\n"),
    ],
)  # fmt: skip
def test_a_class_called_ignore_is_ignored(tmp_path, file, content):
    reading = yolo(tmp_path, ROW.format(0) + ROW.format(1), **{file: content})
    assert reading.problems == ()
    assert reading.samples[0].polygons.ignore.tolist() == [False, True]
    assert reading.unused["class"] == 1


def test_keypoints_are_not_taken_for_outlines(tmp_path):
    """A box and four corners as keypoints have as many numbers as an outline of six points."""
    row = "0 0.5 0.5 0.2 0.1 0.4 0.45 0.6 0.45 0.6 0.55 0.4 0.55\n"
    reading = yolo(tmp_path, row, **{"data.yaml": "names: [text]\nkpt_shape: [4, 2]\n"})
    assert [(p.loc, p.kind) for p in reading.problems] == [("data.yaml:2", "invalid")]
    assert reading.samples == ()


def test_a_class_that_the_names_do_not_have_is_named(tmp_path):
    reading = yolo(tmp_path, ROW.format(2), **{"classes.txt": "a\nb\n"})
    assert [(p.loc, "2 of classes.txt" in p.message) for p in reading.problems] == [("a.txt:1", True)]


def test_a_score_belongs_to_predictions(tmp_path):
    reading = yolo(tmp_path, "0 0.5 0.5 0.2 0.1 0.9\n")
    assert kinds(reading) == ["invalid-line"] and "score" in reading.problems[0].message


def test_the_data_set_as_ultralytics_lays_it_out(tmp_path):
    files = {"images/train/a.jpg": blank(200, 100), "labels/train/a.txt": ROW.format(1)}
    lay(tmp_path, {**files, "data.yaml": "names: [text, ignore]\n"})
    source = open_source(tmp_path)
    assert (source.format, source.annotations, source.pictures) == (
        "yolo",
        tmp_path / "labels" / "train",
        tmp_path / "images" / "train",
    )
    (sample,) = scan(source).samples
    assert (sample.size, sample.polygons.ignore.tolist()) == ((100, 200), [True])


@pytest.mark.parametrize("frame, size", [("upright", (200, 100)), ("raw", (100, 200))])
def test_shares_are_of_the_sides_in_the_frame_of_the_source(tmp_path, frame, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("L", (200, 100)).save(stream, "JPEG", exif=exif)
    lay(tmp_path, {"a.jpg": stream.getvalue(), "a.txt": "0 0.5 0.5 1 1\n"})
    (sample,) = scan(Source(annotations=tmp_path, pictures=tmp_path, format="yolo", frame=frame)).samples
    assert sample.size == size
    assert sample.polygons[0].max(axis=0).tolist() == [size[1], size[0]]


@pytest.mark.parametrize("picture", [None, b"", b"no picture"])
def test_a_picture_without_size_is_a_problem(tmp_path, picture):
    lay(tmp_path, {"a.txt": ROW.format(0), **({"a.jpg": picture} if picture is not None else {})})
    reading = scan(source_of(tmp_path, "yolo"))
    assert [(p.loc, p.kind) for p in reading.problems] == [("a.txt", "missing-picture")]
    assert "shares of its sides" in reading.problems[0].message


@pytest.mark.parametrize("row", [ROW.format(0), ""], ids=["text", "empty"])
def test_a_picture_may_be_called_as_a_list_of_pictures(tmp_path, row):
    lay(tmp_path, {"a.txt": ROW.format(0), "a.png": blank(200, 100), "test.txt": row, "test.png": blank(200, 100)})
    lay(tmp_path, {"train.txt": "a.png\ntest.png\n", "val.txt": ""})
    reading = scan(source_of(tmp_path, "yolo"))
    assert ([s.id for s in reading.samples], reading.problems) == (["a.png", "test.png"], ())


def test_an_empty_file_is_a_picture_without_text(tmp_path):
    reading = yolo(tmp_path, "")
    assert len(reading.samples[0].polygons) == 0
