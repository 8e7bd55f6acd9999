"""The DB head: logits of the probability map and of the threshold map, at the resolution of the picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
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


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution of 2x2 with stride 2 that leaves the four pixels of each one side by side in its line.

    So it is one product of matrices and moves nothing, forwards and backwards. What follows looks at single pixels;
    `LastDoubling` puts them in their places, where there is one channel.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, 2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, inputs, H, W) -> (B, outputs, H, 4 W)."""
        assert self.bias is not None
        pixels = F.linear(x.permute(0, 2, 3, 1), self.weight.permute(2, 3, 1, 0).flatten(0, 2), self.bias.repeat(4))
        return pixels.unflatten(3, (4, self.out_channels)).flatten(2, 3).permute(0, 3, 1, 2)


class LastDoubling(nn.ConvTranspose2d):
    """A transposed convolution of 2x2 with stride 2 to one channel, after `doublings` - 1 that left pixels in line.

    All pixels that one has become by now are multiplied at once, which gives the new ones in the order of the map.
    """

    def __init__(self, inputs: int, doublings: int) -> None:
        super().__init__(inputs, 1, 2, 2)
        self.earlier = doublings - 1

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, inputs, H, 4^n W) -> (B, 1, 2 2^n H, 2 2^n W), n being `doublings` - 1."""
        assert self.bias is not None
        n = self.earlier
        side, count = 2 * 2**n, 4**n
        # A pixel of the line is a place in the map: in the line they stand down and right by turns.
        places = torch.eye(count, dtype=self.weight.dtype, device=self.weight.device).view(*(2, 2) * n, count)
        places = places.permute(*range(0, 2 * n, 2), *range(1, 2 * n, 2), 2 * n).reshape(2**n, 1, 2**n, 1, count, 1)
        weight = (places * self.weight.permute(2, 3, 1, 0).view(1, 2, 1, 2, 1, -1)).reshape(side**2, -1)
        lines = x.permute(0, 2, 3, 1).unflatten(2, (-1, count)).flatten(3)
        pixels = F.linear(lines, weight, self.bias.expand(side**2)).unflatten(3, (side, side))
        return pixels.permute(0, 1, 3, 2, 4).flatten(1, 2).flatten(2).unsqueeze(1)


def _branch(channels: int, stride: int, bias: float) -> nn.Sequential:
    inner = max(8, channels // 4)
    doublings = stride.bit_length() - 1
    parts: list[nn.Module] = [*conv_bn(channels, inner, 3), nn.ReLU(inplace=True)]
    for _ in range(doublings - 1):
        parts += [Doubling(inner, inner), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
    last = LastDoubling(inner, doublings) if doublings else nn.Conv2d(inner, 1, 1)
    branch = nn.Sequential(*parts, last)
    initialize(branch)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]
    return branch
