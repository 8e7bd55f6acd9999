"""Float tensors for training loops in plain PyTorch: pictures in 0 to 1, maps and masks as numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ocrmaps.loader.batch import Batch

LEVELS = 254
"""Stored thresholds are 0 to this for 0 to 1, rounded: off by at most half a level."""
LOW, HIGH = 0.3, 0.7
"""What the published implementations scale thresholds to."""


class PlainBatch(NamedTuple):
    """One batch in float32."""

    image: Tensor
    """(B, 3, H, W), RGB, 0 to 1."""
    probability: Tensor
    """(B, H, W): 1 in a kernel, else 0."""
    probability_mask: Tensor
    """(B, H, W): 1 where the probability counts."""
    threshold: Tensor
    """(B, H, W): 0.3 to 0.7, as the published implementations have it; 0.7 on a border."""
    threshold_mask: Tensor
    """(B, H, W): 1 where the threshold counts."""


def plain(batch: Batch) -> PlainBatch:
    """A batch of bytes as floats, on the device that it is on.

    The threshold is scaled from its 255 stored levels, so it is within 0.0008 of the drawn one.
    """
    targets = batch.targets
    return PlainBatch(
        image=batch.image.movedim(-1, -3).float() / 255,
        probability=(targets.probability != 0).float(),
        probability_mask=targets.probability_mask.float(),
        threshold=targets.threshold.float() * ((HIGH - LOW) / LEVELS) + LOW,
        threshold_mask=targets.threshold_mask.float(),
    )


def normalized(image: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """(B, 3, H, W) in 0 to 1, less the mean and over the deviation of each channel."""
    center, spread = (torch.tensor(v, device=image.device).view(3, 1, 1) for v in (mean, std))
    return (image - center) / spread
