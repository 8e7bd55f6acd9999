"""Only regular files inside the folders that a user named are read, whatever lies in their place."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.annotations import detect, open_source, scan
from ocrmaps.annotations.checks.survey import look
from ocrmaps.errors import AnnotationError, OcrmapsError, PictureError
from ocrmaps.files import open_regular, read_regular
from ocrmaps.pictures import MAX_PIXELS, MAX_SIDE, decode, read_header
from ocrmaps.store.writing.inputs import Memory, examine
from tests.contracts.reader import lay
from tests.store.world import make_world

PICTURE = io.BytesIO()
Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save(PICTURE, "PNG")
LINE = "2,2,20,2,20,12,2,12,word\n"
KINDS = {"pipe": "a pipe", "socket": "a socket", "folder": "a folder", "device": "a device", "loop": ""}


@pytest.fixture(params=KINDS)
def odd(request, tmp_path):
    """(put something odd at a path, how it is called)"""
    opened = []

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "socket":
            opened.append(socket.socket(socket.AF_UNIX))
            here = os.getcwd()
            os.chdir(path.parent)  # the name of a socket is short
            try:
                opened[-1].bind(path.name)
            finally:
                os.chdir(here)
        elif request.param == "folder":
            path.mkdir()
        elif request.param == "device":
            path.symlink_to("/dev/zero")  # endless
        else:
            path.symlink_to(path.name)

    yield put, KINDS[request.param]
    for one in opened:
        one.close()


def in_time(what):
    """What a call gives or raises; a call that waits for ever is a failure, not a test that hangs."""
    out: list[object] = []

    def run() -> None:
        try:
            out.append(what())
        except Exception as error:
            out.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert out, "it waits"
    return out[0]


def test_what_is_no_regular_file_is_refused_at_once_by_every_reader_of_pictures(tmp_path, odd):
    put, called = odd
    path = tmp_path / "a.png"
    put(path)
    memory = Memory(tmp_path / "memory.sqlite")
    error = in_time(lambda: read_regular(path))
    assert isinstance(error, OSError) and called in str(error)
    for read in (decode, read_header):
        error = in_time(lambda read=read: read(path))
        assert isinstance(error, PictureError) and "a.png" in str(error) and called in str(error)
    (found,) = in_time(lambda: examine([path], memory))
    assert found.kind == "unreadable-picture" and called in found.message
    assert called in in_time(lambda: look(path)).error


def test_a_build_and_a_repair_do_not_wait_for_a_pipe(tmp_path):
    from ocrmaps.store.reader import Reader
    from ocrmaps.store.upkeep.retrace import find_picture

    world = make_world(tmp_path)
    world.build()
    path = world.root / "train" / "01.png"
    path.unlink()
    os.mkfifo(path)
    with Reader(world.folder) as reader:
        row = next(row for row in range(len(reader)) if reader.id(row) == "01.png")
        assert "it is a pipe" in in_time(lambda: find_picture(reader, row))[1]
    plan = in_time(world.plan)
    assert ["it is a pipe" in str(f) for f in plan.failures if "01.png" in str(f)] == [True]


@pytest.mark.parametrize("name", ["gt.txt", "labels.json", "all.zip", "a.xml"])
def test_annotations_that_are_no_regular_file_are_refused_at_once(tmp_path, odd, name):
    put, _ = odd
    put(tmp_path / name)
    for format in (None, "icdar", "coco", "cvat"):
        found = in_time(lambda f=format: scan(open_source(tmp_path / name, format=f, pictures=tmp_path)))
        assert isinstance(found, OcrmapsError) or found.problems, found


def test_one_odd_file_among_annotations_costs_only_itself(tmp_path, odd):
    put, called = odd
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(PICTURE.getvalue())
        (tmp_path / f"{name}.txt").write_text(LINE)
    put(tmp_path / "b.txt")
    reading = in_time(lambda: scan(open_source(tmp_path, format="icdar")))
    assert [s.id for s in reading.samples] == ["a.png"]
    assert len(reading.problems) == (0 if called == "a folder" else 1)


def test_a_file_that_becomes_a_pipe_after_it_was_looked_at_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    looked, real = os.stat(path), os.stat
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda at, **given: looked if at == path else real(at, **given))
    error = in_time(lambda: open_regular(path))
    assert isinstance(error, OSError) and "it is a pipe" in str(error)


def dataset(root: Path) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "gt").mkdir()
    (root / "images" / "a.png").write_bytes(PICTURE.getvalue())
    (root / "gt" / "gt_a.txt").write_text(LINE)
    return root


@pytest.mark.parametrize("part", ["images", "gt"])
def test_a_folder_that_is_a_link_out_of_what_was_named_is_refused_until_it_is_named(tmp_path, part):
    data, outside = dataset(tmp_path / "data"), tmp_path / "outside"
    shutil.move(data / part, outside)
    (data / part).symlink_to(outside)
    with pytest.raises(AnnotationError, match="symbolic link out of") as refused:
        detect(data)
    assert str(outside) in str(refused.value) and "name" in refused.value.hint
    if part == "images":
        found = scan(open_source(data, pictures=data / part))
        assert [s.id for s in found.samples] == ["a.png"]
    else:
        assert detect(data / "gt").annotations == data / "gt"


def test_a_refusal_shows_nothing_of_what_lies_behind_a_link(tmp_path):
    """It says what a folder holds, but the first line of a file elsewhere is nobody's business."""
    lay(
        tmp_path, {"mine/a.txt": "secret", "mine/metadata.jsonl": '{"file_name": "a.jpg", "secret": 1}', "set/a.md": ""}
    )
    (tmp_path / "set" / "a.txt").symlink_to(tmp_path / "mine" / "a.txt")
    (tmp_path / "set" / "metadata.jsonl").symlink_to(tmp_path / "mine" / "metadata.jsonl")
    lay(tmp_path, {"other/a.md": ""})
    (tmp_path / "other" / "s").symlink_to(tmp_path / "mine")
    for folder in ("set", "other"):
        with pytest.raises(AnnotationError) as caught:
            detect(tmp_path / folder)
        assert "no known annotations" in str(caught.value) and "secret" not in str(caught.value)


