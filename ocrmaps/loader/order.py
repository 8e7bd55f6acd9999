"""Which rows make which batch: a permutation of (seed, epoch) alone, then dealt to the ranks in turn.

Batches are formed first and shared out second. So how many ranks there are, or on how many cores they read, changes
neither what is in a batch nor the order of batches; a run stopped on four ranks can go on with two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import Size
from ocrmaps.loader.weights import Rows, places, rows_of_epoch

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Lazy(Sequence[T]):
    """A sequence whose items are made when they are asked for: an epoch of a million rows is no million of objects.

    >>> squares = Lazy(5, lambda i: i * i)
    >>> squares[3], squares[-1], list(squares[2:])
    (9, 16, [4, 9, 16])
    """

    length: int
    make: Callable[[int], T]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            places = range(self.length)[index]
            return Lazy(len(places), lambda i: self.make(places[i]))
        return self.make(range(self.length)[index])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """The batches of every epoch. A batch holds rows of one canvas.

    >>> rows = {(64, 64): np.arange(5), (64, 32): np.arange(5, 8)}
    >>> order = Order(rows=rows, batch_size=2, shuffle=False, seed=0, drop_last=False)
    >>> [batch.tolist() for batch in order.batches(epoch=0)]
    [[5, 6], [7], [0, 1], [2, 3], [4]]
    """

    rows: Mapping[Size, Rows]
    """Rows by canvas, each in ascending order."""
    batch_size: int
    shuffle: bool
    seed: int
    drop_last: bool
    """Leave out the rows at the end of a canvas that do not fill a batch."""
    weights: Mapping[Size, Rows] | None = None
    """How often an epoch shows each of `rows`, in `weights.UNIT`; None shows every row once."""
    every: int = 0
    """The number of stored rows, which tells the times of a row apart (`ocrmaps.loader.weights`)."""

    def __len__(self) -> int:
        """Batches of every epoch, before they are shared out."""
        return sum(self._of(count) for count in self.counts.values())

    @property
    def counts(self) -> dict[Size, int]:
        """Rows of every epoch by canvas, those that fill no batch among them."""
        if self.weights is None:
            return {canvas: len(rows) for canvas, rows in self.rows.items()}
        return {canvas: rows_of_epoch(self.weights[canvas]) for canvas in self.rows}

    @property
    def left_out(self) -> int:
        """Rows that an epoch does not show because they fill no batch; other ones in each epoch when shuffled."""
        if not self.drop_last:
            return 0
        return sum(count % self.batch_size for count in self.counts.values())

    @property
    def unreachable(self) -> Rows:
        """Rows that no epoch shows: their canvas has fewer of them than a batch, and `drop_last` drops it each time."""
        lost = [self.rows[canvas] for canvas, count in self.counts.items() if self._of(count) == 0]
        return np.sort(np.concatenate([np.empty(0, np.int64), *lost]))

    def batches(self, epoch: int) -> Sequence[Rows]:
        """All batches of an epoch, in the order in which they are dealt; each is cut out when it is asked for."""
        canvases = [self._of_epoch(number, epoch) for number in range(len(self.rows))]
        ends = list(accumulate(self._of(len(rows)) for rows in canvases))
        total = ends[-1] if ends else 0
        turns: Sequence[int] | Rows = range(total)
        if self.shuffle:
            canvases = [
                rows[_permutation(len(rows), self.seed, epoch, number)] for number, rows in enumerate(canvases, start=1)
            ]
            turns = _permutation(total, self.seed, epoch, 0)

        def batch(turn: int) -> Rows:
            made = int(turns[turn])
            canvas = bisect_right(ends, made)
            first = (made - (ends[canvas - 1] if canvas else 0)) * self.batch_size
            return canvases[canvas][first : first + self.batch_size]

        return Lazy(total, batch)

    def _of_epoch(self, number: int, epoch: int) -> Rows:
        """What an epoch shows of one canvas, before it is shuffled."""
        canvas = sorted(self.rows)[number]
        rows = self.rows[canvas]
        if self.weights is None:
            return rows
        # Four words: no permutation of an epoch has this key.
        order = _permutation(len(rows), self.seed, 0, number + 1, 1)
        return places(rows, self.weights[canvas], self.every, epoch, order)

    def _of(self, rows: int) -> int:
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)


def steps(batches: int, world: int, *, drop_last: bool) -> int:
    """How many batches each of `world` ranks gets: equally many, or a rank would wait for the others for ever.

    >>> steps(7, 2, drop_last=False), steps(7, 2, drop_last=True)
    (4, 3)
    """
    return batches // world if drop_last else -(-batches // world)


def share(batches: Sequence[T], done: int, rank: int, world: int, *, drop_last: bool) -> Sequence[T]:
    """What is left for one rank after `done` batches were dealt; every rank gets equally many.

    Where they do not come out even, the first batches of the epoch fill up the last step, or `drop_last` drops it.
    """
    count = steps(len(batches) - done, world, drop_last=drop_last)
    return Lazy(count, lambda i: batches[(done + i * world + rank) % len(batches)])


def _permutation(length: int, *key: int) -> npt.NDArray[np.intp]:
    """A permutation that follows from the key on every machine and NumPy: NumPy keeps raw streams, not shuffles."""
    raw = np.random.PCG64(np.random.SeedSequence(key)).random_raw(length)
    return np.argsort(np.asarray(raw, dtype=np.uint64), kind="stable")
