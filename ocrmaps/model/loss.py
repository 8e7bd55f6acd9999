"""What a detector is taught: probability, threshold and their difference, each with its own mask.

All terms are computed in float32 from logits, also under autocast, and nothing waits for the device: no value is
read back and no shape depends on data. Masks become float32 before they are multiplied with: a product with bool
converts them anew each time, in the backward pass too. A value that is not finite stays so in the total; finding its
cause is the business of a guard, hiding it is nobody's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocrmaps.errors import Problem, SpecError
from ocrmaps.loader.batch import Targets
from ocrmaps.model.head import Logits

THRESHOLD_STEPS = 254
"""Stored thresholds are 0 to 254 for 0 to 1."""
NOTHING = 2**31 - 1
"""Above the bits of every float32, infinite ones and those that are no number included."""


class LossTerms(NamedTuple):
    """The total to descend and, for the log, what it was made of before weighting: float32 scalars on the device."""

    total: Tensor
    probability: Tensor
    threshold: Tensor
    binary: Tensor


class DBLoss(nn.Module):
    """5 x balanced cross entropy + 10 x L1 of the threshold + Dice of the approximate binary map, as DB is trained.

    `negative_ratio`: the hardest negatives learnt for each positive, over the whole batch.
    `negative_floor`: at least this share of the counted pixels is learnt as negatives, so that pictures without
    text teach what is not text.
    `steepness`: k in sigmoid(k (P - T)). `low`, `high`: the thresholds that stored 0 and 1 stand for.
    """

    def __init__(
        self,
        *,
        probability_weight: float = 5.0,
        threshold_weight: float = 10.0,
        binary_weight: float = 1.0,
        negative_ratio: float = 3.0,
        negative_floor: float = 0.005,
        steepness: float = 50.0,
        low: float = 0.3,
        high: float = 0.7,
    ) -> None:
        super().__init__()
        self.weights = (probability_weight, threshold_weight, binary_weight)
        self.negative_ratio, self.negative_floor = negative_ratio, negative_floor
        self.steepness, self.low, self.high = steepness, low, high
        _refuse(
            (negative_ratio >= 0, "negative_ratio", negative_ratio, "0 or more"),
            (0 < negative_floor <= 1, "negative_floor", negative_floor, "more than 0, at most 1"),
            *self.common_rules(),
        )

    def common_rules(self) -> tuple[tuple[bool, str, float, str], ...]:
        names = ("probability_weight", "threshold_weight", "binary_weight")
        return (
            *((weight >= 0, name, weight, "0 or more") for name, weight in zip(names, self.weights, strict=True)),
            (any(self.weights), "weights", sum(self.weights), "at least one above 0"),
            (self.steepness > 0, "steepness", self.steepness, "more than 0"),
            (0 <= self.low < self.high <= 1, "low", self.low, f"at least 0 and below high = {self.high}"),
        )

    def probability_term(self, logits: Tensor, targets: Targets) -> Tensor:
        return balanced_cross_entropy(
            logits, targets.probability.bool(), targets.probability_mask, self.negative_ratio, self.negative_floor
        )

    def forward(self, logits: Logits, targets: Targets) -> LossTerms:
        if logits.threshold is None:
            raise SpecError("the loss needs threshold logits: call the detector with threshold=True")
        p, t = logits.probability.float(), logits.threshold.float()
        probability = self.probability_term(p, targets)
        p, t = torch.sigmoid(p), torch.sigmoid(t)
        wanted = targets.threshold.float() * ((self.high - self.low) / THRESHOLD_STEPS) + self.low
        threshold = masked_mean((t - wanted).abs(), targets.threshold_mask)
        approximate = torch.sigmoid(self.steepness * (p - t))
        binary = dice(approximate, targets.probability.bool(), targets.probability_mask)
        a, b, c = self.weights
        total = a * probability + b * threshold + c * binary
        return LossTerms(total, probability.detach(), threshold.detach(), binary.detach())


class FocalDBLoss(DBLoss):
    """10 x focal loss + L1 of the threshold + Dice: no mining, every pixel counts by how wrong it is.

    `alpha`: the share of positives in the weighting; `gamma`: how fast pixels that are right lose weight.
    """

    def __init__(
        self,
        *,
        probability_weight: float = 10.0,
        threshold_weight: float = 1.0,
        binary_weight: float = 1.0,
        alpha: float = 0.5,
        gamma: float = 2.0,
        steepness: float = 50.0,
        low: float = 0.3,
        high: float = 0.7,
    ) -> None:
        nn.Module.__init__(self)
        self.weights = (probability_weight, threshold_weight, binary_weight)
        self.alpha, self.gamma = alpha, gamma
        self.steepness, self.low, self.high = steepness, low, high
        _refuse(
            (0 < alpha < 1, "alpha", alpha, "between 0 and 1"),
            # Between 0 and 1 the slope at a pixel that is exactly right is infinite.
            (gamma == 0 or gamma >= 1, "gamma", gamma, "0, or 1 or more"),
            *self.common_rules(),
        )

    def probability_term(self, logits: Tensor, targets: Targets) -> Tensor:
        return focal_cross_entropy(logits, targets.probability.bool(), targets.probability_mask, self.alpha, self.gamma)


def cross_entropy(logits: Tensor, text: Tensor) -> Tensor:
    """-log of the probability of what is true, for each pixel; never negative and exact for tiny losses too."""
    return F.softplus(logits * (1 - 2 * text.bool().float()))


def balanced_cross_entropy(logits: Tensor, text: Tensor, mask: Tensor, ratio: float, floor: float) -> Tensor:
    """Mean cross entropy over all counted positives and the hardest counted negatives of the batch."""
    losses = cross_entropy(logits, text)
    positive, negative = text & mask, ~text & mask
    positives, negatives = torch.count_nonzero(positive), torch.count_nonzero(negative)
    wanted = torch.maximum(ratio * positives, floor * (positives + negatives)).ceil().to(torch.int64)
    count = torch.minimum(negatives, wanted)
    weights = positive + hardest(losses.detach(), negative, count)
    return (losses * weights).sum() / (positives + count).clamp(min=1)


def hardest(losses: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """Weights in [0, 1] that sum to `count` and pick the largest losses where `among` is true.

    Exact, with every tied pixel given an equal share, so neither order nor device decides. `losses` are float32 and
    not negative, which makes their bits sort like integers: the smallest one to pick is selected among them.
    """
    bits = losses.contiguous().view(torch.int32).masked_fill(~among, -1)
    least = (_selected if losses.device.type == "cpu" else _bit_by_bit)(bits, count)
    above, tied = bits > least, bits == least
    share = (count - torch.count_nonzero(above)) / torch.count_nonzero(tied).clamp(min=1)
    return above + tied * share.float()


def _selected(bits: Tensor, count: Tensor) -> Tensor:
    """The `count`-th largest, or what is larger than all where that is none; `count` lies in this memory anyway."""
    wanted = int(count.numpy())
    return bits.flatten().kthvalue(bits.numel() + 1 - wanted).values if wanted else bits.new_tensor(NOTHING)


def _bit_by_bit(bits: Tensor, count: Tensor) -> Tensor:
    """The same without reading `count` back from the device: sorting costs four times as much, and a top-k of
    data-dependent size would wait."""
    least = torch.zeros((), dtype=torch.int32, device=bits.device)
    for bit in range(30, -1, -1):
        higher = least | (1 << bit)
        least = torch.where(torch.count_nonzero(bits >= higher) >= count, higher, least)
    return least


def focal_cross_entropy(logits: Tensor, text: Tensor, mask: Tensor, alpha: float, gamma: float) -> Tensor:
    """Mean over the counted pixels of alpha_t (1 - p_t)^gamma times the cross entropy."""
    losses = cross_entropy(logits, text)
    # 1 - p_t as a sigmoid of its own: 1 - sigmoid(x) rounds to zero long before the loss does.
    wrong = torch.sigmoid(torch.where(text, -logits, logits))
    weights = torch.where(text, alpha, 1 - alpha) * wrong.pow(gamma)
    return masked_mean(losses * weights, mask)


def dice(values: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    """1 - 2 overlap / (sum of both), over the batch, with one pixel added to both sides.

    Without that pixel a batch without text is a constant, whatever the network says.
    """
    values = values * mask.bool().float()
    overlap = (values * text.bool().float()).sum()
    return 1 - (2 * overlap + 1) / (values.sum() + torch.count_nonzero(text & mask) + 1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean where the mask is true; 0 (and no gradient) where it never is."""
    return (values * mask.bool().float()).sum() / torch.count_nonzero(mask).clamp(min=1)


def _refuse(*rules: tuple[bool, str, float, str]) -> None:
    problems = [
        Problem(f"loss.{name}", f"found {value!r}, expected {wanted}")
        for good, name, value, wanted in rules
        if not good
    ]
    if problems:
        raise SpecError("these loss settings make no sense:", problems=problems)
