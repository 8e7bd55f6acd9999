"""What receipts to invent: every setting of the generator, checked.

Picture number i depends on these settings other than `num`, and on i, alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from ocrmaps.settings.ranges import Range, Rule, Share, ascending, check

_Side = Annotated[int, Range(ge=128, le=8192)]
_Rows = Annotated[int, Range(ge=1, le=500)]
_Height = Annotated[float, Range(ge=6, le=1024)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthSpec:
    """What receipts to invent. Lengths are pixels of the upright picture; shares and chances are 0 to 1.

    >>> SynthSpec(num=-1, turned=2)
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: these settings make no sense:
      num: found -1, expected a whole number from 0 to 1000000
      turned: found 2, expected a number from 0 to 1
    """

    num: Annotated[int, Range(ge=0, le=1_000_000)] = 100
    seed: Annotated[int, Range(ge=0, le=2**32 - 1)] = 0
    level: Literal["line", "word"] = "line"
    """`line`: one outline for words that are read together; `word`: one for each word."""
    frame: Literal["upright", "raw"] = "upright"
    """`upright`: points count what a viewer shows; `raw`: points count the stored pixels."""
    size: Annotated[tuple[_Side, _Side], Rule("(height, width) in whole pixels of 128 to 8192")] = (1280, 640)
    """Largest (height, width) of upright pictures; the two are swapped for wide papers."""
    spread: Annotated[float, Range(ge=0, le=0.5)] = 0.15
    """Each side of a picture is up to this share shorter."""
    lines: Annotated[tuple[_Rows, _Rows], Rule("fewest and most as whole numbers of 1 to 500", test=ascending)] = (
        15,
        45,
    )
    """Fewest and most rows of text; fewer where they do not fit."""
    text_height: Annotated[
        tuple[_Height, _Height], Rule("smallest and largest of 6 to 1024 pixels", test=ascending)
    ] = (12.0, 40.0)
    """Heights of capital letters, from small print to titles."""
    wide: Share = 0.2
    """Share of pictures of papers that are wider than tall."""
    desk: Share = 0.75
    """Share of pictures that show a desk around the paper; in the others it fills the picture."""
    turned: Share = 0.25
    """Share of pictures stored turned or mirrored, with an EXIF orientation of 2 to 8."""
    empty: Share = 0.03
    """Share of pictures without text."""
    illegible: Share = 0.03
    """Share of lines smudged beyond reading and marked as ignored, without a text."""
    curved: Share = 0.1
    """Share of pictures of papers that curl, with the title on an arc."""
    cut: Share = 0.0
    """Share of pictures that lose a part of the text beyond an edge: outlines then leave the picture, and what is
    less than half visible is ignored."""
    distractors: Share = 0.5
    """Chance of each separator, barcode, logo and thing on the desk."""
    rotation: Annotated[float, Range(ge=0, le=180)] = 5.0
    """Largest turn of the paper either way, in degrees."""
    skew: Annotated[float, Range(ge=0, le=30)] = 2.0
    """Largest shear, in degrees."""
    crumple: Annotated[float, Range(ge=0, le=16)] = 4.0
    """Largest displacement by crumpling."""
    shading: Share = 0.35
    """0: even light; 1: hardly more light than shadow."""
    noise: Annotated[float, Range(ge=0, le=40)] = 6.0
    """Largest standard deviation of the noise, in gray levels."""
    blur: Annotated[float, Range(ge=0, le=8)] = 1.0
    """Largest standard deviation of the blur."""

    def __post_init__(self) -> None:
        check(self, "", _too_tall)


def _too_tall(spec: SynthSpec) -> Iterator[tuple[str, str]]:
    tallest = min(spec.size) // 8
    if spec.text_height[1] > tallest:
        yield "text_height", f"found {spec.text_height}, expected smallest and largest of 6 to {tallest} pixels"
