"""Photographs a printed paper: lays it bent on a desk, lights it, blurs it, adds noise.

`Pose` is the geometry, exact both ways: pixels are fetched through picture -> paper, outlines go paper -> picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import Affine, FloatArray, Size

Pixels = npt.NDArray[np.uint8]
_CELL = 8
"""The bend is computed every 8 pixels and interpolated: off by under 0.1 px at the tightest bend allowed."""
_CLOSE = 1e-4
"""Pixels between the last two steps towards the picture of a paper point; the rest of the way is shorter still."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """Where each point of the picture lies on the paper: an affine map plus waves.

    A picture point q lies on the paper at `paper(q)` = affine.inverse(q) + sum of amplitude * sin(wave . q + phase).
    """

    affine: Affine
    """Paper to picture, for flat paper."""
    waves: FloatArray
    """(n, 2): radians per picture pixel."""
    phases: FloatArray
    """(n)"""
    amplitudes: FloatArray
    """(n, 2): paper pixels."""

    def reach(self) -> float:
        """No point is moved further than this by the waves, in picture pixels."""
        return float(np.linalg.norm(self.amplitudes, axis=1).sum()) * self._growth()

    def steepness(self) -> float:
        """Bound on how much faster than its argument the wave part changes; below 1, both ways are unique."""
        slopes = np.linalg.norm(self.amplitudes, axis=1) * np.linalg.norm(self.waves, axis=1)
        return float(slopes.sum()) * self._growth()

    def _growth(self) -> float:
        return float(np.linalg.norm(self.affine.matrix[:2, :2], ord=2))

    def _bend(self, points: FloatArray) -> FloatArray:
        return np.asarray(np.sin(points @ self.waves.T + self.phases) @ self.amplitudes)

    def paper(self, points: FloatArray) -> FloatArray:
        """(n, 2) picture points on the paper."""
        return self.affine.inverse().apply(points) + self._bend(points)

    def picture(self, points: FloatArray) -> FloatArray:
        """(n, 2) paper points in the picture: the inverse of `paper`."""
        found = self.affine.apply(points)
        if len(self.waves):
            for _ in range(100):
                before, found = found, self.affine.apply(points - self._bend(found))
                if not len(points) or np.abs(found - before).max() < _CLOSE:
                    break
        return found

    def grid(self, size: Size) -> npt.NDArray[np.float32]:
        """(rows, columns, 2) paper points of the middles of 8-pixel cells, with one cell more on each side."""
        height, width = size
        y, x = (np.arange(-1, -(-side // _CELL) + 1) * _CELL + _CELL / 2 for side in (height, width))
        points = np.stack(np.meshgrid(x, y), axis=-1)
        return self.paper(points.reshape(-1, 2)).reshape(points.shape).astype(np.float32)


def dense(grid: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32]:
    """A grid of `Pose.grid` at every pixel center: (height, width, 2)."""
    rows, columns = grid.shape[:2]
    fine = cv2.resize(grid, (columns * _CELL, rows * _CELL), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[_CELL : _CELL + size[0], _CELL : _CELL + size[1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a picture is taken; all zero and no desk gives a clean scan."""

    desk: bool
    """The paper lies on a desk; otherwise it fills the picture."""
    shading: float
    """0 to 1: how uneven the light may be."""
    blur: float
    """Largest standard deviation, in pixels."""
    noise: float
    """Largest standard deviation, in gray levels."""
    distractors: float
    """Chance that something lies on the desk."""


def photograph(ink: Pixels | None, pose: Pose, size: Size, conditions: Conditions, rng: np.random.Generator) -> Pixels:
    """(height, width, 3) RGB of an inked paper, or of the bare desk where there is no paper.

    `ink` is (height, width): 0 blank, 255 inked.
    """
    mask = None
    if ink is None:
        pixels = _desk(size, conditions.distractors, rng)
    else:
        where = dense(pose.grid(size) - np.float32(0.5), size)  # OpenCV counts from pixel centers
        # One map of pairs: splitting it in two takes three times as long as the fetching.
        fetched = cv2.remap(ink, where, None, cv2.INTER_LINEAR, borderValue=0)  # type: ignore[call-overload]
        pixels = np.asarray(cv2.applyColorMap(fetched, _paper_colors(rng)), dtype=np.uint8)
        if conditions.desk:
            mask = _paper_mask(ink.shape, pose, size, rng)
            desk = _desk(size, conditions.distractors, rng)
            pixels = np.asarray(cv2.copyTo(pixels, mask, desk), dtype=np.uint8)
    if conditions.shading:
        pixels = _lit(pixels, mask, conditions.shading, rng)
    sigma = float(rng.uniform(0.5, 1.0)) * conditions.blur
    if sigma > 0.2:  # less than this changes nothing at 8 bits
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)
    if conditions.noise:
        pixels = _noisy(pixels, float(rng.uniform(0.2, 1.0)) * conditions.noise, rng)
    return pixels


