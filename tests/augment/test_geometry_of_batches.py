"""Image and maps move together, exactly where pixels allow it and within the stated bound elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrmaps.augment import AugmentPlan, AugmentSpec, apply_plan, augment, draw_plan
from ocrmaps.augment.pixels import to_bytes, warp
from ocrmaps.errors import SpecError
from ocrmaps.geometry import Affine
from ocrmaps.loader.batch import Batch
from ocrmaps.maps import MapSpec, draw_maps
from tests.augment.scenes import RATIO, bar, batch_of, canonical, random_batch

SIZES = [(64, 64), (48, 80), (37, 53), (1, 7)]
REACH = math.sqrt(0.5)
"""How far a pixel center can be, on the canvas, from the mean of those it is interpolated from, weighted."""


def fixed_plan(affines, source, size=None):
    """A plan with these matrices and nothing else."""
    plan = draw_plan(AugmentSpec(), range(len(affines)), source, seed=0, epoch=0)
    return replace(plan, matrices=np.stack([a.matrix for a in affines]), size=size or source)


def each(batch, change):
    return [change(t) for t in batch[:4]]


@pytest.mark.parametrize("size", SIZES)
def test_a_mirror_image_is_bit_exact(size):
    batch = random_batch(size)
    found = augment(batch, AugmentSpec(flip=1.0), seed=0, epoch=0)
    assert all(torch.equal(a, b) for a, b in zip(each(batch, lambda t: t.flip(2)), found[:4], strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_is_bit_exact(size, turns):
    height, width = size
    once = {1: Affine.of(0, -1, height, 1, 0, 0), 2: Affine.of(-1, 0, width, 0, -1, height),
            3: Affine.of(0, 1, 0, -1, 0, width)}[turns]  # fmt: skip
    batch = random_batch(size)
    found = apply_plan(batch, fixed_plan([once] * 3, size, size if turns == 2 else size[::-1]))
    clockwise = each(batch, lambda t: torch.rot90(t, -turns, dims=(1, 2)))
    assert all(torch.equal(a, b) for a, b in zip(clockwise, found[:4], strict=True))


@pytest.mark.parametrize("source", [(64, 64), (333, 517), (640, 352)])
@pytest.mark.parametrize("mirror", [False, True])
def test_resampling_whole_pixel_moves_gives_the_same_bits(source, mirror):
    """Two ways to the same result: copying, and the general path that rotations take."""
    spec = AugmentSpec(flip=float(mirror), quarter_turns=1.0, size=(source[0] - 9, source[1] + 20), cut_text="learn")
    batch = random_batch(source)
    plan = draw_plan(spec, [0, 1, 2], source, seed=3, epoch=0)
    assert plan.moves_whole_pixels
    copied = apply_plan(batch, plan)
    image, *maps = warp(batch, plan)
    assert all(torch.equal(a, b) for a, b in zip(copied[:4], (to_bytes(image), *maps), strict=True))


def test_whole_pixel_shifts_copy_and_mask_the_rest():
    batch = random_batch((8, 10), count=2)._replace(mask=torch.full((2, 8, 10), 3, dtype=torch.uint8))
    plan = fixed_plan([Affine.translation(3, -2), Affine.translation(-20, 0)], (8, 10), (8, 10))
    found = apply_plan(batch, replace(plan, fill=(9, 8, 7)))
    assert torch.equal(batch.image[0, 2:, :7], found.image[0, :6, 3:])
    assert torch.equal(batch.threshold[0, 2:, :7], found.threshold[0, :6, 3:])
    outside = torch.ones(8, 10, dtype=torch.bool)
    outside[:6, 3:] = False
    assert (found.mask[0] == torch.where(outside, 0, 3)).all()
    assert (found.image[0][outside] == torch.tensor([9, 8, 7])).all()
    assert not found.mask[1].any() and not found.probability[1].any()


def test_what_leaves_the_canvas_is_filled_and_not_learnt_when_resampled():
    batch = random_batch((40, 40), count=1)._replace(mask=torch.full((1, 40, 40), 3, dtype=torch.uint8))
    plan = fixed_plan([Affine.translation(12.25, 0) @ Affine.rotation(0.0)], (40, 40))
    found = apply_plan(batch, replace(plan, fill=(200, 100, 50)))
    assert not found.mask[0, :, :12].any() and (found.mask[0, :, 12:] == 3).all()
    assert not found.threshold[0, :, :12].any() and not found.probability[0, :, :12].any()
    assert (found.image[0, :, :12] == torch.tensor([200, 100, 50])).all()
    assert torch.equal(found.image[0, :, 12], batch.image[0, :, 0])


def test_the_batch_given_is_left_alone_and_rows_keep_their_names():
    batch = random_batch((32, 32))
    before = [t.clone() for t in batch]
    spec = AugmentSpec(flip=0.5, rotate=10, scale=(0.5, 2), noise=1.0, cut_text="learn")
    found = augment(batch, spec, seed=0, epoch=0)
    assert all(torch.equal(a, b) for a, b in zip(before, batch, strict=True))
    assert torch.equal(batch.row, found.row)
    assert [torch.uint8] * 4 == [t.dtype for t in found[:4]]
    assert all(t.is_contiguous() for t in found[:4])


EVERYTHING = AugmentSpec(
    size=(64, 48), flip=0.5, quarter_turns=0.3, rotate=15, scale=(0.5, 2.0), brightness=0.2, contrast=0.2,
    saturation=0.5, hue=10, blur=0.5, noise=0.5, jpeg=0.5, cut_text="learn",
)  # fmt: skip


def test_batching_and_order_change_not_one_bit():
    batch = random_batch((56, 72), count=6)
    together = augment(batch, EVERYTHING, seed=1, epoch=2)
    for chosen in ([3], [5, 0], [4, 3, 2, 1]):
        part = augment(Batch(*(t[chosen] for t in batch)), EVERYTHING, seed=1, epoch=2)
        assert all(torch.equal(a[chosen], b) for a, b in zip(together, part, strict=True))


def test_an_epoch_more_is_another_batch():
    batch = random_batch((56, 72))
    one, other = (augment(batch, EVERYTHING, seed=1, epoch=e) for e in (0, 1))
    assert not torch.equal(one.image, other.image)


def test_image_and_maps_move_by_the_same_matrix():
    """The blue channel was painted with the threshold, and still is after a move that smooths nothing."""
    scenes = [canonical(bar(40, 30, 50, 12, 15)), canonical(bar(50, 40, 60, 16, -20))]
    spec = AugmentSpec(flip=0.5, rotate=20, scale=(1.0, 1.6), cut_text="learn")
    found = augment(batch_of(scenes, (80, 100)), spec, seed=0, epoch=0)
    assert (found.image[..., 2].int() - found.threshold.int()).abs().max() <= 1


@pytest.mark.parametrize("scale", [0.4, 0.5])
def test_a_reduction_looks_like_one_made_when_building(scale):
    """Next to Pillow's filter, which recipes render with: twice as near as interpolation alone."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 2, (80, 100, 1), dtype=np.uint8).repeat(3, axis=2) * 255
    size = (round(80 * scale), round(100 * scale))
    batch = random_batch((80, 100), 1)._replace(image=torch.from_numpy(picture)[None])
    found = apply_plan(batch, fixed_plan([Affine.scaling(scale, scale)], (80, 100), size)).image[0].numpy()
    expected = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR)).astype(float)
    alone = batch.image.permute(0, 3, 1, 2).float()
    alone = torch.nn.functional.interpolate(alone, size=size, mode="bilinear")[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).mean() < 0.5 * np.abs(alone - expected).mean()


