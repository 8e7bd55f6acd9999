"""Makes probabilities of what was a rank: three numbers for each kind, measured on errors that were put in on purpose.

A detector's own mistakes look like errors, however clearly, which bounds what a look can prove. And errors that are
already there make their like look usual, so that common ones are thought to be too rare: how common a kind is follows
from how common it looks by a line through the logarithms. `ocrmaps.pipelines.bench.calibration` measures the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ocrmaps.evaluation.audit.odds import posterior
from ocrmaps.geometry import FloatArray

MIDDLE, END = -4.5, -3.0
"""Logarithms of the share around which the line turns, 1.1 %, and to which it was measured, 5 %."""


@dataclass(frozen=True, slots=True)
class LookWorth:
    """What was measured of one kind."""

    offset: float
    """How much more common it is than it looks, as a logarithm, where its share is `MIDDLE`."""
    slope: float
    """How much that grows with the logarithm of the share."""
    failures: float
    """The logarithm of the share of right labels that look like it, whatever is asked of the look."""


NUMBERS: Mapping[str, LookWorth] = {
    "missing": LookWorth(2.30, -0.36, -2.96),
    "spurious": LookWorth(2.68, 1.34, -6.39),
    "shifted": LookWorth(2.94, 1.34, -6.71),
    "too_tight": LookWorth(1.54, 1.34, -5.18),
    "too_loose": LookWorth(2.15, 1.34, -6.48),
    "merged": LookWorth(2.00, 1.34, -6.56),
    "split": LookWorth(-0.23, 1.34, -4.41),
    "duplicate": LookWorth(3.92, 1.34, -7.58),
    "should_ignore": LookWorth(0.0, 0.0, -6.5),
    "should_read": LookWorth(-1.25, 1.34, -1.96),
}
"""Measured on 80 generated receipts and 80 of SROIE val with the shipped detector: 26 runs with 0 to 25 % wrong labels,
9 300 errors. Of `should_ignore` there were too few, so it stays as common as it looks. Other pictures than these show
in `docs/explanation/audit.md` what that is worth."""


def calibrated(likeness: FloatArray, looks: FloatArray, kinds: Sequence[str]) -> FloatArray:
    """(n, 1 + kinds): probabilities, clean first, from how rows look and how common each kind looks in all of them.

    Which kind it is follows from the looks alone; that something is wrong at all, from the numbers of all kinds.

    >>> rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1e6]])
    >>> calibrated(rows, np.array([0.99, 0.01]), ["shifted"])[:, 1].round(2).tolist()
    [0.0, 0.14, 0.99]
    """
    wrong = error_odds(likeness, looks, [NUMBERS[kind] for kind in kinds])
    wrong /= 1 + wrong
    shares = posterior(likeness, looks)[:, 1:]
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    return np.column_stack([1 - wrong, shares * wrong[:, None]])


def error_odds(likeness: FloatArray, looks: FloatArray, numbers: Sequence[LookWorth]) -> FloatArray:
    """(n): the odds that something is wrong."""
    offset, slope, failures = np.array([[n.offset, n.slope, n.failures] for n in numbers]).T
    share = np.log(np.maximum(looks[1:], 1e-12))
    common = np.exp(share + offset + slope * (np.minimum(share, END) - MIDDLE))
    against = np.maximum(likeness[:, :1] + np.exp(failures) * likeness[:, 1:], 1e-300)
    return np.asarray((common * likeness[:, 1:] / against).sum(axis=1))
