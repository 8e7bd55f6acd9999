"""Resizes pictures as Pillow's linear filter does, to the last bit and in a third of its time.

When shrinking, the filter widens with the scale, so that no pixel is skipped. Sums are in fixed point: a picture gives
the same bytes on every processor, and with every version of Pillow (which from 13 on shrinks tall pictures in another
order of the two passes; that order is the one here).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from ocrmaps.compiled import compiled
from ocrmaps.geometry import Size

U8Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]
"""For each pixel of the result along one side: the first pixel it is made of, how many, and their weights."""
BITS = 22
"""Weights are whole numbers of 2 ** -BITS."""
STRIP_PIXELS = 1 << 18
"""Pixels of the picture that are unpacked at a time: few enough for a processor's cache."""
_BLOCK = 16
"""Rows that go through the horizontal pass together."""


def resize(
    image: Image.Image,
    size: Size,
    method: Image.Resampling,
    box: Box,
    onto: U8Pixels | None = None,
    at: tuple[int, int] = (0, 0),
) -> U8Pixels:
    """The part of an RGB or gray picture inside `box` (left, top, right, bottom), as (height, width, 3) of this size.

    It is drawn `onto` a contiguous picture, its corner `at` (y, x) there, or onto one of its own.

    >>> picture = Image.effect_noise((30, 50), 90.0).convert("RGB")
    >>> ours = resize(picture, (20, 12), Image.Resampling.BILINEAR, (0.0, 0.0, 30.0, 50.0))
    >>> theirs = picture.resize((12, 20), Image.Resampling.BILINEAR)
    >>> bool((ours == np.asarray(theirs)).all())
    True
    """
    height, width = size
    out = np.empty((height, width, 3), dtype=np.uint8) if onto is None else onto
    found = out[at[0] : at[0] + height, at[1] : at[1] + width]
    if method is not Image.Resampling.BILINEAR:
        found[:] = np.asarray(_rgb(image.resize((width, height), method, box=box)))
        return found
    left, top, right, bottom = (np.float32(edge) for edge in box)
    across = None if image.width == width == right and not left else taps(image.width, left, right, width)
    down = None if image.height == height == bottom and not top else taps(image.height, top, bottom, height)
    rows, most = _rows_of(image)
    down_first = image.height > height and image.height - height > 2 * (image.width - width)
    if down is None:
        _across(rows, most, (0, height), across, out, at)
    elif across is None or down_first:
        step = max(1, int(most * height / image.height))
        for y in range(0, height, step):
            first, counts, weights = down[0][y : y + step], down[1][y : y + step], down[2][y : y + step]
            start, end = int(first[0]), int((first + counts).max())
            pixels, corner = rows(start, end), (at[0] + y, at[1])
            if across is None:
                low = np.empty((len(first), *pixels.shape[1:]), dtype=np.uint8)
                down_columns(_flat(pixels), first - start, counts, weights, _flat_out(low), 0, 0)
                found[y : y + step] = low[:, :, :3]
            else:
                down_and_across(_flat(pixels), first - start, counts, weights, *across, out, *corner)
    else:
        first, counts, weights = down
        start, end = int(first[0]), int(first[-1] + counts[-1])
        narrow = np.empty((end - start, width, 3), dtype=np.uint8)
        _across(rows, most, (start, end), across, narrow, (0, 0))
        down_columns(_flat(narrow), first - start, counts, weights, _flat_out(out), at[0], 3 * at[1])
    return found


def taps(size: int, start: np.float32, end: np.float32, out: int) -> Taps:
    """What each of `out` pixels is made of, when `size` pixels from `start` to `end` become so many."""
    scale = float(end - start) / out
    return weigh(size, float(start), scale, out, 2 * math.ceil(max(scale, 1.0)) + 1)


