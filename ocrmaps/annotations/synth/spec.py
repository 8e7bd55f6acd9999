"""What receipts to invent: every setting of the generator, checked.

Picture number i depends on these settings other than `num`, and on i, alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ocrmaps.errors import SpecError
from ocrmaps.geometry import Frame, Size

FRAMES = ("upright", "raw")
LEVELS = ("line", "word")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthSpec:
    """What receipts to invent. Lengths are pixels of the upright picture; shares and chances are 0 to 1.

    >>> SynthSpec(num=-1, turned=2)
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: num: found -1, expected a whole number of 0 to 1000000; turned: found 2, expected 0 to 1
    """

    num: int = 100
    seed: int = 0
    level: str = "line"
    """`line`: one outline for words that are read together; `word`: one for each word."""
    frame: Frame = "upright"
    """`upright`: points count what a viewer shows; `raw`: points count the stored pixels."""
    size: Size = (1280, 640)
    """Largest (height, width) of upright pictures; the two are swapped for wide papers."""
    spread: float = 0.15
    """Each side of a picture is up to this share shorter."""
    lines: tuple[int, int] = (15, 45)
    """Fewest and most rows of text; fewer where they do not fit."""
    text_height: tuple[float, float] = (12.0, 40.0)
    """Heights of capital letters, from small print to titles."""
    wide: float = 0.2
    """Share of pictures of papers that are wider than tall."""
    desk: float = 0.75
    """Share of pictures that show a desk around the paper; in the others it fills the picture."""
    turned: float = 0.25
    """Share of pictures stored turned or mirrored, with an EXIF orientation of 2 to 8."""
    empty: float = 0.03
    """Share of pictures without text."""
    illegible: float = 0.03
    """Share of lines smudged beyond reading and marked as ignored, without a text."""
    curved: float = 0.1
    """Share of pictures of papers that curl, with the title on an arc."""
    cut: float = 0.0
    """Share of pictures that lose a part of the text beyond an edge: outlines then leave the picture, and what is
    less than half visible is ignored."""
    distractors: float = 0.5
    """Chance of each separator, barcode, logo and thing on the desk."""
    rotation: float = 5.0
    """Largest turn of the paper either way, in degrees."""
    skew: float = 2.0
    """Largest shear, in degrees."""
    crumple: float = 4.0
    """Largest displacement by crumpling."""
    shading: float = 0.35
    """0: even light; 1: hardly more light than shadow."""
    noise: float = 6.0
    """Largest standard deviation of the noise, in grey levels."""
    blur: float = 1.0
    """Largest standard deviation of the blur."""

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise SpecError("; ".join(faults))


_RANGES: dict[str, tuple[float, float]] = {
    "spread": (0, 0.5), "wide": (0, 1), "desk": (0, 1), "turned": (0, 1), "empty": (0, 1), "illegible": (0, 1),
    "curved": (0, 1), "cut": (0, 1), "distractors": (0, 1), "rotation": (0, 180), "skew": (0, 30),
    "crumple": (0, 16), "shading": (0, 1), "noise": (0, 40), "blur": (0, 8),
}  # fmt: skip


def _faults(spec: SynthSpec) -> list[str]:
    """Everything that is wrong with the settings."""
    faults = []

    def expect(holds: bool, name: str, expected: str) -> bool:
        if not holds:
            faults.append(f"{name}: found {getattr(spec, name)!r}, expected {expected}")
        return holds

    expect(_whole(spec.num, 0, 1_000_000), "num", "a whole number of 0 to 1000000")
    expect(_whole(spec.seed, 0, 2**32 - 1), "seed", "a whole number of 0 to 4294967295")
    expect(spec.level in LEVELS, "level", " or ".join(LEVELS))
    expect(spec.frame in FRAMES, "frame", " or ".join(FRAMES))
    sized = expect(_pair(spec.size, _whole, 128, 8192), "size", "(height, width) in whole pixels of 128 to 8192")
    expect(_pair(spec.lines, _whole, 1, 500), "lines", "fewest and most as whole numbers of 1 to 500")
    tallest = math.floor(min(spec.size) / 8) if sized else 1024
    expect(
        _pair(spec.text_height, _number, 6, tallest), "text_height", f"smallest and largest of 6 to {tallest} pixels"
    )
    for name in ("lines", "text_height"):
        value = getattr(spec, name)
        if _pair(value, _number, 0, math.inf):
            expect(value[0] <= value[1], name, "the smaller value first")
    for name, (least, most) in _RANGES.items():
        expect(_number(getattr(spec, name), least, most), name, f"{least:g} to {most:g}")
    return faults


def _number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _whole(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int) and _number(value, least, most)


def _pair(value: Any, kind: Callable[[Any, float, float], bool], least: float, most: float) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(kind(v, least, most) for v in value)
