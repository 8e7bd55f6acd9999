"""What happens to colors is what was asked for, and nothing of it waits for the device."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from ocrmaps.augment import AugmentSpec, apply_plan, augment, draw_plan
from tests.augment.scenes import bar, batch_of, canonical, outlines_of, random_batch
from tests.model.test_detector import Waits

SIZE = (48, 64)


def still(**changes):
    """A plan for one sample that moves nothing."""
    return replace(draw_plan(AugmentSpec(), [0], SIZE, seed=0, epoch=0), **changes)


def smooth_picture():
    """Soft shapes: what a lossy encoder is made for."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.uniform(0, 255, (*SIZE, 3)), None, 3)
    return np.clip((picture - picture.mean()) * 4 + 128, 0, 255).astype(np.uint8)


def one(picture):
    maps = torch.zeros(1, *SIZE, dtype=torch.uint8)
    return random_batch(SIZE, 1)._replace(image=torch.from_numpy(picture)[None], threshold=maps)


def test_colors_change_by_the_matrix_and_maps_do_not():
    batch = random_batch(SIZE, 1)
    matrix = np.array([[0.5, 0.2, 0.1, 10], [0, 1.2, 0, -5], [0.3, 0.3, 0.3, 0]])
    found = apply_plan(batch, still(colors=matrix[None]))
    expected = batch.image[0].numpy() @ matrix[:, :3].T + matrix[:, 3]
    assert np.abs(found.image[0].numpy() - np.clip(expected, 0, 255)).max() <= 0.501
    assert all(torch.equal(a, b) for a, b in zip(batch[1:], found[1:], strict=True))


def test_blur_is_gaussian():
    picture = smooth_picture()
    found = apply_plan(one(picture), still(blur=np.array([1.1])))
    expected = cv2.GaussianBlur(picture.astype(float), (13, 13), 1.1, borderType=cv2.BORDER_REPLICATE)
    assert np.abs(found.image[0].numpy() - expected).max() <= 1


def test_noise_has_its_deviation_and_is_another_for_each_row():
    gray = np.full((*SIZE, 3), 128, np.uint8)
    batch = random_batch(SIZE, 2)._replace(image=torch.from_numpy(np.stack([gray, gray])))
    found = augment(batch, AugmentSpec(noise=1.0, noise_std=(8, 8)), seed=0, epoch=0).image.numpy() - 128.0
    assert abs(found.std() - 8) < 0.2 and abs(found.mean()) < 0.3
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(found[0, ..., 0].ravel(), found[0, ..., 1].ravel())[0, 1]) < 0.05


def test_noise_covers_pictures_larger_than_its_tile():
    batch = random_batch((600, 1100), 1)
    found = augment(batch, AugmentSpec(noise=1.0, noise_std=(20, 20)), seed=0, epoch=0)
    changed = (found.image != batch.image).float().mean()
    assert changed > 0.9


@pytest.mark.parametrize("quality", [10, 40, 49, 50, 90])
def test_compression_leaves_what_an_encoder_leaves(quality):
    picture = smooth_picture()
    found = apply_plan(one(picture), still(jpeg=np.array([quality]))).image[0].numpy().astype(float)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(buffer)).astype(float)
    lost = np.abs(expected - picture).mean()
    assert np.abs(found - expected).mean() < max(0.1 * lost, 0.3)


def test_compression_of_sides_that_are_no_multiples_of_eight():
    batch = random_batch((37, 53), 1)
    plan = replace(draw_plan(AugmentSpec(), [0], (37, 53), seed=0, epoch=0), jpeg=np.array([80]))
    found = apply_plan(batch, plan)
    assert (1, 37, 53, 3) == tuple(found.image.shape)
    assert not torch.equal(batch.image, found.image)


def test_only_the_rows_drawn_for_it_change():
    batch = random_batch(SIZE, 12)
    spec = AugmentSpec(jpeg=0.5, jpeg_quality=(20, 20))
    plan = draw_plan(spec, range(12), SIZE, seed=0, epoch=0)
    found = augment(batch, spec, seed=0, epoch=0)
    changed = (found.image != batch.image).flatten(1).any(dim=1)
    assert (plan.jpeg > 0).tolist() == changed.tolist()
    assert 0 < changed.sum() < 12


def test_autocast_around_it_changes_nothing():
    batch = random_batch(SIZE, 2)
    spec = AugmentSpec(rotate=10, jpeg=1.0, hue=90, blur=1.0, cut_text="learn")
    plain = augment(batch, spec, seed=0, epoch=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = augment(batch, spec, seed=0, epoch=0)
    assert torch.equal(plain.image, inside.image)


def test_no_gradients_are_kept():
    with torch.enable_grad():
        found = augment(random_batch(SIZE), AugmentSpec(rotate=5, cut_text="learn"), seed=0, epoch=0)
    assert not found.image.requires_grad


EVERYTHING = AugmentSpec(
    size=(64, 48), flip=0.5, quarter_turns=0.3, rotate=15, scale=(0.5, 2.0), brightness=0.2, contrast=0.2,
    saturation=0.5, hue=10, blur=0.5, noise=0.5, jpeg=0.5,
)  # fmt: skip


@pytest.mark.parametrize("spec", [EVERYTHING, AugmentSpec(flip=0.5, quarter_turns=0.5, size=(40, 40))])
def test_augmenting_never_waits(spec):
    scenes = [canonical(bar(40, 30, 60, 12, 10))] * 4
    batch, outlines = batch_of(scenes, (60, 80)), outlines_of(scenes)
    with Waits() as waits:
        augment(batch, spec, seed=0, epoch=0, outlines=outlines)
    assert [] == waits.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_augmenting_never_waits_for_a_gpu_and_agrees_with_the_host():
    scenes = [canonical(bar(40, 30, 60, 12, 10))] * 4
    batch, outlines = batch_of(scenes, (60, 80)), outlines_of(scenes)
    host = augment(batch, EVERYTHING, seed=0, epoch=0, outlines=outlines)
    moved = batch.on("cuda")
    augment(moved, EVERYTHING, seed=0, epoch=0, outlines=outlines)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = augment(moved, EVERYTHING, seed=0, epoch=0, outlines=outlines)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name in ("threshold", "probability", "mask"):
        assert (getattr(found, name).cpu() != getattr(host, name)).float().mean() < 1e-3
