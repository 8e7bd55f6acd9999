"""A detector whose weights are written by hand, and the marks in pictures that it reads; nothing of it is learnt.

Marks are kernels in pure red and outlines in pure blue, painted where the annotations say text is. The detector fires
where red outshines green and says borders where blue outshines red. So its answers follow from the pictures alone,
whatever seed, processor or library made the numbers. It goes through the same training, checkpoints and exports as any
other; a run with `KNOWN` moves its weights by less than rounding does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from shapely import Polygon
from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry
from torch import Tensor, nn
from torch.nn import functional

from ocrmaps.annotations import open_source, read
from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.model import parts
from ocrmaps.model.head import Logits
from ocrmaps.pictures import read_header
from ocrmaps.trust import Trusted

SEED = int(os.environ.get("OCRMAPS_TEST_SEED", "0"))
"""Of every small run that tests train: no test may depend on it."""
SHRINK = 0.6
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
GAIN, CENTER = 32.0, 6.0
"""Red is `-GAIN` before the normalization and `-CENTER` after it: other statistics turn text and background around."""
KNOWN: dict[str, Any] = {
    "model": {"encoder": "tests.known:Colors", "decoder": "tests.known:Finest", "head": "tests.known:Marks"},
    "optimizer": {"lr": 1e-12},
}
"""Settings of a run whose network is this one, before and after."""


class Colors(nn.Module):
    """Features: the pixels' own colors, 0 to 1, at six resolutions."""

    channels = (3, 3, 3, 3, 3, 3)
    strides = (1, 2, 4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(STD) / 255)
        self.shift = nn.Parameter(torch.tensor(MEAN) / 255)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = x * self.scale.view(3, 1, 1) + self.shift.view(3, 1, 1)
        return [first, *(functional.avg_pool2d(first, s) for s in self.strides[1:])]


class Finest(nn.Module):
    """The finest feature as it is."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.stride = channels[0], strides[0]

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[0]


class Marks(nn.Module):
    """Half red is the border of text: its probability is one half. Blue is where the threshold is high."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=1e-12, momentum=0.0)
        self.probability, self.threshold = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        self.norm.running_var.fill_((GAIN / CENTER) ** 2)  # type: ignore[union-attr]
        with torch.no_grad():
            for branch, weight, bias in ((self.probability, 1.0, CENTER / 2), (self.threshold, 8.0, -4.0)):
                branch.weight.fill_(weight)
                branch.bias.fill_(bias)  # type: ignore[union-attr]

    def forward(self, x: Tensor, *, threshold: bool = True) -> Logits:
        red, green, blue = x[:, 0:1], x[:, 1:2], x[:, 2:3]
        away = -(self.norm((green - red) * GAIN) + CENTER).abs()
        return Logits(self.probability(away).squeeze(1), self.threshold(blue - red).squeeze(1) if threshold else None)


def mark(folder: Path, *, strength: Callable[[int], float] = lambda number: 1.0) -> None:
    """Paint the marks of a source's texts into its pictures; `strength` says of each text's number how much, 0 to 1."""
    source = open_source(folder)
    for sample in read(source):
        path = source.pictures / sample.picture
        header = read_header(path)
        transform = plan(header.size, header.orientation, CanonicalSpec(canvases=((64, 64),)))
        texts = sample.polygons.transform(transform.matrix(sample.polygons.frame, "raw"), "raw")
        with Image.open(path) as image:
            pixels, exif = np.array(image.convert("RGB")), image.getexif()
        for number, text in enumerate(texts):
            outline = Polygon(text)
            inset = outline.area * (1 - SHRINK**2) / outline.length
            ring = outline.buffer(inset / 4).difference(outline.buffer(-inset / 4))
            for shape, color in ((ring, (0, 0, 255)), (outline.buffer(-inset, join_style="mitre"), (255, 0, 0))):
                share = strength(number) * _share(shape, pixels.shape[:2])[..., None]
                pixels = np.round((1 - share) * pixels + share * np.array(color)).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=98, subsampling=0, exif=exif)


def _share(shape: BaseGeometry, size: tuple[int, int], fine: int = 8) -> np.ndarray:
    """How much of each pixel lies in the shape."""
    drawn = np.zeros((size[0] * fine, size[1] * fine), dtype=np.uint8)
    for part in shape.geoms if isinstance(shape, MultiPolygon) else [shape]:
        rings = [part.exterior, *part.interiors]
        cv2.fillPoly(drawn, [np.round(np.array(ring.coords) * fine - 0.5).astype(np.int32) for ring in rings], 1)
    return drawn.reshape(size[0], fine, size[1], fine).mean(axis=(1, 3))


def _known_here(kind: str, name: str, trusted: Trusted, real: Callable[..., None] = parts.check_trusted) -> None:
    if name not in KNOWN["model"].values():
        real(kind, name, trusted)


# Parts of the tests' own: what reads a checkpoint in this process needs to be told to trust no other.
parts.check_trusted = _known_here
