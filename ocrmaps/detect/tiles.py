"""Maps of pages that are larger than a canvas, or looked at more than once.

Windows of a page go through the network one after the other. Each pixel of the page's map is taken from the window in
which it lies farthest from an edge, and boxes are read from the whole map: none is cut or joined where windows meet.
Windows overlap by twice as far as the network looks (`reach`, measured), so that what is taken is what the whole page
would have given; a network that pools over its whole picture has no such distance, and the difference at the seams is
noted. One window is rendered and in the network at a time: beside the decoded picture memory holds one map of the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ocrmaps.canonical import _INTERPOLATIONS as RESAMPLING
from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, plan, turn_upright
from ocrmaps.detect.trained import Trained
from ocrmaps.detect.view import PageView
from ocrmaps.errors import SpecError
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps.records import U8Array
from ocrmaps.pictures import Picture
from ocrmaps.resampling import resize

FloatMap = npt.NDArray[np.float32]
Maps = tuple[FloatMap, FloatMap | None]
Window = tuple[int, int, int, int]
"""Top, bottom, left, right."""
TEXT_HEIGHT = 16.0
"""Pixels that the lower quarter of a page's texts shall be high with `auto`: below 12 recall falls."""
COARSE = 2048
"""Longest side of a page for the coarse look of `auto`."""
ENOUGH = 1.25
"""A page whose scale would change by less than this is not looked at again."""
FARTHEST = 960
"""A network that looks farther than so many pixels is taken for one that looks at its whole picture."""
GLOBAL_OVERLAP = 384
"""Overlap of windows where the network has no reach."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """The maps of one page."""

    probability: FloatMap
    threshold: FloatMap | None
    transform: CanonicalTransform
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A detector that looks at pages in one way; what that takes is measured once, when it is made by `of`."""

    trained: Trained
    view: PageView
    extract: ExtractSpec
    multiple: int
    overlap: int
    """Of two windows."""
    local: bool
    """Whether the network has a reach; only then tiles give the maps of the whole page."""

    @classmethod
    def of(cls, trained: Trained, view: PageView, extract: ExtractSpec) -> Viewer:
        multiple = int(trained.detector.multiple if hasattr(trained.detector, "multiple") else 32)
        far = reach(trained, multiple) if view.tile is not None else 0
        overlap = GLOBAL_OVERLAP if far is None else 2 * far
        if isinstance(view.tile, int) and view.tile < overlap + multiple:
            raise SpecError(
                f"found tiles of {view.tile} pixels; this network looks {overlap // 2} pixels far, so windows overlap "
                f"by {overlap}",
                hint=f"--tile {max(1024, 2 * overlap)}",
            )
        return cls(
            trained=trained, view=view, extract=extract, multiple=multiple, overlap=overlap, local=far is not None
        )

    def look(self, picture: Picture) -> Looked:
        """The maps of a decoded picture."""
        first = plan(picture.header.size, picture.header.orientation, self.trained.canonical)
        native = max(1.0, 1 / max(first.scale))
        if self.view.tile == "auto":
            return self._suited(picture, first, native)
        return self._at(picture, first, native if self.view.tile else 1.0)

    def _suited(self, picture: Picture, first: CanonicalTransform, native: float) -> Looked:
        """The page at the scale at which its smaller texts are high enough, judged by a coarse look.

        Between the scale of training and the page's own; the latter where the coarse look finds nothing.
        """
        coarse = min(native, max(1.0, COARSE / max(first.resized)))
        looked = self._once(picture, first, coarse)
        found = extract(looked.probability, self.extract, threshold=looked.threshold).polygons
        wanted = max(1.0, coarse * TEXT_HEIGHT / _low_height(found)) if len(found) else native
        wanted = min(native, wanted)
        if self.view.scales == (1.0,) and coarse / ENOUGH < wanted < coarse * ENOUGH:
            return looked
        return self._at(picture, first, wanted)

    def _at(self, picture: Picture, first: CanonicalTransform, factor: float) -> Looked:
        """The average over all scales, in the pixels of the largest."""
        seen = [self._once(picture, first, factor * scale) for scale in sorted(self.view.scales, reverse=True)]
        if len(seen) == 1:
            return seen[0]
        largest = seen[0]
        fitted = [tuple(_fitted(m, one.transform, largest.transform) for m in _both(one)) for one in seen]
        probability, *level = (np.asarray(sum(maps) / len(maps), np.float32) for maps in zip(*fitted, strict=True))
        return replace(largest, probability=probability, threshold=level[0] if level else None)

    def _once(self, picture: Picture, first: CanonicalTransform, factor: float) -> Looked:
        transform = first if factor == 1.0 else enlarged(first, factor, self.multiple)
        height, width = transform.canvas
        tile = self.tile_side
        if tile is None:
            tile = max(height, width)
        learned = self.extract.binarize == "learned"

        def network(window: Window) -> Maps:
            part = render_part(picture, transform, self.trained.canonical, window)
            probability, level = self.trained.maps(part[None], threshold=learned)
            return probability[0], None if level is None else level[0]

        maps, apart = merged(network, (height, width), tile, self.overlap, self.multiple)
        note = ""
        if not self.local and apart > 0:
            note = f"the network looks at whole windows: neighbors differ by up to {apart:.2f} where they meet"
        return Looked(probability=maps[0], threshold=maps[1], transform=transform, note=note)

    @property
    def tile_side(self) -> int | None:
        """A multiple of what the network takes; for `auto` four times the overlap, which costs 1.8 times the page."""
        if self.view.tile is None:
            return None
        side = max(1024, 4 * self.overlap) if self.view.tile == "auto" else self.view.tile
        return side // self.multiple * self.multiple


