"""Ctrl-C or SIGTERM ends a run between two steps, with its state saved: the resumed run is the one that never stopped.

The first one asks; the step, or the validation, under way is finished first. Ctrl-C after that ends at once and leaves
the latest checkpoint as it was. SIGTERM is how schedulers and containers ask: they may say it to every rank and say it
again, and kill when they have waited long enough, so one more of those changes nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.detect.trained import LAST
from ocrmaps.errors import RunError
from ocrmaps.training.checkpoint import Keeper

AGREE_EVERY = 5
"""Optimizer steps between two times that several ranks ask each other whether to stop."""
SIGNALS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What asks for the end, and how that is called; a shell knows each by its exit code, 128 + its number."""
_ASKED = b"\nstopping after this step, or after the validation under way; Ctrl-C again stops at once\n"


class Interrupted(RunError):
    """Somebody ended the run; `at_once` says that the other ranks do not know of it, `signal` how it was asked."""

    def __init__(self, message: str, *, hint: str, at_once: bool = False, signal: int = signal.SIGINT) -> None:
        super().__init__(message, hint=hint)
        self.at_once, self.signal, self.exit_code = at_once, signal, 128 + signal


class StopAfter(Callback):
    """Ends a run whose schedule was made for more epochs, as the one on the card was ended."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch >= self.epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or trainer.current_epoch + 1 >= self.epochs


class Stop(Callback):
    """Saves and ends the run at the end of the first optimizer step, or epoch, after it was asked to."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.asked = 0
        """The signal that asked for the end; 0 while none did."""
        self._step, self._group, self._presses = -1, None, -1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The signals ask for the end while this lasts; elsewhere than in the main thread nobody can listen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # A shell that starts jobs in the background has them ignore Ctrl-C; that stays.
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._presses, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        noted = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = {number: signal.signal(number, self._pressed) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(noted)
            os.close(writing)
            os.close(self._presses)

    def _written_down(self) -> bytes:
        """The numbers of the signals since this was last asked."""
        try:
            return os.read(self._presses, 1 << 16)
        except BlockingIOError:
            return b""

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        # While a long step keeps Python from listening, several count as one; the system has written each one down.
        again = bool(self.asked) or self._written_down().count(signal.SIGINT) > 1
        if again and number == signal.SIGINT:
            raise Interrupted(f"interrupted at once; {self._latest()}", hint=self._hint(), at_once=True)
        if not self.asked:
            self.asked = number
            os.write(2, _ASKED)  # print may be in the middle of a line; this may not wait for it

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        if trainer.world_size > 1 and torch.distributed.get_backend() != "gloo":
            # Asked over a group of its own in host memory, so that no step waits for a device.
            self._group = torch.distributed.new_group(backend="gloo")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The state was saved with the end of the epoch before.
        if trainer.current_epoch > 0 and self._agreed(trainer):
            self._end(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == self._step:  # gradients are still being added up: not a state to go on from
            return
        self._step = step
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:  # the epoch's own save follows
            return
        if trainer.world_size > 1 and step % AGREE_EVERY:
            return
        if self._agreed(trainer):
            self.keeper.save_last(trainer)
            self._end(trainer)

    def _agreed(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size > 1:
            number = torch.tensor(self.asked)
            torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX, group=self._group)
            if not number:
                return False  # who was asked while the others answered asks the next time
            self.asked = int(number)
        return bool(self.asked)

    def _end(self, trainer: pl.Trainer) -> None:
        message = f"{SIGNALS[self.asked]} after step {trainer.global_step}; {self._latest()}"
        raise Interrupted(message, hint=self._hint(), signal=self.asked)

    def _latest(self) -> str:
        path = self.keeper.folder / LAST
        return f"the state is in {path}" if path.exists() else "no state was saved yet"

    def _hint(self) -> str:
        return f"go on by the same command with --out {self.keeper.folder.parent} --resume auto"
