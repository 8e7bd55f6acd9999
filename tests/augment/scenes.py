"""Small pictures with maps and outlines to change: text as rotated bars, painted where it is drawn."""

from __future__ import annotations

import numpy as np
import torch

from ocrmaps.augment import Outlines
from ocrmaps.geometry import Affine, PolygonSet
from ocrmaps.loader.batch import Batch
from ocrmaps.maps import MapSpec, draw_maps

RATIO = 0.6


def bar(x, y, width, height, degrees=0.0):
    """A text line by its middle, sides and angle."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2, height / 2)
    return (Affine.translation(x, y) @ Affine.rotation(degrees)).apply(corners)


def maps_of(polygons, size, ratio=RATIO):
    """probability, threshold and mask as stored."""
    maps = draw_maps(polygons, MapSpec(shrink_ratio=ratio), size)
    return maps.probability, maps.quantized, maps.mask


def batch_of(scenes, size, first_row=0, ratio=RATIO):
    """One row for each polygon set; the picture is random but for its blue channel, which repeats the threshold."""
    rng = np.random.default_rng(len(scenes))
    image = rng.integers(0, 256, (len(scenes), *size, 3), dtype=np.uint8)
    arrays = [np.stack(part) for part in zip(*(maps_of(s, size, ratio) for s in scenes), strict=True)]
    image[..., 2] = arrays[1]
    tensors = (torch.from_numpy(np.ascontiguousarray(a)) for a in (image, *arrays))
    return Batch(*tensors, torch.arange(first_row, first_row + len(scenes)))


def outlines_of(scenes, first_row=0):
    return Outlines.of(enumerate(scenes, first_row), RATIO)


def canonical(*polygons, ignore=None):
    return PolygonSet.of(list(polygons), frame="canonical", ignore=ignore)


def random_batch(size, count=3, seed=0):
    """Bytes without meaning: for what must hold of any."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    maps = [rng.integers(0, high, (count, *size), dtype=np.uint8) for high in (2, 255, 4)]
    return Batch(*(torch.from_numpy(a) for a in (image, *maps)), torch.arange(count))
