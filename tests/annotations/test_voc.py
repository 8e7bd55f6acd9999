"""Pascal VOC xml."""

from __future__ import annotations

import pytest

from tests.contracts.reader import ReaderContract, kinds, lay, scanned


def voc(*objects, name="a.jpg", size="<size><width>40</width><height>30</height><depth>3</depth></size>"):
    return f"<annotation><folder>x</folder><filename>{name}</filename>{size}\n" + "\n".join(objects) + "</annotation>"


def entry(outline, name="text", more=""):
    return f"<object><name>{name}</name><pose>Unspecified</pose>{more}{outline}</object>"


BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30.5</xmax><ymax>12.25</ymax></bndbox>"


class TestContract(ReaderContract):
    format = "voc"
    file = "a.xml"
    example = voc(entry(BOX), entry("<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>2</y2><x3>9</x3><y3>8</y3></polygon>"))
    points = ([[1, 2], [30.5, 2], [30.5, 12.25], [1, 12.25]], [[1, 2], [9, 2], [9, 8]])
    broken = ("<xmax>30.5</xmax>", "", "a.xml:2")


def test_difficult_and_names_that_say_so_are_ignored(tmp_path):
    hard = entry(BOX, more="<difficult>1</difficult>")
    found = scanned(tmp_path, "voc", voc(entry(BOX), hard, entry(BOX, name="###")), "a.xml")
    assert found.samples[0].polygons.ignore.tolist() == [False, True, True]
    assert (found.samples[0].size, found.unused) == ((30, 40), {"name": 2})


@pytest.mark.parametrize(
    "outline, points",
    [
        ("<polygon><pt><x>1</x><y>2</y></pt><pt><x>9</x><y>2</y></pt><pt><x>9</x><y>8</y></pt></polygon>",
         [[1, 2], [9, 2], [9, 8]]),
        ("<robndbox><cx>20</cx><cy>10</cy><w>8</w><h>4</h><angle>0</angle></robndbox>",
         [[16, 8], [24, 8], [24, 12], [16, 12]]),
        ("<robndbox><cx>20</cx><cy>10</cy><w>8</w><h>4</h><angle>1.5707963267948966</angle></robndbox>",
         [[22, 6], [22, 14], [18, 14], [18, 6]]),
    ],
)  # fmt: skip
def test_polygons_and_rotated_boxes(tmp_path, outline, points):
    (sample,) = scanned(tmp_path, "voc", voc(entry(outline)), "a.xml").samples
    assert sample.polygons[0].round(9).tolist() == points


def test_a_size_of_zero_is_unknown(tmp_path):
    text = voc(entry(BOX), size="<size><width>0</width><height>0</height></size>")
    assert scanned(tmp_path, "voc", text, "a.xml").samples[0].size is None


@pytest.mark.parametrize("outline", ["", "<bndbox/>", BOX.replace("30.5", "x"), "<polygon><x1>1</x1><z/></polygon>"])
def test_objects_without_outline_are_named(tmp_path, outline):
    reading = scanned(tmp_path, "voc", voc(entry(BOX), entry(outline)), "a.xml")
    assert [(p.loc, p.kind) for p in reading.problems] == [("a.xml:3", "wrong-type")]


def test_a_name_without_ending_means_the_one_picture_of_that_name(tmp_path):
    lay(tmp_path, {"a.png": b""})
    assert [s.id for s in scanned(tmp_path, "voc", voc(entry(BOX), name="a"), "a.xml").samples] == ["a.png"]
    lay(tmp_path, {"a.jpg": b""})
    assert [s.id for s in scanned(tmp_path, "voc", voc(entry(BOX), name="a"), "a.xml").samples] == ["a"]


def test_a_file_without_picture_name_is_named(tmp_path):
    assert kinds(scanned(tmp_path, "voc", voc(entry(BOX), name=""), "a.xml")) == ["unsafe-path"]


@pytest.mark.parametrize(
    "value, points", [("90.0", [[21, 2], [21, 12], [11, 12], [11, 2]]), ("0.0", None), ("x", None)]
)
def test_a_box_that_cvat_turned_is_turned(tmp_path, value, points):
    """CVAT's export keeps the box as it was before it was turned, and the angle beside it."""
    bounds = "<bndbox><xmin>11</xmin><ymin>2</ymin><xmax>21</xmax><ymax>12</ymax></bndbox>"
    said = f"<attributes><attribute><name>occluded</name><value>0</value></attribute>\
<attribute><name>rotation</name><value>{value}</value></attribute></attributes>"
    (sample,) = scanned(tmp_path, "voc", voc(entry(bounds, more=said)), "a.xml").samples
    assert sample.polygons[0].round(9).tolist() == (points or [[11, 2], [21, 2], [21, 12], [11, 12]])


def test_what_was_deleted_in_labelme_is_counted_and_not_read(tmp_path):
    text = voc(entry(BOX, more="<deleted>1</deleted>"), entry(BOX, more="<deleted>0</deleted>"))
    found = scanned(tmp_path, "voc", text, "a.xml")
    assert (len(found.samples[0].polygons), found.unused) == (1, {"deleted objects": 1, "name": 1})