def test_links_within_what_was_named_and_to_it_are_followed(tmp_path):
    data = dataset(tmp_path / "data")
    (data / "images").rename(data / "store")
    (data / "images").symlink_to("store")
    (tmp_path / "link").symlink_to(data)
    for named in (data, tmp_path / "link"):
        found = scan(open_source(named, pictures=None if named == data else named / "images"))
        assert [s.id for s in found.samples] == ["a.png"]


def test_an_annotation_that_is_a_link_out_of_its_folder_is_not_read(tmp_path):
    data = dataset(tmp_path / "data")
    (tmp_path / "secret.txt").write_text("root:x:0:0\n")
    (data / "images" / "b.png").write_bytes(PICTURE.getvalue())
    (data / "gt" / "gt_b.txt").symlink_to(tmp_path / "secret.txt")
    reading = scan(open_source(data / "gt", format="icdar", pictures=data / "images"))
    assert [s.id for s in reading.samples] == ["a.png"]
    assert [(p.loc, p.kind) for p in reading.problems] == [("gt_b.txt", "unsafe-path")]
    assert "root:x" not in str(reading.problems)


def test_classes_that_are_a_link_out_of_their_folder_are_not_read(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(PICTURE.getvalue())
    (tmp_path / "labels" / "a.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    (tmp_path / "secret.txt").write_text("text\nignore\n")
    (tmp_path / "labels" / "classes.txt").symlink_to(tmp_path / "secret.txt")
    reading = scan(open_source(tmp_path / "labels", format="yolo", pictures=tmp_path / "images"))
    assert len(reading.samples) == 1 and "of the 2 of" not in str(reading.problems)


def test_a_zip_beside_the_pictures_is_still_read(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE.getvalue())
    with zipfile.ZipFile(tmp_path / "gt.zip", "w") as archive:
        archive.writestr("gt_a.txt", LINE)
    assert [s.id for s in scan(open_source(tmp_path / "gt.zip")).samples] == ["a.png"]


def _header(format: str, width: int, height: int) -> bytes:
    """A picture file whose head says a size and whose pixels are one by one."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, format)
    data = bytearray(buffer.getvalue())
    if format == "PNG":
        import zlib

        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    elif format == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    elif format == "BMP":
        data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    elif format == "GIF":
        data[6:10] = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    elif format == "PPM":
        data = bytearray(b"P5 %d %d 255\n\0" % (width, height))
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "PPM"])
def test_a_head_that_says_65535_by_65535_is_refused_before_memory_is_asked_for(format):
    import tracemalloc

    tracemalloc.start()
    try:
        for read in (read_header, decode):
            with pytest.raises(PictureError, match=r"decompression bomb|65535x65535"):
                read(_header(format, 65535, 65535), name="bomb")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "PPM"])
def test_the_limit_is_ours_to_the_pixel(format):
    assert read_header(_header(format, 14_000, 14_000), name="scan").size == (14_000, 14_000)
    assert read_header(_header(format, 20_000, MAX_PIXELS // 20_000), name="scan").size == (10_000, 20_000)
    with pytest.raises(PictureError, match="bomb"):
        read_header(_header(format, 20_000, MAX_PIXELS // 20_000 + 1), name="scan")


@pytest.mark.slow
def test_a_page_of_14000_by_14000_is_decoded(tmp_path):
    Image.new("1", (14_000, 14_000), 1).save(tmp_path / "big.png")
    assert decode(tmp_path / "big.png").image.size == (14_000, 14_000)


def test_a_strip_whose_filter_would_fill_memory_is_refused():
    assert read_header(_header("PNG", MAX_SIDE, 100), name="strip").size == (100, MAX_SIDE)
    for size in ((MAX_SIDE + 1, 1), (1, MAX_SIDE + 1)):
        with pytest.raises(PictureError, match="expected sides of at most 1000000 pixels"):
            read_header(_header("PNG", *size), name="strip")
