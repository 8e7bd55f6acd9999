"""A plan carried out on the device: geometry for image and maps alike, then what happens to colors.

Every operation treats each sample alone and the same way whatever stands beside it, and nothing is read back from
the device; what must be decided was decided on the host, in the plan.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ocrmaps.augment.plan import AugmentPlan
from ocrmaps.geometry import FloatArray
from ocrmaps.loader.batch import Batch
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS

NOISE_SIDE = 512
"""The noise repeats after this many pixels."""


def move_whole_pixels(batch: Batch, plan: AugmentPlan) -> Batch:
    """Mirror, quarter-turn, shift and crop by copying: not a bit changes on the way."""
    fill = to_device(np.array(plan.fill, np.uint8), batch.image.device)
    image = fill.expand(len(plan), *plan.size, 3).clone()
    maps = [batch.image.new_zeros((len(plan), *plan.size)) for _ in range(3)]
    for i, matrix in enumerate(plan.matrices):
        for source, target in zip(batch[:4], (image, *maps), strict=True):
            _paste(source[i], target[i], matrix)
    return Batch(image, maps[0], maps[1], maps[2], batch.row)


def _paste(source: Tensor, target: Tensor, matrix: FloatArray) -> None:
    (a, b, left), (d, e, top), _ = matrix.astype(int).tolist()
    if a == 0:
        source = source.transpose(0, 1)
    mirrored = [axis for axis, sign in ((0, d + e), (1, a + b)) if sign < 0]
    rows, new_rows = _spans(top, source.shape[0], target.shape[0], 0 in mirrored)
    columns, new_columns = _spans(left, source.shape[1], target.shape[1], 1 in mirrored)
    piece = source[rows, columns]
    target[new_rows, new_columns] = piece.flip(mirrored) if mirrored else piece


def _spans(start: int, length: int, limit: int, mirrored: bool) -> tuple[slice, slice]:
    """The part of a side that is kept and where it goes; mirrored sides end at `start`."""
    first = start - length if mirrored else start
    low = min(max(0, first), limit)
    high = max(min(limit, first + length), low)
    kept = (first + length - high, first + length - low) if mirrored else (low - first, high - first)
    return slice(*kept), slice(low, high)


def warp(batch: Batch, plan: AugmentPlan) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image, probability, threshold and mask resampled by each sample's matrix, all in one pass.

    Bilinear for all. The image comes back as float (B, 3, h, w); a probability is 1, and a mask bit set, where at
    least half of the weight says so, which is nearer to maps drawn anew than the nearest pixel is. Pixels whose
    center is outside the canvas get the fill color and no mask bit.
    """
    device = batch.image.device
    grid = _grid(plan, device)
    image = smooth(batch.image.permute(0, 3, 1, 2).float(), [_antialias(scale) for scale in plan.scales])
    bits = [((batch.mask & bit) != 0).float() for bit in (PROBABILITY_COUNTS, THRESHOLD_COUNTS)]
    maps = torch.stack([batch.threshold.float(), batch.probability.float(), *bits], dim=1)
    # Edges repeated: a border pixel that is faded out would teach a threshold that is too low.
    moved = F.grid_sample(torch.cat([image, maps], dim=1), grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(dim=-1)
    fill = to_device(np.array(plan.fill, np.float32), device).view(1, 3, 1, 1)
    image = torch.where(inside[:, None], moved[:, :3], fill)
    threshold = (moved[:, 3].round() * inside).to(torch.uint8)
    probability, counts, threshold_counts = (((moved[:, i] >= 0.5) & inside).to(torch.uint8) for i in (4, 5, 6))
    return image, probability, threshold, counts * PROBABILITY_COUNTS + threshold_counts * THRESHOLD_COUNTS


def _grid(plan: AugmentPlan, device: torch.device) -> Tensor:
    """Where each new pixel's center lies on the canvas, (B, h, w, 2), in the -1 to 1 that `grid_sample` wants.

    Its -1 and 1 (align_corners=False) are the outer edges of the first and last pixel: this project's 0 and width.
    """
    back = np.linalg.inv(plan.matrices)[:, :2]
    back = 2 * back / np.array([plan.source[1], plan.source[0]])[None, :, None]
    back[:, :, 2] -= 1
    a, b, c = to_device(back.astype(np.float32), device)[:, None, None].unbind(-1)
    x = torch.arange(plan.size[1], device=device, dtype=torch.float32)[None, None, :, None] + 0.5
    y = torch.arange(plan.size[0], device=device, dtype=torch.float32)[None, :, None, None] + 0.5
    return a * x + (b * y + c)


def _antialias(scale: float) -> float:
    """Sigma on the canvas that leaves what a reduction can still show: half a new pixel, less what a pixel has.

    Below 0.2 (a reduction to 93 %) a Gaussian puts less than 4e-6 on its neighbors: nothing to do.
    """
    sigma = 0.5 * math.sqrt(1 / scale**2 - 1) if scale < 1 else 0.0
    return sigma if sigma > 0.2 else 0.0


def smooth(image: Tensor, sigmas: list[float]) -> Tensor:
    """Gaussian blur of (B, C, H, W), each sample by its own sigma, edges repeated; 0 leaves a sample alone."""
    if not any(sigmas):
        return image
    done = [_smooth_one(image[i : i + 1], sigma) if sigma > 0 else image[i : i + 1] for i, sigma in enumerate(sigmas)]
    return torch.cat(done)


def _smooth_one(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    channels = image.shape[1]
    taps = to_device((weights / weights.sum()).astype(np.float32), image.device).expand(channels, 1, 1, -1)
    image = F.conv2d(F.pad(image, (radius, radius, 0, 0), mode="replicate"), taps, groups=channels)
    taps = taps.transpose(2, 3)
    return F.conv2d(F.pad(image, (0, 0, radius, radius), mode="replicate"), taps, groups=channels)


def recolor(image: Tensor, plan: AugmentPlan) -> Tensor:
    """Blur, colors, noise and compression of float (B, 3, h, w) in 0 to 255, in the order of a camera."""
    device = image.device
    image = smooth(image, plan.blur.tolist())
    if plan.recolors.any():
        colors = to_device(plan.colors.astype(np.float32), device)
        r, g, b = image.unsqueeze(2).unbind(1)
        m = colors[..., None, None].unbind(2)
        image = (m[0] * r + m[1] * g + m[2] * b + m[3]).clamp(0, 255)
    if plan.noise.any():
        image = (image + _noise(plan, device)).clamp(0, 255)
    if plan.jpeg.any():
        done = [_jpeg(image[i], int(q)) if q else image[i] for i, q in enumerate(plan.jpeg)]
        image = torch.stack(done)
    return image


def _noise(plan: AugmentPlan, device: torch.device) -> Tensor:
    tile = _noise_tile(str(device))
    height, width = plan.size
    planes = []
    for (left, top), std in zip(plan.noise_at, plan.noise, strict=True):
        if std == 0:
            planes.append(tile.new_zeros(()).expand(3, height, width))
            continue
        rolled = tile.roll((-int(top * NOISE_SIDE), -int(left * NOISE_SIDE)), dims=(1, 2))
        times = (-(-height // NOISE_SIDE), -(-width // NOISE_SIDE))
        planes.append(rolled.repeat(1, *times)[:, :height, :width] * float(std))
    return torch.stack(planes)


@lru_cache(maxsize=4)
def _noise_tile(device: str) -> Tensor:
    """One square of unit Gaussian noise, the same on every machine."""
    bits = np.random.Philox(key=np.array([0x6E6F697365, 0], np.uint64))
    tile = np.random.Generator(bits).standard_normal((3, NOISE_SIDE, NOISE_SIDE), dtype=np.float32)
    return to_device(tile, torch.device(device))


# The tables of ITU-T T.81, annex K, which encoders scale by their quality setting.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99), (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)  # fmt: skip
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def quantization(quality: int) -> npt.NDArray[Any]:
    """(3, 8, 8): the steps of luminance and both chrominances at an encoder's quality of 1 to 100."""
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = np.array([_LUMINANCE, _CHROMINANCE, _CHROMINANCE])
    return np.clip((tables * factor + 50) // 100, 1, 255)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    """What is left of float (3, h, w) after JPEG at full chroma resolution: the loss without the bit stream."""
    device, (height, width) = image.device, image.shape[1:]
    padded = F.pad(image[None], (0, -width % 8, 0, -height % 8), mode="replicate")[0]
    _, h, w = padded.shape
    to_ycc = to_device(np.concatenate([_TO_YCC, np.linalg.inv(_TO_YCC)]).astype(np.float32), device)
    steps = to_device(quantization(quality).astype(np.float32), device).view(3, 1, 8, 1, 8)
    dct = to_device(_dct(), device)
    ycc = _mix(padded.round(), to_ycc[:3])
    # The level shift of luminance; chrominance is centered here already.
    ycc[0] -= 128
    blocks = (dct @ ycc.round().view(3, h // 8, 8, w)).view(3, h // 8, 8, w // 8, 8) @ dct.T
    blocks = (blocks / steps).round() * steps
    # A decoder rounds to bytes before it goes back to RGB.
    ycc = (dct.T @ (blocks @ dct).view(3, h // 8, 8, w)).view(3, h, w).round().clamp(-128, 127)
    ycc[0] += 128
    return _mix(ycc, to_ycc[3:])[:, :height, :width].clamp(0, 255)


def _mix(planes: Tensor, matrix: Tensor) -> Tensor:
    """A 3x3 matrix applied to three planes."""
    a, b, c = matrix[..., None, None].unbind(1)
    return a * planes[0] + b * planes[1] + c * planes[2]


@lru_cache(maxsize=1)
def _dct() -> npt.NDArray[np.float32]:
    """The orthonormal 8-point cosine transform, (frequency, place)."""
    frequency, place = np.mgrid[:8, :8]
    rows = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    rows[0] /= math.sqrt(2)
    return rows.astype(np.float32)


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """A small host array on the device, without waiting for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_bytes(image: Tensor) -> Tensor:
    """Float (B, 3, h, w) as uint8 (B, h, w, 3)."""
    return image.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
