"""Do outlines lie on the text in the pixels? Asked without a network: writing is where brightness changes most.

The gradient inside the outlines is compared with the gradient beside them, in standard deviations. The same is asked
of the outlines as they would lie after each mistake that people make: read in the other frame, axes swapped, made on a
resized copy, mirrored, turned. If a mistake explains the pixels much better than what is declared, it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalTransform, turn_upright
from ocrmaps.geometry import Affine, FloatArray, PolygonSet
from ocrmaps.pictures import Picture

SIDE = 640
"""Longest side that is looked at."""
CLEARLY = 0.3
"""By so many standard deviations, and by half of what is declared, another reading must be better."""
DECLARED = "as declared"
Reading = Callable[[CanonicalTransform, PolygonSet], Affine]
"""The map from the coordinates as written to the upright picture, if this mistake was made."""


def _other_frame(transform: CanonicalTransform, polygons: PolygonSet) -> Affine:
    return transform.matrix("upright" if polygons.frame == "raw" else "raw", "upright")


def _resized(share: float) -> Reading:
    return lambda transform, polygons: transform.matrix(polygons.frame, "upright") @ Affine.scaling(share, share)


def _on_picture(make: Callable[[float, float], Affine]) -> Reading:
    """A change of the upright picture, from its (width, height)."""

    def reading(transform: CanonicalTransform, polygons: PolygonSet) -> Affine:
        height, width = transform.upright_size
        return make(width, height) @ transform.matrix(polygons.frame, "upright")

    return reading


READINGS: dict[str, Reading] = {
    DECLARED: lambda transform, polygons: transform.matrix(polygons.frame, "upright"),
    "in the other frame (raw for upright, upright for raw)": _other_frame,
    "with x and y swapped": lambda t, p: t.matrix(p.frame, "upright") @ Affine.of(0, 1, 0, 1, 0, 0),
    "made on a copy of half the size": _resized(2.0),
    "made on a copy of a third of the size": _resized(3.0),
    "made on a copy of a quarter of the size": _resized(4.0),
    "made on a copy of twice the size": _resized(0.5),
    "made on a copy of four times the size": _resized(0.25),
    "in canonical pixels": lambda t, p: t.matrix("canonical", "upright"),
    "with y counted from the bottom": _on_picture(lambda w, h: Affine.of(1, 0, 0, 0, -1, h)),
    "mirrored left to right": _on_picture(lambda w, h: Affine.of(-1, 0, w, 0, 1, 0)),
    "turned by 180 degrees": _on_picture(lambda w, h: Affine.of(-1, 0, w, 0, -1, h)),
    "turned by 90 degrees clockwise": _on_picture(lambda w, h: Affine.of(0, -1, w, 1, 0, 0)),
    "turned by 90 degrees anticlockwise": _on_picture(lambda w, h: Affine.of(0, 1, 0, -1, 0, h)),
}


def ink(picture: Picture) -> tuple[npt.NDArray[np.float32], float]:
    """Where brightness changes, on the upright picture at a reduced size; and that size's scale."""
    upright = np.ascontiguousarray(turn_upright(picture.pixels, picture.header.orientation))
    scale = min(1.0, SIDE / max(upright.shape[:2]))
    if scale < 1:
        size = (max(1, round(upright.shape[1] * scale)), max(1, round(upright.shape[0] * scale)))
        upright = np.asarray(cv2.resize(upright, size, interpolation=cv2.INTER_AREA), np.uint8)
    gray = cv2.GaussianBlur(cv2.cvtColor(upright, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.8)
    strength = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    # A few glaring edges (the border of a receipt on a table) must not outshine all the print.
    cap = float(np.percentile(strength, 95)) or 1.0
    return np.minimum(strength, cap).astype(np.float32), scale


def contrast(strength: npt.NDArray[np.float32], points: Sequence[FloatArray]) -> float:
    """How much more changes inside the outlines than beside them, in standard deviations; 0 if they enclose nothing."""
    mask = np.zeros(strength.shape, np.uint8)
    for outline in points:
        if len(outline) >= 3:
            shape = np.clip(np.round((outline - 0.5) * 16), -(2**26), 2**26).astype(np.int32)
            cv2.fillPoly(mask, [shape], 1, lineType=cv2.LINE_8, shift=4)
    inside = mask > 0
    spread = float(strength.std())
    if not inside.any() or inside.all() or spread == 0:
        return 0.0
    return float(strength[inside].mean() - strength[~inside].mean()) / spread


@dataclass(frozen=True, slots=True)
class Compared:
    """One reading against what is declared, over the pictures on which the two differ."""

    declared: float
    reading: float
    pictures: int

    @property
    def clearly_better(self) -> bool:
        better = self.reading - self.declared
        return better > CLEARLY and better > 0.5 * abs(self.declared)


def judge(cases: Sequence[tuple[Picture, CanonicalTransform, PolygonSet]]) -> Mapping[str, Compared]:
    """Every reading's mean contrast beside that of what is declared; empty without any outlines."""
    sums: dict[str, list[tuple[float, float]]] = {name: [] for name in READINGS}
    for picture, transform, polygons in cases:
        if not len(polygons):
            continue
        strength, scale = ink(picture)
        declared_as = READINGS[DECLARED](transform, polygons)
        declared = _explained(strength, Affine.scaling(scale, scale) @ declared_as, polygons)
        for name, reading in READINGS.items():
            matrix = reading(transform, polygons)
            if name == DECLARED:
                sums[name].append((declared, declared))
            elif not np.allclose(matrix.matrix, declared_as.matrix):
                value = _explained(strength, Affine.scaling(scale, scale) @ matrix, polygons)
                sums[name].append((declared, value))
    means = {name: np.mean(pairs, axis=0) for name, pairs in sums.items() if pairs}
    return {name: Compared(float(a), float(b), len(sums[name])) for name, (a, b) in means.items()}


def _explained(strength: npt.NDArray[np.float32], matrix: Affine, polygons: PolygonSet) -> float:
    """The contrast of outlines moved by a matrix. Those that leave the picture explain nothing, so they count less."""
    moved = matrix.apply(polygons.points)
    height, width = strength.shape
    stays = ((moved >= -2) & (moved <= (width + 2, height + 2))).all(axis=1).mean() if len(moved) else 0.0
    outlines = [moved[a:b] for a, b in zip(polygons.offsets, polygons.offsets[1:], strict=False)]
    return contrast(strength, outlines) * float(stays)


def mistake(scores: Mapping[str, Compared]) -> str | None:
    """The reading that explains the pixels clearly better than what is declared, and best."""
    better = {name: s.reading - s.declared for name, s in scores.items() if s.clearly_better}
    return max(better, key=lambda name: better[name]) if better else None