@compiled
def weigh(size: int, start: float, scale: float, out: int, most: int) -> Taps:
    """The pixels within reach of each pixel of the result, at most `most` of them, and their shares of it."""
    wide = max(scale, 1.0)
    first, counts = np.empty(out, dtype=np.int64), np.empty(out, dtype=np.int64)
    weights, shares = np.zeros((out, most), dtype=np.int32), np.empty(most)
    for i in range(out):
        center = start + (i + 0.5) * scale
        first[i] = max(int(center - wide + 0.5), 0)
        counts[i] = min(int(center + wide + 0.5), size) - first[i]
        total = 0.0
        for tap in range(counts[i]):
            distance = abs((tap + first[i] - center + 0.5) * (1.0 / wide))
            shares[tap] = 1.0 - distance if distance < 1.0 else 0.0
            total += shares[tap]
        for tap in range(counts[i]):
            share = shares[tap] / total if total != 0.0 else shares[tap]
            weights[i, tap] = np.int32(0.5 + share * (1 << BITS))
    return first, counts, weights


Rows = Callable[[int, int], U8Pixels]
"""The pixels from one row to another: (rows, width, 4), of which the fourth does not count."""


def _across(
    rows: Rows, most: int, span: tuple[int, int], across: Taps | None, out: U8Pixels, at: tuple[int, int]
) -> None:
    """Resize a span of rows horizontally."""
    for y in range(*span, most):
        pixels, top = rows(y, min(span[1], y + most)), at[0] + y - span[0]
        if across is None:
            out[top : top + len(pixels), at[1] : at[1] + pixels.shape[1]] = pixels[:, :, :3]
        else:
            across_rows(_flat(pixels), *across, out, top, at[1])


def _rows_of(image: Image.Image) -> tuple[Rows, int]:
    """The rows of a picture, and how many to take at a time."""
    whole = _lent(image)
    if whole is not None:
        return lambda top, bottom: whole[top:bottom], image.height

    def strip(top: int, bottom: int) -> U8Pixels:
        part = _rgb(image.crop((0, top, image.width, bottom)))
        lent = _lent(part)
        if lent is None:
            lent = np.zeros((part.height, part.width, 4), dtype=np.uint8)
            lent[:, :, :3] = np.asarray(part)
        return lent

    return strip, max(_BLOCK, STRIP_PIXELS // image.width)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


class _Arrow(ctypes.Structure):
    """An array as the Arrow C data interface describes it."""


_Arrow._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64), ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Arrow))), ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p),
]  # fmt: skip
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_Memory = ctypes.c_uint8 * (1 << 40)
"""One type for all lengths, because types are never forgotten."""


def _lent(image: Image.Image) -> U8Pixels | None:
    """The pixels of an RGB picture where Pillow keeps them, (height, width, 4); None where they are in several pieces.

    Pillow before 11.2 does not lend them. Copying and repacking them takes a quarter of the time of resizing.
    """
    lend = getattr(image, "__arrow_c_array__", None)
    if image.mode != "RGB" or lend is None or Image.core.get_alignment() != 1:
        return None
    try:
        _, capsule = lend()
    except ValueError:  # pictures of more than 4 million pixels
        return None
    array = _Arrow.from_address(_pointer(capsule, b"arrow_array"))
    nbytes = 4 * image.width * image.height
    if array.n_children != 1:  # not four bytes a pixel
        return None
    child = array.children[0].contents
    if (child.n_buffers, child.length, array.length * 4, child.offset, array.offset) != (2, nbytes, nbytes, 0, 0):
        return None
    memory = _Memory.from_address(child.buffers[1])
    memory.owner = capsule  # type: ignore[attr-defined]  # lives as long as any view of the pixels
    return np.frombuffer(memoryview(memory)[:nbytes], np.uint8).reshape(image.height, image.width, 4)


def _flat(pixels: U8Pixels) -> U8Pixels:
    """Rows of bytes that nobody may change: a compiled function is compiled once for each kind of array."""
    flat = pixels.reshape(len(pixels), -1)
    flat.flags.writeable = False
    return flat


def _flat_out(pixels: U8Pixels) -> U8Pixels:
    return pixels.reshape(len(pixels), -1)


