"""CVAT for images 1.1 xml."""

from __future__ import annotations

import pytest

from tests.contracts.reader import ReaderContract, kinds, scanned


class TestContract(ReaderContract):
    format = "cvat"
    file = "annotations.xml"
    example = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><size>1</size></task></meta>
  <image id="0" name="a.jpg" width="40" height="30">
    <polygon label="text" source="manual" occluded="0" points="1,2;30.5,2;30.5,12.25;1,12" z_order="0">
      <attribute name="text">Total &lt;1&gt;</attribute>
    </polygon>
    <box label="text" occluded="1" xtl="1" ytl="20" xbr="9" ybr="25.5"></box>
  </image>
</annotations>"""
    points = (
        [[1, 2], [30.5, 2], [30.5, 12.25], [1, 12]],
        [[1, 20], [9, 20], [9, 25.5], [1, 25.5]],
    )
    broken = ("30.5,12.25", "30.5", "annotations.xml:4")


def image(tmp_path, *shapes, attributes='name="a.jpg" width="40" height="30"'):
    text = f"<annotations><image {attributes}>\n" + "\n".join(shapes) + "</image></annotations>"
    return scanned(tmp_path, "cvat", text, "c.xml")


def test_text_size_and_occluded(tmp_path):
    reading = scanned(tmp_path, "cvat", TestContract.example, "c.xml")
    assert reading.samples[0].polygons.texts == ("Total <1>", None)
    assert reading.samples[0].size == (30, 40)
    assert not reading.samples[0].polygons.ignore.any()
    assert reading.unused == {"label": 2, "occluded": 1}


def test_rotation_turns_a_box_clockwise_about_its_center(tmp_path):
    (sample,) = image(tmp_path, '<box label="t" xtl="10" ytl="20" xbr="30" ybr="26" rotation="90.0"/>').samples
    assert [[round(v, 9) for v in p] for p in sample.polygons[0].tolist()] == [[23, 13], [23, 33], [17, 33], [17, 13]]


@pytest.mark.parametrize("rotation", ["0", "0.0", "360"])
def test_no_rotation_changes_no_digit(tmp_path, rotation):
    (sample,) = image(tmp_path, f'<box xtl="10.1" ytl="20.2" xbr="30.3" ybr="26.4" rotation="{rotation}"/>').samples
    assert sample.polygons[0].tolist() == [[10.1, 20.2], [30.3, 20.2], [30.3, 26.4], [10.1, 26.4]]


@pytest.mark.parametrize(
    "shape",
    ['<polygon label="ignore" points="0,0;9,0;9,9"/>',
     '<polygon label="text" points="0,0;9,0;9,9"><attribute name="Ignore">true</attribute></polygon>',
     '<box label="###" xtl="1" ytl="2" xbr="3" ybr="4"/>'],
)  # fmt: skip
def test_ignore_by_label_or_attribute(tmp_path, shape):
    assert image(tmp_path, shape).samples[0].polygons.ignore.tolist() == [True]


@pytest.mark.parametrize(
    "shape, kind",
    [
        ('<mask label="t" rle="1, 2" left="0" top="0" width="2" height="2"/>', "rle-mask"),
        ('<polyline points="0,0;9,0;9,9"/>', "unsupported-shape"),
        ('<points points="0,0"/>', "unsupported-shape"),
        ('<polygon points="0,0;9,0"/>', "too-few-points"),
        ('<polygon points="0,0;9,0;9,nan"/>', "wrong-type"),
        ("<polygon/>", "wrong-type"),
        ('<box xtl="1" ytl="2" xbr="3"/>', "wrong-type"),
        ('<box xtl="1e300" ytl="2" xbr="3" ybr="4" rotation="7"/>', "huge-number"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, shape, kind):
    reading = image(tmp_path, '<tag label="x"/>', shape)
    assert [(p.loc, p.kind) for p in reading.problems] == [("c.xml:3", kind)]


@pytest.mark.parametrize(
    "size", ['width="0" height="3"', 'width="x" height="3"', 'width="4"', 'width="1e9" height="2"']
)
def test_impossible_sizes_are_named(tmp_path, size):
    assert set(kinds(image(tmp_path, attributes=f'name="a.jpg" {size}'))) == {"size"}


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(10))
    + ']><annotations><image name="a.jpg"><box label="&a9;"/></image></annotations>'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><annotations><image name="&e;"/></annotations>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_entities_are_refused(tmp_path, text):
    assert kinds(scanned(tmp_path, "cvat", text, "c.xml")) == ["xml-entities"]


def test_xml_that_is_nested_without_end_is_refused(tmp_path):
    text = "<annotations>" + "<a>" * 5000 + "</a>" * 5000 + "</annotations>"
    assert kinds(scanned(tmp_path, "cvat", text, "c.xml")) == ["too-deep"]


@pytest.mark.parametrize(
    "text, kind",
    [
        ("<annotations>" + "<a>" * 100_000, "too-deep"),
        ("<annotations><image name='a.jpg'>", "invalid-xml"),
        ("<other/>", "invalid"),
        ("<annotations><track id='0'/></annotations>", "invalid"),
        ("   ", "empty-file"),
    ],
)
def test_other_xml_is_named(tmp_path, text, kind):
    assert kinds(scanned(tmp_path, "cvat", text, "c.xml")) == [kind]
