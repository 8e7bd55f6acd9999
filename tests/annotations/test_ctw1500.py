"""CTW1500 txt and xml."""

from __future__ import annotations

from ocrmaps.annotations import open_source, scan
from tests.contracts.reader import ReaderContract, kinds, lay, scanned, source_of

TOP = [[10 * i, 0.0] for i in range(7)]
BOTTOM = [[60 - 10 * i, 20.0] for i in range(7)]
OFFSETS = TOP + BOTTOM
POINTS = [[100 + x, 200 + y] for x, y in OFFSETS]


def joined(points):
    return ",".join(f"{v:g}" for point in points for v in point)


class TestContract(ReaderContract):
    """32 numbers: a box and 14 offsets."""

    format = "ctw1500"
    file = "a.txt"
    example = f"100,200,160,220,{joined(OFFSETS)}\n"
    points = (POINTS,)
    broken = ("100,200,160,220", "100,200,160", "a.txt:1")
    per_picture = True


class TestPointsContract(ReaderContract):
    """28 numbers and a text behind four hashes."""

    format = "ctw1500"
    file = "a.txt"
    example = f"{joined(POINTS)},####Latin, 9\n{joined(POINTS)},#######\n"
    points = (
        POINTS,
        POINTS,
    )
    broken = ("Latin, 9\n", "Latin, 9\nx,####\n", "a.txt:2")
    per_picture = True


class TestXmlContract(ReaderContract):
    format = "ctw1500"
    file = "a.xml"
    example = f"""<?xml version="1.0" encoding="utf-8"?><Annotations><image file="a.jpg">
    <box height="20" left="100" top="200" width="60"><label>A &amp; B</label>
    <segs>{joined(POINTS)}</segs><pts x="1" y="2" /></box></image></Annotations>"""
    points = (POINTS,)
    broken = ("<segs>100", "<segs>x", "a.xml:3")
    per_picture = True


def test_texts_and_ignore_marks(tmp_path):
    (sample,) = scanned(tmp_path, "ctw1500", TestPointsContract.example, "a.txt").samples
    assert sample.polygons.texts == ("Latin, 9", None)
    assert sample.polygons.ignore.tolist() == [False, True]


def test_xml_texts(tmp_path):
    reading = scanned(tmp_path, "ctw1500", TestXmlContract.example, "a.xml")
    assert reading.samples[0].polygons.texts == ("A & B",)
    assert reading.unused == {"pts": 1}


def test_28_numbers_are_points_without_text(tmp_path):
    (sample,) = scanned(tmp_path, "ctw1500", joined(POINTS), "a.txt").samples
    assert [p.tolist() for p in sample.polygons] == [POINTS]
    assert sample.polygons.texts == (None,)


def test_32_numbers_that_are_16_points_are_not_taken_for_ctw1500(tmp_path):
    outline = joined([[500 + 10 * i, 300] for i in range(8)] + [[570 - 10 * i, 330] for i in range(8)])
    lay(tmp_path, {"gt_a.txt": outline, "a.jpg": b""})
    assert open_source(tmp_path).format == "icdar"


def test_another_count_is_named(tmp_path):
    assert kinds(scanned(tmp_path, "ctw1500", "1,2,3,4,5,6,7,8", "a.txt")) == ["odd-count"]


def test_entities_are_refused(tmp_path):
    bomb = '<!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Annotations><image>&b;</image></Annotations>'
    assert kinds(scanned(tmp_path, "ctw1500", bomb, "a.xml")) == ["xml-entities"]


def test_train_xml_and_test_txt_read_alike(tmp_path):
    lay(tmp_path, {"a.xml": TestXmlContract.example, "b.txt": TestPointsContract.example})
    assert [s.id for s in scan(source_of(tmp_path, "ctw1500")).samples] == ["a", "b"]
