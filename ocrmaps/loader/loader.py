"""Batches of a committed version at the speed of unpacking: threads in this process, no workers, nothing pickled.

    with MapLoader(folder, split="train", batch_size=16, shuffle=True) as loader:
        for epoch in range(epochs):
            loader.set_epoch(epoch)
            for batch in loader:
                ...

Each row is read once, proven against its digest and unpacked straight into its place in a batch (docs/explanation/
loader.md says why it is made this way and what it costs).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ocrmaps.errors import OcrmapsError, Problem, RunError, SpecError
from ocrmaps.geometry import Size
from ocrmaps.loader.batch import Batch
from ocrmaps.loader.epoch import Pass
from ocrmaps.loader.order import Lazy, Order, Rows, share, steps
from ocrmaps.loader.ring import Bytes, Ring, Slots, offsets
from ocrmaps.loader.settings import check_settings, default_threads, device_of
from ocrmaps.loader.weights import in_units
from ocrmaps.store.ahead import ReadAhead
from ocrmaps.store.far.rows import Ahead
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import row_shape
from ocrmaps.store.several import AheadOfSeveral, Several, Stored, StorePart, Where, fast, opened
from ocrmaps.store.writing.plan import SPLITS

ARRAYS = Batch._fields[:4]
STATE = 1
"""Format of `state_dict`."""


class MapLoader:
    """The batches of one split of one version, or of several, for one rank; an iterable, and a context manager.

    Iterating shows the epoch that `set_epoch` named, or the one after the last that was shown to its end. One pass is
    under way at a time: a new one ends the one before. Without a CUDA `device` batches are in ordinary host memory;
    with one they are on it, copied from pinned memory beside the computation. Either way a batch is the caller's for
    as long as any view of it exists.

    With several ranks, each gets equally many batches; where they do not come out even the first ones of the epoch are
    shown again (`Batch.row` tells), or `drop_last` leaves out the last step. `drop_last` also leaves out batches with
    fewer than `batch_size` rows: `left_out` and `unreachable` say what that costs.

    `weights` say how often an epoch shows each of the split's rows: 2 twice, .25 in a quarter of all epochs, 0 never;
    every epoch is as long. With weights, or several versions, `Batch.row` counts over all versions, and a row's second
    time in an epoch is that number plus the number of all stored rows; `ids` takes both.
    """

    def __init__(
        self,
        version_folder: Where,
        *,
        split: str,
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        drop_last: bool = False,
        weights: npt.ArrayLike | None = None,
        threads: int | None = None,
        ahead: int = 3,
        rank: int = 0,
        world: int = 1,
        check_digests: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        threads = default_threads() if threads is None else threads
        check_settings(batch_size=batch_size, threads=threads, ahead=ahead, world=world, rank=rank, seed=seed)
        self._device = device_of(device)
        if weights is not None and isinstance(version_folder, str | os.PathLike):
            version_folder = [StorePart(folder=version_folder)]
        self._reader = opened(version_folder)
        # Somebody may forget to close: the version is then marked as in use for as long as this object lives, only.
        self._closing = weakref.finalize(self, self._reader.close)
        try:
            self.rows = rows_of(self._reader, split)
            self._fast = fast(self._reader, check_digests=check_digests)
            self._order = order_of(
                self._reader, self.rows, weights, batch_size=batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last
            )
            if steps(len(self._order), world, drop_last=drop_last) == 0:
                raise SpecError(
                    f"{self._name}: no full step of {world} x {batch_size} rows of one canvas in the {len(self.rows)} "
                    f"rows of split {split!r} ({_canvases(self._order.rows)})",
                    hint="a smaller batch_size, or drop_last=False",
                )
        except BaseException:
            self._closing()
            raise
        self.split, self._rank, self._world, self._threads, self._ahead = split, rank, world, threads, ahead
        self._slots = Slots(
            max(offsets(min(batch_size, rows), _shapes(canvas))[-1] for canvas, rows in self._order.counts.items()),
            keep=ahead + 2,
            pinned=self._device is not None and self._device.type == "cuda",
        )
        self._epoch, self._done, self._resume, self._start = 0, 0, 0, 0
        self._current: weakref.ref[Pass] | None = None
        self._coming: Ahead | AheadOfSeveral | ReadAhead | None = None
        self.wait_seconds = 0.0
        """Seconds that callers have waited for a batch, over the life of this loader."""

    @property
    def version(self) -> str:
        return self._reader.version

    @property
    def root_digest(self) -> str:
        """One digest over every byte of the version: what a checkpoint should say it has seen."""
        return self._reader.root_digest

    @property
    def epoch(self) -> int:
        """The epoch that is being shown, or is shown next."""
        return self._epoch

    @property
    def left_out(self) -> int:
        """Rows that `drop_last` leaves out of an epoch because they fill no batch (whole steps come on top)."""
        return self._order.left_out

    @property
    def unreachable(self) -> Rows:
        """Rows that no epoch ever shows, because `drop_last` drops the only batch of their canvas."""
        return self._order.unreachable

    def ids(self, rows: Iterable[int] | torch.Tensor) -> list[str]:
        """Sample ids of these rows, for instance of `batch.row`."""
        numbers = rows.tolist() if isinstance(rows, torch.Tensor) else rows
        return [self._reader.id(int(row)) for row in numbers]

    def __len__(self) -> int:
        """Batches of an epoch for this rank."""
        return steps(len(self._order), self._world, drop_last=self._order.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        if not self._closing.alive:
            raise RunError(f"{self._name}: this loader was closed")
        self._end_pass()
        start, self._resume = self._resume, 0
        self._done = start
        batches = share(
            self._order.batches(self._epoch), start, self._rank, self._world, drop_last=self._order.drop_last
        )
        self._coming = self._fast.ahead(row for rows in batches for row in rows.tolist())
        shapes = {canvas: _shapes(canvas) for canvas in self._order.rows}

        def batch(step: int) -> tuple[list[int], list[tuple[int, ...]]]:
            rows: list[int] = batches[step].tolist()
            return rows, shapes[self._reader.canvas(rows[0])]

        ring = Ring(
            Lazy(len(batches), batch),
            self._read,
            self._slots,
            threads=self._threads,
            ahead=self._ahead,
            stop_beside=None if self._coming is None else self._coming.stop,
        )
        current = Pass(ring, self._slots, len(batches), self._device, progress=self._progress)
        self._current, self._start = weakref.ref(current), start
        return current

    def set_epoch(self, epoch: int) -> None:
        """Show this epoch next. Naming the epoch that `load_state_dict` brought back keeps its place in it."""
        if epoch < 0:
            raise SpecError(f"found epoch {epoch}, expected 0 or more")
        if epoch != self._epoch:
            self._end_pass()
            self._epoch, self._done, self._resume = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the caller is: after the last batch handed out, whatever was read ahead. The same on all ranks."""
        return {
            "format": STATE,
            **self._identity(),
            "epoch": self._epoch,
            "batches": self._done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, on however many ranks; another version or order is refused."""
        if state.get("format") != STATE:
            raise RunError(f"{self._name}: found loader state of format {state.get('format')!r}, expected {STATE}")
        differing = [
            Problem(loc=key, message=f"the state has {state.get(key)!r}, this loader has {mine!r}", kind="other")
            for key, mine in self._identity().items()
            if state.get(key) != mine
        ]
        if differing:
            raise RunError(
                f"{self._name}: cannot resume, the batches of this loader are not those of the saved state",
                hint="resume with the version and settings of that run, or start a new one",
                problems=differing,
            )
        epoch, done = state.get("epoch"), state.get("batches")
        if not (isinstance(epoch, int) and isinstance(done, int) and epoch >= 0 and 0 <= done <= len(self._order)):
            raise RunError(
                f"{self._name}: found epoch {epoch!r} and {done!r} batches in the state, expected whole numbers, the "
                f"second at most {len(self._order)}"
            )
        self._end_pass()
        if steps(len(self._order) - done, self._world, drop_last=self._order.drop_last) == 0:
            epoch, done = epoch + 1, 0  # what is left of that epoch is no full step on so many ranks
        self._epoch, self._done, self._resume = epoch, done, done

    def close(self) -> None:
        """End all threads and give the version free; closing twice is fine. Batches handed out stay valid."""
        self._end_pass()
        self._fast.close()
        self._closing()

    def __enter__(self) -> MapLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _name(self) -> str:
        return name_of(self._reader)

    def _identity(self) -> dict[str, Any]:
        """What decides which rows batch number n of an epoch holds."""
        order = self._order
        return {
            "version": self.version,
            "root_digest": self.root_digest,
            "split": self.split,
            "batch_size": order.batch_size,
            "shuffle": order.shuffle,
            "seed": order.seed,
            "drop_last": order.drop_last,
            **({} if order.weights is None else {"weights": digest_of(order)}),
        }

    def _progress(self, which: Pass, waited: float) -> None:
        """Book a batch that was handed out, or a wait that ended in none."""
        self.wait_seconds += waited
        if self._current is None or self._current() is not which:
            return
        # An epoch counts as shown with its last batch: a caller who counts batches never asks for one more.
        self._done = 0 if which.ended else self._start + which.handed * self._world
        self._epoch += which.ended

    def _end_pass(self) -> None:
        current = self._current() if self._current is not None else None
        if current is not None:
            current.close()
        self._current = None

    def _read(self, row: int, targets: Sequence[Bytes]) -> None:
        try:
            self._fast.read_into(row, targets)
            if self._coming is not None:
                self._coming.used(row)
        except OcrmapsError:
            raise
        except Exception as error:
            raise RunError(
                f"{self._name}: reading row {row} ({self._reader.name(row)}) failed: {type(error).__name__}: {error}"
            ) from error


def _shapes(canvas: Size) -> list[tuple[int, ...]]:
    return [row_shape(array, canvas) for array in ARRAYS]


def order_of(
    reader: Stored,
    rows: Rows,
    weights: npt.ArrayLike | None,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    drop_last: bool,
) -> Order:
    """The batches of these rows, in which those of weight 0 do not come."""
    units = None if weights is None else in_units(weights)
    if units is not None and len(units) != len(rows):
        raise SpecError(f"found {len(units)} weights, expected one for each of the {len(rows)} rows")
    if units is not None:
        rows, units = rows[units > 0], units[units > 0]
    if not len(rows):
        raise SpecError(f"{name_of(reader)}: no row has a weight above 0")
    canvases = reader.rows["canvas"][rows]
    used = np.flatnonzero(np.bincount(canvases)).tolist()

    def by_canvas(column: Rows) -> dict[Size, Rows]:
        """Of one canvas each; where there is but one, the same array again."""
        return {reader.canvases[c]: column if len(used) == 1 else column[canvases == c] for c in used}

    return Order(
        rows=by_canvas(rows),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        weights=None if units is None else by_canvas(units),
        every=len(reader),
    )


def digest_of(order: Order) -> str:
    """One digest over the weights of all rows."""
    assert order.weights is not None
    return file_digest(
        *(a.data for canvas in sorted(order.rows) for a in (order.rows[canvas], order.weights[canvas]))
    ).hex()


def name_of(reader: Stored) -> str:
    """How messages call what is read."""
    if isinstance(reader, Several):
        return f"stores {reader.title}"
    return f"store {reader.folder.parent.name}, version {reader.folder.name}"


def rows_of(reader: Stored, split: str) -> Rows:
    """The rows of a split; an unknown or empty one is refused with the splits there are."""
    if split not in SPLITS:
        raise SpecError(f"found split {split!r}, expected one of {', '.join(repr(s) for s in SPLITS)}")
    rows = reader.select(split)
    if len(rows) == 0:
        counts = {name: len(reader.select(name)) for name in SPLITS}
        found = ", ".join(f"{name!r} {n}" for name, n in counts.items() if n) or "no rows at all"
        raise SpecError(
            f"{name_of(reader)}: split {split!r} has no rows; it has {found}",
            hint="a source of the recipe says its split",
        )
    return rows


def _canvases(rows: Mapping[Size, Rows]) -> str:
    return ", ".join(f"{len(r)} of {h}x{w}" for (h, w), r in rows.items())
