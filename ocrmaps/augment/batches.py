"""The changes themselves, made to a batch where it lies: its pixels moved and recolored, what was cut masked."""

from __future__ import annotations

import numpy as np
import torch

from ocrmaps.augment.outlines import Outlines, draw_unlearnable
from ocrmaps.augment.pixels import move_whole_pixels, recolor, to_bytes, to_device, warp
from ocrmaps.augment.plan import AugmentPlan, draw_plan
from ocrmaps.augment.spec import AugmentSpec
from ocrmaps.errors import SpecError
from ocrmaps.loader.batch import Batch
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS


def augment(batch: Batch, spec: AugmentSpec, *, seed: int, epoch: int, outlines: Outlines | None = None) -> Batch:
    """The batch after this epoch's random changes; the batch given is not changed.

    `outlines` of the rows' text are needed where `spec` may cut text (`AugmentSpec.may_cut`), to know what was cut.
    """
    _check(batch)
    _, height, width, _ = batch.image.shape
    if outlines is None and spec.cut_text == "ignore" and spec.may_cut((height, width)):
        raise SpecError(
            "these augmentations can cut text, and without outlines nobody knows which pixels are whose",
            hint="pass outlines=Outlines.of(...), or set cut_text = 'learn' to learn from cut text as it is",
        )
    plan = draw_plan(spec, batch.row.tolist(), (height, width), seed=seed, epoch=epoch)
    return apply_plan(batch, plan, outlines if spec.cut_text == "ignore" else None)


def apply_plan(batch: Batch, plan: AugmentPlan, outlines: Outlines | None = None) -> Batch:
    """The batch as planned; with outlines, text that cannot be learnt any more is masked."""
    _check(batch)
    if tuple(batch.image.shape[:3]) != (len(plan), *plan.source):
        found, expected = tuple(batch.image.shape[:3]), (len(plan), *plan.source)
        raise SpecError(f"found a batch of shape {found}, the plan is for {expected}")
    colors = bool(plan.recolors.any() or plan.blur.any() or plan.noise.any() or plan.jpeg.any())
    device = batch.image.device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        if plan.moves_whole_pixels:
            image, probability, threshold, mask, _ = move_whole_pixels(batch, plan)
            if colors:
                image = to_bytes(recolor(image.permute(0, 3, 1, 2).float(), plan))
        else:
            pixels, probability, threshold, mask = warp(batch, plan)
            image = to_bytes(recolor(pixels, plan) if colors else pixels)
        if outlines is not None:
            texts = [
                outlines.unlearnable(row, matrix, plan.source, plan.size)
                for row, matrix in zip(batch.row.tolist(), plan.matrices, strict=True)
            ]
            if any(texts):
                keep = np.full((len(plan), *plan.size), PROBABILITY_COUNTS | THRESHOLD_COUNTS, np.uint8)
                for sample, out in zip(texts, keep, strict=True):
                    draw_unlearnable(sample, out)
                mask = mask & to_device(keep, device)
    return Batch(image, probability, threshold, mask, batch.row)


def _check(batch: Batch) -> None:
    """Shapes, types and places only: nothing is read from the device."""
    shape = tuple(batch.image.shape)
    if len(shape) != 4 or shape[-1] != 3 or any(tuple(t.shape) != shape[:3] for t in batch[1:4]):
        raise SpecError(
            f"found image {shape} with maps {[tuple(t.shape) for t in batch[1:4]]}, "
            "expected (B, H, W, 3) with three of (B, H, W)"
        )
    if any(t.dtype != torch.uint8 for t in batch[:4]):
        raise SpecError(f"found {[str(t.dtype) for t in batch[:4]]}, expected four uint8 tensors as stored")
    if batch.row.device.type != "cpu" or tuple(batch.row.shape) != shape[:1]:
        raise SpecError(
            f"found rows of shape {tuple(batch.row.shape)} on {batch.row.device}, expected {shape[:1]} on the host",
            hint="move a batch with Batch.on(device), which leaves the rows where they are",
        )
