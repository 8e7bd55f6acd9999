"""What paired runs can tell: how much is lost, how sure that is, and what loss so few runs could have found at all.

Differences are baseline less candidate, seed by seed: a loss is positive. Student's t throughout, two-sided; nothing
here reads a file or draws a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import get_args

from ocrmaps.errors import Problem, SpecError
from ocrmaps.training.optimization import Precision
from ocrmaps.training.spec import RunSpec

BASELINE: Precision = "fp32"
ALPHA, POWER = 0.05, 0.8
ACCEPTABLE, MARGINAL = 1.0, 2.0
"""Borders of the verdict: loss in percent of the baseline's mean."""
LEARNT = 0.1
"""A baseline below this mean hmean has learnt nothing that could be lost."""
UNKNOWN = "not enough runs to tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """A candidate against the baseline, in hmean (0 to 1) and in percent of the baseline's mean.

    >>> pairs = [(0.900, 0.899), (0.902, 0.902), (0.898, 0.896)]
    >>> found = compare(pairs)
    >>> found.verdict, round(found.loss_percent, 2), round(found.detectable_percent, 2)
    ('acceptable', 0.11, 0.36)
    """

    differences: tuple[float, ...]
    baseline: float
    """Mean hmean of the baseline."""
    spread: float
    """Standard deviation of the differences; not below what the resolution of the scores alone makes."""
    interval: tuple[float, float]
    """95 % interval of the mean difference."""
    detectable: float
    """The smallest true mean difference that so many pairs find with power 0.8 at alpha 0.05; inf for one pair."""
    verdict: str
    why: str

    @property
    def mean(self) -> float:
        return fmean(self.differences)

    @property
    def loss_percent(self) -> float:
        return 100 * self.mean / self.baseline if self.baseline else math.nan

    @property
    def detectable_percent(self) -> float:
        return 100 * self.detectable / self.baseline if self.baseline else math.inf

    def as_dict(self) -> dict[str, object]:
        """Plain data; what cannot be known is None."""
        return {
            "differences": list(self.differences),
            "baseline_mean": self.baseline,
            "mean": self.mean,
            "loss_percent": _known(self.loss_percent),
            "spread": _known(self.spread),
            "interval": [_known(v) for v in self.interval],
            "detectable": _known(self.detectable),
            "detectable_percent": _known(self.detectable_percent),
            "alpha": ALPHA,
            "power": POWER,
            "verdict": self.verdict,
            "why": self.why,
        }


def compared(spec: RunSpec, precisions: Sequence[str], seeds: int, epochs: int | None) -> tuple[Precision, ...]:
    """The precisions to compare; what would compare unlike runs, or none, is refused."""
    known = get_args(Precision)
    rules = (
        (set(precisions) <= set(known), "--precisions", ",".join(precisions), f"some of {', '.join(known)}"),
        (len(set(precisions)) == len(precisions), "--precisions", ",".join(precisions), "each precision once"),
        (BASELINE in precisions and len(precisions) > 1, "--precisions", ",".join(precisions), "fp32 and another"),
        (seeds >= 1, "--seeds", seeds, "a whole number of 1 or more"),
        (epochs is None or epochs >= 1, "--epochs", epochs, "a whole number of 1 or more"),
        (
            spec.budget.patience is None,
            "budget.patience",
            spec.budget.patience,
            "none: runs that end when they like have unequal budgets",
        ),
        (
            spec.budget.steps is None,
            "budget.steps",
            spec.budget.steps,
            "none: an epoch that is cut short is not validated; say how long in epochs",
        ),
    )
    problems = [Problem(name, f"found {value!r}, expected {wanted}") for good, name, value, wanted in rules if not good]
    if problems:
        raise SpecError("this comparison cannot be made:", problems=problems)
    return tuple(name for name in known if name in precisions)


def compare(pairs: Sequence[tuple[float, float]], *, resolution: float = 0.0) -> PairedComparison:
    """(baseline, candidate) hmean of each seed -> how much the candidate loses, and whether that can be told.

    `resolution` is the smallest step a score can take (one text more or less): equal scores on few texts are no proof
    of equal training, so the spread is at least what rounding both scores to it makes.
    """
    differences = tuple(a - b for a, b in pairs)
    baseline, count = fmean(a for a, _ in pairs), len(pairs)
    if count < 2:
        inf = math.inf
        return PairedComparison(
            differences=differences, baseline=baseline, spread=math.nan, interval=(-inf, inf), detectable=inf,
            verdict=UNKNOWN, why="one pair says nothing about how much such pairs differ by chance",
        )  # fmt: skip
    spread = max(stdev(differences), resolution / math.sqrt(6))
    error = spread / math.sqrt(count)
    reach = t_quantile(1 - ALPHA / 2, count - 1) * error
    mean = fmean(differences)
    interval = (mean - reach, mean + reach)
    verdict, why = _verdict(interval, baseline)
    return PairedComparison(
        differences=differences, baseline=baseline, spread=spread, interval=interval,
        detectable=detectable(spread, count), verdict=verdict, why=why,
    )  # fmt: skip


def _verdict(interval: tuple[float, float], baseline: float) -> tuple[str, str]:
    """A verdict holds for the whole interval, or it is not given."""
    if baseline < LEARNT:
        return UNKNOWN, f"the baseline reached {baseline:.4f}: it has learnt nothing that could be lost, train longer"
    low, high = (100 * v / baseline for v in interval)
    said = f"the 95 % interval of the loss is {low:.2f} to {high:.2f} %"
    if high < ACCEPTABLE:
        return "acceptable", f"{said}, all below {ACCEPTABLE:g} %"
    if low > MARGINAL:
        return "unacceptable", f"{said}, all above {MARGINAL:g} %"
    if low >= ACCEPTABLE and high <= MARGINAL:
        return "marginal", f"{said}, all from {ACCEPTABLE:g} to {MARGINAL:g} %"
    return UNKNOWN, f"{said}, across the borders at {ACCEPTABLE:g} and {MARGINAL:g} %: more seeds narrow it"


def detectable(spread: float, count: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The true mean difference that a paired two-sided t test of `count` pairs finds with this power.

    >>> round(detectable(1.0, 34), 3)
    0.495
    """
    if count < 2:
        return math.inf
    size = _bisect(lambda d: t_power(d, count, alpha=alpha) - power, 0.0, 2.0)
    return size * spread


