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


@pytest.mark.parametrize("lent", [True, False])
@pytest.mark.parametrize("size", [(40, 30), (90, 200), (300, 20), (120, 90), (200, 20), (10, 90)])
def test_a_picture_in_several_pieces_goes_through_in_strips(monkeypatch, size, lent):
    image, box = noise(200, 90), (0.0, 0.0, 90.0, 200.0)
    whole, lend = resize(image, size, LINEAR, box), resampling._lent
    monkeypatch.setattr(resampling, "STRIP_PIXELS", 90 * 17)
    # Strips are lent by a Pillow that lends at all.
    monkeypatch.setattr(resampling, "_lent", lambda part: None if part is image or not lent else lend(part))
    np.testing.assert_array_equal(resize(image, size, LINEAR, box), whole)


def test_a_picture_that_pillow_keeps_in_several_pieces(monkeypatch):
    image = Image.effect_noise((2600, 1700), 90.0).convert("RGB")
    if hasattr(image, "__arrow_c_array__"):
        assert resampling._lent(image) is None and resampling._lent(image.crop((0, 0, 2600, 100))) is not None
    box = (0.0, 0.0, 2600.0, 1700.0)
    np.testing.assert_array_equal(resize(image, (320, 500), LINEAR, box), plain(image, (320, 500), box))


def test_pixels_that_are_lent_outlive_the_picture():
    image = noise(70, 50)
    expected = np.asarray(image)
    lent = resampling._lent(image)
    if lent is None:
        pytest.skip("this Pillow lends no pixels")
    del image
    kept = [noise(70, 50) for _ in range(20)]
    assert len(kept) == 20
    np.testing.assert_array_equal(lent[:, :, :3], expected)


@pytest.mark.parametrize("size", [(40, 30), (90, 60), (200, 30), (40, 90), (200, 90)])
def test_a_picture_is_drawn_onto_a_larger_one_and_nowhere_else(size):
    image, box = noise(200, 90), (0.0, 0.0, 90.0, 200.0)
    onto = np.full((230, 120, 3), 7, np.uint8)
    found = resize(image, size, LINEAR, box, onto, (9, 5))
    np.testing.assert_array_equal(found, resize(image, size, LINEAR, box))
    np.testing.assert_array_equal(onto[9 : 9 + size[0], 5 : 5 + size[1]], found)
    found[:] = 7
    assert (onto == 7).all()


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
