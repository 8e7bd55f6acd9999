"""Label Studio json, as exported in full and as JSON-MIN."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import open_source, scan
from tests.contracts.reader import ReaderContract, blank, kinds, lay, source_of

SIDES = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def region(id="1", type="rectanglelabels", **value):
    return {"id": id, "type": type, "from_name": "label", "to_name": "image", **SIDES, "value": value}


def rectangle(id="1", **more):
    return region(id, x=5, y=10, width=50, height=20, **{"rotation": 0, "rectanglelabels": ["Text"], **more})


def task(*results, name="a.jpg", **more):
    return {"id": 1, "data": {"ocr": name}, "annotations": [{"id": 1, "result": list(results), **more}]}


def reading(tmp_path, *tasks, files=()):
    lay(tmp_path, {"l.json": json.dumps(tasks), **dict.fromkeys(files, "")})
    return scan(source_of(tmp_path / "l.json", "labelstudio"))


class TestContract(ReaderContract):
    format = "labelstudio"
    file = "project.json"
    example = json.dumps(
        [
            task(
                rectangle(), region("2", "polygonlabels", points=[[0, 0], [10, 0.25], [10, 30]], polygonlabels=["Text"])
            )
        ],
        indent=1,
    )
    points = ([[10, 10], [110, 10], [110, 30], [10, 30]], [[0, 0], [20, 0.25], [20, 30]])
    broken = ("0.25", '"x"', "project.json:[0].annotations[0].result[1].value.points")


@pytest.mark.parametrize(
    "turn, corners",
    [
        (0, [[10, 10], [110, 10], [110, 30], [10, 30]]),
        (90, [[10, 10], [10, 110], [-10, 110], [-10, 10]]),
        (360, [[10, 10], [110, 10], [110, 30], [10, 30]]),
        (-90, [[10, 10], [10, -90], [30, -90], [30, 10]]),
    ],
)
def test_rotation_turns_clockwise_about_the_first_corner(tmp_path, turn, corners):
    (sample,) = reading(tmp_path, task(rectangle(rotation=turn))).samples
    assert sample.polygons[0].tolist() == corners
    assert sample.size == (100, 200)


def test_the_ocr_template_gives_each_region_its_text_and_label(tmp_path):
    parts = []
    for id, label, text in (("1", "Text", ["TOTAL"]), ("2", "ignore", ["x"]), ("3", "Text", ["two", "lines"])):
        place = {"x": 5, "y": 10, "width": 50, "height": 20, "rotation": 0}
        parts += [
            region(id, "rectangle", **place),
            region(id, "labels", **place, labels=[label]),
            region(id, "textarea", **place, text=text),
        ]
    found = reading(tmp_path, task(*parts))
    polygons = found.samples[0].polygons
    assert polygons.texts == ("TOTAL", "x", "two\nlines")
    assert polygons.ignore.tolist() == [False, True, False]
    assert found.unused == {"label": 2}


def test_json_min_lists_a_region_under_every_control_once(tmp_path):
    box = {"x": 5, "y": 10, "width": 50, "height": 20, "rotation": 0, "original_width": 200, "original_height": 100}
    entry = {"ocr": "/data/upload/1/0a1b2c3d-a.jpg", "id": 3, "bbox": [box], "label": [{**box, "labels": ["Text"]}]}
    found = reading(tmp_path, {**entry, "transcription": "TOTAL"}, files=["a.jpg"])
    (sample,) = found.samples
    assert (sample.id, sample.polygons[0].tolist()[2]) == ("a.jpg", [110, 30])
    assert (sample.polygons.texts, found.problems) == (("TOTAL",), ())
    assert open_source(tmp_path).format == "labelstudio"
    two = {**entry, "transcription": ["TOTAL", "more"]}
    found = reading(tmp_path, two, files=["a.jpg"])
    assert found.samples[0].polygons.texts == (None,)
    assert found.unused["texts of unknown regions"] == 2


@pytest.mark.parametrize(
    "name, id",
    [
        ("/data/upload/3/0a1b2c3d-a.jpg", "a.jpg"),
        ("/data/local-files/?d=set/sub/b%20c.jpg", "sub/b c.jpg"),
        ("s3://bucket/all/sub/b c.jpg", "sub/b c.jpg"),
        ("https://host/x/a.jpg?token=1", "a.jpg"),
        ("https://host/x/none.jpg", "none.jpg"),
        ("sub/b c.jpg", "sub/b c.jpg"),
    ],
)
def test_an_address_means_the_picture_that_the_folder_holds(tmp_path, name, id):
    (sample,) = reading(tmp_path, task(rectangle(), name=name), files=["a.jpg", "sub/b c.jpg"]).samples
    assert sample.id == id


@pytest.mark.parametrize("name", ["https://host/../a.jpg", "/data/local-files/?d=../../etc/a.jpg"])
def test_an_address_that_leads_up_is_refused(tmp_path, name):
    assert "unsafe-path" in kinds(reading(tmp_path, task(rectangle(), name=name)))


def test_sizes_that_are_not_stated_come_from_the_picture(tmp_path):
    lay(tmp_path, {"a.jpg": blank(400, 100)})
    bare = {"id": "1", "type": "rectangle", "value": {"x": 0, "y": 0, "width": 50, "height": 50}}
    (sample,) = reading(tmp_path, task(bare)).samples
    assert sample.polygons[0].tolist()[2] == [200, 50]
    assert kinds(reading(tmp_path, task(bare, name="b.jpg"))) == ["missing-picture"]


def test_which_of_several_annotations_counts(tmp_path):
    def with_(*annotations, **more):
        return {"data": {"image": "a.jpg"}, "annotations": list(annotations), **more}

    one, cancelled = {"result": [rectangle()]}, {"result": [], "was_cancelled": True}
    assert len(reading(tmp_path, with_(cancelled, one)).samples[0].polygons) == 1
    assert kinds(reading(tmp_path, with_(one, one))) == ["duplicate-id"]
    truth = {"result": [], "ground_truth": True}
    assert len(reading(tmp_path, with_(one, truth)).samples[0].polygons) == 0
    found = reading(tmp_path, with_(predictions=[one]))
    assert (len(found.samples[0].polygons), found.notes[0].kind) == (1, "pre-annotation")
    found = reading(tmp_path, with_())
    assert (found.samples, found.problems, found.unused) == ((), (), {"tasks without annotation": 1})


@pytest.mark.parametrize(
    "result, kind",
    [
        (region(type="ellipselabels", x=1, y=1, radiusX=3, radiusY=4), "unsupported-shape"),
        (region(type="brushlabels", format="rle", rle=[1]), "rle-mask"),
        (region(x=1, y=1, width="3"), "wrong-type"),
        ({**rectangle(), "image_rotation": 90}, "unsupported-shape"),
        (region(type="polygon", points=[[1, 2], [3, 4]]), "too-few-points"),
        ({**rectangle(), "original_width": 0}, "size"),
        (region(type="polygon", points=[[1e308, 0], [9, 0], [9, 9]]), "not-finite"),
        (region(type="polygon", points=[[0, 1e306], [9, 0], [9, 9]]), "huge-number"),
        (region(type="polygon", points=[[0, float("inf")], [9, 0], [9, 9]]), "not-finite"),
        (region(type="polygon", points=[[0, float("nan")], [9, 0], [9, 9]]), "not-finite"),
    ],
)
def test_what_is_no_outline_is_named(tmp_path, result, kind):
    assert kind in kinds(reading(tmp_path, task(result)))
