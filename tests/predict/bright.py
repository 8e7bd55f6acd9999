"""A detector whose maps are known: it fires where red outshines blue, pixel by pixel.

Built from parts that anybody may name in a model spec, so that it goes through the same building, checkpoints and
exports as a trained one. The pictures it can read are painted here too: gray ground, text kernels in pure red.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from shapely.geometry import Polygon
from torch import Tensor, nn
from torch.nn import functional

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import Trained
from ocrmaps.extract import ExtractSpec
from ocrmaps.model import DetectorSpec, build_detector
from ocrmaps.model.head import Logits
from ocrmaps.trust import Trusted

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
STEEPNESS = 12.0
SHRINK = 0.6


class Bands(nn.Module):
    """Features: red minus blue (0 to 1 again), at six resolutions."""

    channels = (1, 1, 1, 1, 1, 1)
    strides = (1, 2, 4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.red = nn.Parameter(torch.tensor([STD[0] / 255, MEAN[0] / 255]))
        self.blue = nn.Parameter(torch.tensor([STD[2] / 255, MEAN[2] / 255]))

    def forward(self, x: Tensor) -> list[Tensor]:
        red = x[:, 0:1] * self.red[0] + self.red[1]
        blue = x[:, 2:3] * self.blue[0] + self.blue[1]
        first = red - blue
        return [first, *(functional.avg_pool2d(first, s) for s in self.strides[1:])]


class Finest(nn.Module):
    """The finest feature as it is."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.channels, self.stride = channels[0], strides[0]

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[0]


class Direct(nn.Module):
    """Half red is the border of text: the probability is one half there."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.tensor(STEEPNESS))

    def forward(self, x: Tensor, *, threshold: bool = True) -> Logits:
        logits = ((x - 0.5) * self.steepness).squeeze(1)
        return Logits(logits, torch.zeros_like(logits) if threshold else None)


MODEL = DetectorSpec(
    encoder="tests.predict.bright:Bands",
    decoder="tests.predict.bright:Finest",
    head="tests.predict.bright:Direct",
    mean=MEAN,
    std=STD,
)

TRUSTED = Trusted.of([MODEL.encoder, MODEL.decoder, MODEL.head])
"""What a person has to allow who uses the checkpoint of this detector."""


def card(canonical: CanonicalSpec, extract: ExtractSpec, model: DetectorSpec = MODEL) -> dict[str, Any]:
    content = {
        "format": 1,
        "weights": "detector",
        "model": model.as_dict(),
        "canonical": asdict(canonical),
        "extract": asdict(extract),
        "store": {"name": "painted", "version": "0" * 16, "root_digest": "f" * 64, "recipe": {}},
        "seed": 0,
        "precision": "fp32",
        "run": {},
        "built": {},
        "steps": 1,
        "samples": 2,
    }
    return json.loads(json.dumps(content))


def bright(canonical: CanonicalSpec | None = None, extract: ExtractSpec | None = None) -> Trained:
    """The detector as if it had been trained."""
    canonical = canonical or CanonicalSpec.longest(320, shapes=(1.0, 0.5))
    extract = extract or ExtractSpec(shrink_ratio=SHRINK)
    detector = build_detector(MODEL, trusted=TRUSTED).eval().requires_grad_(False)
    said = card(canonical, extract)
    return Trained(detector=detector, model=MODEL, canonical=canonical, extract=extract, card=said)


def write_checkpoint(path: Path, trained: Trained) -> Path:
    weights = {f"detector.{key}": value for key, value in trained.detector.state_dict().items()}
    torch.save({"state_dict": weights, "ocrmaps": dict(trained.card)}, path)
    return path


def light(
    path: Path,
    canonical: CanonicalSpec = CanonicalSpec.longest(128, shapes=(1.0, 0.5)),  # noqa: B008  # nobody changes it
    extract: ExtractSpec = ExtractSpec(),  # noqa: B008
) -> Path:
    """A checkpoint of a real network whose maps are not constant: its last layer has weights."""
    model = DetectorSpec(encoder="light", seed=3)
    detector = build_detector(model).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        nn.init.normal_(detector.head.probability[-1].weight, std=0.1)
    weights = {f"detector.{key}": value for key, value in detector.state_dict().items()}
    torch.save({"state_dict": weights, "ocrmaps": card(canonical, extract, model)}, path)
    return path


TEXTS = (
    [(60, 40), (400, 40), (400, 76), (60, 76)],
    [(80, 130), (240, 130), (240, 160), (80, 160)],
    [(300, 150), (520, 190), (513, 227), (293, 187)],
    [(420, 300), (560, 300), (560, 340), (420, 340)],
    [(40, 420), (76, 420), (76, 640), (40, 640)],
)
"""Upright outlines in a picture of 600 x 800, nothing symmetric about them."""
HEIGHT, WIDTH = 800, 600


def paint(size: tuple[int, int] = (HEIGHT, WIDTH), texts: Any = TEXTS, ground: int = 120) -> np.ndarray:
    """Upright pixels: the kernel of each text in red, drawn eight times finer than the picture."""
    fine = 8
    red = np.zeros((size[0] * fine, size[1] * fine), dtype=np.uint8)
    for text in texts:
        outline = Polygon(text)
        inset = outline.area * (1 - SHRINK**2) / outline.length
        kernel = np.array(outline.buffer(-inset, join_style="mitre").exterior.coords)
        cv2.fillPoly(red, [np.round(kernel * fine - 0.5).astype(np.int32)], 1)
    rows = red.reshape(size[0], fine, -1).sum(axis=1, dtype=np.uint8)  # along what lies together: ten times as fast
    share = rows.reshape(*size, fine).sum(axis=2)[..., None] / fine**2
    pixels = (1 - share) * np.array([ground] * 3) + share * np.array([255, 0, 0])
    return np.round(pixels).astype(np.uint8)
