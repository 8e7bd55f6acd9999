"""One decoder: every kind of picture file gives RGB or a named refusal."""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrmaps.errors import OcrmapsError, PictureError
from ocrmaps.pictures import count_pages, decode, read_header

GRAY = np.linspace(0, 255, 24 * 32).astype(np.uint8).reshape(24, 32)


def encoded(image: Image.Image, format: str, **kwargs) -> bytes:
    data = io.BytesIO()
    image.save(data, format, **kwargs)
    return data.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_every_mode_becomes_rgb(mode, format):
    allowed = {"PNG": "1 L P RGB RGBA LA", "TIFF": "1 L P RGB RGBA LA CMYK", "JPEG": "L RGB CMYK", "WEBP": "RGB RGBA"}
    if mode not in allowed[format].split():
        return
    image = Image.fromarray(GRAY).convert("RGB").convert(mode)
    shown = decode(encoded(image, format), name="x")
    assert shown.pixels.shape == (24, 32, 3)
    assert shown.pixels.dtype == np.uint8
    if mode not in ("1", "P"):
        assert np.abs(shown.pixels[..., 0].astype(int) - GRAY).max() <= (40 if format in ("JPEG", "WEBP") else 2)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "P", "RGB", "LA"])
def test_a_gray_picture_may_stay_gray_with_the_same_pixels(mode):
    gray = Image.fromarray(GRAY)
    data = encoded(Image.fromarray(GRAY.astype(np.uint16) * 257) if mode == "I;16" else gray.convert(mode), "PNG")
    kept = decode(data, name="x", gray=True)
    assert kept.image.mode == ("L" if mode in ("1", "L", "I;16") else "RGB")
    assert np.array_equal(kept.pixels, decode(data, name="x").pixels)


def test_sixteen_bit_keeps_the_high_byte():
    wide = GRAY.astype(np.uint16) * 257
    assert np.array_equal(decode(encoded(Image.fromarray(wide), "PNG"), name="x").pixels[..., 1], GRAY)
    assert np.array_equal(decode(encoded(Image.fromarray(wide), "TIFF"), name="x").pixels[..., 1], GRAY)


def test_transparent_pixels_lie_on_white():
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    pixels = decode(encoded(Image.fromarray(rgba), "PNG"), name="x").pixels
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[1, 1].tolist() == [255, 255, 255]
    palette = Image.fromarray(GRAY).convert("P")
    palette.info["transparency"] = int(np.asarray(palette)[0, 0])
    assert decode(encoded(palette, "PNG", transparency=palette.info["transparency"]), name="x").pixels[0, 0, 0] == 255


def test_float_pixels_are_refused_by_name():
    with pytest.raises(PictureError, match="mode 'F'"):
        decode(encoded(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), name="depth.tif")


def test_b21_orientation_comes_from_the_one_decoder_for_every_format():
    exif = Image.Exif()
    for format, orientation in itertools.product(("JPEG", "PNG", "WEBP", "TIFF"), range(1, 9)):
        exif[0x0112] = orientation
        shown = decode(encoded(Image.fromarray(GRAY), format, exif=exif), name="x")
        assert (shown.header.orientation, shown.header.size) == (orientation, (24, 32)), format
        assert shown.pixels.shape[:2] == (24, 32), (format, orientation)
        assert np.abs(shown.pixels[..., 0].astype(int) - GRAY).max() < 40, (format, orientation)


def test_the_header_needs_no_pixels(tmp_path):
    data = encoded(Image.fromarray(GRAY), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data[:60])
    assert read_header(path).size == (24, 32)
    with pytest.raises(PictureError, match=r"a\.png.*damaged or truncated"):
        decode(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_truncated_file_is_named_never_shown_gray(format, keep):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format)
    with pytest.raises(PictureError, match="scan_07"):
        decode(data[: int(len(data) * keep)], name="scan_07")


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"hello world, no picture", "hello"), (b"\xff\xd8\xff", "x")]
)
def test_what_is_no_picture_is_refused(data, word, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    for read in (read_header, decode):
        with pytest.raises(PictureError, match=word):
            read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PictureError, match=r"gone\.png"):
        decode(tmp_path / "gone.png")


def test_a_decompression_bomb_is_refused_before_memory_is_spent():
    bomb = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    assert len(bomb) < 200_000
    with pytest.raises(PictureError, match="decompression bomb"):
        decode(bomb, name="bomb.png")


def test_a_lower_limit_of_pixels_is_kept_to_the_pixel():
    data = encoded(Image.new("RGB", (20, 10)), "PNG")
    assert decode(data, max_pixels=200).pixels.shape == (10, 20, 3)
    with pytest.raises(PictureError, match="20x10 is 0 million pixels"):
        decode(data, max_pixels=199)


def test_a_tiff_whose_second_page_says_no_size_is_refused_by_name():
    """Pillow raises a TypeError there, which once ended a prediction over a folder."""
    page, file = Image.new("RGB", (40, 30)), io.BytesIO()
    page.save(file, "TIFF", save_all=True, append_images=[page])
    data = bytearray(file.getvalue())
    width_entry = data.rfind(b"\x00\x01\x04\x00\x01\x00\x00\x00")
    data[width_entry : width_entry + 2] = b"\x01\xf0"
    assert count_pages(file.getvalue()) == 2
    with pytest.raises(PictureError, match="pages cannot be counted"):
        count_pages(bytes(data), name="two.tif")


@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_give_a_picture_or_a_named_refusal(data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"]))
    good = bytearray(encoded(Image.fromarray(GRAY), format))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(OcrmapsError):
        assert decode(bytes(good), name="x", max_pixels=4_000_000).pixels.ndim == 3
