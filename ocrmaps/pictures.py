"""One decoder for the whole project: any picture file in, 8-bit RGB and its orientation out.

The pixels stay in the raw frame; the EXIF orientation is reported, never applied here, so that one
place (`canonical`) owns the geometry. What cannot be shown faithfully is refused by name.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from ocrmaps.errors import PictureError
from ocrmaps.geometry import Size, upright_size
from ocrmaps.tiff import MAX_PAGES, read_picture
from ocrmaps.tiff import count_pages as tiff_pages

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
MAX_PIXELS = 200_000_000
"""Pictures with more pixels are refused as decompression bombs: a 14 000 x 14 000 scan still passes."""
MAX_SIDE = 1_000_000
"""Pictures with a longer side are refused: a strip of one row takes 25 kB, and resizing it gigabytes."""
JPEG_BYTES, OTHER_BYTES = 8, 28
"""Memory that decoding takes at most, bytes a pixel besides the file's own: measured 4 for RGB and 8 for CMYK in JPEG,
20 for alpha in PNG, 28 for alpha in WebP."""

# Pillow refuses at twice its own limit, which must not be below ours; who has asked for more keeps that.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2)

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""Parsers that may run on user files: fewer formats, fewer surprises."""
_EIGHT_BIT = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}
_DAMAGE = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error, EOFError, MemoryError)
"""What Pillow's parsers raise on damaged files."""
# Pillow turns TIFF pixels upright while loading and reports the turned size, for this format only; these undo it.
_UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a picture file says about itself before its pixels are decoded."""

    size: Size
    """(height, width) of the stored pixels."""
    orientation: int
    """EXIF orientation 1 to 8; 1 where the file has none or a value outside 1 to 8."""
    orientation_tag: int | None
    """The tag as found: None where absent, and possibly 0 or junk."""
    format: str
    mode: str

    @property
    def upright(self) -> Size:
        """(height, width) after the orientation is applied."""
        return upright_size(self.orientation, self.size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """Decoded pixels in the raw frame."""

    image: Image.Image
    """Mode RGB, or L where gray was asked for and found; smaller than `header.size` when the decoder was allowed to
    reduce. Not to be changed."""
    header: Header
    reduction: int = 1
    """1, 2, 4 or 8: one pixel of `image` covers that many stored pixels each way (the last ones partly)."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """(h, w, 3) RGB, a new array."""
        return np.array(self.image if self.image.mode == "RGB" else self.image.convert("RGB"), dtype=np.uint8)


def decoding_bytes(size: Size, nbytes: int, *, jpeg: bool) -> int:
    """Memory that decoding a picture of (height, width) pixels takes at most, whatever it is called.

    `nbytes` is the length of its file, which is in memory, too.
    """
    return nbytes + size[0] * size[1] * (JPEG_BYTES if jpeg else OTHER_BYTES)


def read_header(source: Path | bytes, *, name: str = "") -> Header:
    """Size, orientation and mode without decoding pixels; a file that is no picture is refused by name."""
    name = name or (source.name if isinstance(source, Path) else "picture")
    with _open(source, name, MAX_PIXELS) as image:
        return _header(image)


def count_pages(source: Path | bytes, *, name: str = "") -> int:
    """How many pictures a file holds one after another: more than 1 for a TIFF of several pages only.

    Animations count as their first picture.
    """
    name = name or (source.name if isinstance(source, Path) else "picture")
    with _open(source, name, MAX_PIXELS) as image:
        if image.format != "TIFF":
            return 1
        if isinstance(source, Path) and tiff_pages(source) >= MAX_PAGES:
            raise PictureError(f"{name}: found {MAX_PAGES} pages or more, expected fewer")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return int(getattr(image, "n_frames", 1))
        except _DAMAGE as error:
            raise PictureError(f"{name}: its pages cannot be counted ({error})") from error


def decode(
    source: Path | bytes,
    *,
    name: str = "",
    at_least: Size | None = None,
    max_pixels: int = MAX_PIXELS,
    page: int = 0,
    gray: bool = False,
) -> Picture:
    """Decode to RGB uint8 in the raw frame.

    `at_least` (height, width, raw frame) lets the JPEG decoder skip resolution that nobody will look at: it
    halves, quarters or eighths the picture while both sides stay at least that long. Other formats ignore it.
    Alpha is composited on white; 16-bit values keep their high byte; CMYK is converted as its file declares.
    `page` counts from 0 in a TIFF of several pages. `gray` leaves a gray picture at one channel, a quarter of the
    memory.
    """
    name = name or (source.name if isinstance(source, Path) else "picture")
    with _open(source, name, max_pixels, page) as image:
        header = _header(image)
        reduction = 1
        if at_least is not None and image.format in ("JPEG", "MPO"):
            reduction = _reduce(image, at_least)
        try:
            rgb = _rgb(image, name, gray=gray)
            if image.format == "TIFF" and header.orientation in _UNDO:
                rgb = rgb.transpose(_UNDO[header.orientation])
        except PictureError:
            raise
        except _DAMAGE as error:
            raise PictureError(
                f"{name}: the picture is damaged or truncated ({error})",
                hint="copy the file again from its origin; a viewer that shows it may be hiding the missing part",
            ) from error
    return Picture(image=rgb, header=header, reduction=reduction)


def _reduce(image: Image.Image, at_least: Size) -> int:
    """Set the JPEG decoder to the smallest of 1, 1/2, 1/4, 1/8 whose sides are not below `at_least`."""
    width, height = image.size
    for denominator in (8, 4, 2):
        if height >= denominator * at_least[0] and width >= denominator * at_least[1]:
            image.draft(None, (width // denominator, height // denominator))
            # The decoder rounds reduced sides up, and may decline (a multi-tile file): believe its size only.
            reduced = (-(-width // denominator), -(-height // denominator))
            return denominator if image.size == reduced else 1
    return 1


@contextmanager
def _open(source: Path | bytes, name: str, max_pixels: int, page: int = 0) -> Iterator[Image.Image]:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise PictureError("Pillow's LOAD_TRUNCATED_IMAGES is on: missing pixels would silently turn gray")
    try:
        data = read_picture(source) if isinstance(source, Path) else source
    except (FileNotFoundError, NotADirectoryError) as error:
        assert isinstance(source, Path)
        raise PictureError(
            f"{name}: no such picture file in {source.parent}", hint="check the picture folder (--pictures)"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        raise PictureError(f"{name}: the picture cannot be read ({getattr(error, 'strerror', error)})") from error
    if not data:
        raise PictureError(f"{name}: the file is empty (0 bytes), expected a picture")
    try:
        with warnings.catch_warnings():
            # Odd metadata is not worth a line per picture.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
            if page:
                image.seek(page)
    except UnidentifiedImageError as error:
        raise PictureError(
            f"{name}: not a picture in a known format ({', '.join(_FORMATS)}); it starts with {data[:12]!r}",
            hint="convert it to JPEG or PNG",
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"{name}: refused as a decompression bomb ({error})", hint="resize the picture and its annotations first"
        ) from error
    except _DAMAGE as error:
        raise PictureError(f"{name}: the picture cannot be read ({error})") from error
    with image:
        width, height = image.size
        if width < 1 or height < 1:
            raise PictureError(f"{name}: the picture has size {width}x{height}")
        if width * height > max_pixels:
            raise PictureError(
                f"{name}: {width}x{height} is {width * height / 1e6:.0f} million pixels, the limit is "
                f"{max_pixels / 1e6:.0f} million (a guard against decompression bombs)",
                hint="resize the picture and its annotations first",
            )
        if max(width, height) > MAX_SIDE:
            raise PictureError(f"{name}: found {width}x{height}, expected sides of at most {MAX_SIDE} pixels")
        yield image


def _header(image: Image.Image) -> Header:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tag = image.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        # A damaged EXIF block says nothing about orientation; viewers show such a file as stored.
        tag = None
    try:
        number = None if tag is None else int(tag)
    except (TypeError, ValueError):
        number = -1  # junk that is not even a number: reported, treated as absent
    width, height = image.size
    orientation = number if number is not None and 1 <= number <= 8 else 1
    return Header(
        size=upright_size(orientation, (height, width)) if image.format == "TIFF" else (height, width),
        orientation=orientation,
        orientation_tag=number,
        format=image.format or "",
        mode=image.mode,
    )


def _rgb(image: Image.Image, name: str, *, gray: bool) -> Image.Image:
    """The loaded picture in mode RGB; in mode L if it may stay gray, and is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()
        mode = image.mode
        if mode in _SIXTEEN_BIT or mode == "I":
            values = np.asarray(image)
            if mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
                raise PictureError(f"{name}: 32-bit pixel values beyond 65535 have no fixed meaning as a picture")
            high = Image.fromarray((values >> 8).astype(np.uint8))
            return high if gray else high.convert("RGB")
        if mode in _ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, image).convert("RGB")
        if gray and mode in ("1", "L"):
            return image.convert("L")
        if mode in _EIGHT_BIT:
            return image if mode == "RGB" else image.convert("RGB")
    raise PictureError(f"{name}: pixel mode {mode!r} has no fixed meaning as a picture", hint="convert it to 8-bit RGB")
