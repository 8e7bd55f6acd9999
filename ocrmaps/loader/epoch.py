"""One pass over the batches of an epoch: full slots become batches, in host memory or on a device."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from time import perf_counter

import numpy as np
import torch

from ocrmaps.errors import RunError
from ocrmaps.loader.batch import Batch
from ocrmaps.loader.ring import Filling, Ring, Slot, Slots, offsets


class Pass(Iterator[Batch]):
    """What is left of one epoch. Its threads end with its last batch, with `close`, or when it is let go."""

    def __init__(
        self,
        ring: Ring,
        slots: Slots,
        total: int,
        device: torch.device | None,
        *,
        progress: Callable[[Pass, float], None],
    ) -> None:
        self.handed = 0
        """Batches handed out."""
        self._ring, self._slots, self._total, self._device, self._progress = ring, slots, total, device, progress
        self._copies = DeviceCopies(device, slots) if device is not None and device.type == "cuda" else None
        self._closing = weakref.finalize(self, _end, ring, self._copies)

    @property
    def ended(self) -> bool:
        """Whether every batch was handed out."""
        return self.handed == self._total

    def __next__(self) -> Batch:
        if self.ended:
            raise StopIteration
        if not self._closing.alive:
            raise RunError("this pass has ended: another one began, or the loader was closed")
        self._waited = 0.0
        try:
            batch = self._in_memory() if self._copies is None else self._on_device(self._copies)
            self.handed += 1
        except BaseException:
            self.close()
            raise
        finally:
            self._progress(self, self._waited)
        if self.ended:
            self.close()
        return batch

    def close(self) -> None:
        """End the threads; closing twice is fine."""
        self._closing()

    def _take(self) -> Filling:
        start = perf_counter()
        try:
            return self._ring.take()
        finally:
            self._waited = perf_counter() - start

    def _in_memory(self) -> Batch:
        filling = self._take()
        batch = batch_of(self._slots.lend(filling.slot), filling)
        return batch if self._device is None else batch.on(self._device)

    def _on_device(self, copies: DeviceCopies) -> Batch:
        if not copies.under_way:
            copies.start(self._take())
        batch = copies.take()
        # The next copy runs while the caller computes, even if the caller waits for the device in each step.
        if self.handed + 1 < self._total and self._ring.ready():
            copies.start(self._ring.take())
        return batch


class DeviceCopies:
    """DeviceCopies to a CUDA device on a stream of their own; a slot is used again only after its copy has ended."""

    def __init__(self, device: torch.device, slots: Slots) -> None:
        self._device, self._slots = device, slots
        self._stream = torch.cuda.Stream(device)
        self.under_way: deque[tuple[torch.Tensor, Filling, torch.cuda.Event]] = deque()
        """Begun and not yet taken."""
        self._read_from: deque[tuple[Slot, torch.cuda.Event]] = deque()

    def start(self, filling: Filling) -> None:
        """Copy a batch in one piece, without waiting."""
        while self._read_from and self._read_from[0][1].query():
            self._slots.give(self._read_from.popleft()[0])
        used = offsets(len(filling.rows), filling.shapes)[-1]
        with torch.cuda.stream(self._stream):
            flat = torch.from_numpy(filling.slot.memory[:used]).to(self._device, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._stream)
        self.under_way.append((flat, filling, event))
        self._read_from.append((filling.slot, event))

    def take(self) -> Batch:
        """The batch of the earliest copy, safe to use on the caller's current stream."""
        flat, filling, event = self.under_way.popleft()
        current = torch.cuda.current_stream(self._device)
        current.wait_event(event)
        flat.record_stream(current)
        return batch_of(flat, filling)

    def finish(self) -> None:
        """Wait for all copies, so that their slots may be used again."""
        self.under_way.clear()
        while self._read_from:
            slot, event = self._read_from.popleft()
            event.synchronize()
            self._slots.give(slot)


def batch_of(flat: torch.Tensor, filling: Filling) -> Batch:
    """The views of a flat batch, in the layout in which it was filled."""
    image, probability, threshold, mask = (
        flat.as_strided(*place) for place in _places(len(filling.rows), tuple(filling.shapes))
    )
    # From NumPy, because torch.tensor of a list takes longer than all the rest.
    return Batch(image, probability, threshold, mask, torch.from_numpy(np.array(filling.rows, dtype=np.int64)))


@lru_cache(maxsize=64)
def _places(rows: int, shapes: tuple[tuple[int, ...], ...]) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """(size, stride, offset) of each array in the memory of a batch."""
    return [
        ((rows, *shape), tuple(prod(shape[axis:]) for axis in range(len(shape) + 1)), start)
        for start, shape in zip(offsets(rows, shapes), shapes, strict=False)
    ]


def _end(ring: Ring, copies: DeviceCopies | None) -> None:
    ring.stop()
    if copies is not None:
        copies.finish()
