"""The doctor on augmentation: pictures and maps must move by one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from ocrmaps.augment import AugmentSpec, draw_plan
from ocrmaps.errors import OcrmapsError
from ocrmaps.geometry import Affine, FloatArray, Size
from ocrmaps.loader_batch import PROBABILITY_COUNTS, Batch
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.training.module import Augment
from pipelines import debug_pictures
from pipelines.doctor_records import Case, Stage, group_by_canvas

EPOCHS = 3
"""Each sample is augmented as in this many epochs: one draw may happen to change nothing."""
MAPS_AGREE, PIXELS_AGREE = 0.5, 0.6
"""Least overlap of augmented kernels with kernels drawn anew, and least correlation of pixels (measured: see tests)."""


def look_at_augmented(
    cases: Sequence[Case], stage: Stage, spec: AugmentSpec, change: Augment, *, maps: MapSpec, seed: int
) -> None:
    """Augmented maps are those of the moved outlines, and augmented pixels those of the moved picture."""
    overlaps: list[float] = []
    likeness: list[float] = []
    looked = 0
    for canvas, group in group_by_canvas([c for c in cases if c.image is not None and c.maps and not c.lost]).items():
        rows = [c.row for c in group if c.row is not None]
        batch = _batch(group)
        for epoch in range(EPOCHS):
            plan = draw_plan(spec, rows, canvas, seed=seed, epoch=epoch)
            try:
                out = change(batch, epoch)
            except OcrmapsError as error:
                stage.problem(str(error).splitlines()[0], error.hint)
                return
            if tuple(out.image.shape[1:3]) != plan.size or out.image.dtype != torch.uint8:
                stage.problem(
                    f"gives {out.image.dtype} {tuple(out.image.shape)}, planned was {plan.size}", "report this"
                )
                return
            for i, case in enumerate(group):
                looked += 1
                maps_agree, pixels_agree, wrong = _compare(case, out, i, plan.matrices[i], plan.size, maps)
                overlaps += [] if maps_agree is None else [maps_agree]
                likeness += [] if pixels_agree is None else [pixels_agree]
                if epoch == 0 or wrong.any():
                    image = out.image[i].numpy()
                    targets = (out.probability[i].numpy(), out.threshold[i].numpy(), out.mask[i].numpy())
                    case.seen["augmented"] = debug_pictures.targets(image, *targets)
    mean_maps = float(np.mean(overlaps)) if overlaps else 1.0
    mean_pixels = float(np.mean(likeness)) if likeness else 1.0
    stage.said = (
        f"{looked} augmented: kernels overlap with those drawn from moved outlines by {mean_maps:.2f}, pixels "
        f"correlate with the moved picture by {mean_pixels:.2f}"
    )
    stage.numbers = {"looked": looked, "maps": mean_maps, "pixels": mean_pixels}
    maps_wrong, pixels_wrong = mean_maps < MAPS_AGREE, mean_pixels < PIXELS_AGREE
    if maps_wrong or pixels_wrong:
        which = (
            "maps and picture are both"
            if maps_wrong and pixels_wrong
            else "the maps are"
            if maps_wrong
            else "the picture is"
        )
        stage.problem(
            f"{which} not moved by the matrix that was planned (kernels overlap by {mean_maps:.2f}, pixels "
            f"correlate by {mean_pixels:.2f})",
            "train without [augment] to be sure; then look at what changed in the augmentation",
        )


def _batch(cases: Sequence[Case]) -> Batch:
    def stacked(arrays: list[Any]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    probability, threshold, mask = (stacked([c.maps[n] for c in cases]) for n in ("probability", "threshold", "mask"))
    rows = torch.tensor([-1 if c.row is None else c.row for c in cases])
    return Batch(stacked([c.image for c in cases]), probability, threshold, mask, rows)


def _compare(
    case: Case, out: Batch, i: int, matrix: FloatArray, size: Size, maps: MapSpec
) -> tuple[float | None, float | None, Any]:
    """Overlap of kernels, correlation of pixels, and where kernels disagree; None where there is nothing to compare."""
    canonical = case.transform.apply(case.polygons, "canonical")
    moved = canonical.transform(Affine(matrix), "canonical")
    fresh = draw_maps(moved, maps, size)
    got, counts = out.probability[i].numpy() > 0, out.mask[i].numpy() & PROBABILITY_COUNTS > 0
    counts &= fresh.probability_mask > 0
    wanted = (fresh.probability > 0) & counts
    got = got & counts
    union = int((wanted | got).sum())
    overlap = int((wanted & got).sum()) / union if union >= 20 else None
    assert case.image is not None
    grey = cv2.cvtColor(case.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # OpenCV counts pixel centres as whole numbers, hence the halves.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    warp = (np.linalg.inv(half) @ matrix @ half)[:2]
    expected = cv2.warpAffine(grey, warp, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    shown = cv2.cvtColor(out.image[i].numpy(), cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = cv2.warpAffine(np.ones_like(grey), warp, (size[1], size[0]), flags=cv2.INTER_NEAREST) > 0
    # What is fine enough to be print: paper and table alone would agree with any picture of a receipt.
    a, b = (cv2.GaussianBlur(p, (0, 0), 1.2) - cv2.GaussianBlur(p, (0, 0), 5.0) for p in (expected, shown))
    core = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0) > 0
    enough = int(core.sum()) > 400 and a[core].std() > 0.5 and b[core].std() > 0.5
    same = float(np.corrcoef(a[core], b[core])[0, 1]) if enough else None
    return overlap, same, wanted ^ got
