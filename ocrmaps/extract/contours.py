"""Outlines of the regions of a map, traced once along the pixel sides, in time linear in what is traced.

A region is a set of pixels that touch by a side or a corner. Its outline is walked over the pixel sides
("cracks") that separate it from the rest; each crack gives one crossing point on the segment between the two
pixel centers. With an even split the crossing points lie half a pixel outside the outermost pixel centers, so
that n pixels in a row are n wide; with a level they lie where the linear interpolation between the two values
reaches it (marching squares). Points are (x, y) float64 with pixel centers at +0.5; outlines run clockwise on
the screen around regions; inner outlines, around holes, are counted and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.compiled import compiled
from ocrmaps.extract.records import ONE_AS_BITS
from ocrmaps.geometry import FloatArray, IntArray

# Walking along a crack with the region on the right hand: 0 right along the top of a pixel, 1 down along its
# right side, 2 left along its bottom, 3 up along its left side.
_AHEAD_Y = np.array([0, 1, 0, -1], dtype=np.int64)
_AHEAD_X = np.array([1, 0, -1, 0], dtype=np.int64)
_OUT_Y = np.array([-1, 0, 1, 0], dtype=np.int64)
_OUT_X = np.array([0, 1, 0, -1], dtype=np.int64)

_NO_MAP = np.zeros((0, 0), dtype=np.float32)
_NO_MAP.flags.writeable = False

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contours:
    """Crossing points of all regions, outline after outline in the order of their first pixels, row by row."""

    points: FloatArray
    """(n, 2) x, y of the crossing points."""
    cracks: npt.NDArray[np.int32]
    """(n, 3): y and x of the pixel inside, and the direction 0 to 3 in which its side was walked."""
    offsets: IntArray
    """(k + 1): outline i has the points offsets[i] to offsets[i + 1]."""
    areas: IntArray
    """(k): pixels enclosed, holes included."""
    holes: int
    """Inner outlines that were dropped: a hole is not a text (a text inside a hole is)."""

    def __len__(self) -> int:
        return len(self.areas)


def trace_outlines(
    cells: npt.NDArray[Any],
    values: npt.NDArray[np.float32] | None = None,
    level: float | npt.NDArray[np.float32] = 0.5,
) -> Contours:
    """The outlines of the regions of `cells`, an (H, W) map where 0 is outside and unequal numbers are apart.

    With `values` (float32) the crossing points are interpolated at `level`, a number or an (H, W) float32 map;
    beyond the border of the map the value is 0 and the level goes on. Without, every crossing is half way.

    >>> trace_outlines(np.array([[1, 1]], dtype=np.uint8)).points.tolist()
    [[0.5, 0.0], [1.5, 0.0], [2.0, 0.5], [1.5, 1.0], [0.5, 1.0], [0.0, 0.5]]
    """
    height, width = cells.shape
    padded = _ringed(cells.shape, np.dtype(np.uint8) if cells.dtype == np.bool_ else cells.dtype)
    padded[1 : height + 1, 1 : width + 1] = cells
    return _traced(padded, cells.shape, values, level)


def trace_above(
    values: npt.NDArray[np.float32],
    level: float | npt.NDArray[np.float32],
    *,
    subpixel: bool,
    marked: npt.NDArray[np.uint8] | None = None,
) -> Contours:
    """`trace_outlines` of where `values` are above `level`, interpolated or half way; `marked` is where, if known."""
    height, width = values.shape
    if marked is None:
        marked = _ringed(values.shape, np.dtype(np.uint8))
        np.greater(values, level, out=marked[1 : height + 1, 1 : width + 1].view(np.bool_))
    return _traced(marked, values.shape, values if subpixel else None, level)


def mark_above(values: npt.NDArray[np.float32], level: float) -> npt.NDArray[np.uint8] | None:
    """Where `values` are above `level`, for `trace_above`; None if any is not in 0 to 1. Reads them only once."""
    marked = _ringed(values.shape, np.dtype(np.uint8))
    highest = _mark(locked(values), locked(values.view(np.uint32)), np.float32(level), marked)
    return marked if highest <= ONE_AS_BITS else None


def _ringed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros for a map of `shape` and a ring of outside pixels, which makes neighbor look-ups safe.

    Rows are whole words of 8 bytes, so that empty space can be skipped.
    """
    height, width = shape
    per_word = 8 // dtype.itemsize
    return np.zeros((height + 2, -(-(width + 2) // per_word) * per_word), dtype=dtype)


def _traced(
    padded: Array, shape: tuple[int, ...], values: Array | None, level: float | npt.NDArray[np.float32]
) -> Contours:
    n, k, holes, points, cracks, offsets, areas = _trace(
        padded.reshape(-1),
        padded.view(np.uint64),
        np.zeros(padded.size, dtype=np.bool_),  # by the system: pages that nobody touches cost nothing
        shape[0],
        _NO_MAP if values is None else locked(values),
        0.0 if isinstance(level, np.ndarray) else float(level),
        locked(level) if isinstance(level, np.ndarray) else _NO_MAP,
    )
    return Contours(
        points=points[:n], cracks=cracks[:n], offsets=offsets[: k + 1], areas=areas[:k], holes=int(holes)
    )  # fmt: skip


def locked(array: Array) -> Array:
    """The same memory as an array that cannot be written to.

    What is compiled for it need not be compiled again for arrays that can be.
    """
    out = array.view()
    out.flags.writeable = False
    return out


@compiled
def _mark(values: Array, bits: Array, level: np.float32, marked: Array) -> np.uint32:
    """Put 1 in `marked` where `values` are above `level`, and give the highest of their bits."""
    highest = np.uint32(0)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            marked[y + 1, x + 1] = values[y, x] > level
            highest = max(highest, bits[y, x])
    return highest


# Copies are loops: assigning a slice compiles numba's message about unequal shapes, which takes four seconds.
@compiled
def _longer(array: Array) -> Array:
    """(2n): the array with as much room again."""
    out = np.zeros(2 * len(array), dtype=array.dtype)
    for i in range(len(array)):
        out[i] = array[i]
    return out


@compiled
def _taller(table: Array) -> Array:
    """(2n, m): the table with as much room again."""
    out = np.empty((2 * table.shape[0], table.shape[1]), dtype=table.dtype)
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[i, j] = table[i, j]
    return out


@compiled
def _trace(
    padded: Array, words: Array, walked: Array, height: int, values: Array, level: float, levels: Array
) -> tuple[int, int, int, Array, Array, Array, Array]:
    """How many points, outlines and holes, then the four arrays of `Contours` with room to spare.

    `padded` is flat, `words` has its rows; `walked` marks the tops of pixels that an outline has passed.
    """
    per_row = len(padded) // words.shape[0]
    per_word = per_row // words.shape[1]
    ahead = np.array([1, per_row, -1, -per_row])
    out = np.array([-per_row, 1, per_row, -1])
    points = np.empty((4096, 2), dtype=np.float64)
    cracks = np.empty((4096, 3), dtype=np.int32)
    offsets = np.zeros(64, dtype=np.int64)
    areas = np.zeros(64, dtype=np.int64)
    n = 0
    k = 0
    holes = 0
    for row in range(1, height + 1):
        for word in range(words.shape[1]):
            # What is as in the row above has no outline along its top.
            if words[row, word] == 0 or words[row, word] == words[row - 1, word]:
                continue
            for column in range(word * per_word, (word + 1) * per_word):
                start = row * per_row + column
                own = padded[start]
                # Every outline, inner ones too, passes along the top of some pixel.
                if own == 0 or padded[start - per_row] == own or walked[start]:
                    continue
                first = n
                area = 0
                at = start
                y = row
                x = column
                d = 0
                while True:
                    if n == len(points):
                        points, cracks = _taller(points), _taller(cracks)
                    share = _share(values, level, levels, y, x, d)
                    points[n, 0] = x - 0.5 + share * _OUT_X[d]
                    points[n, 1] = y - 0.5 + share * _OUT_Y[d]
                    cracks[n, 0] = y - 1
                    cracks[n, 1] = x - 1
                    cracks[n, 2] = d
                    n += 1
                    # Pixels enclosed: the area under the vertical cracks.
                    if d == 0:
                        walked[at] = True
                    elif d == 1:
                        area += x
                    elif d == 3:
                        area -= x - 1
                    # Turn left where the corner pixel belongs to the region, so that corners connect.
                    beside = at + ahead[d]
                    if padded[beside + out[d]] == own:
                        at = beside + out[d]
                        y += _AHEAD_Y[d] + _OUT_Y[d]
                        x += _AHEAD_X[d] + _OUT_X[d]
                        d = (d + 3) & 3
                    elif padded[beside] == own:
                        at = beside
                        y += _AHEAD_Y[d]
                        x += _AHEAD_X[d]
                    else:
                        d = (d + 1) & 3
                    if at == start and d == 0:
                        break
                if area <= 0:
                    holes += 1
                    n = first
                    continue
                if k + 1 == len(offsets):
                    offsets, areas = _longer(offsets), _longer(areas)
                areas[k] = area
                k += 1
                offsets[k] = n
    return n, k, holes, points, cracks, offsets, areas


@compiled
def _share(values: Array, level: float, levels: Array, y: int, x: int, d: int) -> float:
    """How far the crossing point is on the way from the center inside to the center outside, 0 to 1."""
    if len(values) == 0:
        return 0.5
    oy = y + _OUT_Y[d]
    ox = x + _OUT_X[d]
    own_level = level if len(levels) == 0 else float(levels[y - 1, x - 1])
    above = values[y - 1, x - 1] - own_level
    if oy < 1 or ox < 1 or oy > values.shape[0] or ox > values.shape[1]:
        below = -own_level
    else:
        below = values[oy - 1, ox - 1] - (level if len(levels) == 0 else float(levels[oy - 1, ox - 1]))
    # A crack between two regions that were split is no crossing of the level.
    if above <= 0 or below > 0 or above - below <= 0:
        return 0.5
    return above / (above - below)


@compiled
def enclosed_means(values: Array, cracks: Array, offsets: Array) -> Array:
    """(k) float64: mean of `values` over the pixels that each outline encloses, holes included."""
    k = len(offsets) - 1
    out = np.zeros(k)
    for i in range(k):
        lo = offsets[i]
        hi = offsets[i + 1]
        top = bottom = np.int64(cracks[lo, 0])
        for j in range(lo, hi):
            top = min(top, np.int64(cracks[j, 0]))
            bottom = max(bottom, np.int64(cracks[j, 0]))
        # Along a row the vertical cracks, from left to right, enter and leave in turn.
        ends = np.zeros(bottom - top + 2, dtype=np.int64)
        for j in range(lo, hi):
            if cracks[j, 2] & 1:
                ends[cracks[j, 0] - top + 1] += 1
        for row in range(1, len(ends)):
            ends[row] += ends[row - 1]
        at = np.empty(ends[-1], dtype=np.int64)
        for j in range(hi - 1, lo - 1, -1):
            if cracks[j, 2] & 1:
                row = cracks[j, 0] - top + 1
                ends[row] -= 1
                at[ends[row]] = cracks[j, 1] + (1 if cracks[j, 2] == 1 else 0)
        total = 0.0
        count = 0
        for y in range(top, bottom + 1):
            first = ends[y - top + 1]
            last = ends[y - top + 2] if y < bottom else len(at)
            _sort(at[first:last])
            for m in range(first, last, 2):
                for x in range(at[m], at[m + 1]):
                    total += values[y, x]
                count += at[m + 1] - at[m]
        out[i] = total / count
    return out


@compiled
def _sort(numbers: Array) -> None:
    """Put a few numbers in order, in place (shell sort: numba takes a second to compile its own)."""
    gap = len(numbers) // 2
    while gap > 0:
        for i in range(gap, len(numbers)):
            number = numbers[i]
            j = i
            while j >= gap and numbers[j - gap] > number:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = number
        gap //= 2


@compiled
def polygon_means(values: Array, points: Array, offsets: Array) -> Array:
    """(k) float64: mean of `values` over the pixels whose center is inside each polygon; 0 where there is none."""
    k = len(offsets) - 1
    out = np.zeros(k)
    height, width = values.shape
    for i in range(k):
        ring = points[offsets[i] : offsets[i + 1]]
        if len(ring) == 0:
            continue
        top = max(0, int(np.ceil(ring[:, 1].min() - 0.5)))
        bottom = min(height - 1, int(np.floor(ring[:, 1].max() - 0.5)))
        total = 0.0
        count = 0
        at = np.empty(len(ring))
        for y in range(top, bottom + 1):
            center = y + 0.5
            m = 0
            for j in range(len(ring)):
                ax, ay = ring[j - 1]
                bx, by = ring[j]
                if (ay > center) != (by > center):
                    at[m] = ax + (center - ay) * (bx - ax) / (by - ay)
                    m += 1
            crossings = np.sort(at[:m])
            for j in range(0, m, 2):
                start = max(0, int(np.ceil(crossings[j] - 0.5)))
                stop = min(width - 1, int(np.floor(crossings[j + 1] - 0.5)))
                for x in range(start, stop + 1):
                    total += values[y, x]
                count += max(0, stop + 1 - start)
        out[i] = total / count if count else 0.0
    return out
