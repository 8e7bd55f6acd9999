"""Pictures with outlines drawn on them, in any frame, and small encoded copies for pages.

A picture and its outlines must be in the same frame: drawing refuses anything else, because an overlay in the wrong
frame is how coordinate mistakes hide.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, plan, render, turn_upright
from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import FloatArray, Frame, PolygonSet, Size
from ocrmaps.pictures import Picture
from ocrmaps.text import visible

Pixels = npt.NDArray[np.uint8]
Label = Literal["none", "number", "text", "score"]
THIN = 8
"""Lines are at most this part of the height of a picture's small text, so that they leave it visible."""

TEXT = (31, 111, 235)
IGNORED = (217, 119, 0)
PICKED = (214, 0, 110)
COLORS = (("#1f6feb", "text"), ("#d97700", "ignored"), ("#d6006e", "pointed at"))
"""For the key of a page: what the colors of outlines mean."""
_PRECISION = 4  # OpenCV draws at fixed-point positions with this many fractional bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """Pixels and the frame they are seen in."""

    pixels: Pixels
    """(h, w, 3) RGB."""
    frame: Frame
    transform: CanonicalTransform

    def __post_init__(self) -> None:
        if self.pixels.shape[:2] != self.transform.size(self.frame):
            raise FrameError(
                f"found pixels of size {self.pixels.shape[:2]}, the {self.frame} picture has "
                f"{self.transform.size(self.frame)}",
                hint="the picture file changed since it was looked at: run the check again",
            )


def see(picture: Picture, frame: Frame, spec: CanonicalSpec) -> Canvas:
    """A fully decoded picture as it looks in a frame; `spec` decides the canonical one."""
    transform = plan(picture.header.size, picture.header.orientation, spec)
    if frame == "canonical":
        pixels = render(picture, transform, spec)
    else:
        pixels = picture.pixels
        if frame == "upright":
            pixels = np.ascontiguousarray(turn_upright(pixels, picture.header.orientation))
    return Canvas(pixels=pixels, frame=frame, transform=transform)


def overlay(
    canvas: Canvas,
    polygons: PolygonSet,
    *,
    label: Label = "none",
    picked: Collection[int] = (),
    width: int | None = None,
    scores: Sequence[float] | npt.NDArray[np.floating[Any]] = (),
) -> Pixels:
    """A copy of the pixels with the outlines on top, in lines of this width, thinner where text is small; `picked`
    ones stand out, `scores` are what the label `score` says.

    The frames of pixels and outlines must agree.
    """
    if polygons.frame != canvas.frame:
        raise FrameError(
            f"found outlines in the frame {polygons.frame} for a picture in the frame {canvas.frame}",
            hint="map them with the picture's CanonicalTransform.apply first",
        )
    if label == "score" and len(scores) != len(polygons):
        raise SpecError(f"found {len(scores)} scores for {len(polygons)} outlines, expected one for each")
    out = np.ascontiguousarray(canvas.pixels).copy()
    width = width or max(1, round(max(out.shape[:2]) / 500))
    order = sorted(range(len(polygons)), key=lambda i: i in picked)
    strokes = [_strokes(polygons[i], out.shape[:2]) for i in order]
    if len(polygons):
        # One width for all: lines of several look as if they meant something.
        width = max(1, min(width, int(np.percentile(_heights(polygons), 10) / THIN)))
    thickness = [2 * width if i in picked else width for i in order]
    # A pale casing first, so that lines show on dark and on colored ground alike; on the outside only, for inside it
    # would cover the edges of the text, which are what an outline is looked at for.
    cased = out.copy()
    for lines, thick in zip(strokes, thickness, strict=True):
        cv2.polylines(cased, lines, False, (255, 255, 255), thick + 2, cv2.LINE_AA, _PRECISION)
    cv2.copyTo(cased, _outside(polygons, out.shape[:2]), out)
    for i, lines, thick in zip(order, strokes, thickness, strict=True):
        color = PICKED if i in picked else IGNORED if polygons.ignore[i] else TEXT
        cv2.polylines(out, lines, False, color, thick, cv2.LINE_AA, _PRECISION)
    return out if label == "none" else _labelled(out, polygons, label, 10 * width + 8, scores)


