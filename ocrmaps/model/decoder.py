"""Decoders bring features of several strides to one map at the finest of them.

A decoder is built from an encoder's declared `channels` and `strides` and declares in turn `channels` (an int) and
`stride`; its forward maps the tuple of features to one float (B, channels, H / stride, W / stride).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocrmaps.errors import SpecError
from ocrmaps.model.encoders.registry import initialize


def suited_width(channels: Sequence[int]) -> int:
    """Decoder channels that go with an encoder: about its second coarsest feature, 64 to 256, in steps of 32.

    >>> suited_width((64, 128, 256, 512)), suited_width((16, 24, 48, 576))
    (256, 64)
    """
    return min(256, max(64, round(channels[-2] / 32) * 32))


class AbstractDecoder(nn.Module):
    """What every decoder declares."""

    channels: int
    stride: int


class FPN(AbstractDecoder):
    """Feature pyramid: coarse features are added to finer ones, then all levels are put side by side.

    With four levels each gets a quarter of `width`, as in the DB papers.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int | None = None) -> None:
        super().__init__()
        self.width = _checked_width(channels, width)
        share = self.width // len(channels)
        self.lateral = nn.ModuleList(nn.Conv2d(c, self.width, 1, bias=False) for c in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(self.width, share, 3, padding=1, bias=False) for _ in channels)
        self.channels = share * len(channels)
        self.stride = strides[0]
        initialize(self)

    def top_down(self, features: Sequence[Tensor]) -> list[Tensor]:
        """All levels at `width` channels, each with the coarser ones added."""
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + enlarge(levels[i], 2)
        return levels

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return torch.cat(self.level_maps(self.top_down(features)), dim=1)

    def level_maps(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Each level's share of the output, at the finest stride."""
        return [enlarge(smooth(level), 2**i) for i, (smooth, level) in enumerate(zip(self.smooth, levels, strict=True))]


class ASF(FPN):
    """FPN with adaptive scale fusion (DBNet++): each place weighs the levels against each other."""

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int | None = None) -> None:
        super().__init__(channels, strides, width=width)
        inner = max(16, self.channels // 4)
        squeezed = max(4, inner // 4)
        self.mix = nn.Conv2d(self.channels, inner, 3, padding=1)
        self.channel_gate = nn.Sequential(
            nn.Conv2d(inner, squeezed, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(squeezed, inner, 1, bias=False)
        )
        self.spatial_gate = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1, bias=False)
        )
        self.weigh = nn.Conv2d(inner, len(channels), 1, bias=False)
        for part in (self.mix, self.channel_gate, self.spatial_gate, self.weigh):
            initialize(part)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        maps = self.level_maps(self.top_down(features))
        x = self.mix(torch.cat(maps, dim=1))
        x = x + torch.sigmoid(self.channel_gate(x.mean(dim=(2, 3), keepdim=True)))
        x = x + torch.sigmoid(self.spatial_gate(x.mean(dim=1, keepdim=True)))
        weights = torch.sigmoid(self.weigh(x))
        return torch.cat([m * weights[:, i : i + 1] for i, m in enumerate(maps)], dim=1)


class PAN(FPN):
    """Path aggregation: after the way down, fine detail is carried up again to the coarse levels."""

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int | None = None) -> None:
        super().__init__(channels, strides, width=width)
        self.merge = nn.ModuleList(
            nn.Sequential(nn.Conv2d(self.width, self.width, 3, padding=1, bias=False), nn.BatchNorm2d(self.width))
            for _ in channels
        )
        self.climb = nn.ModuleList(
            nn.Conv2d(self.width, self.width, 3, stride=2, padding=1, bias=False) for _ in channels[1:]
        )
        initialize(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        levels = [F.relu(merge(x)) for merge, x in zip(self.merge, self.top_down(features), strict=True)]
        for i, climb in enumerate(self.climb):
            levels[i + 1] = levels[i + 1] + climb(levels[i])
        return torch.cat(self.level_maps(levels), dim=1)


def enlarge(x: Tensor, times: int) -> Tensor:
    """Every pixel repeated `times` both ways."""
    return x if times == 1 else F.interpolate(x, scale_factor=float(times), mode="nearest")


def _checked_width(channels: Sequence[int], width: int | None) -> int:
    if width is None:
        return suited_width(channels)
    if isinstance(width, bool) or not isinstance(width, int) or width < 4 * len(channels) or width % len(channels):
        raise SpecError(
            f"decoder width: found {width!r}, expected a multiple of the {len(channels)} levels, "
            f"at least {4 * len(channels)}"
        )
    return width