def _ramp(first: FloatArray, last: FloatArray) -> Pixels:
    """(256, 1, 3): 256 colors from the first to the last."""
    share = np.linspace(0, 1, 256)[:, None, None]
    return (first + share * (last - first)).clip(0, 255).astype(np.uint8)


def _paper_colors(rng: np.random.Generator) -> Pixels:
    """From a white of some tint to a nearly black ink, which fresh tills print darker than worn ones."""
    white = rng.uniform(225, 250) * rng.uniform((1.0, 0.97, 0.9), (1.0, 1.0, 1.02))
    ink = rng.uniform(15, 95) * np.array((1.0, 1.0, 1.0 + max(0.0, float(rng.normal(0, 0.25)))))
    return _ramp(white, ink)


def _paper_mask(ink: tuple[int, int], pose: Pose, size: Size, rng: np.random.Generator) -> Pixels:
    """255 where the paper covers the desk: the inked part and a blank border, torn at both ends."""
    height, width = ink
    side, top, bottom = rng.uniform((0.01, 0.01, 0.01), (0.06, 0.05, 0.08)) * (width, height, height)
    x = np.linspace(-side, width + side, 2 * (width // 12) + 2)
    tear = rng.uniform(0.2, 2.2)
    jag = np.resize((-tear, tear), len(x)) + rng.normal(0, 0.3 * tear, (2, len(x)))
    y = np.linspace(-top, height + bottom, max(2, height // 24))[1:-1]
    outline = np.concatenate([
        np.stack([x, jag[0] - top], axis=1),
        np.stack([np.full(len(y), width + side), y], axis=1),
        np.stack([x, jag[1] + height + bottom], axis=1)[::-1],
        np.stack([np.full(len(y), -side), y], axis=1)[::-1],
    ])  # fmt: skip
    mask = np.zeros(size, dtype=np.uint8)
    points = (16 * (pose.picture(outline) - 0.5)).round().astype(np.int32)
    return np.asarray(cv2.fillPoly(mask, [points], 255, cv2.LINE_8, 4))


def _texture(size: Size, scales: tuple[tuple[float, float], ...], rng: np.random.Generator) -> Pixels:
    """Gray, (height, width): smooth random fields of these (vertical, horizontal) grain sizes, the first strongest."""
    height, width = size[0] // 2 + 1, size[1] // 2 + 1
    total = np.zeros((height, width), dtype=np.float32)
    for i, (down, across) in enumerate(scales):
        shape = (max(2, round(2 * height / down)), max(2, round(2 * width / across)))
        field = rng.random(shape, dtype=np.float32) - np.float32(0.5)
        total += cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(0.6**i)
    gray = (total * 110 + 128).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(gray, (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


_GRAINS: dict[str, tuple[tuple[float, float], ...]] = {
    "wood": ((900, 60), (600, 14), (300, 5)),
    "stone": ((160, 160), (40, 40), (10, 10), (4, 4)),
    "cloth": ((300, 300), (5, 40), (40, 5)),
    "plain": ((700, 700), (300, 300)),
}


def _desk(size: Size, distractors: float, rng: np.random.Generator) -> Pixels:
    """A desk top of some material and color, with or without things on it."""
    grains = _GRAINS[str(rng.choice(tuple(_GRAINS), p=(0.4, 0.2, 0.2, 0.2)))]
    if rng.random() < 0.5:
        grains = tuple((across, down) for down, across in grains)
    color = rng.uniform(25, 170) * rng.uniform((0.85, 0.7, 0.5), (1.15, 1.0, 0.95))
    gray = _texture(size, grains, rng)
    desk = np.asarray(cv2.applyColorMap(gray, _ramp(0.6 * color, 1.3 * color)), dtype=np.uint8)
    while rng.random() < 0.5 * distractors:
        _thing(desk, rng)
    return desk


def _thing(desk: Pixels, rng: np.random.Generator) -> None:
    """A coin or a pen, at any place: what the paper covers is not seen."""
    height, width = desk.shape[:2]
    unit = min(height, width) / 640
    x, y = (float(v) for v in rng.uniform(0, (width, height)))
    color = rng.uniform(30, 220, 3)
    if rng.random() < 0.5:
        for share, light in ((1.0, 0.6), (0.93, 1.0), (0.7, 0.85), (0.66, 1.0)):
            cv2.circle(desk, (round(x), round(y)), round(34 * unit * share), (color * light).tolist(), -1, cv2.LINE_AA)
    else:
        turn = float(rng.uniform(0, np.pi))
        end = (round(x + 420 * unit * np.cos(turn)), round(y + 420 * unit * np.sin(turn)))
        for share, light in ((1.0, 0.5), (0.7, 1.0), (0.2, 1.4)):
            thick = max(1, round(18 * unit * share))
            cv2.line(desk, (round(x), round(y)), end, (color * light).clip(0, 255).tolist(), thick, cv2.LINE_AA)


def _lit(pixels: Pixels, mask: Pixels | None, strength: float, rng: np.random.Generator) -> Pixels:
    """Lamp light falling off, the shade of a hand, creases of the paper and its shadow on the desk."""
    height, width = pixels.shape[0] // 4 + 1, pixels.shape[1] // 4 + 1
    y = np.linspace(0, pixels.shape[0] / max(pixels.shape[:2]), height, dtype=np.float32)[:, None]
    x = np.linspace(0, pixels.shape[1] / max(pixels.shape[:2]), width, dtype=np.float32)
    lamp = rng.uniform(-0.2, 1.2, 2).astype(np.float32)
    light = 1.06 - np.float32(strength * rng.uniform(0.2, 0.9)) * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)
    if rng.random() < 0.4:
        light *= 1 - np.float32(strength * rng.uniform(0.3, 1.0)) * _half_plane(x, y, rng.uniform(0.01, 0.12), rng)
    creased = light * (1 + np.float32(strength) * _creases(x, y, rng))
    if mask is not None:
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        shift = np.array([[1, 0, rng.uniform(-5, 5)], [0, 1, rng.uniform(-5, 5)]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(small, shift, (width, height)), (0, 0), float(rng.uniform(1.5, 5)))
        light = np.where(small > 0.5, creased, light * (1 - np.float32(1.2 * strength) * shadow))
    else:
        light = creased
    warmth = float(rng.uniform(-0.2, 0.25))  # lamps are yellow or blue, never pink
    tint = 1 + strength * warmth * np.array((1, 0.2, -1))
    field = (light[:, :, None] * (200 * tint).astype(np.float32)).clip(0, 255).astype(np.uint8)
    field = cv2.resize(field, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(pixels, field, scale=1 / 200))


Field = npt.NDArray[np.float32]


def _half_plane(x: Field, y: Field, softness: float, rng: np.random.Generator) -> Field:
    """From 0 to 1 across a random straight edge of this softness."""
    turn = rng.uniform(0, 2 * np.pi)
    distance = (x - np.float32(rng.uniform(0, 0.6))) * np.float32(np.cos(turn))
    distance = distance + (y - np.float32(rng.uniform(0.1, 0.9))) * np.float32(np.sin(turn))
    return (1 / (1 + np.exp((-distance / np.float32(softness)).clip(-30, 30)))).astype(np.float32)


def _creases(x: Field, y: Field, rng: np.random.Generator) -> Field:
    """Facets of crumpled paper, each at its own angle to the light, and a fold or two across."""
    count = int(rng.integers(2, 40))
    seeds = rng.random((count, 2)).astype(np.float32)
    slopes = (rng.normal(0, 0.3 * rng.random(), (count, 3)) * (0.25, 1, 1)).astype(np.float32)
    coarse_x, coarse_y = x[::2], y[::2]  # facets are soft and many: half the resolution, a quarter of the time
    nearest = np.full((len(coarse_y), len(coarse_x)), np.inf, dtype=np.float32)
    facets = np.zeros_like(nearest)
    for (sx, sy), (level, gx, gy) in zip(seeds, slopes, strict=True):
        dx, dy = coarse_x - sx, coarse_y - sy
        distance = dx * dx + dy * dy
        closer = distance < nearest
        np.copyto(nearest, distance, where=closer)
        np.copyto(facets, level + gx * dx + gy * dy, where=closer)
    soft = cv2.GaussianBlur(facets, (0, 0), 0.8)
    light: Field = np.asarray(cv2.resize(soft, (len(x), len(y)), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    for _ in range(int(rng.integers(0, 3))):
        at, lean = np.float32(rng.uniform(0.1, 0.9)), np.float32(rng.normal(0, 0.03))
        distance = y - at - lean * x
        light += np.float32(rng.uniform(-0.1, 0.1)) * np.tanh(distance / np.float32(0.003))
        light += np.float32(rng.uniform(0.1, 0.4)) * np.exp(-((distance / np.float32(0.004)) ** 2))
    return light


def _noisy(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Gaussian noise in 256 steps: bytes are a tenth of the price of normal deviates."""
    count = pixels.size
    random = rng.bit_generator.random_raw(-(-count // 8)).view(np.uint8)[:count].reshape(pixels.shape)
    noise = cv2.LUT(random, (_normal_deviates() * sigma + 128).clip(0, 255).round().astype(np.uint8))
    return np.asarray(cv2.addWeighted(pixels, 1, noise, 1, -128), dtype=np.uint8)


@lru_cache(maxsize=1)
def _normal_deviates() -> FloatArray:
    """The 256 quantiles of the normal distribution in the middles of equal shares."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / 256) for i in range(256)])
