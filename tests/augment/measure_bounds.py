"""How far moved maps are from maps drawn anew, bilinear next to nearest: python -m tests.augment.measure_bounds

The table in docs/explanation/augmentation.md is what this prints.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F

from ocrmaps.augment import AugmentSpec, draw_plan
from ocrmaps.augment.pixels import _grid, warp
from ocrmaps.geometry import Affine
from ocrmaps.maps import MapSpec, draw_maps
from tests.augment.scenes import bar, batch_of, canonical

SIDE, TEXTS, CANVASES = 320, 10, 8
Row = tuple[float, float, float, float, float]


def measure(ratio: float, scale: float) -> Row:
    """Threshold difference: mean, largest, mean with nearest pixels; IoU of kernels, and with nearest pixels."""
    rng = np.random.default_rng(0)
    spec = AugmentSpec(rotate=10, scale=(scale, scale))
    rows = []
    for row in range(CANVASES):
        heights = rng.uniform(8, 30, TEXTS)
        bars = [bar(*rng.uniform(0, SIDE, 2), h * rng.uniform(1, 12), h, rng.uniform(-40, 40)) for h in heights]
        plan = draw_plan(spec, [row], (SIDE, SIDE), seed=0, epoch=0)
        affine = Affine(plan.matrices[0])
        moved = canonical(*bars).transform(affine, "canonical")
        both = [draw_maps(p, MapSpec(shrink_ratio=ratio), (SIDE, SIDE)).drawn for p in (canonical(*bars), moved)]
        text = canonical(*bars).select(both[0] & both[1])
        after = draw_maps(text.transform(affine, "canonical"), MapSpec(shrink_ratio=ratio), (SIDE, SIDE))
        batch = batch_of([text], (SIDE, SIDE), ratio=ratio)
        _, probability, threshold, mask = (t[0].numpy() for t in warp(batch, plan))
        grid = _grid(plan, batch.image.device)
        planes = F.grid_sample(
            batch.probability[:, None].float() + batch.threshold[:, None].float() * 2, grid, mode="nearest",
            padding_mode="border", align_corners=False,
        )[0, 0].numpy().astype(int)  # fmt: skip
        on_canvas = (grid[0].abs() <= 1).all(dim=-1).numpy()
        counted = on_canvas & (mask & 2 > 0) & (after.threshold_mask > 0)
        wrong = np.abs(threshold / 254 - after.threshold)[counted]
        nearest = np.abs((planes >> 1) / 254 - after.threshold)[counted]
        ious = [_iou(p[on_canvas] > 0, after.probability[on_canvas] > 0) for p in (probability, planes & 1)]
        rows.append((wrong.mean(), wrong.max(), nearest.mean(), *ious))
    table = np.array(rows)
    mean, worst = table.mean(axis=0), table.max(axis=0)
    return mean[0], worst[1], mean[2], mean[3], mean[4]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / max(1, (a | b).sum())


if __name__ == "__main__":
    print("| r | scale | threshold, mean | largest | nearest, mean | kernels, IoU | nearest |")
    print("|---|---|---|---|---|---|---|")
    for ratio in (0.4, 0.6):
        for scale in (0.5, 0.7, 1.0, 1.5, 2.0):
            mean, worst, near, iou, near_iou = measure(ratio, scale)
            print(f"| {ratio} | {scale} | {mean:.4f} | {worst:.2f} | {near:.4f} | {iou:.3f} | {near_iou:.3f} |")
