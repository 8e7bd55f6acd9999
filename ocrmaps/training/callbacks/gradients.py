"""The gradient norms of an epoch: how large they usually are, and how often clipping changes a step."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ocrmaps.training.module import DetectorModule


class Gradients(Callback):
    """Keeps the norm of every optimizer step where it was computed; read once an epoch, or when it is saved.

    Part of a checkpoint, so that an epoch that was interrupted still tells of all its steps.
    """

    def __init__(self, clip: float) -> None:
        self.clip = clip
        self._norms: list[Tensor] = []
        self._step = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._norms = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, DetectorModule)
        if trainer.global_step != self._step:  # with accumulation most batches make no step
            self._step = trainer.global_step
            self._norms.append(pl_module.last_norm)

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._read()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._norms = list(torch.tensor(state_dict["norms"]))

    def _read(self) -> list[float]:
        norms: list[float] = torch.stack([n.cpu() for n in self._norms]).tolist() if self._norms else []
        return norms

    def row(self) -> dict[str, float]:
        """For the table of the run; norms that gradient scaling let overflow count as clipped, not as a size."""
        norms = np.array(self._read())
        sizes = norms[np.isfinite(norms)]
        if not len(sizes):
            return {}
        median, p95 = np.percentile(sizes, (50, 95)).tolist()
        return {
            "gradient_p50": median,
            "gradient_p95": p95,
            "gradient_max": float(sizes.max()),
            "clipped_share": float(np.mean(~(norms <= self.clip))),
        }
