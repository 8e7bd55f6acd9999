"""The doctor on augmentation: pictures and maps must move by one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch

from ocrmaps.augment import AugmentSpec, draw_plan
from ocrmaps.debug import pictures as debug_pictures
from ocrmaps.debug.doctor.records import Case, Stage, group_by_canvas
from ocrmaps.errors import OcrmapsError
from ocrmaps.geometry import Affine, FloatArray, Size
from ocrmaps.loader.batch import Batch
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS
from ocrmaps.training.module import Augment


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One augmented sample beside the moved one; None where there is nothing to compare."""

    kernels: float | None
    """Overlap."""
    pixels: float | None
    """Correlation of what is fine enough to be print."""
    mask: float | None
    """Share of the pixels that are to be learnt from and are."""
    threshold: float | None
    """Correlation on the bands."""
    shift: float | None
    """Pixels that the picture lies beside its place."""


EPOCHS = 3
"""Each sample is augmented as in this many epochs: one draw may happen to change nothing."""
MASKS_AGREE, THRESHOLDS_AGREE, SHIFTED = 0.5, 0.3, 0.35
"""Least agreement of masks and thresholds, and most pixels that a picture may lie beside its place."""
MAPS_AGREE, PIXELS_AGREE = 0.5, 0.6
"""Least overlap of augmented kernels with kernels drawn anew, and least correlation of pixels (measured: see tests)."""


def look_at_augmented(
    cases: Sequence[Case], stage: Stage, spec: AugmentSpec, change: Augment, *, maps: MapSpec, seed: int
) -> None:
    """Augmented maps are those of the moved outlines, and augmented pixels those of the moved picture."""
    found: list[Agreement] = []
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
                agreement, wrong = _compare(case, out, i, plan.matrices[i], plan.size, maps)
                found.append(agreement)
                if epoch == 0 or wrong.any():
                    image = out.image[i].numpy()
                    targets = (out.probability[i].numpy(), out.threshold[i].numpy(), out.mask[i].numpy())
                    case.seen["augmented"] = partial(debug_pictures.targets, image, *targets)
    mean_maps, mean_pixels = _mean(found, "kernels"), _mean(found, "pixels")
    shift = _middle(found, "shift")
    stage.said = (
        f"{len(found)} augmented: kernels overlap with those drawn from moved outlines by {mean_maps:.2f}, pixels "
        f"correlate with the moved picture by {mean_pixels:.2f} and lie {shift:.2f} px beside it"
    )
    masks, borders = _mean(found, "mask"), _mean(found, "threshold")
    stage.numbers = {
        "looked": len(found), "maps": mean_maps, "pixels": mean_pixels, "mask": masks, "threshold": borders,
        "shift_px": shift,
    }  # fmt: skip
    if masks < MASKS_AGREE:
        stage.problem(
            f"the masks are not those of the moved outlines: they agree on {masks:.0%} of the pixels",
            "what is not learnt from is learnt from, or the other way round: look at masks in the augmentation",
        )
    if borders < THRESHOLDS_AGREE:
        stage.problem(
            f"the threshold maps are not those of the moved outlines: they correlate by {borders:.2f}",
            "look at what the augmentation does to thresholds",
        )
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
    elif shift > SHIFTED:
        stage.problem(
            f"the pictures lie {shift:.2f} px beside where the matrix puts them, their maps do not",
            "look for a half pixel between pixel centers and pixel corners in the augmentation",
        )


def _mean(found: Sequence[Agreement], name: str) -> float:
    """Of those that could be compared; 1 where none could."""
    known = [value for one in found if (value := getattr(one, name)) is not None]
    return float(np.mean(known)) if known else 1.0


def _middle(found: Sequence[Agreement], name: str) -> float:
    known = [value for one in found if (value := getattr(one, name)) is not None]
    return float(np.median(known)) if known else 0.0


def _batch(cases: Sequence[Case]) -> Batch:
    def stacked(arrays: list[Any]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    probability, threshold, mask = (stacked([c.maps[n] for c in cases]) for n in ("probability", "threshold", "mask"))
    rows = torch.tensor([-1 if c.row is None else c.row for c in cases])
    return Batch(stacked([c.image for c in cases]), probability, threshold, mask, rows)


def _compare(case: Case, out: Batch, i: int, matrix: FloatArray, size: Size, maps: MapSpec) -> tuple[Agreement, Any]:
    """How the augmented sample agrees with the moved one, and where kernels disagree."""
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
    gray = cv2.cvtColor(case.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # OpenCV counts pixel centers as whole numbers, hence the halves.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    warp = (np.linalg.inv(half) @ matrix @ half)[:2]
    expected = cv2.warpAffine(gray, warp, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    shown = cv2.cvtColor(out.image[i].numpy(), cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = cv2.warpAffine(np.ones_like(gray), warp, (size[1], size[0]), flags=cv2.INTER_NEAREST) > 0
    # What is fine enough to be print: paper and table alone would agree with any picture of a receipt.
    a, b = (cv2.GaussianBlur(p, (0, 0), 1.2) - cv2.GaussianBlur(p, (0, 0), 5.0) for p in (expected, shown))
    core = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0) > 0
    enough = int(core.sum()) > 400 and a[core].std() > 0.5 and b[core].std() > 0.5
    same = float(np.corrcoef(a[core], b[core])[0, 1]) if enough else None
    mask = out.mask[i].numpy()
    swept = core & (fresh.probability_mask > 0)
    masks = float((mask[swept] & PROBABILITY_COUNTS > 0).mean()) if swept.any() else None
    band = (fresh.threshold_mask > 0) & (mask & THRESHOLD_COUNTS > 0) & core
    drawn, given = fresh.threshold[band], out.threshold[i].numpy()[band].astype(np.float32)
    borders = float(np.corrcoef(drawn, given)[0, 1]) if band.sum() > 100 and drawn.std() and given.std() else None
    shift = _shift(a * core, b * core) if enough else None
    return Agreement(kernels=overlap, pixels=same, mask=masks, threshold=borders, shift=shift), wanted ^ got


def _shift(expected: Any, shown: Any) -> float:
    """Pixels by which one picture lies beside the other, from the phases of their spectra."""
    window = cv2.createHanningWindow(expected.shape[::-1], cv2.CV_32F)
    one, other = expected.astype(np.float32), shown.astype(np.float32)
    # OpenCV enlarges sides for its spectra, and where 224 becomes an odd 225 a picture lies half a pixel beside itself.
    (x, y), (own_x, own_y) = (cv2.phaseCorrelate(one, there, window)[0] for there in (other, one))
    return float(np.hypot(x - own_x, y - own_y))
