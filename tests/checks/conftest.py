"""Small sources on disk, made to order."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

Points = Sequence[Sequence[float]]


def box(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def picture(width: int, height: int, *, orientation: int | None = None, seed: int = 0, format: str = "PNG") -> bytes:
    """Stored pixels of this size with something to see, and an EXIF orientation."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (max(2, height // 16), max(2, width // 16), 3), dtype=np.uint8)
    image = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, format, exif=exif)
    return buffer.getvalue()


def receipt(lines: Sequence[str], *, size: tuple[int, int] = (600, 900)) -> Image.Image:
    """A printed page: what many real pictures of one shop look like."""
    image = Image.new("RGB", size, (250, 249, 246))
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((60, 50 + 34 * i), line, fill=(25, 25, 30), font_size=24)
    return image


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Path]:
    """Writes a UFO source: pictures by name (bytes), outlines by name, claimed (width, height) by name."""

    def make(
        pictures: Mapping[str, bytes],
        outlines: Mapping[str, Sequence[Any]],
        *,
        claimed: Mapping[str, tuple[int, int]] | None = None,
        folder: str = "set",
    ) -> Path:
        root = tmp_path / folder
        (root / "images").mkdir(parents=True)
        for name, data in pictures.items():
            path = root / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        images: dict[str, Any] = {}
        for name, polygons in outlines.items():
            words = {
                f"{i + 1:04d}": polygon if isinstance(polygon, dict) else {"points": polygon}
                for i, polygon in enumerate(polygons)
            }
            images[name] = {"words": words}
            if claimed and name in claimed:
                images[name] |= dict(zip(("img_w", "img_h"), claimed[name], strict=True))
        (root / "labels.json").write_text(json.dumps({"images": images}), encoding="utf-8")
        return root

    return make
