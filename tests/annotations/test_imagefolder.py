"""Hugging Face image folders: pictures beside a metadata file."""

from __future__ import annotations

import json

import pytest

from ocrmaps.annotations import detect, open_source, read, scan
from ocrmaps.errors import AnnotationError
from tests.contracts.reader import ReaderContract, kinds, lay, scanned

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


class TestContract(ReaderContract):
    format = "imagefolder"
    file = "metadata.jsonl"
    example = (
        '{"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 29, 10]], "texts": ["x"]}, "height": 20, "width": 40}\n'
        '{"file_name": "sub/b.jpg", "objects": {"bbox": []}}\n'
    )
    points = (QUAD,)
    broken = ("[[1, 2, 29, 10]]", '[[1, 2, 29, "10"]]', "metadata.jsonl:1.objects.bbox[0]")

    def test_reads_its_example(self, tmp_path):
        source = open_source(lay(tmp_path, {self.file: self.example, "a.jpg": b"", "sub/b.jpg": b""}))
        first, second = read(source)
        assert (first.id, first.size, first.polygons.texts) == ("a.jpg", (20, 40), ("x",))
        assert first.polygons[0].tolist() == QUAD
        assert (second.id, len(second.polygons)) == ("sub/b.jpg", 0)

    def test_leaves_out_a_picture_with_a_fault(self, tmp_path):
        samples = self.scanned(tmp_path, self.example.replace(*self.broken[:2])).samples
        assert [sample.id for sample in samples] == ["sub/b.jpg"]

    @pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "C:\\pictures\\a.jpg"])
    def test_refuses_names_outside_the_picture_folder(self, tmp_path, name):
        reading = self.scanned(tmp_path, self.example.replace('"a.jpg"', json.dumps(name)))
        assert kinds(reading) == ["unsafe-path"]
        assert [sample.id for sample in reading.samples] == ["sub/b.jpg"]


@pytest.mark.parametrize(
    "columns",
    [
        {"objects": [{"bbox": [1, 2, 29, 10], "text": "x"}]},
        {"polygons": [QUAD], "texts": ["x"]},
        {"bboxes": [[1, 2, 30, 12]], "words": ["x"]},
    ],
)
def test_rows_may_hold_columns_or_objects(tmp_path, columns):
    reading = scanned(tmp_path, "imagefolder", json.dumps({"file_name": "a.jpg", **columns, "id": 3}), "metadata.jsonl")
    assert reading.problems == () and reading.unused == {"column id": 1}
    assert [p.tolist() for p in reading.samples[0].polygons] == [QUAD]
    assert reading.samples[0].polygons.texts == ("x",)


CSV = 'file_name,polygons,texts,note\r\na.jpg,"[[[1, 2], [30, 2], [30, 12], [1, 12]]]","[""x""]",[sic\r\n'


def test_cells_of_csv_are_json(tmp_path):
    source = open_source(lay(tmp_path, {"metadata.csv": CSV, "images/a.jpg": b""}))
    assert (source.format, source.pictures) == ("imagefolder", tmp_path / "images")
    reading = scan(source)
    assert [p.tolist() for p in reading.samples[0].polygons] == [QUAD]
    assert reading.unused == {"column note": 1} and reading.problems == ()


def test_cells_and_names_of_csv_may_be_long(tmp_path):
    words = ",".join(f"[{i},0,{i + 1},9]" for i in range(12_000))
    written = f'file_name,bboxes,{"x" * 140_000}\na.jpg,"[{words}]",\n'
    lay(tmp_path, {"metadata.csv": written, "a.jpg": b""})
    assert len(read(open_source(tmp_path))[0].polygons) == 12_000


@pytest.mark.parametrize(
    ("broken", "kind", "place"),
    [
        (CSV.replace(",[sic", ""), "invalid-line", "metadata.csv:2"),
        (CSV.replace(',"[""x', ',"[""x" '), "invalid-line", "metadata.csv:2"),
        (CSV.replace("[[[", "[["), "invalid-json", "metadata.csv:2.polygons:1:37"),
    ],
)
def test_faults_of_csv_have_places(tmp_path, broken, kind, place):
    reading = scanned(tmp_path, "imagefolder", broken, "metadata.csv")
    assert [(p.kind, p.loc) for p in reading.problems] == [(kind, place)] and reading.samples == ()


def test_other_columns_are_told_with_the_expected_ones(tmp_path):
    lay(tmp_path, {"metadata.jsonl": '{"file_name": "a.jpg", "caption": "x", "boxes_2d": []}', "a.jpg": b""})
    with pytest.raises(AnnotationError, match="its columns boxes_2d, caption, file_name") as caught:
        detect(tmp_path)
    assert "expected file_name and one of polygons," in caught.value.hint
    with pytest.raises(AnnotationError) as caught:
        read(open_source(tmp_path / "metadata.jsonl", format="imagefolder"))
    assert "found the columns file_name, caption, boxes_2d, expected file_name and one" in str(caught.value)


def test_a_table_of_names_is_read_as_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    pq.write_table(
        pa.table({"file_name": ["a.jpg", "b.jpg"], "objects": [{"bbox": [[1, 2, 29, 10]]}, {"bbox": []}]}),
        tmp_path / "metadata.parquet",
    )
    source = open_source(lay(tmp_path, {"images/a.jpg": b"", "images/b.jpg": b""}))
    first, second = read(source)
    assert (source.format, source.pictures) == ("parquet", tmp_path / "images")
    assert (first.id, first.polygons[0].tolist(), second.id) == ("a.jpg", QUAD, "b.jpg")