SIDE = 96
texts = st.builds(bar, st.floats(8, 88), st.floats(8, 88), st.floats(12, 40), st.floats(9, 14), st.floats(-45, 45))
moves = st.tuples(st.booleans(), st.floats(-45, 45), st.floats(0.7, 1.4), st.floats(-8, 8), st.floats(-8, 8))


def similarity(mirrored, degrees, scale, dx, dy):
    """About the middle of the canvas, so that what is near it stays on it."""
    middle = SIDE / 2
    mirror = Affine.of(-1, 0, SIDE, 0, 1, 0) if mirrored else Affine.identity()
    grow = Affine.translation(middle + dx, middle + dy) @ Affine.scaling(scale, scale)
    return grow @ Affine.translation(-middle, -middle) @ Affine.rotation(degrees, (middle, middle)) @ mirror


@settings(max_examples=40)
@given(text=texts, ignored=texts, move=moves)
def test_moved_maps_are_the_maps_of_moved_text(text, ignored, move):
    """Thresholds as if taken REACH canvas pixels away, bits exact where no border crosses the canvas pixel's cell."""
    affine, scale = similarity(*move), move[2]
    polygons = canonical(text, ignored, ignore=[False, True])
    there = polygons.transform(affine, "canonical")
    before, after = (draw_maps(p, MapSpec(shrink_ratio=RATIO), (SIDE, SIDE)) for p in (polygons, there))
    assume(before.drawn[0] and after.drawn[0])
    moved = apply_plan(batch_of([polygons], (SIDE, SIDE)), fixed_plan([affine], (SIDE, SIDE)))
    d = float(after.distances[0])

    found, expected = moved.mask[0].numpy(), after.mask
    counted = ((found & expected & 2) > 0) & on_canvas(affine)
    wrong = np.abs(moved.threshold[0].numpy()[counted] / 254 - after.threshold[counted])
    assert wrong.max(initial=0) <= REACH / before.distances[0] + 1.01 / 254

    def to_border(differs, outline):
        centers = shapely.points(np.argwhere(differs & on_canvas(affine))[:, ::-1] + 0.5)
        return shapely.distance(centers, shapely.LinearRing(outline))

    cell = math.sqrt(2) * scale + 1e-6
    probability = moved.probability[0].numpy() != after.probability
    assert np.abs(to_border(probability, there[0]) - d).max(initial=0) <= cell
    assert to_border((found ^ expected) & 1 > 0, there[1]).max(initial=0) <= cell
    of_threshold = (found ^ expected) & 2 > 0
    either = np.minimum(np.abs(to_border(of_threshold, there[0]) - d), to_border(of_threshold, there[1]))
    assert either.max(initial=0) <= cell


