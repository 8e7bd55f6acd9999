"""What is on an invented receipt besides legible text: lines, dashes, barcodes, logos and smudges.

Everything stays inside the box it is given.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.annotations.synth.text import Mark

Ink = npt.NDArray[np.uint8]
"""(height, width): 0 where the paper is blank, 255 where it is fully inked."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 of pixels, end exclusive."""

MARK_HEIGHT: dict[Mark, float] = {"rule": 0.6, "dashes": 0.6, "gap": 0.6, "barcode": 2.6, "logo": 3.4}
"""In rows of body text."""


def smudge(ink: Ink, box: Box, rng: np.random.Generator, spare: int) -> Box:
    """Make a line illegible in place, within a box a little larger than before, which is returned."""
    height = box[3] - box[1]
    x0, y0 = max(0, box[0] - height // 2), max(0, box[1] - spare)
    x1, y1 = min(ink.shape[1], box[2] + height // 2), min(ink.shape[0], box[3] + spare)
    part = ink[y0:y1, x0:x1]
    if rng.random() < 0.6:
        part[:] = cv2.GaussianBlur(part, (0, 0), sigmaX=0.45 * height, sigmaY=0.12 * height)
    else:
        count = max(6, 3 * (x1 - x0) // max(1, height))
        x = np.linspace(2, x1 - x0 - 2, count) + rng.uniform(-0.3, 0.3, count) * height
        y = rng.uniform(2, y1 - y0 - 2, count)
        strokes = np.stack([x.clip(2, x1 - x0 - 3), y], axis=1).astype(np.int32)
        cv2.polylines(part, [strokes], False, 255, max(2, height // 8), cv2.LINE_AA)
    return x0, y0, x1, y1


def _rule(ink: Ink, rng: np.random.Generator, box: Box) -> None:
    y = (box[1] + box[3]) // 2
    ink[y : y + int(rng.integers(1, 4)), box[0] : box[2]] = 255


def _dashes(ink: Ink, rng: np.random.Generator, box: Box) -> None:
    dash, gap, thick = (int(rng.integers(*span)) for span in ((3, 9), (2, 6), (1, 3)))
    y, double = (box[1] + box[3]) // 2, int(rng.integers(2))
    for row in (y - 2 * thick, y + thick) if double else (y,):
        for x in range(box[0], box[2] - dash, dash + gap):
            ink[row : row + thick, x : x + dash] = 255


def _barcode(ink: Ink, rng: np.random.Generator, box: Box) -> None:
    unit = max(1, (box[2] - box[0]) // 260)
    bars = np.repeat(np.arange(90) % 2, rng.integers(1, 4, size=90))[: (box[2] - box[0]) // (2 * unit)]
    x = (box[0] + box[2] - len(bars) * unit) // 2
    ink[box[1] : box[3], x : x + len(bars) * unit] = np.repeat(bars * 255, unit)


def _logo(ink: Ink, rng: np.random.Generator, box: Box) -> None:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    radius = (box[3] - box[1]) / 2 - 2
    count = int(rng.integers(3, 9))
    turn = np.arange(2 * count) * np.pi / count
    reach = np.where(np.arange(2 * count) % 2, rng.uniform(0.3, 0.8), 0.9) * radius
    star = np.stack([x + reach * np.sin(turn), y - reach * np.cos(turn)], axis=1)
    cv2.fillPoly(ink, [(star * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
    if rng.random() < 0.6:
        cv2.circle(ink, (round(x), round(y)), round(radius), 255, max(1, round(radius / 12)), cv2.LINE_AA)


def _gap(ink: Ink, rng: np.random.Generator, box: Box) -> None:
    """Nothing is drawn: the row itself is the gap."""


MARKS: dict[Mark, Callable[[Ink, np.random.Generator, Box], None]] = {
    "rule": _rule,
    "dashes": _dashes,
    "barcode": _barcode,
    "logo": _logo,
    "gap": _gap,
}