def _outside(polygons: PolygonSet, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """1 where none of the outlines has its inside, else 0; points far outside of the picture are drawn nearer."""
    height, width = size
    mask = np.ones((height, width), dtype=np.uint8)
    for points in polygons:
        near = np.clip(points - 0.5, (-width, -height), (2 * width, 2 * height))
        if len(near):
            cv2.fillPoly(mask, [np.round(near * 2**_PRECISION).astype(np.int32)], (0,), cv2.LINE_8, _PRECISION)
    return mask


def _strokes(points: FloatArray, size: tuple[int, int]) -> list[npt.NDArray[np.int32]]:
    """The closed outline as segments cut to a margin around the picture, in OpenCV's fixed point.

    OpenCV counts pixel centers as whole numbers, hence the half; its integers overflow far outside, hence the cut.
    """
    height, width = size
    if not len(points):
        return []
    begin, end = points - 0.5, np.roll(points, -1, axis=0) - 0.5
    low, high = np.array([-width, -height], dtype=np.float64), np.array([2 * width, 2 * height], dtype=np.float64)
    step = end - begin
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (low - begin) / step, (high - begin) / step
    # A segment along an axis is inside or outside of that axis's slab as a whole (the quotients are infinite or nan).
    still = step == 0
    within = (begin >= low) & (begin <= high)
    first = np.where(still, np.where(within, -np.inf, np.inf), first)
    second = np.where(still, np.inf, second)
    enter = np.maximum(np.minimum(first, second).max(axis=1), 0.0)
    leave = np.minimum(np.maximum(first, second).min(axis=1), 1.0)
    seen = enter <= leave
    a = begin[seen] + step[seen] * enter[seen, None]
    b = begin[seen] + step[seen] * leave[seen, None]
    fixed = np.round(np.stack([a, b], axis=1) * 2**_PRECISION).astype(np.int32)
    return list(fixed)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: Latin, Greek and Cyrillic look the same on every machine."""
    found = find_spec("matplotlib")
    path = Path(found.origin or "").parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" if found else None
    if path is None or not path.is_file():
        raise SpecError("found no font to write labels with", hint="install matplotlib, or ask for --label none")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _heights(polygons: PolygonSet) -> FloatArray:
    """(k): about how high the text in each outline is."""
    perimeters = polygons.perimeters()
    return 2 * np.divide(polygons.areas(), perimeters, out=np.zeros(len(polygons)), where=perimeters > 0)


def _labelled(
    pixels: Pixels,
    polygons: PolygonSet,
    label: Label,
    largest: int,
    scores: Sequence[float] | npt.NDArray[np.floating[Any]],
) -> Pixels:
    """Numbers or scores left of the outlines, or transcriptions above them, as high as the text where that is legible.

    Letters that the font does not have (Chinese, Japanese, Korean and others) show as boxes.
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    thickness = _heights(polygons)
    for i, points in enumerate(polygons):
        text = str(i) if label == "number" else polygons.texts[i]
        if label == "score":
            text = f"{scores[i]:.2f}".removeprefix("0")
        if not len(points) or text is None:
            continue
        # A score is looked up, not read along.
        font = _font(int(np.clip(thickness[i] * (0.6 if label == "score" else 1), 9, max(9, largest))))
        before = label != "text"
        x, y = points[np.argmin(points[:, 0] if before else points[:, 1])]
        if before:
            y = float(points[:, 1].min() + min(np.ptp(points[:, 1]), 2 * thickness[i]) / 2)
        box = draw.textbbox((x - 3, y - 2), visible(text, 60), font=font, anchor="rm" if before else "lb")
        # Kept on the picture as a whole.
        dx = min(max(0.0, -box[0]), image.width) + min(0.0, image.width - box[2])
        dy = min(max(0.0, -box[1]), image.height) + min(0.0, image.height - box[3])
        place = (x - 3 + dx, y - 2 + dy)
        color = IGNORED if polygons.ignore[i] else TEXT
        draw.text(
            place, visible(text, 60), font=font, anchor="rm" if before else "lb", fill=color, stroke_width=2,
            stroke_fill=(255, 255, 255),
        )  # fmt: skip
    return np.asarray(image)


def window(points: FloatArray, size: Size, *, least: float = 160) -> tuple[slice, slice]:
    """The part of a picture of this (height, width) around some points, with room: rows and columns.

    At least `least` pixels a side where the picture has them.
    """
    height, width = size
    limit = np.array([width, height], dtype=np.float64)
    if not len(points):
        return slice(0, height), slice(0, width)
    inside = np.clip(points, 0, limit)
    middle = (inside.min(axis=0) + inside.max(axis=0)) / 2
    reach = np.ptp(inside, axis=0) * 0.75
    reach = np.maximum(np.maximum(reach, reach.max() / 2), least / 2)
    middle = np.clip(middle, np.minimum(reach, limit / 2), np.maximum(limit - reach, limit / 2))
    x0, y0 = np.maximum(np.floor(middle - reach), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(middle + reach), limit).astype(int).tolist()
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def shrink(pixels: Pixels, side: int) -> Pixels:
    """Reduced to this longer side; small pictures stay as they are."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def enlarged(canvas: Canvas, times: int) -> Canvas:
    """The same canonical picture with sides that many times as long; outlines go through its transform."""
    t = canvas.transform
    (h, w), (x, y), (height, width) = t.resized, t.offset, t.canvas
    larger = replace(
        t,
        resized=(h * times, w * times),
        offset=(x * times, y * times),
        canvas=(height * times, width * times),
    )
    pixels = cv2.resize(canvas.pixels, larger.canvas[::-1], interpolation=cv2.INTER_CUBIC)
    return Canvas(pixels=np.asarray(pixels, np.uint8), frame="canonical", transform=larger)


def titled(pixels: Pixels, title: str) -> Pixels:
    """The picture under a strip that says what it is."""
    strip = np.full((26, pixels.shape[1], 3), 32, dtype=np.uint8)
    cv2.putText(strip, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 240, 240), 1, cv2.LINE_AA)
    return np.concatenate([strip, pixels])


def beside(left: Pixels, right: Pixels, height: int = 320) -> Pixels:
    """Two pictures at one height with a gap between them."""
    both = []
    for pixels in (left, right):
        width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
        both.append(np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
    gap = np.full((height, 6, 3), 128, dtype=np.uint8)
    return np.concatenate([both[0], gap, both[1]], axis=1)


def jpeg(pixels: Pixels, quality: int = 80) -> bytes:
    """Encoded for a page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def png(pixels: Pixels) -> bytes:
    """Encoded without loss, for a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
