"""What a picture looks like from afar: hashes of the upright picture that propose likely copies, never decide."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import turn_upright
from ocrmaps.pictures import Picture

BLANK = 1.0
"""Contrast below which a picture shows nothing."""
_WAVES = np.cos(np.pi * (2 * np.arange(32)[None] + 1) * np.arange(8)[:, None] / 64)
"""The first eight cosine waves over 32 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imprint:
    """What a picture looks like from afar, upright: hashes that survive resizing, recompression and recoloring."""

    waves: int
    """64 bits: which low frequencies are above the median."""
    slopes: int
    """64 bits: where brightness rises to the right, on 8 x 8 cells."""
    fine: bytes
    """256 bits: the same on 16 x 16 cells."""
    contrast: float
    """Standard deviation of gray levels on 32 x 32 cells; 0 for a blank picture."""


def imprint(picture: Picture) -> Imprint:
    """Hashes of the upright picture."""
    gray = np.asarray(picture.image.convert("L"))
    turn = picture.header.orientation

    def cells(height: int, width: int) -> npt.NDArray[np.float64]:
        # Resized as stored, then turned: the area average does not care, and the small array is cheaper to turn.
        tall, wide = (width, height) if turn >= 5 else (height, width)
        return turn_upright(cv2.resize(gray, (wide, tall), interpolation=cv2.INTER_AREA), turn).astype(np.float64)

    square = cells(32, 32)
    waves = (_WAVES @ square @ _WAVES.T).ravel()
    eight, sixteen = cells(8, 9), cells(16, 17)
    return Imprint(
        # The mean brightness (the first wave) says nothing about the content.
        waves=_bits(waves > np.median(waves[1:])),
        slopes=_bits(eight[:, 1:] > eight[:, :-1]),
        fine=np.packbits(sixteen[:, 1:] > sixteen[:, :-1]).tobytes(),
        contrast=float(square.std()),
    )


def _bits(flags: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(flags).tobytes(), "big")
