"""The DB head: logits of the probability map and of the threshold map, at the resolution of the picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ocrmaps.errors import SpecError
from ocrmaps.model.encoders.registry import conv_bn, initialize

FloatMap = npt.NDArray[np.float32]


class Logits(NamedTuple):
    """What a detector says about each pixel, before the sigmoid."""

    probability: Tensor
    """float (B, H, W)."""
    threshold: Tensor | None
    """float (B, H, W), or None where it was not asked for."""

    def maps(self, *, threshold: bool = True) -> tuple[FloatMap, FloatMap | None]:
        """Probability and threshold maps in 0 to 1, float32 (B, H, W) on the host; the latter where it is there."""
        level = self.threshold if threshold else None
        return _map(self.probability), None if level is None else _map(level)


def _map(logits: Tensor) -> FloatMap:
    return torch.sigmoid(logits.float()).cpu().numpy()


class DBHead(nn.Module):
    """Two small branches that double the resolution until it is the picture's.

    The last layers start at zero weights, so an untrained network says `prior` everywhere, whatever came before:
    a bias near zero would make it fire on every pixel and spend its first epochs unlearning that.
    """

    def __init__(self, channels: int, stride: int, *, prior: float = 0.01) -> None:
        super().__init__()
        if not 0.0 < prior < 1.0:
            raise SpecError(f"head prior: found {prior!r}, expected a probability between 0 and 1")
        if stride < 1 or stride & (stride - 1):
            raise SpecError(f"found a decoder at stride {stride}, expected a power of two: the head only doubles")
        self.probability = _branch(channels, stride, math.log(prior / (1 - prior)))
        self.threshold = _branch(channels, stride, 0.0)

    def forward(self, x: Tensor, *, threshold: bool = True) -> Logits:
        return Logits(self.probability(x).squeeze(1), self.threshold(x).squeeze(1) if threshold else None)


def _branch(channels: int, stride: int, bias: float) -> nn.Sequential:
    inner = max(8, channels // 4)
    doublings = stride.bit_length() - 1
    parts: list[nn.Module] = [*conv_bn(channels, inner, 3), nn.ReLU(inplace=True)]
    for _ in range(doublings - 1):
        parts += [nn.ConvTranspose2d(inner, inner, 2, 2), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
    last = nn.ConvTranspose2d(inner, 1, 2, 2) if doublings else nn.Conv2d(inner, 1, 1)
    branch = nn.Sequential(*parts, last)
    initialize(branch)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]
    return branch
