"""The real data beside the checkout: counts, exact conversion, and nothing to complain about."""

from __future__ import annotations

import pytest

from ocrmaps.annotations import WRITERS, Source, find_pictures, open_source, read, scan
from ocrmaps.pipelines.data import sized
from tests.annotations.test_writing import HERE
from tests.annotations.test_writing import OUT as NAMES

pytestmark = pytest.mark.shared

OUT = {"ufo": "o.json", "coco": "o.json", "mmocr": "o.json", "paddle": "o.txt", "icdar": "gt.zip"}


@pytest.mark.parametrize("split, samples, lines", [("train", 310, 16284), ("val", 105, 5656)])
def test_sroie_is_read_completely(shared, split, samples, lines):
    source = open_source(shared / "data" / "sroie" / split)
    assert (source.format, source.annotations.name, source.pictures.name) == ("sroie", "box", "img")
    reading = scan(source)
    assert reading.problems == reading.notes == ()
    assert (len(reading.samples), sum(len(s.polygons) for s in reading.samples)) == (samples, lines)
    assert all(text for s in reading.samples for text in s.polygons.texts)
    found = find_pictures(source, reading.samples)
    assert (found.found, found.problems) == (samples, ())


@pytest.mark.parametrize("format", OUT)
@pytest.mark.parametrize("split", ["train", "val"])
def test_sroie_there_and_back_keeps_every_point(shared, format, split, tmp_path):
    source = open_source(shared / "data" / "sroie" / split)
    samples = read(source)
    report = WRITERS[format](samples, tmp_path / OUT[format])
    back = read(Source(annotations=tmp_path / OUT[format], pictures=source.pictures, format=format))
    if format == "paddle":  # some receipts print a lone `*`, which means ignore there: counted, never silent
        stars = sum(text == "*" for sample in samples for text in sample.polygons.texts)
        assert report.lost == {"texts '*' that will read as ignored": stars}
        assert stars == sum(int(s.polygons.ignore.sum()) for s in back)
        assert [(s.id, s.polygons.points.tobytes(), s.polygons.offsets.tobytes()) for s in back] == [
            (s.id, s.polygons.points.tobytes(), s.polygons.offsets.tobytes()) for s in samples
        ]
    else:
        assert set(report.lost) <= {"picture sizes unknown"}
        assert [(s.id, s.polygons) for s in back] == [(s.id, s.polygons) for s in samples]


@pytest.mark.parametrize("format", sorted({*HERE} - OUT.keys()))
def test_sroie_in_shares_and_xml_keeps_every_point(shared, format, tmp_path):
    source = open_source(shared / "data" / "sroie" / "val")
    samples = sized(source, read(source))
    out = tmp_path / NAMES[format]
    report = WRITERS[format](samples, out)
    assert not any("round" in lost for lost in report.lost)
    back = read(Source(annotations=out, pictures=source.pictures, format=format))
    assert [(s.id, s.polygons.points.tobytes(), s.size) for s in back] == [
        (s.id, s.polygons.points.tobytes(), s.size) for s in samples
    ]
    if not format.startswith("yolo"):
        assert [s.polygons.texts for s in back] == [s.polygons.texts for s in samples]


def test_sroie_lines_with_a_thousands_comma_are_quads_when_read_as_icdar(shared, tmp_path):
    """Receipt 350 and 606 hold amounts such as 1,007.50, which must not become points."""
    for name in ("350", "606"):
        (tmp_path / f"{name}.txt").write_bytes((shared / f"data/sroie/train/box/{name}.csv").read_bytes())
    pictures = shared / "data/sroie/train/img"
    samples = read(Source(annotations=tmp_path, pictures=pictures, format="icdar"))
    assert {n for s in samples for n in s.polygons.counts().tolist()} == {4}
    assert "1,007.50" in samples[0].polygons.texts


def test_icdar15_toy(shared):
    source = open_source(shared / "data" / "icdar15_toy")
    assert source.format == "mmocr"
    samples = read(source)
    assert (len(samples), sum(len(s.polygons) for s in samples)) == (10, 82)
    assert samples[0].size == (720, 1280)
    assert samples[0].polygons[0].tolist() == [[261, 138], [284, 140], [279, 158], [260, 158]]
    assert samples[0].polygons.ignore[:2].tolist() == [True, False]
    assert find_pictures(source, samples).problems == ()
