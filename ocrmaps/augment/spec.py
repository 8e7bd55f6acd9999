"""Which random changes a training batch goes through: the settings alone, without what draws or moves anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ocrmaps.settings.ranges import Color, Range, Rule, Share, Side, ascending, check

Probability = Annotated[float, Range(ge=0, le=1, noun="probability")]


def _two(low: float, high: float) -> Rule:
    return Rule(f"a smaller and a larger number from {low:g} to {high:g}", test=ascending)


_Scale = Annotated[float, Range(ge=0.1, le=10)]
Scales = Annotated[tuple[_Scale, _Scale], _two(0.1, 10)]
_Sigma = Annotated[float, Range(ge=0.1, le=8)]
Sigmas = Annotated[tuple[_Sigma, _Sigma], _two(0.1, 8)]
_Noise = Annotated[float, Range(ge=0, le=128)]
Noises = Annotated[tuple[_Noise, _Noise], _two(0, 128)]
_Quality = Annotated[int, Range(ge=1, le=100)]
Qualities = Annotated[tuple[_Quality, _Quality], _two(1, 100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSpec:
    """Which random changes a training batch goes through; nothing is on until asked for.

    Only what stored maps stay lawful under is offered: mirroring, turning, uniform scale, shifts and changes of
    color. Stretching and perspective would need maps drawn anew.

    >>> AugmentSpec(flip=0.5, rotate=10, scale=(0.5, 2.0), size=(640, 640)).scale
    (0.5, 2.0)
    """

    size: Annotated[tuple[Side, Side], Rule("two sides of 1 to 16384 pixels, (height, width)")] | None = None
    """(height, width) of what comes out; None keeps the canvas."""
    flip: Probability = 0.0
    """Probability of a left-right mirror image."""
    quarter_turns: Probability = 0.0
    """Probability of a turn by 90, 180 or 270 degrees, each as likely."""
    rotate: Annotated[float, Range(ge=0, le=45)] = 0.0
    """Largest rotation either way, in degrees."""
    scale: Scales = (1.0, 1.0)
    """Smallest and largest enlargement, even on a logarithmic scale."""
    shift: bool = True
    """Anywhere it fits, or where it is larger than `size`, cropped anywhere; False puts middle on middle."""
    brightness: Share = 0.0
    """Largest share by which all values grow or shrink."""
    contrast: Share = 0.0
    """Largest share by which values move from or to mid-gray."""
    saturation: Share = 0.0
    """Largest share by which colors move from or to gray."""
    hue: Annotated[float, Range(ge=0, le=180)] = 0.0
    """Largest turn of the color circle either way, in degrees."""
    blur: Probability = 0.0
    """Probability of a Gaussian blur."""
    blur_sigma: Sigmas = (0.3, 1.2)
    """In pixels of what comes out."""
    noise: Probability = 0.0
    """Probability of Gaussian noise."""
    noise_std: Noises = (2.0, 12.0)
    """In steps of 0 to 255."""
    jpeg: Probability = 0.0
    """Probability of what JPEG compression leaves of a picture."""
    jpeg_quality: Qualities = (30, 90)
    """As encoders count it, 1 to 100."""
    fill: Color = (0, 0, 0)
    """RGB where there is no picture; the padding color of the recipe looks least strange."""
    cut_text: Literal["ignore", "learn"] = "ignore"
    """What becomes of text that a crop cuts or a reduction takes the kernel from."""

    def __post_init__(self) -> None:
        check(self, "augment")

    def may_cut(self, source: tuple[int, int]) -> bool:
        """Whether some draw can leave a part of a canvas of (height, width) outside, or a kernel without a pixel."""
        size = self.size or source
        turned = self.quarter_turns > 0 and source[0] != source[1]
        return bool(self.rotate or self.scale != (1.0, 1.0) or turned or size[0] < source[0] or size[1] < source[1])
