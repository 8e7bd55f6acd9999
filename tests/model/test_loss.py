"""Losses against their definitions, on hostile batches, and without ever waiting for the device."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ocrmaps.errors import SpecError
from ocrmaps.model import Logits, Targets, build_loss
from ocrmaps.model.loss import (
    DBLoss,
    FocalDBLoss,
    _bit_by_bit,
    _selected,
    balanced_cross_entropy,
    cross_entropy,
    dice,
    hardest,
)
from tests.model.contracts import LossContract, some_targets


class TestDBLoss(LossContract):
    def build(self):
        return DBLoss()


class TestFocalDBLoss(LossContract):
    def build(self):
        return FocalDBLoss()


def plain_terms(p, t, targets, ratio=3.0, floor=0.005, k=50.0):
    """The definitions once more, in float64 and with a sort."""
    p, t = p.double().numpy(), t.double().numpy()
    text, target = targets.probability.numpy().astype(bool), 0.3 + 0.4 * targets.threshold.numpy() / 254
    counts, threshold_counts = targets.probability_mask.numpy(), targets.threshold_mask.numpy()
    entropy = np.logaddexp(0, np.where(text, -p, p))
    positive, negative = entropy[text & counts], np.sort(entropy[~text & counts])[::-1]
    n = min(len(negative), math.ceil(max(ratio * len(positive), floor * counts.sum())))
    bce = (positive.sum() + negative[:n].sum()) / max(len(positive) + n, 1)
    p, t = 1 / (1 + np.exp(-p)), 1 / (1 + np.exp(-t))
    l1 = np.abs(t - target)[threshold_counts].mean()
    b = (1 / (1 + np.exp(-k * (p - t)))) * counts
    overlap = 1 - (2 * (b * text).sum() + 1) / (b.sum() + (text & counts).sum() + 1)
    return 5 * bce + 10 * l1 + overlap, bce, l1, overlap


def test_a_mask_is_true_wherever_it_is_not_zero():
    targets, (p, t) = some_targets(), torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    bytes_ = targets._replace(
        probability=255 * targets.probability.bool().byte(),
        probability_mask=255 * targets.probability_mask.byte(),
        threshold_mask=255 * targets.threshold_mask.byte(),
    )
    loss = FocalDBLoss()
    torch.testing.assert_close(loss(Logits(p, t), bytes_), loss(Logits(p, t), targets))


@pytest.mark.parametrize("ratio", [0.0, 0.5, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_terms_are_as_defined(ratio, seed):
    generator = torch.Generator().manual_seed(seed)
    p, t = (2 * torch.randn(2, 16, 24, generator=generator) for _ in range(2))
    found = DBLoss(negative_ratio=ratio)(Logits(p, t), some_targets())
    assert [float(x) for x in found] == pytest.approx(plain_terms(p, t, some_targets(), ratio), rel=1e-5)


def test_the_floor_counts_where_text_is_rare():
    targets = some_targets()
    targets = targets._replace(probability=torch.zeros_like(targets.probability))
    targets.probability[0, 7, 7] = 1
    p, t = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    found = DBLoss(negative_floor=0.2)(Logits(p, t), targets)
    assert [float(x) for x in found] == pytest.approx(plain_terms(p, t, targets, floor=0.2), rel=1e-5)


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-3, 0.25, 0.5, 0.5, 2.0, 1e30]) | st.floats(0, 100, width=32), min_size=1),
    st.data(),
)
def test_the_hardest_are_picked_exactly(values, data):
    """Against a sort, with ties, zeros and any count; every tied pixel gets the same share."""
    among = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    count = data.draw(st.integers(0, sum(among)))
    losses, chosen = torch.tensor(values), torch.tensor(among)
    weights = hardest(losses, chosen, torch.tensor(count))
    assert not weights[~chosen].any()
    assert float(weights.sum()) == pytest.approx(count)
    best = sorted((float(v) for v in losses[chosen]), reverse=True)[:count]
    assert float((weights.double() * losses.double()).sum()) == pytest.approx(math.fsum(best), rel=1e-6)
    for value in set(values):
        assert len(set(weights[chosen & (losses == value)].tolist())) <= 1
    bits = losses.view(torch.int32).masked_fill(~chosen, -1)
    assert _selected(bits, torch.tensor(count)) == _bit_by_bit(bits, torch.tensor(count))


def test_losses_that_are_not_finite_are_the_hardest_on_every_device():
    losses = torch.tensor([1.0, math.inf, math.nan, 2.0, 0.0])
    bits = losses.view(torch.int32).masked_fill(torch.tensor([False, False, False, False, True]), -1)
    for count in range(5):
        assert _selected(bits, torch.tensor(count)) == _bit_by_bit(bits, torch.tensor(count))
    weights = hardest(losses, torch.ones(5, dtype=torch.bool), torch.tensor(2))
    assert weights.tolist() == [0, 1, 1, 0, 0]


def test_mining_follows_the_hardest_negatives_only():
    logits = torch.linspace(-4, 4, 100).view(1, 10, 10).requires_grad_()
    text = torch.zeros(1, 10, 10, dtype=torch.bool)
    text[0, 0, 0] = True
    balanced_cross_entropy(logits, text, torch.ones_like(text), 3.0, 0.001).backward()
    assert [0, 97, 98, 99] == logits.grad.flatten().nonzero().flatten().tolist()


def test_tiny_losses_keep_their_digits():
    found = cross_entropy(torch.tensor([-40.0, 40.0]), torch.tensor([False, True]))
    assert found.tolist() == pytest.approx([math.exp(-40)] * 2, rel=1e-5)


def test_dice_of_nothing_depends_on_what_is_said():
    nothing, all_counts = torch.zeros(1, 4, 4, dtype=torch.bool), torch.ones(1, 4, 4, dtype=torch.bool)
    said = torch.full((1, 4, 4), 0.5, requires_grad=True)
    loss = dice(said, nothing, all_counts)
    loss.backward()
    assert loss.item() == pytest.approx(1 - 1 / 9)
    assert (said.grad > 0).all()


def test_stored_masks_are_two_bits():
    mask = torch.tensor([[[0, 1, 2, 3]]], dtype=torch.uint8)
    targets = Targets.unpack(mask, mask, mask)
    assert [[[False, True, False, True]]] == targets.probability_mask.tolist()
    assert [[[False, False, True, True]]] == targets.threshold_mask.tolist()


def test_stored_thresholds_mean_what_db_says():
    """0 stands for 0.3 and 254 for 0.7."""
    everywhere = torch.ones(1, 1, 2, dtype=torch.bool)
    targets = Targets(everywhere, torch.tensor([[[0, 254]]], dtype=torch.uint8), everywhere, everywhere)
    logits = torch.logit(torch.tensor([[[0.3, 0.7]]]))
    assert float(DBLoss()(Logits(logits, logits), targets).threshold) == pytest.approx(0, abs=1e-6)
    assert float(DBLoss(low=0.2)(Logits(logits, logits), targets).threshold) == pytest.approx(0.05, abs=1e-6)


def test_focal_weighs_by_how_wrong_a_pixel_is():
    everywhere = torch.ones(1, 1, 2, dtype=torch.bool)
    targets = Targets(torch.tensor([[[True, False]]]), torch.zeros(1, 1, 2), everywhere, ~everywhere)
    p = torch.logit(torch.tensor([[[0.9, 0.3]]]))
    found = FocalDBLoss(alpha=0.25, gamma=2.0)(Logits(p, p), targets).probability
    expected = (0.25 * 0.1**2 * -math.log(0.9) + 0.75 * 0.3**2 * -math.log(0.7)) / 2
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("db", {"gamma": 2.0}, "takes no option 'gamma'"),
        ("db-focal", {"negative_ratio": 3.0}, "takes no option 'negative_ratio'"),
        ("db", {"steepness": 0.0, "low": 0.8}, "loss.steepness: found 0.0(.|\n)*loss.low: found 0.8"),
        ("db", {"negative_floor": 0.0}, "negative_floor"),
        ("db", {"probability_weight": 0.0, "threshold_weight": 0.0, "binary_weight": 0.0}, "at least one above 0"),
        ("db-focal", {"gamma": 0.5}, "0, or 1 or more"),
        ("dbb", {}, "expected one of db, db-focal, or package.module:Name"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, options, message):
    with pytest.raises(SpecError, match=message):
        build_loss(name, options)


def test_settings_reach_the_loss():
    loss = build_loss("db", {"probability_weight": 2.0, "steepness": 10.0})
    assert ((2.0, 10.0, 1.0), 10.0) == (loss.weights, loss.steepness)