@compiled
def down_and_across(
    pixels: U8Pixels,
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
    across_first: npt.NDArray[np.int64],
    across_counts: npt.NDArray[np.int64],
    across_weights: npt.NDArray[np.int32],
    out: U8Pixels,
    top: int,
    left: int,
) -> None:
    """Both passes, the vertical one first, over rows of four bytes a pixel.

    What lies between the passes stays in the nearest cache.
    """
    # The sum is written out in all passes: shared as a function of its own it made a picture a fifth dearer.
    wide = pixels.shape[1]
    total = np.empty(wide, dtype=np.int32)
    low = np.empty(wide, dtype=np.uint8)
    run = 4 * _BLOCK
    turned = np.zeros((wide // 4, run), dtype=np.uint8)
    whole, columns = low.view(np.uint32), turned.view(np.uint32)
    done = np.empty((len(across_first), run), dtype=np.uint8)
    sums = np.empty(run, dtype=np.int32)
    for start in range(0, len(first), _BLOCK):
        rows = min(_BLOCK, len(first) - start)
        for row in range(rows):
            y = start + row
            for i in range(wide):
                total[i] = 1 << (BITS - 1)
            for tap in range(counts[y]):
                weight = weights[y, tap]
                line = pixels[first[y] + tap]
                for i in range(wide):
                    total[i] += np.int32(line[i]) * weight
            for i in range(wide):
                low[i] = min(total[i] >> BITS, 255)
            for x in range(len(whole)):
                columns[x, row] = whole[x]
        for x in range(len(across_first)):
            for i in range(run):
                sums[i] = 1 << (BITS - 1)
            for tap in range(across_counts[x]):
                weight = across_weights[x, tap]
                column = turned[across_first[x] + tap]
                for i in range(run):
                    sums[i] += np.int32(column[i]) * weight
            column = done[x]
            for i in range(run):
                column[i] = min(sums[i] >> BITS, 255)
        for row in range(rows):
            target = out[top + start + row]
            for x in range(len(across_first)):
                target[left + x, 0] = done[x, 4 * row]
                target[left + x, 1] = done[x, 4 * row + 1]
                target[left + x, 2] = done[x, 4 * row + 2]


@compiled
def across_rows(
    pixels: U8Pixels,
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
    out: U8Pixels,
    top: int,
    left: int,
) -> None:
    """The horizontal pass, over rows of four bytes a pixel.

    Blocks of rows are turned, so that what has one weight lies side by side.
    """
    height, width = len(pixels), pixels.shape[1] // 4
    run = 4 * _BLOCK
    turned = np.zeros((width, run), dtype=np.uint8)
    whole, columns = pixels.view(np.uint32), turned.view(np.uint32)
    done = np.empty((len(first), run), dtype=np.uint8)
    total = np.empty(run, dtype=np.int32)
    for start in range(0, height, _BLOCK):
        rows = min(_BLOCK, height - start)
        for row in range(rows):
            line = whole[start + row]
            for x in range(width):
                columns[x, row] = line[x]
        for x in range(len(first)):
            for i in range(run):
                total[i] = 1 << (BITS - 1)
            for tap in range(counts[x]):
                weight = weights[x, tap]
                column = turned[first[x] + tap]
                for i in range(run):
                    total[i] += np.int32(column[i]) * weight
            column = done[x]
            for i in range(run):
                column[i] = min(total[i] >> BITS, 255)
        for row in range(rows):
            target = out[top + start + row]
            for x in range(len(first)):
                target[left + x, 0] = done[x, 4 * row]
                target[left + x, 1] = done[x, 4 * row + 1]
                target[left + x, 2] = done[x, 4 * row + 2]


@compiled
def down_columns(
    pixels: U8Pixels,
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
    out: U8Pixels,
    top: int,
    left: int,
) -> None:
    """The vertical pass over rows of bytes."""
    run = pixels.shape[1]
    total = np.empty(run, dtype=np.int32)
    for y in range(len(first)):
        for i in range(run):
            total[i] = 1 << (BITS - 1)
        for tap in range(counts[y]):
            weight = weights[y, tap]
            row = pixels[first[y] + tap]
            for i in range(run):
                total[i] += np.int32(row[i]) * weight
        row = out[top + y, left : left + run]
        for i in range(run):
            row[i] = min(total[i] >> BITS, 255)
