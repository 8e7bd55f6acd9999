"""A trained detector with fewer multiplications: the same maps to a rounding, for whoever predicts.

Between the encoder and the head's first rectifier all is linear, and half of it works on maps that were only enlarged.
There a 3x3 convolution sees four different pixels at most, not nine; and a convolution of one pixel that is followed by
one of nine is one of nine. Batch norms become part of convolutions.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from ocrmaps.model.decoder import FPN, enlarge
from ocrmaps.model.detector import Detector
from ocrmaps.model.head import DBHead, Logits

STRIDE = 4
"""Of the finest features: the head doubles twice."""


def folded(detector: nn.Module) -> nn.Module:
    """A detector that is called alike and gives the same maps sooner; itself, where its parts cannot be folded.

    It checks no input and cannot learn, and shares with the one it was made of what it does not change.
    """
    if type(detector) is not Detector or detector.training:
        return detector
    known = type(detector.decoder) is FPN and type(detector.head) is DBHead and detector.decoder.stride == STRIDE
    return Folded(detector).eval() if known else detector


class Folded(nn.Module):
    """Encoder, decoder `fpn` and head `db` as one sum of products."""

    mean: Tensor
    std: Tensor

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        decoder, head = detector.decoder, detector.head
        assert isinstance(decoder, FPN) and isinstance(head, DBHead)
        self.multiple = detector.multiple
        self.encoder, self.lateral, self.smooth = _joined(detector.encoder), decoder.lateral[1:], decoder.smooth[1:]
        self.register_buffer("mean", detector.mean)
        self.register_buffer("std", detector.std)
        lateral: Any = decoder.lateral[0].weight
        finest: Any = decoder.smooth[0].weight
        self.finest = _convolution(torch.einsum("omyx,mi->oiyx", finest, lateral[:, :, 0, 0]))
        self.below = _Doubled(finest)
        self.probability = _Branch(head.probability, len(finest))
        self.threshold = _Branch(head.threshold, len(finest))

    def forward(self, image: Tensor, *, threshold: bool = True) -> Logits:
        """What `Detector` gives for sides that are multiples of `multiple`."""
        # In place where it can be: of a large window every copy counts.
        x = image.permute(0, 3, 1, 2).to(self.mean.dtype).sub_(self.mean).div_(self.std)
        own, *features = self.encoder(x)
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + enlarge(levels[i], 2)
        finest = self.finest(own) + self.below(levels[0])
        del x, own, features
        smoothed = zip(self.smooth, levels, strict=True)
        others = torch.cat([enlarge(smooth(level), 2**i) for i, (smooth, level) in enumerate(smoothed)], dim=1)
        return Logits(self.probability(finest, others), self.threshold(finest, others) if threshold else None)


class _Doubled(nn.Module):
    """A 3x3 convolution of a map that was enlarged twice, computed before it is enlarged.

    Of the 2x2 pixels that each pixel becomes, every one sees 2x2 of the map's.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        # Which of the three taps fall on which of two pixels: for the odd pixel, then for the even one after it.
        falls = weight.new_tensor([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]])
        kernel = torch.einsum("ptk,qul,oikl->opqitu", falls, falls, weight)
        self.conv = _convolution(kernel.reshape(-1, *kernel.shape[3:]), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # Pairs of an odd pixel and the even one after it begin before the first pixel and end behind the last.
        return F.pixel_shuffle(self.conv(x), 2)[:, :, 1:-1, 1:-1]


class _Branch(nn.Module):
    """One branch of the head at the decoder's resolution; pixels are put in their places at the end, all at once."""

    def __init__(self, branch: nn.Sequential, share: int) -> None:
        super().__init__()
        parts: list[Any] = list(branch)
        first, first_norm, _, second, second_norm, _, last = parts
        weight, bias = _fused(first, first_norm)
        self.finest, self.others = _convolution(weight[:, :share], bias), _Doubled(weight[:, share:])
        weight, bias = _fused(second, second_norm, transpose=True)
        self.second = _convolution(weight.permute(2, 3, 1, 0).reshape(-1, len(weight), 1, 1), bias.repeat(4))
        same = torch.eye(2, device=last.weight.device)
        weight = torch.einsum("kcd,ae,bf->acbdefk", last.weight[:, 0], same, same)
        self.last = _convolution(weight.reshape(STRIDE**2, -1, 1, 1), last.bias.repeat(STRIDE**2))

    def forward(self, finest: Tensor, others: Tensor) -> Tensor:
        x = F.relu_(self.finest(finest) + self.others(others))
        return F.pixel_shuffle(self.last(F.relu_(self.second(x))), STRIDE).squeeze(1)


def _joined(module: nn.Module) -> nn.Module:
    """A copy in which a convolution does the work of the batch norm that follows it in a sequence."""
    module = deepcopy(module)
    for sequence in [part for part in module.modules() if type(part) is nn.Sequential]:
        for i, (conv, norm) in enumerate(pairwise(sequence)):
            if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
                sequence[i], sequence[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return module


def _fused(conv: Any, norm: Any, *, transpose: bool = False) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm after it."""
    running = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return fuse_conv_bn_weights(conv.weight, conv.bias, *running, transpose=transpose)


def _convolution(weight: Tensor, bias: Tensor | None = None, *, padding: int | None = None) -> nn.Conv2d:
    """A convolution of given weights that keeps the size, or pads by so much."""
    outputs, inputs, kernel, _ = weight.shape
    conv = nn.Conv2d(
        inputs, outputs, kernel, padding=kernel // 2 if padding is None else padding, bias=bias is not None
    )
    conv.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return conv
