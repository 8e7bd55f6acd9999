"""Hugging Face tables with pictures as bytes or paths."""

from __future__ import annotations

import io
import sys

import pytest

from ocrmaps.annotations import WRITERS, Sample, find_pictures, open_source, read, scan
from ocrmaps.annotations.checks.survey import look
from ocrmaps.annotations.formats import parquet
from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from tests.annotations import test_data_sets as data_sets
from tests.contracts.reader import ReaderContract, blank, kinds, lay, scanned, source_of

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

QUAD = [[1.0, 2.0], [30.0, 2.0], [30.0, 12.0], [1.0, 12.0]]


def table(columns: dict, **options: object) -> bytes:
    stream = io.BytesIO()
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False} | options
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def pictures(*named: bytes | str) -> list[dict]:
    return [{"bytes": p if isinstance(p, bytes) else None, "path": p if isinstance(p, str) else None} for p in named]


class TestContract(ReaderContract):
    format = "parquet"
    file = "t.parquet"
    example = table({"image": pictures("a.jpg"), "polygons": [[QUAD]], "texts": [["hello"]]})
    points = (QUAD,)
    broken = (b"\x00\x00\x3e\x40", b"\x00\x00\xf8\x7f", "t.parquet:row 1.polygons[0]")


def test_rows_of_bytes_are_pictures(tmp_path):
    data = table(
        {
            "image": pictures(blank(40, 20), blank(9, 7)),
            "objects": [{"bbox": [[1, 2, 29, 10]]}, {"bbox": []}],
            "cls": [1, 2],
        },
        row_group_size=1,
    )
    lay(tmp_path, {"data/train-0.parquet": data})
    source = open_source(tmp_path / "data")
    samples = read(source)
    assert [s.id for s in samples] == ["train-0.parquet#1", "train-0.parquet#2"]
    assert [p.tolist() for p in samples[0].polygons] == [QUAD] and len(samples[1].polygons) == 0
    assert [look(source.pictures / s.picture).header.size for s in samples] == [(20, 40), (7, 9)]
    assert find_pictures(source, samples).found == 2
    WRITERS["coco"](samples, tmp_path / "data" / "o.json")
    assert open_source(tmp_path / "data" / "o.json").pictures == tmp_path / "data"
    assert look(source.pictures / "train-0.parquet#3").bytes == 0
    assert scan(source).unused == {"column cls": 1}


def test_runs_of_one_number_are_counted_before_they_are_unpacked(tmp_path, monkeypatch):
    boxes = table({"image": pictures(b"x"), "polygons": [[QUAD] * 5000]}, use_dictionary=True, compression="zstd")
    assert len(boxes) < 20_000
    assert kinds(scanned(tmp_path, "parquet", boxes, "t.parquet")) == ["too-dense"]
    for limit, most in (("MOST_VALUES", 39_999), ("_MOST_BATCH", 300_000)):
        with monkeypatch.context() as bounded:
            bounded.setattr(f"ocrmaps.annotations.formats.parquet.{limit}", most)
            (problem,) = scanned(tmp_path, "parquet", boxes, "t.parquet").problems
            assert problem.kind == "too-large" and f"expected at most {most}" in problem.message
    with monkeypatch.context() as small:
        small.setattr("ocrmaps.annotations.formats.parquet._MOST_BATCH", 2000)
        rows = table({"image": pictures(*[b"x"] * 30), "polygons": [[QUAD]] * 30})
        assert len(scanned(tmp_path, "parquet", rows, "t.parquet").samples) == 30


def test_words_with_boxes_are_corners(tmp_path):
    columns = {"image": pictures("a.jpg"), "words": [["x", "y"]], "bboxes": [[[1, 2, 30, 12], [0, 0, 5, 5]]]}
    (sample,) = scanned(tmp_path, "parquet", table(columns), "t.parquet").samples
    assert sample.polygons[0].tolist() == QUAD and sample.polygons.texts == ("x", "y")
    columns["words"] = [["x"]]
    assert kinds(scanned(tmp_path, "parquet", table(columns), "u.parquet")) == ["odd-count"]


def test_cord_has_its_json_in_a_column(tmp_path):
    data = table({"image": pictures("a.jpg"), "ground_truth": [data_sets.TestCord.example]})
    (sample,) = scanned(tmp_path, "parquet", data, "t.parquet").samples
    assert [p.tolist() for p in sample.polygons] == list(data_sets.TestCord.points)
    broken = data_sets.TestCord.example.replace(*data_sets.TestCord.broken[:2], 1)
    reading = scanned(tmp_path, "parquet", table({"image": pictures("a.jpg"), "ground_truth": [broken]}), "u.parquet")
    assert reading.samples == () and reading.problems[0].loc.startswith("u.parquet:row 1.ground_truth:")


def test_arrow_streams_of_a_saved_dataset_are_read(tmp_path):
    rows = pa.table({"image": pictures(blank(40, 20)), "polygons": [[QUAD]]})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    lay(tmp_path, {"data-00000-of-00001.arrow": stream.getvalue(), "state.json": "{}"})
    source = open_source(tmp_path)
    (sample,) = read(source)
    assert look(source.pictures / sample.picture).header.size == (20, 40)


def test_what_is_written_comes_back(tmp_path):
    polygons = PolygonSet.of([QUAD, QUAD[:3]], frame="upright", ignore=[True, False], texts=[None, "é"])
    samples = [
        Sample(id="a.jpg", polygons=polygons, loc="x", size=(20, 40)),
        Sample(id="s.tar#b.jpg", polygons=PolygonSet.empty("upright"), loc="y"),
    ]
    report = parquet.write(samples, tmp_path / "o.parquet")
    assert report.lost == {"picture sizes unknown": 1}
    back = read(source_of(tmp_path / "o.parquet", "parquet"))
    assert [(s.id, s.polygons, s.size) for s in back] == [(s.id, s.polygons, s.size) for s in samples]


@pytest.mark.parametrize("path", ["../a.jpg", "/etc/a.jpg", "C:\\a.jpg"])
def test_paths_that_lead_outside_are_refused(tmp_path, path):
    reading = scanned(tmp_path, "parquet", table({"image": pictures(path), "polygons": [[QUAD]]}), "t.parquet")
    assert kinds(reading) == ["unsafe-path"]


def test_a_table_without_pictures_is_named(tmp_path):
    (problem,) = scanned(tmp_path, "parquet", table({"a": [1]}), "t.parquet").problems
    assert "found the columns a, expected one of pictures" in problem.message


def test_pictures_that_are_paths_are_looked_for(tmp_path):
    lay(tmp_path, {"rows.parquet": table({"image": pictures("a.jpg"), "polygons": [[QUAD]]}), "images/a.jpg": b""})
    source = open_source(tmp_path)
    assert source.pictures == tmp_path / "images" and [s.id for s in read(source)] == ["a.jpg"]


def test_without_pyarrow_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (problem,) = scanned(tmp_path, "parquet", TestContract.example, "t.parquet").problems
    assert 'pip install "ocrmaps[parquet]"' in problem.message
    with pytest.raises(SpecError, match="writing Parquet needs pyarrow"):
        parquet.write([], tmp_path / "o.parquet")


def test_a_table_is_not_written_under_a_name_it_is_not_known_by(tmp_path):
    with pytest.raises(SpecError, match=r"ends in \.parquet"):
        parquet.write([], tmp_path / "table")
    assert list(tmp_path.iterdir()) == []
