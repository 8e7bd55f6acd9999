"""Resizes pictures as Pillow's linear filter does, to the last bit and in a third of its time.

When shrinking, the filter widens with the scale, so that no pixel is skipped. Sums are in fixed point: a picture gives
the same bytes on every processor, and with every version of Pillow (which from 13 on shrinks tall pictures in another
order of the two passes; that order is the one here).
"""

from __future__ import annotations

import math

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


def resize(image: Image.Image, size: Size, method: Image.Resampling, box: Box) -> U8Pixels:
    """The part of an RGB or gray picture inside `box` (left, top, right, bottom), as (height, width, 3) of this size.

    >>> picture = Image.effect_noise((30, 50), 90.0).convert("RGB")
    >>> ours = resize(picture, (20, 12), Image.Resampling.BILINEAR, (0.0, 0.0, 30.0, 50.0))
    >>> theirs = picture.resize((12, 20), Image.Resampling.BILINEAR)
    >>> bool((ours == np.asarray(theirs)).all())
    True
    """
    height, width = size
    if method is not Image.Resampling.BILINEAR:
        return _rgb(image.resize((width, height), method, box=box))
    left, top, right, bottom = (np.float32(edge) for edge in box)
    across = None if image.width == width == right and not left else taps(image.width, left, right, width)
    down = None if image.height == height == bottom and not top else taps(image.height, top, bottom, height)
    if down is None:
        return _across_strips(image, (0, image.height), across)
    down_first = image.height > height and image.height - height > 2 * (image.width - width)
    if across is None or down_first:
        middle = _down_strips(image, down)
        return middle if across is None else _across(middle, across)
    first, counts, weights = down
    rows = int(first[0]), int(first[-1] + counts[-1])
    return _down(_across_strips(image, rows, across), (first - rows[0], counts, weights))


def taps(size: int, start: np.float32, end: np.float32, out: int) -> Taps:
    """What each of `out` pixels is made of, when `size` pixels from `start` to `end` become so many."""
    scale = float(end - start) / out
    wide = max(scale, 1.0)
    center = float(start) + (np.arange(out) + 0.5) * scale
    first = np.maximum((center - wide + 0.5).astype(np.int64), 0)
    counts = np.minimum((center + wide + 0.5).astype(np.int64), size) - first
    tap = np.arange(2 * math.ceil(wide) + 1)
    distance = np.abs((tap + first[:, None] - center[:, None] + 0.5) * (1.0 / wide))
    weights = np.where((tap < counts[:, None]) & (distance < 1.0), 1.0 - distance, 0.0)
    total = np.zeros(out)
    for column in weights.T:  # one after the other: sums of fractions depend on their order
        total += column
    np.divide(weights, total[:, None], out=weights, where=total[:, None] != 0)
    return first, counts, (0.5 + weights * (1 << BITS)).astype(np.int32)


def _across_strips(image: Image.Image, rows: tuple[int, int], across: Taps | None) -> U8Pixels:
    """These rows of the picture, resized horizontally."""
    first, last = rows
    step = max(_BLOCK, STRIP_PIXELS // image.width)
    out = np.empty((last - first, image.width if across is None else len(across[0]), 3), dtype=np.uint8)
    for y in range(first, last, step):
        end = min(last, y + step)
        strip = _rgb(image.crop((0, y, image.width, end)))
        out[y - first : end - first] = strip if across is None else _across(strip, across)
    return out


def _down_strips(image: Image.Image, down: Taps) -> U8Pixels:
    """The picture, resized vertically."""
    first, counts, weights = down
    out = np.empty((len(first), image.width, 3), dtype=np.uint8)
    step = max(1, int(STRIP_PIXELS / image.width * len(first) / image.height))
    for y in range(0, len(first), step):
        part = slice(y, y + step)
        top, bottom = int(first[y]), int((first[part] + counts[part]).max())
        strip = _rgb(image.crop((0, top, image.width, bottom)))
        out[part] = _down(strip, (first[part] - top, counts[part], weights[part]))
    return out


def _rgb(part: Image.Image) -> U8Pixels:
    return np.asarray(part if part.mode == "RGB" else part.convert("RGB"))


def _across(pixels: U8Pixels, across: Taps) -> U8Pixels:
    out = np.empty((len(pixels), len(across[0]), 3), dtype=np.uint8)
    across_rows(_lent(pixels), *across, out)
    return out


def _down(pixels: U8Pixels, down: Taps) -> U8Pixels:
    out = np.empty((len(down[0]), *pixels.shape[1:]), dtype=np.uint8)
    down_columns(_lent(pixels.reshape(len(pixels), -1)), *down, out.reshape(len(out), -1))
    return out


def _lent(pixels: U8Pixels) -> U8Pixels:
    """The same pixels as a picture lends them: a compiled function is compiled once for each kind of array."""
    lent = pixels[:]
    lent.flags.writeable = False
    return lent


@compiled
def across_rows(
    pixels: U8Pixels,
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
    out: U8Pixels,
) -> None:
    """The horizontal pass. Blocks of rows are turned, so that what has one weight lies side by side."""
    height, width, _ = pixels.shape
    run = 3 * _BLOCK
    turned = np.zeros((width, run), dtype=np.uint8)
    done = np.empty((len(first), run), dtype=np.uint8)
    total = np.empty(run, dtype=np.int32)
    for top in range(0, height, _BLOCK):
        rows = min(_BLOCK, height - top)
        for row in range(rows):
            line = pixels[top + row]
            for x in range(width):
                turned[x, 3 * row] = line[x, 0]
                turned[x, 3 * row + 1] = line[x, 1]
                turned[x, 3 * row + 2] = line[x, 2]
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
            line = out[top + row]
            for x in range(len(first)):
                line[x, 0] = done[x, 3 * row]
                line[x, 1] = done[x, 3 * row + 1]
                line[x, 2] = done[x, 3 * row + 2]


@compiled
def down_columns(
    pixels: U8Pixels,
    first: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int32],
    out: U8Pixels,
) -> None:
    """The vertical pass over rows of bytes."""
    # The sum is written out in both passes: shared as a function of its own it made a picture a fifth dearer.
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
        row = out[y]
        for i in range(run):
            row[i] = min(total[i] >> BITS, 255)