def reach(trained: Trained, multiple: int) -> int | None:
    """How many pixels away a picture can change a map, as a multiple of `multiple`; None: anywhere.

    Measured: of two pictures of noise one half is the same. How far from the border between the halves maps differ is
    how far the network looks.
    """
    middle = -(-1024 // multiple) * multiple
    noise = torch.Generator().manual_seed(0)
    shape = (2 * multiple, 2 * middle, 3)
    common, other = (torch.randint(0, 256, shape, dtype=torch.uint8, generator=noise) for _ in range(2))
    far = 0
    for left in (True, False):
        changed = common.clone()
        half = slice(middle, None) if left else slice(0, middle)
        changed[:, half] = other[:, half]
        pair = [trained.maps(image[None], threshold=True) for image in (common, changed)]
        for a, b in zip(*pair, strict=True):
            if a is not None and b is not None:
                columns = np.flatnonzero((a != b).any(axis=(0, 1)))
                same = middle - columns[columns < middle] if left else columns[columns >= middle] - middle + 1
                far = max(far, int(same.max(initial=0)))
    return None if far > FARTHEST else -(-far // multiple) * multiple


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """Windows along one side, each overlapping the one before by at least `overlap`, at multiples.

    >>> spans(320, 128, 32, 32), spans(96, 128, 32, 32)
    ([(0, 128), (96, 224), (192, 320)], [(0, 96)])
    """
    if length <= tile:
        return [(0, length)]
    step = max(multiple, (tile - overlap) // multiple * multiple)
    starts = [*range(0, length - tile, step), length - tile]
    return [(start, start + tile) for start in starts]


def shares(windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is taken of each window: up to the middle of its overlap with the next.

    >>> shares([(0, 128), (96, 224), (192, 320)])
    [(0, 112), (112, 208), (208, 320)]
    """
    seams = [(a[1] + b[0]) // 2 for a, b in pairwise(windows)]
    return list(zip([windows[0][0], *seams], [*seams, windows[-1][1]], strict=True))


def merged(network: Callable[[Window], Maps], size: Size, tile: int, overlap: int, multiple: int) -> tuple[Maps, float]:
    """The maps of a page from those of its windows, and the largest difference of two windows where they meet."""
    whole: list[FloatMap] = []
    apart = 0.0
    for (top, bottom, left, right), (y0, y1, x0, x1) in _windows(size, tile, overlap, multiple):
        maps = [m for m in network((top, bottom, left, right)) if m is not None]
        whole = whole or [np.zeros(size, dtype=np.float32) for _ in maps]
        for out, own in zip(whole, maps, strict=True):
            # The line beyond the seam is the neighbor's, which came before.
            if y0:
                apart = max(apart, _difference(out[y0 - 1, x0:x1], own[y0 - 1 - top, x0 - left : x1 - left]))
            if x0:
                apart = max(apart, _difference(out[y0:y1, x0 - 1], own[y0 - top : y1 - top, x0 - 1 - left]))
            out[y0:y1, x0:x1] = own[y0 - top : y1 - top, x0 - left : x1 - left]
    return (whole[0], whole[1] if len(whole) > 1 else None), apart


def _windows(size: Size, tile: int, overlap: int, multiple: int) -> Iterator[tuple[Window, Window]]:
    down, across = (spans(side, tile, overlap, multiple) for side in size)
    for rows, kept_rows in zip(down, shares(down), strict=True):
        for columns, kept_columns in zip(across, shares(across), strict=True):
            yield (*rows, *columns), (*kept_rows, *kept_columns)


def _difference(a: FloatMap, b: FloatMap) -> float:
    return float(np.abs(a - b).max(initial=0.0))


def enlarged(first: CanonicalTransform, factor: float, multiple: int) -> CanonicalTransform:
    """The same page at a multiple of its scale, on a canvas of its own."""
    height, width = (max(1, round(side * factor)) for side in first.resized)
    canvas_height, canvas_width = (-(-side // multiple) * multiple for side in (height, width))
    return replace(first, resized=(height, width), offset=(0, 0), canvas=(canvas_height, canvas_width))


def render_part(picture: Picture, transform: CanonicalTransform, spec: CanonicalSpec, window: Window) -> U8Array:
    """The pixels of one window of the canonical picture, as `canonical.render` makes the whole."""
    top, bottom, left, right = window
    out = np.empty((bottom - top, right - left, 3), dtype=np.uint8)
    out[:] = spec.fill
    (x, y), (height, width) = transform.offset, transform.resized
    y0, y1, x0, x1 = max(top, y), min(bottom, y + height), max(left, x), min(right, x + width)
    if y0 >= y1 or x0 >= x1:
        return out
    corners = transform.matrix("canonical", "raw").apply(np.array([(x0, y0), (x1, y1)], dtype=np.float64))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)]) / picture.reduction
    full = np.array([*transform.raw_size[::-1], *transform.raw_size[::-1]]) / picture.reduction
    box = np.clip(box, 0, full)  # by a rounding beyond the edge
    small = (y1 - y0, x1 - x0)
    target = small if transform.orientation < 5 else small[::-1]
    shrinks = height * width < np.prod(transform.upright_size)
    method = RESAMPLING[spec.shrink if shrinks else spec.enlarge]
    pixels = resize(picture.image, target, method, tuple(box.tolist()))
    out[y0 - top : y1 - top, x0 - left : x1 - left] = turn_upright(pixels, transform.orientation)
    return out


def _both(looked: Looked) -> tuple[FloatMap, ...]:
    return (looked.probability,) if looked.threshold is None else (looked.probability, looked.threshold)


def _fitted(map: FloatMap, mine: CanonicalTransform, target: CanonicalTransform) -> FloatMap:
    """A map on the canvas of another transform of the same page."""
    if mine == target:
        return map
    (x, y), (height, width) = mine.offset, mine.resized
    to_height, to_width = target.resized
    out = np.zeros(target.canvas, dtype=np.float32)
    part = cv2.resize(map[y : y + height, x : x + width], (to_width, to_height), interpolation=cv2.INTER_LINEAR)
    ox, oy = target.offset
    out[oy : oy + to_height, ox : ox + to_width] = np.clip(part, 0, 1)
    return out


def _low_height(polygons: PolygonSet) -> float:
    """The height that three quarters of the texts pass, in pixels."""
    sides: list[Any] = [min(cv2.minAreaRect(p.astype(np.float32))[1]) for p in polygons]
    return max(1.0, float(np.percentile(sides, 25)))
