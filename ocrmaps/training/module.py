"""The training module: stored bytes to loss, optimizer and schedule, averaged weights, scores. Nothing else.

A step reads nothing back from the device: losses and gradient norms are added up there and read once an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from ocrmaps.loader.batch import Batch
from ocrmaps.model import Detector
from ocrmaps.model.stages import frozen_norms
from ocrmaps.training import randomness
from ocrmaps.training.optimization import OptimizerSpec, Precision, ScheduleSpec
from ocrmaps.training.scoring import Scorer, ValidationScore
from ocrmaps.training.sharing import devices_of, share_progress

Augment = Callable[[Batch, int], Batch]
"""A batch and the epoch it is shown in -> what is learnt from."""
TERMS = ("loss", "probability", "threshold", "binary")


class DetectorModule(pl.LightningModule):
    """A detector in training.

    `ema` is the decay of the running mean of weights, None for none; where there is one, it is what is
    validated and predicted with. `card` is what a checkpoint says about itself, besides what changes as it learns.
    """

    loss: nn.Module
    detector: Detector

    def __init__(
        self,
        detector: Detector,
        loss: nn.Module,
        *,
        optimizer: OptimizerSpec,
        schedule: ScheduleSpec,
        scorer: Scorer,
        precision: Precision = "fp32",
        ema: float | None = None,
        augment: Augment | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        # A tuple, so that they are not registered a second time.
        self.frozen = frozen_norms(detector)
        self.detector, self.loss = detector, loss
        self.averaged: Detector | None = None if ema is None else deepcopy(detector).requires_grad_(False)
        self.optimizer, self.schedule, self.precision = optimizer, schedule, precision
        self.scorer, self.augment, self.card = scorer, augment, dict(card or {})
        self.decay, self.averages = ema, 0
        self.samples = 0
        """Training samples shown since the run began, over all ranks."""
        self.score: ValidationScore | None = None
        self.total_steps = 0
        # No buffers: those are the same on all ranks, by copies of the first one's, and these are each rank's own.
        self.sums = torch.zeros(len(TERMS) + 1)
        self.val_losses: dict[tuple[int, ...], Tensor] = {}
        """Summed loss of each validation batch, by its rows."""
        self.val_loss = 0.0
        self._unsettled = 0
        self.last_loss = torch.zeros(())
        self.last_norm = torch.zeros(())

    @property
    def best_weights(self) -> Detector:
        """What is validated and predicted with."""
        return self.detector if self.averaged is None else self.averaged

    def configure_optimizers(self) -> Any:
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        total = self.total_steps
        optimizer = self.optimizer.build(self.detector, fused=self.precision != "fp16-safe")
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule.factor(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        self.sums = self.sums.to(self.device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch if batch.image.device == device else batch.on(device, non_blocking=True)

    def on_train_epoch_start(self) -> None:
        # Lightning calls this for a new epoch only: one that is resumed in its middle goes on adding up.
        self.sums.zero_()
        self.score = None

    def training_step(self, batch: Batch, index: int) -> Tensor:
        for norm in self.frozen:
            # Whoever began the epoch put everything into training mode.
            norm.eval()
        if self.augment is not None:
            batch = self.augment(batch, self.current_epoch)
        terms = self.loss(self.detector(batch.image), batch.targets)
        self.last_loss = terms.total.detach()
        rows = len(batch.row)
        self.sums += torch.stack([*(t.detach() for t in terms), torch.ones_like(self.last_loss)]) * rows
        self._unsettled += rows
        if self.trainer.world_size == 1 or self.trainer.is_last_batch:
            self.settle()
        share = self._share(index)
        return terms.total if share == 1 else terms.total * share

    def _share(self, index: int) -> float:
        """What the trainer's division by `accumulate` is corrected with where the epoch ends before a step is full.

        A step is the mean over its batches, however many they are.
        """
        full, batches = self.trainer.accumulate_grad_batches, int(self.trainer.num_training_batches)
        return full / min(full, batches - index // full * full)

    def settle(self) -> None:
        """Count what was shown since the last time, on every rank; all of them call this at the same steps."""
        shown = self._unsettled
        if self.trainer.world_size > 1:
            shown = int(self.trainer.strategy.reduce(torch.tensor(shown, device=self.device), reduce_op="sum"))
        self.samples, self._unsettled = self.samples + shown, 0

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Here rather than by the trainer: the norm that clipping needs anyway is kept for the log.
        self.last_norm = nn.utils.clip_grad_norm_(self.detector.parameters(), self.optimizer.clip)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None and self.decay is not None:
            self.averages += 1
            # Early means forget fast, or they would remember random weights for most of a short run.
            average_into(self.averaged, self.detector, min(self.decay, (1 + self.averages) / (10 + self.averages)))

    def on_validation_epoch_start(self) -> None:
        self.scorer.begin()
        self.val_losses = {}

    def validation_step(self, batch: Batch, index: int) -> None:
        # In full precision whatever the training's: this is how checkpoints predict, so a score is theirs to the bit.
        with torch.autocast(self.device.type, enabled=False):
            logits = self.best_weights(batch.image)
            terms = self.loss(logits, batch.targets)
        self.val_losses[tuple(batch.row.tolist())] = terms.total * len(batch.row)
        self.scorer.add(batch.row.tolist(), *logits.maps(threshold=self.scorer.spec.binarize == "learned"))

    def on_validation_epoch_end(self) -> None:
        results = self.scorer.results()
        sums = torch.stack(list(self.val_losses.values())).tolist() if self.val_losses else []
        losses = dict(zip(self.val_losses, sums, strict=True))
        if self.trainer.world_size > 1:
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, (results, losses))
            # By row and by batch: what uneven ranks were shown twice counts once.
            results = {row: counts for share, _ in shares for row, counts in share.items()}
            losses = {rows: value for _, share in shares for rows, value in share.items()}
        self.val_loss = sum(losses[rows] for rows in sorted(losses)) / max(1, sum(map(len, losses)))
        self.score = self.scorer.total(results)
        if self.score.complete:
            self.log("val/hmean", self.score.hmean(), prog_bar=True, rank_zero_only=True)

    def teardown(self, stage: str) -> None:
        self.scorer.close()

    def means(self) -> dict[str, float]:
        """Mean losses of the epoch so far, over all ranks, and its validation's if it had one; waits."""
        sums = self._shared_sums().cpu()
        self.settle()
        out = {f"train/{name}": float(sums[i] / sums[-1]) for i, name in enumerate(TERMS)}
        return out if self.score is None else out | {"val/loss": self.val_loss}

    def _shared_sums(self) -> Tensor:
        if self.trainer.world_size == 1:
            return self.sums
        reduced = self.trainer.strategy.reduce(self.sums.clone(), reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.settle()
        checkpoint["ocrmaps"] = self.card_now()
        checkpoint["progress"] = {
            "sums": self._shared_sums().cpu(),
            "samples": self.samples,
            "averages": self.averages,
            "random": randomness.state(),
        }

    def card_now(self) -> dict[str, Any]:
        """What these weights say about themselves; asks no other rank, so anybody may ask at any time."""
        score = self.score
        return {
            **self.card,
            "weights": "detector" if self.averaged is None else "averaged",
            "epoch": self.current_epoch + 1,
            "steps": self.global_step,
            "samples": self.samples,
            "total_steps": self.total_steps,
            "score": None
            if score is None
            else {"state": score.state, "hmean": {f"{t:g}": score.hmean(t) for t in score.totals}},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        progress = checkpoint["progress"]
        # The sums are of all ranks, and are added up over all ranks again.
        self.sums = progress["sums"] if self.trainer.global_rank == 0 else torch.zeros_like(progress["sums"])
        self.samples, self.averages = progress["samples"], progress["averages"]
        share_progress(checkpoint["loops"], devices_of(checkpoint["ocrmaps"]["run"]), self.trainer.world_size)
        self._random = progress["random"]

    def on_train_start(self) -> None:
        # As late as possible: whatever was drawn while resuming was not drawn by the run that went on.
        if (random := self.__dict__.pop("_random", None)) is not None:
            randomness.restore(random)


def average_into(mean: nn.Module, latest: nn.Module, decay: float) -> None:
    """Move `mean` towards `latest` by 1 - decay, weights and running statistics alike; counters are copied."""
    with torch.no_grad():
        pairs = list(zip(mean.state_dict().values(), latest.state_dict().values(), strict=True))
        floats = [(a, b) for a, b in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)
