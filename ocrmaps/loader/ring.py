"""Threads that fill batches in order, ahead of the one who takes them, in memory that is used again and again.

Nothing here knows stores or tensors' meaning: `read` fills one row, a `Slot` is flat memory, and the ring sees to it
that at most `ahead` batches are begun and not yet taken.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt
import torch

Bytes = npt.NDArray[np.uint8]
Read = Callable[[int, Sequence[Bytes]], None]
"""Fill one row (its number) into the given arrays, one per array of a row."""
ALIGNMENT = 64
"""Bytes: arrays of a batch begin at a cache line."""


@dataclass(slots=True, eq=False)
class Slot:
    """Flat memory for one batch of any canvas."""

    memory: Bytes

    def arrays(self, rows: int, shapes: Sequence[tuple[int, ...]]) -> list[Bytes]:
        """(rows, *shape) arrays one after the other from the start."""
        out = []
        for start, shape in zip(offsets(rows, shapes), shapes, strict=False):
            nbytes = rows * prod(shape)
            out.append(self.memory[start : start + nbytes].reshape(rows, *shape))
        return out


def offsets(rows: int, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Where each array of a batch begins in a slot, and where the last one ends.

    >>> offsets(2, [(5, 7, 3), (5, 7)])
    [0, 256, 384]
    """
    out = [0]
    for shape in shapes:
        out.append(-(-(out[-1] + rows * prod(shape)) // ALIGNMENT) * ALIGNMENT)
    return out


class Slots:
    """Memory that comes back when nobody can see it any more; never more than `keep` unused pieces are held.

    Fresh memory for each batch would cost a page fault for every 4 KiB of it: about as much as unpacking.
    """

    def __init__(self, nbytes: int, *, keep: int, pinned: bool) -> None:
        self.nbytes = nbytes
        self._keep = keep
        self._pinned = pinned
        # A deque, because its appends and pops are atomic: memory may come back in the middle of anything.
        self._free: deque[Slot] = deque()

    def take(self) -> Slot:
        """A slot that nobody else sees; its bytes are anybody's old ones."""
        try:
            return self._free.pop()
        except IndexError:
            if self._pinned:
                return Slot(torch.empty(self.nbytes, dtype=torch.uint8, pin_memory=True).numpy())
            return Slot(np.empty(self.nbytes, dtype=np.uint8))

    def give(self, slot: Slot) -> None:
        """Take a slot back."""
        if len(self._free) < self._keep:
            self._free.append(slot)

    def lend(self, slot: Slot) -> torch.Tensor:
        """All of a slot as a tensor; the slot comes back by itself when the last view of that tensor is gone.

        The tensor's storage holds the array made here, and every view of the tensor, also as NumPy, holds the storage.
        """
        seen = slot.memory[:]
        weakref.finalize(seen, self.give, slot).atexit = False
        return torch.from_numpy(seen)


@dataclass(slots=True, eq=False)
class Filling:
    """A batch on its way."""

    rows: Sequence[int]
    shapes: Sequence[tuple[int, ...]]
    """Of one row of each array."""
    slot: Slot
    arrays: list[Bytes] = field(init=False)
    claimed: int = 0
    left: int = field(init=False)
    failed_at: int = field(init=False)
    error: BaseException | None = None
    """Of the first row that failed."""

    def __post_init__(self) -> None:
        self.arrays = self.slot.arrays(len(self.rows), self.shapes)
        self.left = self.failed_at = len(self.rows)

    def fail(self, at: int, error: BaseException) -> None:
        """Of several errors the one of the first row is kept, so that a run tells the same story every time."""
        if at < self.failed_at:
            self.failed_at, self.error = at, error


class Ring:
    """Threads at work on one pass over the batches; `stop` ends them.

    They are daemons only so that an interpreter that ends with a pass half done does not wait for them: the owner
    stops them before that.
    """

    def __init__(
        self,
        batches: Sequence[tuple[Sequence[int], Sequence[tuple[int, ...]]]],
        read: Read,
        slots: Slots,
        *,
        threads: int,
        ahead: int,
        stop_beside: Callable[[], None] | None = None,
    ) -> None:
        self._stop_beside = stop_beside
        """Ends whatever works for this pass beside these threads."""
        self._batches, self._read, self._slots, self._ahead = batches, read, slots, ahead
        # One lock that its holder may take again: what is collected while it is held may end up in `stop`.
        self._lock = threading.RLock()
        self._work, self._ready = threading.Condition(self._lock), threading.Condition(self._lock)
        self._begun: deque[Filling] = deque()
        self._count = 0
        self._stopped = False
        self._broken: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"ocrmaps-loader-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def ready(self) -> bool:
        """Whether `take` would return at once."""
        with self._lock:
            return bool(self._begun) and self._begun[0].left == 0

    def take(self) -> Filling:
        """The next batch in order, once it is full; raises what went wrong in it, after all batches before it."""
        with self._lock:
            while not (self._begun and self._begun[0].left == 0):
                if self._broken is not None:
                    raise self._broken
                if self._stopped:
                    raise RuntimeError("the ring was stopped")
                self._ready.wait()
            filling = self._begun.popleft()
            self._work.notify_all()
        if filling.error is not None:
            self._slots.give(filling.slot)
            raise filling.error
        return filling

    def stop(self) -> None:
        """End the threads and wait for them; what was read ahead is dropped. Stopping twice is fine."""
        with self._lock:
            self._stopped = True
            self._work.notify_all()
            self._ready.notify_all()
        if self._stop_beside is not None:
            self._stop_beside()
        # The last reference to a pass may vanish in one of its own threads, which then ends by itself.
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()
            while self._begun:
                self._slots.give(self._begun.popleft().slot)

    def _run(self) -> None:
        try:
            while (claim := self._claim()) is not None:
                filling, first, last = claim
                for at in range(first, last):
                    if self._stopped:
                        return
                    try:
                        self._read(filling.rows[at], [array[at] for array in filling.arrays])
                    except BaseException as error:  # whoever waits for this batch must hear of it, whatever it is
                        with self._lock:
                            filling.fail(at, error)
                with self._lock:
                    filling.left -= last - first
                    if filling.left == 0 and filling is self._begun[0]:
                        self._ready.notify_all()
                # Or this thread would keep a batch alive while it waits for work.
                del filling, claim
        except BaseException as error:  # no memory for a slot, say: the waiting one must not wait for ever
            with self._lock:
                self._broken = error
                self._ready.notify_all()

    def _claim(self) -> tuple[Filling, int, int] | None:
        """The next rows to read, waiting for room if need be; None when there is nothing left to do.

        A few at a time, because each claim takes the lock; fewer with many threads, so that all share a batch.
        """
        with self._lock:
            while not self._stopped:
                last = self._begun[-1] if self._begun else None
                if last is None or last.claimed == len(last.rows):
                    last = self._begin()
                if last is not None:
                    first = last.claimed
                    last.claimed = min(len(last.rows), first + max(1, len(last.rows) // (2 * len(self._threads))))
                    return last, first, last.claimed
                if self._count == len(self._batches):
                    return None
                self._work.wait()
            return None

    def _begin(self) -> Filling | None:
        if self._count == len(self._batches) or len(self._begun) >= self._ahead:
            return None
        rows, shapes = self._batches[self._count]
        filling = Filling(rows, shapes, self._slots.take())
        self._begun.append(filling)
        self._count += 1
        return filling
