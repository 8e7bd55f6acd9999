"""How often an epoch shows each row: rows with weights become places, as many in every epoch.

A row of weight w stands floor(w) times in an epoch. What is left of the weights of a canvas is given out in whole
rows: as many as the rests sum to, rounded down, but one where there is a rest at all. Which rows these are moves on
from epoch to epoch by the golden ratio, so that a row of weight .25 comes in every fourth epoch or so, never in none.

A place is a row, or a row plus a multiple of the number of stored rows: its second, third, ... time in an epoch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import SpecError

Rows = npt.NDArray[np.int64]
UNIT = 1_000_000
"""Weights count in millionths: whole numbers sum to the same on every machine."""
_GOLDEN = 618_034


def in_units(weights: npt.ArrayLike) -> Rows:
    """Weights as whole millionths; what is no weight is refused."""
    found = np.asarray(weights, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all() or (found < 0).any() or (found > 1_000_000).any():
        raise SpecError(f"found weights {found}, expected a list of numbers from 0 to 1000000")
    units: Rows = np.rint(found * UNIT).astype(np.int64)
    return units


def rows_of_epoch(units: Rows) -> int:
    """How many rows an epoch shows of a canvas whose rows have these weights.

    >>> rows_of_epoch(in_units([1, 1, 1])), rows_of_epoch(in_units([0.25] * 10)), rows_of_epoch(in_units([2.5, 0.1]))
    (3, 2, 3)
    """
    return int((units // UNIT).sum()) + _drawn(units % UNIT)


def places(rows: Rows, units: Rows, every: int, epoch: int, order: Rows) -> Rows:
    """The places of one canvas in an epoch, in ascending order.

    `every` is the number of stored rows, `order` a permutation of `rows` that is the same in all epochs.

    >>> rows, units = np.arange(4), in_units([2, 1, 0.5, 0.5])
    >>> [places(rows, units, 100, epoch, np.arange(4)).tolist() for epoch in range(4)]
    [[0, 1, 2, 100], [0, 1, 3, 100], [0, 1, 2, 100], [0, 1, 3, 100]]
    """
    whole, rest = units // UNIT, units % UNIT
    times = whole.copy()
    drawn = _drawn(rest)
    if drawn:
        # Points in equal steps along the rests, laid end to end: none is longer than a step, so none is hit twice.
        ends = np.cumsum(rest[order])
        step, odd = divmod(int(ends[-1]), drawn)
        counted = np.arange(drawn, dtype=np.int64)
        points = counted * step + counted * odd // drawn + (epoch * (step * _GOLDEN // UNIT)) % step
        times[order[np.searchsorted(ends, points, side="right")]] += 1
    number = np.arange(int(times.sum())) - np.repeat(np.cumsum(times) - times, times)
    found: Rows = np.sort(np.repeat(rows, times) + every * number)
    return found


def _drawn(rest: Rows) -> int:
    """Whole rows that the rests come to."""
    total = int(rest.sum())
    # Thirds that were rounded down to millionths make whole ones all the same.
    return max(1, (total + len(rest) // 2) // UNIT) if total else 0
