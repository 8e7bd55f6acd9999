"""One training step, taken out of its run so that it can be repeated on any machine: weights, batch, what came of it.

A captured step is stored as a checkpoint with one entry more (`step`), so whatever reads checkpoints reads it, and
only plain data and tensors are inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ocrmaps.detect.trained import checkpoint_bytes, read_checkpoint
from ocrmaps.errors import DataError
from ocrmaps.loader.batch import Batch
from ocrmaps.model import Detector, DetectorSpec, build_detector, build_loss
from ocrmaps.store.several import Stored
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.trust import NOTHING, Trusted

Kind = Literal["loss", "gradient", "in the step", "beside the step", "asked for"]
"""What the step was captured for: a loss or gradient that is not finite, an error while it was taken, an error
elsewhere (reading, validating, saving), or nothing but somebody's wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A step and what is known of it."""

    kind: Kind
    epoch: int
    step: int
    """Optimizer steps taken when the run was here."""
    rows: list[int]
    names: list[str]
    weights: Mapping[str, Tensor]
    """Of the detector in training."""
    stale: int = 0
    """Batches learnt between these weights and this batch: more than 0 where the guard looks seldom."""
    loss: float | None = None
    norm: float | None = None
    """Of the gradient, before clipping; None where nobody knows it, or where it is of several batches."""
    error: str = ""
    """`Type: message` of an error in the step."""
    history: list[list[float]] = field(default_factory=list)
    """[loss, gradient norm] of the batches since these weights."""
    random: Tensor | None = None
    """State of torch's generator before the step, for layers that draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What came of a step."""

    loss: float | None = None
    norm: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "gradient_norm": self.norm, **self.terms, "error": self.error}


class Witness(Callback):
    """Remembers which batch is being learnt from; costs two small copies a step and never touches the device."""

    def __init__(self) -> None:
        self.rows: list[int] | None = None
        self.epoch = self.step = 0
        self.inside = False
        """Whether a step is under way."""
        self.module: DetectorModule | None = None
        self._random: Tensor | None = None

    @property
    def started(self) -> bool:
        """Whether any step was begun."""
        return self.rows is not None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        self.module = pl_module

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self.rows, self.epoch, self.step = batch.row.tolist(), trainer.current_epoch, trainer.global_step
        self._random = torch.get_rng_state()
        self.inside = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.inside = False

    def captured(self, reader: Stored, error: BaseException) -> Captured | None:
        """The step that was under way, or the last one; None where there was none."""
        if self.module is None or self.rows is None:
            return None
        return Captured(
            kind="in the step" if self.inside else "beside the step",
            epoch=self.epoch,
            step=self.step,
            rows=self.rows,
            names=[reader.name(row) for row in self.rows],
            weights={k: v.detach().cpu().clone() for k, v in self.module.detector.state_dict().items()},
            error=f"{type(error).__name__}: {error}" if self.inside else "",
            random=self._random,
        )


def batch_of_rows(reader: Stored, rows: list[int], epoch: int, augment: Augment | None) -> Batch:
    """These rows from the store, as they are learnt from in this epoch: the same tensors whenever it is asked."""
    read = [reader.read_row(row) for row in rows]
    image, probability, threshold, mask = (
        torch.stack([torch.from_numpy(r[name]) for r in read]) for name in Batch._fields[:4]
    )
    batch = Batch(image, probability, threshold, mask, torch.tensor(rows))
    return batch if augment is None else augment(batch, epoch)


def take_step(
    detector: Detector,
    batch: Batch,
    loss: Mapping[str, Any],
    precision: str,
    random: Tensor | None,
    *,
    trusted: Trusted = NOTHING,
) -> StepOutcome:
    """One forward and backward pass on the host; the weights are not changed. An error is an outcome, too."""
    # Outside of what counts as the step: a loss that may not be built is a refusal, not what the step came to.
    made = build_loss(loss["name"], loss["options"], trusted=trusted)
    detector.train().requires_grad_(True)
    if random is not None:
        torch.set_rng_state(random)
    half = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
    try:
        with half, torch.enable_grad():
            terms = made(detector(batch.image), batch.targets)
        terms.total.backward()
    except Exception as error:
        # Whatever the step raises is what it came to; telling that is the purpose here.
        return StepOutcome(error=f"{type(error).__name__}: {error}")
    norm = torch.nn.utils.get_total_norm([w.grad for w in detector.parameters() if w.grad is not None])
    named = {name: float(value.detach()) for name, value in terms._asdict().items() if name != "total"}
    return StepOutcome(loss=float(terms.total.detach()), norm=float(norm), terms=named)


def save_step(
    path: Path,
    captured: Captured,
    batch: Batch | None,
    *,
    card: Mapping[str, Any],
    names: Sequence[str],
    device: str,
    then: StepOutcome,
) -> None:
    """The step as a checkpoint; `card` and `names` as they may be shown to others."""
    content = {
        "ocrmaps": {**card, "weights": "detector"},
        "state_dict": {f"detector.{name}": value for name, value in captured.weights.items()},
        "step": {
            "kind": captured.kind,
            "epoch": captured.epoch,
            "step": captured.step,
            "rows": captured.rows,
            "samples": list(names),
            "stale": captured.stale,
            "history": captured.history,
            "device": device,
            "then": then.as_dict(),
            "random": captured.random,
            "batch": None if batch is None else {n: t.cpu().contiguous() for n, t in batch._asdict().items()},
        },
    }
    path.write_bytes(checkpoint_bytes(content))


def load_step(path: Path) -> dict[str, Any]:
    """A captured step, refused unless it is one."""
    content = read_checkpoint(path)
    step = content.get("step")
    if not isinstance(step, dict) or "then" not in step:
        raise DataError(f"{path}: this is a checkpoint, not a captured step", hint="bundles are in the run's debug/")
    return content


def batch_in(step: Mapping[str, Any]) -> Batch | None:
    return None if step["batch"] is None else Batch(**step["batch"])


def detector_in(content: Mapping[str, Any], *, trusted: Trusted = NOTHING) -> Detector:
    """The detector of a captured step with its weights."""
    detector = build_detector(DetectorSpec.of(content["ocrmaps"]["model"]), pretrained=False, trusted=trusted)
    detector.load_state_dict({k.removeprefix("detector."): v for k, v in content["state_dict"].items()})
    return detector


def finish(
    captured: Captured, batch: Batch | None, content: Mapping[str, Any], *, trusted: Trusted = NOTHING
) -> StepOutcome:
    """What is known of the step as it was: of one that has no numbers of its own, those that it has here and now."""
    if captured.kind in ("loss", "gradient", "in the step") or batch is None:
        return StepOutcome(loss=captured.loss, norm=captured.norm, error=captured.error)
    detector = build_detector(DetectorSpec.of(content["model"]), pretrained=False, trusted=trusted)
    detector.load_state_dict(captured.weights)
    return take_step(detector, batch, content["run"]["loss"], content["precision"], captured.random, trusted=trusted)
