"""Our linear filter gives what Pillow's gives, whatever the sizes, the part and the order of its passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, __version__

from ocrmaps import resampling
from ocrmaps.resampling import resize

LINEAR = Image.Resampling.BILINEAR
SIDES = st.integers(1, 90)


def noise(height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = 255 * (pixels[: height // 2, : width // 2] > 127)
    return Image.fromarray(pixels)


def plain(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """Pillow's passes one by one; which comes first is what its version 13 changed."""
    (height, width), (left, top, right, bottom) = size, box
    if image.height > height and image.height - height > 2 * (image.width - width):
        low = image.resize((image.width, height), LINEAR, (0, top, image.width, bottom))
        return np.asarray(low.resize((width, height), LINEAR, (left, 0, right, height)))
    return np.asarray(
        image.resize((width, image.height), LINEAR, (left, 0, right, image.height)).resize(
            (width, height), LINEAR, (0, top, width, bottom)
        )
    )


@given(SIDES, SIDES, SIDES, SIDES)
def test_whole_pictures(height, width, to_height, to_width):
    image, box = noise(height, width), (0.0, 0.0, float(width), float(height))
    np.testing.assert_array_equal(
        resize(image, (to_height, to_width), LINEAR, box), plain(image, (to_height, to_width), box)
    )


@given(SIDES, SIDES, SIDES, SIDES, st.tuples(*[st.floats(0, 1)] * 4))
def test_parts_of_pictures(height, width, to_height, to_width, edges):
    """Edges between pixels, as those of a picture that its decoder had reduced."""
    left, right = sorted(edge * width for edge in edges[:2])
    top, bottom = sorted(edge * height for edge in edges[2:])
    image, box = noise(height, width), (left, top, right, bottom)
    if right - left < 0.5 or bottom - top < 0.5:
        return
    np.testing.assert_array_equal(
        resize(image, (to_height, to_width), LINEAR, box), plain(image, (to_height, to_width), box)
    )


@pytest.mark.skipif(int(__version__.partition(".")[0]) < 13, reason="earlier Pillow resizes tall pictures otherwise")
@given(SIDES, SIDES, SIDES, SIDES)
def test_the_order_of_passes_is_that_of_pillow(height, width, to_height, to_width):
    image, box = noise(height, width), (0.0, 0.0, float(width), float(height))
    np.testing.assert_array_equal(
        resize(image, (to_height, to_width), LINEAR, box), np.asarray(image.resize((to_width, to_height), LINEAR, box))
    )


@pytest.mark.parametrize("size", [(40, 30), (90, 200), (300, 20), (120, 90), (200, 20), (10, 90)])
def test_a_large_picture_goes_through_in_strips(monkeypatch, size):
    image, box = noise(200, 90), (0.0, 0.0, 90.0, 200.0)
    whole = resize(image, size, LINEAR, box)
    monkeypatch.setattr(resampling, "STRIP_PIXELS", 90 * 17)
    np.testing.assert_array_equal(resize(image, size, LINEAR, box), whole)


def test_other_filters_are_pillow_s():
    image = noise(30, 20)
    for method in (Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.LANCZOS):
        np.testing.assert_array_equal(
            resize(image, (12, 9), method, (0.0, 0.0, 20.0, 30.0)), np.asarray(image.resize((9, 12), method))
        )


@pytest.mark.parametrize("size", [(20, 30), (70, 30), (20, 90), (40, 50)])
@pytest.mark.parametrize("method", [LINEAR, Image.Resampling.BOX])
def test_a_gray_picture_is_resized_as_its_rgb_twin(size, method):
    gray = noise(40, 50).convert("L")
    box = (0.0, 0.0, 50.0, 40.0)
    np.testing.assert_array_equal(resize(gray, size, method, box), resize(gray.convert("RGB"), size, method, box))
