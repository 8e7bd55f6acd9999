"""MobileNetV3 small and large as encoders, with the weight names of torchvision so that its published files load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ocrmaps.model.encoders.registry import AbstractEncoder, initialize


class BlockRow(NamedTuple):
    """One inverted residual: a row of the tables in the MobileNetV3 paper."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    hard_swish: bool
    stride: int


_SMALL = (
    BlockRow(3, 16, 16, True, False, 2),
    BlockRow(3, 72, 24, False, False, 2),
    BlockRow(3, 88, 24, False, False, 1),
    BlockRow(5, 96, 40, True, True, 2),
    BlockRow(5, 240, 40, True, True, 1),
    BlockRow(5, 240, 40, True, True, 1),
    BlockRow(5, 120, 48, True, True, 1),
    BlockRow(5, 144, 48, True, True, 1),
    BlockRow(5, 288, 96, True, True, 2),
    BlockRow(5, 576, 96, True, True, 1),
    BlockRow(5, 576, 96, True, True, 1),
)
_LARGE = (
    BlockRow(3, 16, 16, False, False, 1),
    BlockRow(3, 64, 24, False, False, 2),
    BlockRow(3, 72, 24, False, False, 1),
    BlockRow(5, 72, 40, True, False, 2),
    BlockRow(5, 120, 40, True, False, 1),
    BlockRow(5, 120, 40, True, False, 1),
    BlockRow(3, 240, 80, False, True, 2),
    BlockRow(3, 200, 80, False, True, 1),
    BlockRow(3, 184, 80, False, True, 1),
    BlockRow(3, 184, 80, False, True, 1),
    BlockRow(3, 480, 112, True, True, 1),
    BlockRow(3, 672, 112, True, True, 1),
    BlockRow(5, 672, 160, True, True, 2),
    BlockRow(5, 960, 160, True, True, 1),
    BlockRow(5, 960, 160, True, True, 1),
)
_STEM = 16


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = None
) -> nn.Sequential:
    # eps is what the published weights were trained with; their momentum of 0.01 is not kept, because running
    # statistics would need about five hundred steps before evaluation means anything.
    parts: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=0.001),
    ]
    return nn.Sequential(*parts, *([act(inplace=True)] if act else []))


class SqueezeExcite(nn.Module):
    """Scales each channel by what the whole picture says about it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _to_eight(channels // 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.relu = nn.ReLU(inplace=True)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(self.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


def _to_eight(value: int) -> int:
    """The nearest multiple of eight that is at least 90 % of the value."""
    rounded = max(8, (value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class InvertedResidual(nn.Module):
    """Expand, filter each channel, gate, project."""

    def __init__(self, inputs: int, row: BlockRow) -> None:
        super().__init__()
        act = nn.Hardswish if row.hard_swish else nn.ReLU
        parts: list[nn.Module] = []
        if row.expanded != inputs:
            parts.append(_conv(inputs, row.expanded, 1, act=act))
        parts.append(_conv(row.expanded, row.expanded, row.kernel, row.stride, row.expanded, act))
        if row.squeeze:
            parts.append(SqueezeExcite(row.expanded))
        parts.append(_conv(row.expanded, row.outputs, 1))
        self.block = nn.Sequential(*parts)
        self.adds = row.stride == 1 and inputs == row.outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.adds else self.block(x)


class MobileNetV3(AbstractEncoder):
    """The convolutions of MobileNetV3 up to the last before its pooling."""

    classifier_keys = ("classifier.",)

    def __init__(self, rows: Sequence[BlockRow]) -> None:
        super().__init__()
        parts: list[nn.Module] = [_conv(3, _STEM, 3, 2, act=nn.Hardswish)]
        widths = [_STEM]
        for row in rows:
            parts.append(InvertedResidual(widths[-1], row))
            widths.append(row.outputs)
        widths.append(6 * widths[-1])
        parts.append(_conv(widths[-2], widths[-1], 1, act=nn.Hardswish))
        self.features = nn.Sequential(*parts)
        # A feature is complete just before the stride grows: index i of `parts` is followed by row i.
        ends = [i for i, row in enumerate(rows) if row.stride == 2] + [len(parts) - 1]
        self._ends = tuple(ends[-4:])
        self.channels = tuple(widths[i] for i in self._ends)
        initialize(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = []
        for i, part in enumerate(self.features):
            x = part(x)
            if i in self._ends:
                features.append(x)
        return tuple(features)


def mobilenetv3_small() -> MobileNetV3:
    return MobileNetV3(_SMALL)


def mobilenetv3_large() -> MobileNetV3:
    return MobileNetV3(_LARGE)
