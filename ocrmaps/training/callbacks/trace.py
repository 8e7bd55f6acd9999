"""What the processor and the device did in a few steps, as a trace that chrome://tracing and Perfetto show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from ocrmaps.errors import SpecError

LARGEST = 64 * 2**20
"""Bytes of a trace that are kept; steps do not say how many operators they are made of."""


class Trace(Callback):
    """Traces `steps` optimizer steps from number `first` on, counted from 0, into a compressed file of `folder`.

    A run that is over before that is refused: it would look as if it had been traced.
    """

    def __init__(self, folder: Path, *, first: int, steps: int, tell: Callable[[str], None]) -> None:
        self.folder, self.first, self.steps, self.tell = folder, first, steps, tell
        self._profile: profile | None = None

    @property
    def path(self) -> Path:
        return self.folder / f"trace-steps{self.first:06d}-{self.first + self.steps - 1:06d}.json.gz"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        if self.first + self.steps > total:
            raise SpecError(
                f"watch.profile_from: found {self.first} and {self.steps} steps, the run has only {total}",
                hint="a smaller watch.profile_from or watch.profile_steps",
            )
        if done > self.first:
            self.tell(f"no trace: the run goes on at step {done}, behind watch.profile_from = {self.first}")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._profile is None and trainer.global_step == self.first and not self.path.exists():
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            # Shapes, stacks and memory would multiply the size and the cost.
            self._profile = profile(activities=activities)
            self._profile.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._profile is not None and trainer.global_step >= self.first + self.steps:
            self._finish()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _finish(self) -> None:
        assert self._profile is not None
        found, self._profile = self._profile, None
        found.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(self.path))
        size = self.path.stat().st_size
        if size > LARGEST:
            self.path.unlink()
            self.tell(f"the trace of {self.steps} steps took {size / 2**20:.0f} MiB and was dropped: trace fewer steps")
            return
        self.tell(f"traced steps {self.first} to {self.first + self.steps - 1}: {self.path}, {size / 2**20:.1f} MiB")