def t_power(size: float, count: int, *, alpha: float = ALPHA) -> float:
    """How often a paired two-sided t test finds a true mean of `size` standard deviations.

    The statistic is (Z + shift) / sqrt(V / df) with V of a chi-square law: the probability given V is normal, and is
    integrated over it.
    """
    df, shift = count - 1, size * math.sqrt(count)
    critical = t_quantile(1 - alpha / 2, df)

    def both_tails(root: float) -> float:
        return _normal(shift - critical * root) + _normal(-shift - critical * root)

    # root = sqrt(V / df), whose density lies within eight deviations of 1 (about 1 / sqrt(2 df)), and above 0.
    top = 1 + 8 / math.sqrt(2 * df)
    low = max(0.0, 1 - 8 / math.sqrt(2 * df))
    constant = math.log(2) + (df / 2) * math.log(df / 2) - math.lgamma(df / 2)

    def density(root: float) -> float:
        if root <= 0:
            return math.exp(constant) if df == 1 else 0.0
        return math.exp(constant + (df - 1) * math.log(root) - df * root * root / 2)

    return _simpson(lambda root: density(root) * both_tails(root), low, top)


def t_quantile(share: float, df: int) -> float:
    """Student's t: the value below which `share` lies.

    >>> round(t_quantile(0.975, 2), 4), round(t_quantile(0.975, 9), 4)
    (4.3027, 2.2622)
    """
    if share < 0.5:
        return -t_quantile(1 - share, df)
    return _bisect(lambda t: t_below(t, df) - share, 0.0, 2.0)


def t_below(t: float, df: int) -> float:
    """Student's t: the share below `t`, exactly, by the finite sum in the angle atan(t / sqrt(df))."""
    angle = math.atan2(t, math.sqrt(df))
    cosine2 = math.cos(angle) ** 2
    odd = df % 2 == 1
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(1 if odd else 0, df - 1, 2):
        total += term
        term *= cosine2 * (k + 1) / (k + 2)
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return 0.5 + inside / 2


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is zero, from `low` on."""
    while rising(high) < 0:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _simpson(function: Callable[[float], float], low: float, high: float, pieces: int = 400) -> float:
    step = (high - low) / pieces
    points = [low + i * step for i in range(pieces + 1)]
    values = [function(p) for p in points]
    middles = [function((a + b) / 2) for a, b in pairwise(points)]
    return step / 6 * (values[0] + values[-1] + 2 * sum(values[1:-1]) + 4 * sum(middles))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
