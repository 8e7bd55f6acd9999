"""What happens to each sample of a batch: random draws and the matrices that follow, all on the host.

A plan is a function of (settings, seed, epoch, row) alone, so the same row meets the same fate in any order, batch,
process or machine, and a plan can be looked at or replayed without a picture. No pixel is touched here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ocrmaps.augment.spec import AugmentSpec
from ocrmaps.geometry import BoolArray, FloatArray, IntArray, Size, read_only


class Draws(NamedTuple):
    """One sample's random numbers in [0, 1). New ones go to the end, so that old ones stay what they are."""

    flip: float
    turn: float
    turns: float
    rotate: float
    scale: float
    left: float
    top: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    blur: float
    blur_sigma: float
    noise: float
    noise_std: float
    noise_left: float
    noise_top: float
    jpeg: float
    jpeg_quality: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AugmentPlan:
    """What will happen to B samples of one canvas; read-only arrays, in batch order."""

    source: Size
    """(height, width) of the canvas."""
    size: Size
    """(height, width) of what comes out."""
    fill: tuple[int, int, int]
    matrices: FloatArray
    """(B, 3, 3): pixels of the canvas -> pixels of what comes out, by the pixel convention of `geometry`."""
    colors: FloatArray
    """(B, 3, 4): RGB -> RGB, the last column added."""
    blur: FloatArray
    """(B,): sigma, 0 for none."""
    noise: FloatArray
    """(B,): standard deviation, 0 for none."""
    noise_at: FloatArray
    """(B, 2): where in the noise to begin, left and top, in [0, 1)."""
    jpeg: IntArray
    """(B,): quality, 0 for none."""

    def __post_init__(self) -> None:
        for name in ("matrices", "colors", "blur", "noise", "noise_at"):
            object.__setattr__(self, name, read_only(getattr(self, name), np.float64))
        object.__setattr__(self, "jpeg", read_only(self.jpeg, np.int64))

    def __len__(self) -> int:
        return len(self.matrices)

    @property
    def scales(self) -> FloatArray:
        """(B,): how much larger things come out."""
        return np.sqrt(np.abs(np.linalg.det(self.matrices[:, :2, :2])))

    @property
    def moves_whole_pixels(self) -> bool:
        """Whether every sample is only mirrored, quarter-turned and shifted by whole pixels."""
        return bool((self.matrices == np.rint(self.matrices)).all() and (np.abs(self.matrices[:, :2, :2]) <= 1).all())

    @property
    def recolors(self) -> BoolArray:
        """(B,): whose colors change."""
        return (self.colors != np.eye(3, 4)).any(axis=(1, 2))


def draw_plan(spec: AugmentSpec, rows: Sequence[int], source: Size, *, seed: int, epoch: int) -> AugmentPlan:
    """The plan for these rows of a canvas in this epoch: the same for a row whatever stands beside it.

    >>> plan = draw_plan(AugmentSpec(flip=1.0), [7], (10, 20), seed=0, epoch=0)
    >>> plan.matrices[0].tolist()
    [[-1.0, 0.0, 20.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    draws = [_draw(row, seed, epoch) for row in rows]
    u = Draws(*np.array(draws, dtype=np.float64).reshape(-1, len(Draws._fields)).T)
    size = spec.size or source

    def within(chance: Any, value: Any, bounds: tuple[float, float]) -> FloatArray:
        return np.where(chance, bounds[0] + value * (bounds[1] - bounds[0]), 0.0)

    quality = np.rint(within(u.jpeg < spec.jpeg, u.jpeg_quality, spec.jpeg_quality))
    return AugmentPlan(
        source=source,
        size=size,
        fill=spec.fill,
        matrices=_matrices(spec, u, source, size),
        colors=_colors(spec, u),
        blur=within(u.blur < spec.blur, u.blur_sigma, spec.blur_sigma),
        noise=within(u.noise < spec.noise, u.noise_std, spec.noise_std),
        noise_at=np.stack([u.noise_left, u.noise_top], axis=1),
        jpeg=quality.astype(np.int64),
    )


def _draw(row: int, seed: int, epoch: int) -> list[float]:
    """Counter-based, so a row's numbers need no history; the row is in the word that drawing never reaches."""
    bits = np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=np.array([0, 0, 0, row], np.uint64))
    return np.random.Generator(bits).random(len(Draws._fields)).tolist()


def _matrices(spec: AugmentSpec, u: Draws, source: Size, size: Size) -> FloatArray:
    """Mirror, quarter turn, rotation, scale, then the shift that puts the result on the new canvas."""
    turns = np.where(u.turn < spec.quarter_turns, 1 + np.floor(3 * np.asarray(u.turns)), 0).astype(np.int64)
    mirror = np.where(u.flip < spec.flip, -1.0, 1.0)
    angle = np.radians((2 * np.asarray(u.rotate) - 1) * spec.rotate)
    low, high = np.log(spec.scale)
    scale = np.exp(low + u.scale * (high - low)) if high > low else np.full(len(turns), spec.scale[0])
    # Written down rather than computed: sines of right angles are not whole numbers.
    cos, sin = np.array([1.0, 0.0, -1.0, 0.0])[turns], np.array([0.0, 1.0, 0.0, -1.0])[turns]
    a, b, d, e = cos * mirror, -sin, sin * mirror, cos
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([c * a - s * d, c * b - s * e, s * a + c * d, s * b + c * e], axis=1).reshape(-1, 2, 2)
    height, width = source
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    spread = corners @ linear.transpose(0, 2, 1)
    first, last = spread.min(axis=1), spread.max(axis=1)
    slack = np.array([size[1], size[0]]) - (last - first)
    place = np.stack([u.left, u.top], axis=1) if spec.shift else 0.5
    out = np.zeros((len(turns), 3, 3))
    out[:, :2, :2] = linear + 0.0  # no negative zeros
    # By whole pixels, so that what is only mirrored or turned stays exact wherever it is put.
    out[:, :2, 2] = np.rint(place * slack) - first + 0.0
    out[:, 2, 2] = 1.0
    return out


def _colors(spec: AugmentSpec, u: Draws) -> FloatArray:
    """Brightness, contrast about mid-gray, saturation about luma, hue about the gray axis: one affine map of RGB."""
    bright, contrast, saturation, hue = (
        (2 * np.asarray(value) - 1) * most
        for value, most in (
            (u.brightness, spec.brightness), (u.contrast, spec.contrast),
            (u.saturation, spec.saturation), (u.hue, math.radians(spec.hue)),
        )
    )  # fmt: skip
    gray = np.tile([0.299, 0.587, 0.114], (3, 1))
    saturate = np.eye(3) + saturation[:, None, None] * (np.eye(3) - gray)
    # Rodrigues' rotation about (1, 1, 1) / sqrt(3), as what it adds to the identity.
    skew = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = np.eye(3) + np.sin(hue)[:, None, None] * skew + (1 - np.cos(hue))[:, None, None] * (skew @ skew)
    gain = ((1 + bright) * (1 + contrast))[:, None, None]
    offset = np.repeat((-127.5 * contrast)[:, None, None], 3, axis=1)
    return np.concatenate([gain * (turn @ saturate), offset], axis=2)
