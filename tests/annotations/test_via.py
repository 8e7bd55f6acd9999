"""VGG Image Annotator: json, project and csv."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import open_source
from tests.contracts.reader import ReaderContract, kinds, lay, scanned

POLYGON = {"name": "polygon", "all_points_x": [1, 30.5, 30], "all_points_y": [2, 2, 12.25]}
RECT = {"name": "rect", "x": 1, "y": 20, "width": 8, "height": 5}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def entry(*regions):
    return {"a.jpg123": {"filename": "a.jpg", "size": 123, "regions": list(regions), "file_attributes": {}}}


class TestContract(ReaderContract):
    format = "via"
    file = "via_region_data.json"
    example = json.dumps(entry(region(POLYGON), region(RECT)))
    points = ([[1, 2], [30.5, 2], [30, 12.25]], [[1, 20], [9, 20], [9, 25], [1, 25]])
    broken = ("12.25]", "12.25, 3]", 'via_region_data.json:["a.jpg123"].regions[0]')


class TestCsv(ReaderContract):
    format = "via"
    file = "via.csv"
    example = (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,123,"{}",2,0,"{""name"":""polygon"",""all_points_x"":[1,9,9],""all_points_y"":[2,2,8.5]}","{}"\n'
        'a.jpg,123,"{}",2,1,"{""name"":""rect"",""x"":1,""y"":20,""width"":8,""height"":5}","{""text"":""hi""}"\n'
    )
    points = ([[1, 2], [9, 2], [9, 8.5]], [[1, 20], [9, 20], [9, 25], [1, 25]])
    broken = (",8.5]", "]", "via.csv:2")


def via(tmp_path, root):
    return scanned(tmp_path, "via", json.dumps(root), "v.json")


def test_a_project_and_regions_by_number_are_read_alike(tmp_path):
    (plain,) = via(tmp_path, entry(region(RECT))).samples
    numbered = {"a.jpg123": {"filename": "a.jpg", "regions": {"0": region(RECT)}}}
    for root in (numbered, {"_via_settings": {}, "_via_img_metadata": numbered, "_via_attributes": {}}):
        lay(tmp_path, {"v.json": json.dumps(root), "a.jpg": b""})
        assert open_source(tmp_path).format == "via"
        assert via(tmp_path, root).samples[0].polygons == plain.polygons


def test_texts_and_ignored_regions_come_from_attributes(tmp_path):
    regions = [
        region(RECT, text="TOTAL", kind="printed"),
        region(RECT, ignore="true"),
        region(RECT, type="illegible"),
        region(RECT, flags={"ignore": True}),
        region(RECT, transcription="ignore"),
    ]
    found = via(tmp_path, entry(*regions))
    polygons = found.samples[0].polygons
    assert polygons.texts == ("TOTAL", None, None, None, "ignore")
    assert polygons.ignore.tolist() == [False, True, True, True, False]
    assert found.unused["attribute kind"] == 1


@pytest.mark.parametrize("name", ["circle", "ellipse", "polyline", "point", None])
def test_other_regions_are_named(tmp_path, name):
    assert kinds(via(tmp_path, entry(region({"name": name})))) == ["unsupported-shape"]


def test_a_picture_without_region_has_a_row_with_an_empty_one(tmp_path):
    head = TestCsv.example.split("\n")[0]
    found = scanned(tmp_path, "via", f'{head}\na.jpg,1,"{{}}",0,0,"{{}}","{{}}"\n', "v.csv")
    assert [(s.id, len(s.polygons)) for s in found.samples] == [("a.jpg", 0)]


def test_a_broken_row_leaves_out_its_picture_only(tmp_path):
    rows = TestCsv.example + 'b.jpg,1,"{}",1,0,"{""name"":""rect"",""x"":1,""y"":2,""width"":8,""height"":5}","{}"\n'
    found = scanned(tmp_path, "via", rows.replace('""x"":1,""y"":20', '""y"":20'), "v.csv")
    assert [s.id for s in found.samples] == ["b.jpg"]
    assert [p.loc for p in found.problems] == ["v.csv:3"]
