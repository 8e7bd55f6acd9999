"""Maps laid over pictures, and pictures side by side: what bundles and the doctor show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS

Pixels = npt.NDArray[np.uint8]
KERNEL, BAND, UNLEARNT, WRONG = (31, 111, 235), (0, 158, 115), (217, 119, 0), (214, 0, 110)
GAP = 6


def heat(image: Pixels, probability: npt.NDArray[Any]) -> Pixels:
    """A gray picture with the probability over it: blue where sure, magenta where it is no number."""
    gray = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    bad = ~np.isfinite(probability)
    out = tint(0.5 * gray + 110, np.where(bad, 0, probability) * 0.85, KERNEL)
    return np.clip(tint(out, 0.8 * bad, WRONG), 0, 255).astype(np.uint8)


def targets(image: Pixels, probability: Pixels, threshold: Pixels, mask: Pixels) -> Pixels:
    """Kernels blue, threshold bands green, what is not learnt orange."""
    band = ((threshold > 0) & (mask & THRESHOLD_COUNTS > 0)) * (np.minimum(threshold, 254) / 254.0)
    out = tint(image.astype(np.float32), 0.6 * band, BAND)
    out = tint(out, 0.6 * (probability > 0), KERNEL)
    return np.clip(tint(out, 0.7 * (mask & PROBABILITY_COUNTS == 0), UNLEARNT), 0, 255).astype(np.uint8)


def differences(image: Pixels, wrong: npt.NDArray[Any]) -> Pixels:
    """A pale picture with the places that disagree in magenta."""
    pale = image.astype(np.float32) * 0.5 + 127
    return np.clip(tint(pale, 0.9 * (wrong > 0), WRONG), 0, 255).astype(np.uint8)


def tint(pixels: Any, share: Any, color: tuple[int, int, int]) -> Any:
    """Pixels mixed with a color, each by its own share."""
    weight = np.asarray(share, dtype=np.float32)[..., None]
    return pixels * (1 - weight) + np.array(color, dtype=np.float32) * weight


def strip(pictures: Sequence[Pixels]) -> Pixels:
    """Side by side, tops aligned."""
    height = max(p.shape[0] for p in pictures)
    width = sum(p.shape[1] for p in pictures) + GAP * (len(pictures) - 1)
    out = np.full((height, width, 3), 128, dtype=np.uint8)
    x = 0
    for picture in pictures:
        out[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + GAP
    return out


def stack(pictures: Sequence[Pixels]) -> Pixels:
    """One below the other, left sides aligned."""
    turned = [np.ascontiguousarray(p.swapaxes(0, 1)) for p in pictures]
    return np.ascontiguousarray(strip(turned).swapaxes(0, 1))
