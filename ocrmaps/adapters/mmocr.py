"""MMOCR's DBNet: inputs of its data preprocessor, and the four targets that its loss draws otherwise.

loss = accept_drawn(MODELS.build(dict(type="DBModuleLoss")))
losses = loss(model._forward(mmocr_inputs(batch)), mmocr_targets(batch))
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from ocrmaps.adapters.plain import normalized, plain
from ocrmaps.loader.batch import Batch

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of RGB in 0 to 255: the preprocessor of MMOCR's DBNet configurations."""
Drawn = tuple[Tensor, Tensor, Tensor, Tensor]
Loss = TypeVar("Loss")


def mmocr_targets(batch: Batch) -> Drawn:
    """(gt_shrink, gt_shrink_mask, gt_thr, gt_thr_mask) as `DBModuleLoss.get_targets` gives them: (B, H, W) floats."""
    found = plain(batch)
    return found.probability, found.probability_mask, found.threshold, found.threshold_mask


def mmocr_inputs(batch: Batch) -> Tensor:
    """(B, 3, H, W): RGB, normalized as `TextDetDataPreprocessor` does."""
    return normalized(plain(batch).image * 255, MEAN, STD)


def accept_drawn(loss: Loss) -> Loss:
    """The same loss, which takes the targets of `mmocr_targets` in place of data samples."""
    loss.get_targets = lambda targets: targets  # type: ignore[attr-defined]
    return loss
