"""The watch for values that are not finite.

Losses and gradient norms go into a ring on the device, which is read every few steps: one wait in so many. With it go
the rows of each batch, so the first bad step is known by its sample ids, and the weights of the last good look. The
error that ends the run carries what the step can be repeated from; the run writes it into a debug bundle.
"""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ocrmaps.errors import RunError
from ocrmaps.loader_batch import Batch
from ocrmaps.store.reader import Reader
from ocrmaps.training.capture import Captured
from ocrmaps.training.module import DetectorModule


class NotFinite(RunError):
    """A loss or gradient was not finite; `captured` is the first step that had one."""

    def __init__(self, message: str, captured: Captured, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.captured = captured


class FiniteGuard(Callback):
    """Ends a run whose loss or gradient is not finite with a `NotFinite`; looks every `every` steps."""

    def __init__(self, reader: Reader, *, every: int = 20) -> None:
        self.reader, self.every = reader, every
        self._seen: list[tuple[int, int, list[int]]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        self._values = torch.zeros(self.every, 2, device=pl_module.device)
        self._weights = {k: v.detach().clone() for k, v in pl_module.detector.state_dict().items()}
        self._seen = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, DetectorModule)
        values = self._values[len(self._seen)]
        values[0].copy_(pl_module.last_loss)
        # Scaled gradients overflow now and then by design; the scaler skips those steps.
        values[1].copy_(pl_module.last_loss if pl_module.precision == "fp16-safe" else pl_module.last_norm)
        self._seen.append((pl_module.current_epoch, trainer.global_step, batch.row.tolist()))
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if len(self._seen) == self.every or last:
            self._look(pl_module)

    def _look(self, module: DetectorModule) -> None:
        values = self._values[: len(self._seen)].cpu()
        bad = ~values.isfinite().all(dim=1)
        if bool(bad.any()):
            self._stop(module, values, int(bad.nonzero()[0]))
        mine = module.detector.state_dict()
        torch._foreach_copy_(list(self._weights.values()), [mine[k] for k in self._weights])
        self._seen = []

    def _stop(self, module: DetectorModule, values: Tensor, first: int) -> None:
        epoch, step, rows = self._seen[first]
        names = [self.reader.name(row) for row in rows]
        loss, norm = values[first].tolist()
        captured = Captured(
            kind="gradient" if math.isfinite(loss) else "loss",
            epoch=epoch,
            step=step,
            rows=rows,
            names=names,
            weights={k: v.cpu() for k, v in self._weights.items()},
            stale=first,
            loss=loss,
            norm=None if module.precision == "fp16-safe" else norm,
            history=[v.tolist() for v in values[: first + 1]],
        )
        what = f"gradient norm {norm:g}" if captured.kind == "gradient" else f"loss {loss:g}"
        raise NotFinite(
            f"epoch {epoch + 1}, step {step}: found {what} on {len(rows)} samples: {', '.join(names[:4])}"
            f"{' ...' if len(names) > 4 else ''}",
            captured,
            hint="look at these samples; a lower optimiser.lr or clip, or precision fp32, may help",
        )
