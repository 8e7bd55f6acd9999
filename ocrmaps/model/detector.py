"""The detector: encoder, decoder and head as one module from stored bytes to logits, and a record of what it is."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ocrmaps.errors import DataError, SpecError
from ocrmaps.model.head import Logits

Triple = tuple[float, float, float]


class Detector(nn.Module):
    """Stored bytes in, logits out: normalization is part of the model, so nobody can forget or repeat it.

    forward: uint8 (B, H, W, 3) RGB, sides multiples of `multiple` -> `Logits` of float (B, H, W).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, *, mean: Triple, std: Triple) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head
        self.multiple: int = _declared(encoder, "strides")[-1]
        # In the state dict: weights mean nothing without the normalization they were trained with.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_load_state_dict_pre_hook(_check_normalization)

    def forward(self, image: Tensor, *, threshold: bool = True) -> Logits:
        """`threshold=False` leaves the threshold branch out, which prediction has no use for."""
        self.check_input(image)
        return self.head(self.decoder(self.encoder(self.normalized(image))), threshold=threshold)

    def normalized(self, image: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> float (B, 3, H, W) in the same order of memory."""
        width = image.shape[2]
        # A whole line at a time: three numbers at a time are six times as slow.
        mean, std = (constant.flatten().repeat(width) for constant in (self.mean, self.std))
        lines = (image.flatten(2).to(self.mean.dtype) - mean) / std
        return lines.unflatten(2, (width, 3)).permute(0, 3, 1, 2)

    def check_input(self, image: Tensor) -> None:
        """Refuse what the network would misread; looks at shape and dtype only."""
        if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[-1] != 3:
            raise SpecError(
                f"found a {str(image.dtype).removeprefix('torch.')} image of shape {tuple(image.shape)}, "
                "expected uint8 (B, H, W, 3), RGB of 0 to 255 as stored",
                hint="do not normalize: the model does it with its own constants",
            )
        height, width = image.shape[1:3]
        padded = tuple(-(-side // self.multiple) * self.multiple for side in (height, width))
        if padded != (height, width) or not height or not width:
            padded = tuple(max(side, self.multiple) for side in padded)
            raise SpecError(
                f"found pictures of {height}x{width}, expected sides that are multiples of {self.multiple}",
                hint=f"pad to {padded[0]}x{padded[1]}",
            )


def _declared(encoder: nn.Module, name: str) -> tuple[int, ...]:
    value = getattr(encoder, name, None)
    if not isinstance(value, (tuple, list)) or len(value) < 2 or not all(isinstance(v, int) and v > 0 for v in value):
        raise SpecError(
            f"encoder {type(encoder).__name__} declares {name} {value!r}, expected a tuple of two or more positive "
            "integers, finest feature first"
        )
    return tuple(value)


def declarations(encoder: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The channels and strides that an encoder declares, checked for what decoders rely on."""
    channels, strides = _declared(encoder, "channels"), _declared(encoder, "strides")
    doubled = all(b == 2 * a for a, b in pairwise(strides))
    if len(channels) != len(strides) or not doubled:
        raise SpecError(
            f"encoder {type(encoder).__name__} declares channels {channels} at strides {strides}, "
            "expected one number of channels for each stride and each stride twice the one before"
        )
    return channels, strides


def _check_normalization(module: Detector, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    for name in ("mean", "std"):
        stored, own = state.get(prefix + name), getattr(module, name)
        if isinstance(stored, Tensor) and not torch.equal(stored.cpu().float(), own.cpu().float()):
            raise DataError(
                f"these weights were trained with {name} {stored.flatten().tolist()}, "
                f"this detector normalizes with {own.flatten().tolist()}",
                hint="build the detector from the spec that is stored beside the weights",
            )


def describe(detector: Detector, size: tuple[int, int] = (640, 640)) -> dict[str, Any]:
    """What was built, found out by running it on tensors without data: no number comes from what was asked for.

    FLOPs count convolutions and matrix products for one picture of `size` (height, width), two for each
    multiply-add. Features that contradict the encoder's declaration are an error.
    """
    shadow = deepcopy(detector).to("meta").eval()
    seen: list[tuple[int, ...]] = []
    shadow.encoder.register_forward_hook(lambda module, given, outputs: seen.extend(tuple(f.shape) for f in outputs))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = shadow(torch.zeros(1, *size, 3, dtype=torch.uint8, device="meta"))
    channels, strides = declarations(detector.encoder)
    found = tuple(seen)
    expected = tuple((1, c, size[0] // s, size[1] // s) for c, s in zip(channels, strides, strict=True))
    if found != expected:
        raise SpecError(
            f"encoder {type(detector.encoder).__name__} declares channels {channels} at strides {strides}, "
            f"but gives features of shapes {found} for a {size[0]}x{size[1]} picture"
        )
    if tuple(logits.probability.shape) != (1, *size):
        raise SpecError(f"the head gives logits of shape {tuple(logits.probability.shape)}, expected {(1, *size)}")
    parts = {name: getattr(detector, name) for name in ("encoder", "decoder", "head")}
    return {
        **{name: {"class": type(part).__name__, "parameters": _count(part)} for name, part in parts.items()},
        "channels": list(channels),
        "strides": list(strides),
        "decoder_channels": int(detector.decoder.channels),  # type: ignore[arg-type]
        "parameters": _count(detector),
        "trainable": _count(detector, trainable=True),
        "flops": counter.get_total_flops(),
        "flops_size": list(size),
        "mean": detector.mean.flatten().tolist(),
        "std": detector.std.flatten().tolist(),
    }


def _count(module: nn.Module, *, trainable: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)
