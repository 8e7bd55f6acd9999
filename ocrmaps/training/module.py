"""The training module: stored bytes to loss, optimiser and schedule, averaged weights, scores. Nothing else.

A step reads nothing back from the device: losses and gradient norms are added up there and read once an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from ocrmaps.loader_batch import Batch
from ocrmaps.model import Detector, Targets
from ocrmaps.training import randomness
from ocrmaps.training.scoring import Score, Scorer
from ocrmaps.training.settings import OptimiserSpec, Precision, ScheduleSpec

Augment = Callable[[Batch, int], Batch]
"""A batch and the epoch it is shown in -> what is learnt from."""
TERMS = ("loss", "probability", "threshold", "binary")


class DetectorModule(pl.LightningModule):
    """A detector in training.

    `average` is the decay of the running mean of weights, None for none; where there is one, it is what is
    validated and predicted with. `card` is what a checkpoint says about itself, besides what changes as it learns.
    """

    sums: Tensor
    norms: Tensor
    val_sums: Tensor
    loss: nn.Module
    detector: Detector

    def __init__(
        self,
        detector: Detector,
        loss: nn.Module,
        *,
        optimiser: OptimiserSpec,
        schedule: ScheduleSpec,
        scorer: Scorer,
        precision: Precision = "fp32",
        average: float | None = None,
        augment: Augment | None = None,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.detector, self.loss = detector, loss
        self.averaged: Detector | None = None if average is None else deepcopy(detector).requires_grad_(False)
        self.optimiser, self.schedule, self.precision = optimiser, schedule, precision
        self.scorer, self.augment, self.card = scorer, augment, dict(card or {})
        self.decay, self.averages = average, 0
        self.samples = 0
        """Training samples shown since the run began, over all ranks."""
        self.score: Score | None = None
        self.total_steps = 0
        # Not in the state dict: a checkpoint's weights are the detector's alone.
        self.register_buffer("sums", torch.zeros(len(TERMS) + 1), persistent=False)
        self.register_buffer("norms", torch.zeros(3), persistent=False)
        self.register_buffer("val_sums", torch.zeros(2), persistent=False)
        self.last_loss = torch.zeros(())
        self.last_norm = torch.zeros(())

    @property
    def best_weights(self) -> Detector:
        """What is validated and predicted with."""
        return self.detector if self.averaged is None else self.averaged

    def configure_optimizers(self) -> Any:
        self.total_steps = int(self.trainer.estimated_stepping_batches)
        total = self.total_steps
        optimiser = self.optimiser.build(self.detector.parameters(), fused=self.precision != "fp16-safe")
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self.schedule.factor(step, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch if batch.image.device == device else batch.on(device, non_blocking=True)

    def on_train_epoch_start(self) -> None:
        # Lightning calls this for a new epoch only: one that is resumed in its middle goes on adding up.
        self.sums.zero_()
        self.norms.zero_()
        self.score = None

    def training_step(self, batch: Batch, index: int) -> Tensor:
        if self.augment is not None:
            batch = self.augment(batch, self.current_epoch)
        terms = self.loss(self.detector(batch.image), Targets.unpack(*batch[1:4]))
        self.last_loss = terms.total.detach()
        rows = len(batch.row)
        self.sums += torch.stack([*(t.detach() for t in terms), torch.ones_like(self.last_loss)]) * rows
        self.samples += rows * self.trainer.world_size
        return terms.total

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Here rather than by the trainer: the norm that clipping needs anyway is kept for the log.
        self.last_norm = nn.utils.clip_grad_norm_(self.detector.parameters(), self.optimiser.clip)
        # Gradient scaling probes for overflow, so in half precision some norms are not finite by design.
        norm = self.last_norm.nan_to_num(0.0, 0.0, 0.0) if self.precision == "fp16-safe" else self.last_norm
        self.norms[0] += norm
        self.norms[1] = torch.maximum(self.norms[1], norm)
        self.norms[2] += 1

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None and self.decay is not None:
            self.averages += 1
            # Early means forget fast, or they would remember random weights for most of a short run.
            average_into(self.averaged, self.detector, min(self.decay, (1 + self.averages) / (10 + self.averages)))

    def on_validation_epoch_start(self) -> None:
        self.scorer.begin()
        self.val_sums.zero_()

    def validation_step(self, batch: Batch, index: int) -> None:
        logits = self.best_weights(batch.image)
        terms = self.loss(logits, Targets.unpack(*batch[1:4]))
        self.val_sums += torch.stack([terms.total, torch.ones_like(terms.total)]) * len(batch.row)
        probability = torch.sigmoid(logits.probability.float()).cpu().numpy()
        level = None
        if self.scorer.spec.binarise == "learned":
            level = torch.sigmoid(logits.threshold.float()).cpu().numpy()
        self.scorer.add(batch.row.tolist(), probability, level)

    def on_validation_epoch_end(self) -> None:
        results = self.scorer.results()
        if self.trainer.world_size > 1:
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, results)
            results = {row: counts for share in shares for row, counts in share.items()}
        self.score = self.scorer.total(results)
        if self.score.complete:
            self.log("val/hmean", self.score.hmean(), prog_bar=True, rank_zero_only=True)

    def teardown(self, stage: str) -> None:
        self.scorer.close()

    def means(self) -> dict[str, float]:
        """Mean losses and gradient norms of the epoch so far, and its validation's loss if it had one; waits."""
        sums, norms, val = self.sums, self.norms, self.val_sums
        if self.trainer.world_size > 1:
            sums, val = (self.trainer.strategy.reduce(t.clone(), reduce_op="sum") for t in (sums, val))
        sums, norms, val = sums.cpu(), norms.cpu(), val.cpu()
        out = {f"train/{name}": float(sums[i] / sums[-1]) for i, name in enumerate(TERMS)}
        out |= {"train/gradient_mean": float(norms[0] / norms[2]), "train/gradient_max": float(norms[1])}
        return out if self.score is None else out | {"val/loss": float(val[0] / val[1])}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        score = self.score
        checkpoint["ocrmaps"] = {
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
        checkpoint["progress"] = {
            "sums": self.sums.cpu(),
            "norms": self.norms.cpu(),
            "samples": self.samples,
            "averages": self.averages,
            "random": randomness.state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        progress = checkpoint["progress"]
        self.sums.copy_(progress["sums"])
        self.norms.copy_(progress["norms"])
        self.samples, self.averages = progress["samples"], progress["averages"]
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
