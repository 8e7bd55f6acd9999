"""From a stored picture to the canonical one: policy (`CanonicalSpec`), decision (`plan`), pixels (`render`).

`plan` needs only the picture's size and orientation. The `CanonicalTransform` it returns is the record of what
rendering does and the only source of coordinates between the frames raw, upright and canonical: nobody
recomputes it from settings. All matrices follow the pixel convention of `geometry`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ocrmaps.errors import FrameError
from ocrmaps.geometry import FRAMES, Affine, Frame, PolygonSet, Size, upright_affine, upright_size
from ocrmaps.pictures import Picture
from ocrmaps.settings.ranges import Color, Positive, Range, Rule, Side, check

Scale = Literal["longest", "shortest", "fit", "native"]
Anchor = Literal["top-left", "center"]
Interpolation = Literal["nearest", "box", "linear", "cubic", "lanczos"]
_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "linear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalSpec:
    """Policy for canonical pictures: which canvases there are and how a picture is put on one.

    >>> CanonicalSpec(canvases=[(640, 640), (640, 320)], side=640).canvases
    ((640, 640), (640, 320))
    """

    canvases: Annotated[tuple[tuple[Side, Side], ...], Rule("at least one (height, width)", least=1)]
    """Allowed (height, width), each a multiple of 32 in real recipes; a sample goes to the one that wastes least."""
    scale: Scale = "longest"
    """longest/shortest: that side of the upright picture becomes `side`; fit: as large as a canvas allows, up to
    `max_scale`; native: as stored. A picture that then fits no canvas is reduced until it fits one."""
    side: Annotated[int, Range(ge=1, noun="whole number of pixels")] | None = None
    """Target length for `longest` and `shortest`; None takes the longest (shortest) side of the largest canvas."""
    max_scale: Positive | None = None
    """Never enlarge by more than this (1.0: never enlarge); None for no limit."""
    anchor: Anchor = "top-left"
    """Where on the canvas the picture lies; the rest is padding."""
    shrink: Interpolation = "linear"
    """Interpolation when the picture gets smaller."""
    enlarge: Interpolation = "linear"
    """Interpolation when the picture gets larger."""
    fill: Color = (0, 0, 0)
    """RGB of the padding."""
    decode: Literal["full", "reduced"] = "full"
    """`reduced` lets JPEGs decode at 1/2, 1/4 or 1/8 while at least twice the needed resolution remains."""

    def __post_init__(self) -> None:
        check(self, "canonical", _contradictions)

    @classmethod
    def longest(cls, side: int, *, shapes: Sequence[float] = (1.0, 0.75, 0.5, 0.375), **settings: Any) -> CanonicalSpec:
        """Longest side `side`, on a square canvas and its narrower portrait and landscape relatives.

        >>> CanonicalSpec.longest(640, shapes=(1.0, 0.5)).canvases
        ((640, 640), (640, 320), (320, 640))
        """
        canvases: dict[Size, None] = {}
        for share in shapes:
            other = min(side, max(32, round(side * share / 32) * 32))
            canvases[(side, other)] = None
            canvases[(other, side)] = None
        return cls(canvases=tuple(canvases), scale="longest", side=side, **settings)


def _contradictions(spec: CanonicalSpec) -> Iterator[tuple[str, str]]:
    if len(set(spec.canvases)) != len(spec.canvases):
        yield "canvases", f"found the same canvas twice in {spec.canvases}"
    if spec.side is not None and spec.scale not in ("longest", "shortest"):
        yield "side", f"has no meaning with scale = {spec.scale!r}"


_FIELDS = ("orientation", "raw_size", "resized", "offset", "canvas")


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalTransform:
    """What rendering decided for one picture; the 3x3 matrix between any two of its frames follows from it."""

    orientation: int
    """EXIF orientation that was applied, 1 to 8."""
    raw_size: Size
    resized: Size
    """(height, width) of the picture area inside the canvas."""
    offset: tuple[int, int]
    """(x, y) of the picture area's top left corner on the canvas."""
    canvas: Size

    def __post_init__(self) -> None:
        for name in ("raw_size", "resized", "offset", "canvas"):
            pair = getattr(self, name)
            object.__setattr__(self, name, (int(pair[0]), int(pair[1])))
        if min(*self.raw_size, *self.resized, *self.canvas) < 1 or not 1 <= self.orientation <= 8:
            raise FrameError(f"not a transform: {self}")

    @property
    def upright_size(self) -> Size:
        return upright_size(self.orientation, self.raw_size)

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y) canonical pixels per upright pixel: the sizes actually produced, not the settings."""
        height, width = self.upright_size
        return self.resized[1] / width, self.resized[0] / height

    def matrix(self, source: Frame, target: Frame) -> Affine:
        """The map from frame `source` to frame `target`."""
        for frame in (source, target):
            if frame not in FRAMES:
                raise FrameError(f"found frame {frame!r}, expected one of {', '.join(FRAMES)}")
        if target == "upright":
            return self._from_upright(source).inverse()
        there = self._from_upright(target)
        return there if source == "upright" else there @ self._from_upright(source).inverse()

    def apply(self, polygons: PolygonSet, to: Frame) -> PolygonSet:
        """The same polygons in another frame of this picture; unchanged points when the frame is the same."""
        if polygons.frame == to:
            return polygons
        return polygons.transform(self.matrix(polygons.frame, to), to)

    def size(self, frame: Frame) -> Size:
        """(height, width) of the picture in that frame."""
        return {"raw": self.raw_size, "upright": self.upright_size, "canonical": self.canvas}[frame]

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CanonicalTransform:
        return cls(**{name: data[name] for name in _FIELDS})

    def _from_upright(self, frame: Frame) -> Affine:
        if frame == "upright":
            return Affine.identity()
        if frame == "raw":
            return upright_affine(self.orientation, self.raw_size).inverse()
        (x, y), (sx, sy) = self.offset, self.scale
        return Affine.of(sx, 0, x, 0, sy, y)


def plan(raw_size: Size, orientation: int, spec: CanonicalSpec) -> CanonicalTransform:
    """Choose canvas and scale for a picture of this raw (height, width) and EXIF orientation.

    Among the canvases that hold the picture at the rule's scale, the smallest wins; if none does, the picture is
    reduced to the canvas on which it stays largest.
    """
    height, width = upright_size(orientation, raw_size)
    wanted = _wanted_scale(height, width, spec)
    # Sides are rounded later: a canvas that is short by less than half a pixel still holds the picture.
    least = None if wanted is None else (round(height * wanted), round(width * wanted))
    best: tuple[float, int, int] | None = None
    for index, (canvas_height, canvas_width) in enumerate(spec.canvases):
        room = min(canvas_height / height, canvas_width / width)
        scale = room if wanted is None else min(wanted, room)
        if spec.max_scale is not None:
            scale = min(scale, spec.max_scale)
        if wanted is not None and least is not None and least[0] <= canvas_height and least[1] <= canvas_width:
            scale = wanted
        rank = (-scale, canvas_height * canvas_width, index)
        if best is None or rank < best:
            best = rank
    assert best is not None  # a spec has at least one canvas
    scale, canvas = -best[0], spec.canvases[best[2]]
    resized = (
        min(canvas[0], max(1, round(height * scale))),
        min(canvas[1], max(1, round(width * scale))),
    )
    centered = spec.anchor == "center"
    offset = ((canvas[1] - resized[1]) // 2, (canvas[0] - resized[0]) // 2) if centered else (0, 0)
    return CanonicalTransform(orientation=orientation, raw_size=raw_size, resized=resized, offset=offset, canvas=canvas)


def _wanted_scale(height: int, width: int, spec: CanonicalSpec) -> float | None:
    """The scale the rule asks for before canvases limit it; None when only the canvas decides."""
    if spec.scale == "fit":
        return None
    if spec.scale == "native":
        scale = 1.0
    elif spec.scale == "longest":
        scale = (spec.side or max(max(canvas) for canvas in spec.canvases)) / max(height, width)
    else:
        scale = (spec.side or max(min(canvas) for canvas in spec.canvases)) / min(height, width)
    return scale if spec.max_scale is None else min(scale, spec.max_scale)


def needed_resolution(transform: CanonicalTransform) -> Size:
    """(height, width) in the raw frame below which a reduced decode would cost sharpness: twice the result."""
    height, width = transform.resized
    return upright_size(transform.orientation, (2 * height, 2 * width))


def render(picture: Picture, transform: CanonicalTransform, spec: CanonicalSpec) -> npt.NDArray[np.uint8]:
    """The canonical picture, (height, width, 3) RGB uint8: turned upright, resized, padded."""
    if picture.header.size != transform.raw_size or picture.header.orientation != transform.orientation:
        raise FrameError(
            f"the transform was planned for raw size {transform.raw_size}, orientation {transform.orientation}; "
            f"the picture has {picture.header.size}, orientation {picture.header.orientation}",
            hint="the picture file changed since it was planned: plan again",
        )
    from ocrmaps.resampling import resize  # numba: only whoever makes pixels needs it

    height, width = transform.resized
    full_height, full_width = transform.upright_size
    method = _INTERPOLATIONS[spec.shrink if height * width < full_height * full_width else spec.enlarge]
    # Resized while still in the raw frame: turning the small result is cheaper. The box is the part of the decoded
    # pixels that the raw picture covers; a reduced decode's last row and column reach beyond it.
    target = upright_size(transform.orientation, transform.resized)
    raw_height, raw_width = transform.raw_size
    box = (0.0, 0.0, raw_width / picture.reduction, raw_height / picture.reduction)
    out = np.empty((*transform.canvas, 3), dtype=np.uint8)
    x, y = transform.offset
    if transform.orientation == 1:
        resize(picture.image, target, method, box, out, (y, x))
    else:
        small = resize(picture.image, target, method, box)
        out[y : y + height, x : x + width] = _turned(small, transform.orientation)
    gray = spec.fill[0] if len(set(spec.fill)) == 1 else None
    for padding in (out[:y], out[y + height :], out[y : y + height, :x], out[y : y + height, x + width :]):
        padding[:] = spec.fill if gray is None else gray  # one number for all bytes is written ten times as fast
    return out


def turn_upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Raw pixels as a viewer shows them (a view where possible): the pixel side of `upright_affine`."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_x, flip_y = _flips(orientation)
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _turned(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[Any]:
    """`turn_upright` of a color picture, copied: reading such a view pixel by pixel takes ten times as long."""
    import cv2  # only whoever meets a turned picture needs it

    turned = cv2.transpose(pixels) if orientation >= 5 else pixels
    flip_x, flip_y = _flips(orientation)
    return cv2.flip(turned, -1 if flip_x and flip_y else int(flip_x)) if flip_x or flip_y else turned


def _flips(orientation: int) -> tuple[bool, bool]:
    """Whether columns, and whether rows, change their order: after the swap of 5 to 8 only mirrorings remain.

    Which ones follows from the corner of the first pixel.
    """
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
