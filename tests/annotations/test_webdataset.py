"""WebDataset archives: pictures and outlines in tar files."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from ocrmaps.annotations import find_pictures, open_source, read, scan
from ocrmaps.annotations.checks.survey import look
from tests.contracts.reader import ESCAPES, ReaderContract, blank, kinds, lay, scanned, source_of

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]
BOX = {"polygons": [QUAD], "texts": ["a"], "ignore": [False]}


def tarred(**members: bytes | str | dict) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            data = json.dumps(content).encode() if isinstance(content, (dict, list)) else content
            data = data.encode() if isinstance(data, str) else data
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


class TestContract(ReaderContract):
    format = "webdataset"
    file = "shard.tar"
    example = tarred(**{"a.jpg": blank(40, 20), "a.json": BOX})
    points = (QUAD,)
    broken = (b"[1, 12]", b'[1, ""]', "shard.tar:a.json.polygons[0]")
    inside = True


def shard(tmp_path, **members):
    return scanned(tmp_path, "webdataset", tarred(**members), "s.tar")


def test_an_archive_of_large_pictures_is_recognized(tmp_path):
    (tmp_path / "s.tar").write_bytes(tarred(**{"a.jpg": bytes(300_000), "a.json": BOX}))
    assert open_source(tmp_path / "s.tar").format == "webdataset"


def test_pictures_beside_an_archive_are_not_its_own(tmp_path):
    lay(tmp_path, {"s.tar": tarred(**{"a.jpg": blank(40, 20), "a.json": BOX}), "other.jpg": blank(8, 8)})
    source = open_source(tmp_path / "s.tar")
    assert find_pictures(source, read(source)).orphans == ()


def test_json_objects_lists_and_icdar_lines_are_read(tmp_path):
    words = [{"points": QUAD, "transcription": "x"}, {"bbox": [1, 2, 29, 10], "illegible": True}]
    reading = shard(
        tmp_path,
        **{
            "x/a.1.png": b"",
            "x/a.json": BOX,
            "b.jpg": b"",
            "b.json": words,
            "c.jpg": b"",
            "c.txt": "1,2,30,2,30,12,1,12,hi",
        },
        **{"d.jpg": b"", "e.jpg": b"", "e.json": [], "e.cls": "1"},
    )
    assert reading.problems == ()
    assert {s.id: s.polygons.texts for s in reading.samples} == {
        "s.tar#x/a.1.png": ("a",), "s.tar#b.jpg": ("x", None), "s.tar#e.jpg": (), "s.tar#c.jpg": ("hi",)
    }  # fmt: skip
    assert reading.samples[1].polygons.ignore.tolist() == [False, True]
    assert reading.samples[1].polygons[1].tolist() == QUAD
    assert reading.unused == {"members that are neither picture nor annotation": 1, "pictures without annotation": 1}


def test_pictures_are_read_where_they_are(tmp_path):
    sides = {"a.png": (40, 20), "b.png": (9, 7)}
    for i, (name, size) in enumerate(sides.items()):
        lay(tmp_path, {f"set/s-{i}.tar": tarred(**{name: blank(*size), f"{name[0]}.json": BOX})})
    source = open_source(tmp_path / "set")
    samples = read(source)
    assert (source.format, [s.id for s in samples]) == ("webdataset", ["s-0.tar#a.png", "s-1.tar#b.png"])
    assert find_pictures(source, samples).found == 2
    assert [look(source.pictures / s.picture).header.size for s in samples] == [(20, 40), (7, 9)]
    assert look(source.pictures / "s-0.tar#c.png").error.endswith("cannot be opened (the archive has no such member)")


def test_a_picture_that_is_not_there_is_a_problem(tmp_path):
    assert kinds(shard(tmp_path, **{"a.json": BOX})) == ["missing-picture"]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_outside_are_refused(tmp_path, name):
    reading = shard(tmp_path, **{name: b"", name.removesuffix(".jpg") + ".json": BOX})
    assert reading.samples == () and set(kinds(reading)) == {"unsafe-path"}


def test_links_and_devices_are_no_members(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    lay(tmp_path, {"s.tar": stream.getvalue()})
    assert look(tmp_path / "s.tar#a.jpg").bytes == 0
    assert scan(source_of(tmp_path / "s.tar", "webdataset")).samples == ()
