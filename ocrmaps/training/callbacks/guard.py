"""The watch for values that are not finite.

Losses and gradient norms go into a ring on the device, which is read every few steps: one wait in so many. With it go
the rows of each batch, so the first bad step is known by its sample ids, and the weights of the last good look. The
error that ends the run carries what the step can be repeated from; the run writes it into a debug bundle.

Of several ranks one bad batch spoils the mean gradient of all. So each watches its own loss and its own gradient,
before they are averaged, and when they look they look at everybody's: the samples that are named are the bad rank's.
"""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from ocrmaps.errors import RunError
from ocrmaps.loader.batch import Batch
from ocrmaps.store.several import Stored
from ocrmaps.training.callbacks.stop import Interrupted
from ocrmaps.training.module import DetectorModule
from ocrmaps.training.steps.capture import Captured

Seen = tuple[int, int, list[int]]
"""Epoch, step and rows of a batch."""


class NotFinite(RunError):
    """A loss or gradient was not finite; `captured` is the first step that had one."""

    def __init__(self, message: str, captured: Captured, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.captured = captured


class FiniteGuard(Callback):
    """Ends a run whose loss or gradient is not finite with a `NotFinite`; looks every `every` steps.

    On several ranks the first one raises it, whoever was bad, and the others end beside it.
    """

    def __init__(self, reader: Stored, *, every: int = 20) -> None:
        self.reader, self.every = reader, every
        self._seen: list[Seen] = []
        self._own: Tensor | None = None
        """Squared norm of this rank's gradient, where there are others."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        self._values = torch.zeros(self.every, 2, device=pl_module.device)
        self._weights = {k: v.detach().clone() for k, v in pl_module.detector.state_dict().items()}
        self._seen = []
        if isinstance(trainer.model, DistributedDataParallel):
            self._own = torch.zeros((), device=pl_module.device)
            # Torch looks at a hook's annotations and does not know them as text, so it gets none.
            trainer.model.register_comm_hook(None, lambda _, bucket: self._before_mean(bucket))

    def _before_mean(self, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        assert self._own is not None
        self._own += torch.linalg.vector_norm(bucket.buffer()) ** 2
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]  # None is everybody

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, DetectorModule)
        values = self._values[len(self._seen)]
        values[0].copy_(pl_module.last_loss)
        norm = pl_module.last_norm if self._own is None else self._own.sqrt()
        # Scaled gradients overflow now and then by design; the scaler skips those steps.
        values[1].copy_(pl_module.last_loss if pl_module.precision == "fp16-safe" else norm)
        if self._own is not None:
            self._own.zero_()
        self._seen.append((pl_module.current_epoch, trainer.global_step, batch.row.tolist()))
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if len(self._seen) == self.every or last:
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: DetectorModule) -> None:
        mine = self._values[: len(self._seen)]
        values = mine[None]
        if trainer.world_size > 1:  # all of them are here: equal numbers of batches, the same `every`
            shares = [torch.empty_like(mine) for _ in range(trainer.world_size)]
            torch.distributed.all_gather(shares, mine.contiguous())
            values = torch.stack(shares)
        values = values.cpu()
        bad = ~values.isfinite().all(dim=2)
        if bool(bad.any()):
            self._stop(trainer, module, values, int(bad.any(dim=0).nonzero()[0]))
        latest = module.detector.state_dict()
        torch._foreach_copy_(list(self._weights.values()), [latest[k] for k in self._weights])
        self._seen = []

    def _stop(self, trainer: pl.Trainer, module: DetectorModule, values: Tensor, first: int) -> None:
        """Raise what the first bad step of all ranks was; a loss that is not finite comes before a gradient."""
        losses, norms = values[:, first].T.tolist()
        wrong = losses if not all(map(math.isfinite, losses)) else norms
        ranks = [rank for rank, value in enumerate(wrong) if not math.isfinite(value)]
        seen: list[Seen] = [self._seen[first]]
        if trainer.world_size > 1:
            seen = [self._seen[first]] * trainer.world_size
            torch.distributed.all_gather_object(seen, self._seen[first])
        if not trainer.is_global_zero:
            raise Interrupted("the first process tells what was not finite", hint="")
        epoch, step, rows = seen[ranks[0]]
        loss, norm = values[ranks[0], first].tolist()
        captured = Captured(
            kind="loss" if wrong is losses else "gradient",
            epoch=epoch,
            step=step,
            rows=rows,
            names=[self.reader.name(row) for row in rows],
            weights={k: v.cpu() for k, v in self._weights.items()},
            stale=first,
            loss=loss,
            norm=None if module.precision == "fp16-safe" else norm,
            history=[v.tolist() for v in values[ranks[0], : first + 1]],
        )
        what = f"gradient norm {norm:g}" if captured.kind == "gradient" else f"loss {loss:g}"
        several = f" of rank {ranks[0]}" if trainer.world_size > 1 else ""
        also = f"; and on rank {', '.join(map(str, ranks[1:]))}" if ranks[1:] else ""
        raise NotFinite(
            f"epoch {epoch + 1}, step {step}: found {what} on {len(rows)} samples{several}: "
            f"{', '.join(captured.names[:4])}{' ...' if len(rows) > 4 else ''}{also}",
            captured,
            hint="look at these samples; a lower optimizer.lr or clip, or precision fp32, may help",
        )
