"""Pictures nobody planned for: each gives a right answer or says what is wrong, and none ends the others."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ocrmaps.detect.predict import predict_pictures
from tests.predict.bright import TEXTS, paint


def one(trained, path):
    (found,) = predict_pictures(trained, [path], on_error="report")
    return found


def test_a_single_pixel(trained, tmp_path):
    Image.new("RGB", (1, 1), (120, 120, 120)).save(tmp_path / "a.png")
    found = one(trained, tmp_path / "a.png")
    assert (found.error, found.size, len(found.polygons), found.note) == (None, (1, 1), 0, "")


@pytest.mark.parametrize("size", [(30000, 40), (40, 30000)])
def test_a_strip_is_answered_with_a_note(trained, size, tmp_path):
    Image.new("RGB", size, (120, 120, 120)).save(tmp_path / "a.png")
    found = one(trained, tmp_path / "a.png")
    assert (found.error, found.size) == (None, size[::-1])
    assert "1 px across" in found.note and "cut the picture" in found.note


def page(mode: str) -> Image.Image:
    return Image.fromarray(paint()).convert(mode)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tif", "a.ppm", "a.jpg"])
def test_formats_of_files(trained, name, tmp_path):
    page("RGB").save(tmp_path / name, **({"quality": 95} if name.endswith("jpg") else {}))
    assert len(one(trained, tmp_path / name).polygons) == len(TEXTS)


def test_cmyk(trained, tmp_path):
    page("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert len(one(trained, tmp_path / "a.jpg").polygons) == len(TEXTS)


def test_palette_and_alpha(trained, tmp_path):
    page("P").save(tmp_path / "p.png")
    page("RGBA").save(tmp_path / "a.png")
    assert len(one(trained, tmp_path / "p.png").polygons) == len(TEXTS)
    assert len(one(trained, tmp_path / "a.png").polygons) == len(TEXTS)


def test_animations_show_their_first_picture(trained, tmp_path):
    blank = Image.fromarray(paint(texts=[]))
    for name in ("a.gif", "a.webp"):
        page("RGB").save(tmp_path / name, save_all=True, append_images=[blank, blank])
        (found,) = predict_pictures(trained, [tmp_path / name])
        assert len(found.polygons) == len(TEXTS)


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_gray_pictures_have_no_red(trained, mode, tmp_path):
    gray = np.asarray(page("L"))
    image = Image.fromarray(gray.astype(np.uint16) * 257) if mode == "I;16" else page(mode)
    image.save(tmp_path / "a.png")
    found = one(trained, tmp_path / "a.png")
    assert (found.error, found.size, len(found.polygons)) == (None, (800, 600), 0)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def whole_jpeg() -> bytes:
    buffer = io.BytesIO()
    page("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"plain words", "not a picture"),
        (whole_jpeg()[:2000], "damaged or truncated"),
        (whole_jpeg()[:12], "cannot be read|not a picture"),
        (png_claiming(60000, 60000), "bomb"),
        (png_claiming(15000, 15000), "bomb"),
        (png_claiming(0, 10), "cannot be read|size|not a picture"),
        (png_claiming(2000, 2000), "damaged or truncated"),
        (b"II*\0" + b"\xff" * 64, "cannot be read|not a picture|damaged"),
        (b"%PDF-1.7 nothing", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
    ids=["zero", "text", "truncated", "header", "huge", "bomb", "nothing", "short", "tiff", "pdf", "svg"],
)
def test_what_is_no_picture_is_named(trained, content, said, tmp_path):
    (tmp_path / "odd.jpg").write_bytes(content)
    Image.fromarray(paint()).save(tmp_path / "good.png")
    bad, good = predict_pictures(trained, [tmp_path / "odd.jpg", tmp_path / "good.png"], on_error="report")
    import re

    assert re.search(said, bad.error)
    assert "odd.jpg" in bad.error
    assert len(good.polygons) == len(TEXTS)


def test_a_folder_a_pipe_and_nothing_at_all_are_named(trained, tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("folder.png", "pipe.png", "missing.png"):
        assert name in one(trained, tmp_path / name).error


def test_a_tiff_whose_second_page_is_damaged_keeps_its_first(trained, tmp_path):
    page("RGB").save(tmp_path / "a.tif", save_all=True, append_images=[page("RGB")])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) - 300_000])
    found = list(predict_pictures(trained, [tmp_path / "cut.tif"], on_error="report"))
    assert len(found[0].polygons) == len(TEXTS) or found[0].error
    assert all(p.error for p in found[1:])