def on_canvas(affine):
    """New pixels whose center is on the canvas."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    back = affine.inverse().apply(np.stack([x.ravel(), y.ravel()], axis=1))
    return ((back > 1e-6) & (back < SIDE - 1e-6)).all(axis=1).reshape(SIDE, SIDE)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda b: b._replace(image=b.image.float()), "expected four uint8 tensors"),
        (lambda b: b._replace(image=b.image.permute(0, 3, 1, 2)), r"expected \(B, H, W, 3\)"),
        (lambda b: b._replace(mask=b.mask[:, :4]), "with three of"),
        (lambda b: b._replace(row=b.row[:1]), "expected .* on the host"),
        (lambda b: b._replace(row=b.row.to("meta")), "on meta, expected .* on the host"),
    ],
)
def test_a_batch_of_another_shape_is_refused(spoil, message):
    with pytest.raises(SpecError, match=message):
        augment(spoil(random_batch((16, 16))), AugmentSpec(), seed=0, epoch=0)


def test_a_plan_for_another_batch_is_refused():
    plan = draw_plan(AugmentSpec(), [0], (16, 16), seed=0, epoch=0)
    with pytest.raises(SpecError, match="the plan is for"):
        apply_plan(random_batch((16, 16), count=2), plan)


def test_plans_are_read_only():
    plan: AugmentPlan = draw_plan(AugmentSpec(), [0], (16, 16), seed=0, epoch=0)
    with pytest.raises(ValueError, match="read-only"):
        plan.matrices[0, 0, 0] = 2
