"""Plans: random where asked, the same for a row wherever it stands, refused where senseless."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.augment import AugmentSpec, draw_plan
from ocrmaps.errors import SpecError

EVERYTHING = AugmentSpec(
    size=(64, 96), flip=0.5, quarter_turns=0.5, rotate=10, scale=(0.5, 2.0), brightness=0.2, contrast=0.2,
    saturation=0.5, hue=10, blur=0.5, noise=0.5, jpeg=0.5,
)  # fmt: skip
FIELDS = ("matrices", "colors", "blur", "noise", "noise_at", "jpeg")


def plan(spec, rows, source=(80, 100), seed=0, epoch=0):
    return draw_plan(spec, rows, source, seed=seed, epoch=epoch)


def test_nothing_happens_until_asked_for():
    found = plan(AugmentSpec(), range(5))
    assert (np.eye(3) == found.matrices).all() and (np.eye(3, 4) == found.colors).all()
    assert not found.blur.any() and not found.noise.any() and not found.jpeg.any()


@given(rows=st.lists(st.integers(0, 2**40), min_size=1, max_size=8), seed=st.integers(0, 2**63))
def test_a_row_meets_the_same_fate_wherever_it_stands(rows, seed):
    together = plan(EVERYTHING, rows, seed=seed)
    for i, row in enumerate(rows):
        alone = plan(EVERYTHING, [row], seed=seed)
        assert all((getattr(together, f)[i] == getattr(alone, f)[0]).all() for f in FIELDS)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}])
def test_another_seed_or_epoch_is_another_fate(change):
    one, other = plan(EVERYTHING, range(8)), plan(EVERYTHING, range(8), **change)
    assert (one.matrices != other.matrices).any(axis=(1, 2)).all()


def test_rows_seeds_and_epochs_do_not_stand_in_for_each_other():
    keys = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    seen = {plan(EVERYTHING, [row], seed=seed, epoch=epoch).matrices.tobytes() for seed, epoch, row in keys}
    assert 6 == len(seen)


def test_color_settings_do_not_move_geometry():
    """An ablation changes what it names and nothing else."""
    bare = AugmentSpec(size=(64, 96), flip=0.5, quarter_turns=0.5, rotate=10, scale=(0.5, 2.0))
    assert (plan(bare, range(20)).matrices == plan(EVERYTHING, range(20)).matrices).all()


def test_shares_and_ranges_are_as_asked():
    found = plan(EVERYTHING, range(4000), source=(64, 96))
    for share in (found.blur > 0, found.noise > 0, found.jpeg > 0, np.linalg.det(found.matrices) < 0):
        assert 0.47 < share.mean() < 0.53
    logs = np.log2(found.scales)
    assert -1 <= logs.min() < -0.99 and 0.99 < logs.max() <= 1 and abs(logs.mean()) < 0.03
    assert (30, 90) == (found.jpeg[found.jpeg > 0].min(), found.jpeg.max())


def test_quarter_turns_are_equally_likely():
    found = plan(AugmentSpec(quarter_turns=1.0), range(3000), source=(64, 64))
    kinds, counts = np.unique(found.matrices[:, :2, :2].reshape(-1, 4), axis=0, return_counts=True)
    assert 3 == len(kinds)
    assert counts.min() > 900
    assert found.moves_whole_pixels


@given(seed=st.integers(0, 1000), height=st.integers(16, 200), width=st.integers(16, 200))
def test_scale_is_uniform_and_the_canvas_stays_in_touch(seed, height, width):
    """A similarity: columns of equal length at right angles. The result covers the new canvas or lies within it."""
    found = plan(EVERYTHING, [0], source=(height, width), seed=seed)
    linear = found.matrices[0, :2, :2]
    assert np.allclose(linear.T @ linear, np.eye(2) * found.scales[0] ** 2)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ linear.T + found.matrices[0, :2, 2]
    for low, high, limit in zip(corners.min(axis=0), corners.max(axis=0), (96, 64), strict=True):
        assert (low >= -0.51 and high <= limit + 0.51) or (low <= 0.51 and high >= limit - 0.51)


def test_without_shift_the_middle_stays_in_the_middle():
    found = plan(AugmentSpec(size=(64, 96), rotate=45, scale=(2, 2), shift=False), range(5))
    middles = found.matrices @ [50, 40, 1]
    assert np.abs(middles[:, :2] - (48, 32)).max() <= 0.5


def test_gray_stays_gray_under_saturation_and_hue():
    found = plan(AugmentSpec(saturation=1.0, hue=180), range(5)).colors
    assert np.allclose(found[:, :, :3].sum(axis=2), 1) and not found[:, :, 3].any()
    assert (np.abs(found[:, :, :3] - np.eye(3)) > 0.05).any(axis=(1, 2)).all()


def test_contrast_turns_about_mid_gray():
    found = plan(AugmentSpec(contrast=0.5), range(5)).colors
    assert np.allclose(found @ [127.5, 127.5, 127.5, 1], 127.5)


@pytest.mark.parametrize(
    "settings",
    [
        {"flip": 1.5}, {"flip": -0.1}, {"flip": True}, {"flip": "often"}, {"rotate": float("nan")}, {"rotate": 90},
        {"scale": (2.0, 0.5)}, {"scale": (0.0, 1.0)}, {"scale": 2.0}, {"scale": (1, 2, 3)}, {"size": (0, 10)},
        {"size": 640}, {"size": (640.5, 640)}, {"fill": (0, 0)}, {"fill": (0, 0, 256)}, {"fill": (0.5, 0, 0)},
        {"jpeg_quality": (0, 50)}, {"jpeg_quality": (10.5, 50)}, {"cut_text": "drop"}, {"shift": 1}, {"noise": None},
    ],
)  # fmt: skip
def test_senseless_settings_are_refused(settings):
    with pytest.raises(SpecError) as refused:
        AugmentSpec(**settings)
    assert [f"augment.{next(iter(settings))}"] == [p.loc for p in refused.value.problems]


def test_all_problems_are_named_at_once():
    with pytest.raises(SpecError) as refused:
        AugmentSpec(flip=2, scale=(3, 1), hue=-1)
    assert 3 == len(refused.value.problems)


def test_lists_from_a_file_are_as_good_as_tuples():
    assert AugmentSpec(scale=(0.5, 2.0), size=(64, 64)) == AugmentSpec(scale=[0.5, 2], size=[64, 64])


@pytest.mark.parametrize(
    "settings, source, cuts",
    [
        ({}, (64, 64), False),
        ({"flip": 1.0, "brightness": 0.5}, (64, 32), False),
        ({"quarter_turns": 1.0}, (64, 64), False),
        ({"quarter_turns": 1.0}, (64, 32), True),
        ({"size": (64, 64)}, (64, 32), False),
        ({"size": (64, 64)}, (64, 96), True),
        ({"scale": (0.5, 1.0)}, (64, 64), True),
        ({"rotate": 1}, (64, 64), True),
    ],
)
def test_what_may_cut_text_is_known_beforehand(settings, source, cuts):
    assert cuts == AugmentSpec(**settings).may_cut(source)
