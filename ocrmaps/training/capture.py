"""One training step, taken out of its run so that it can be repeated on any machine: weights, batch, what came of it.

A captured step is stored as a checkpoint with one entry more (`step`), so whatever reads checkpoints reads it, and
only plain data and tensors are inside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ocrmaps.errors import DataError
from ocrmaps.loader_batch import Batch
from ocrmaps.model import Detector, DetectorSpec, Targets, build_detector, build_loss
from ocrmaps.store.reader import Reader
from ocrmaps.training.checkpoint import read_checkpoint
from ocrmaps.training.module import Augment, DetectorModule

Kind = Literal["loss", "gradient", "in the step", "beside the step", "asked for"]
"""What the step was captured for: a loss or gradient that is not finite, an error while it was taken, an error
elsewhere (reading, validating, saving), or nothing but somebody's wish."""
EXACT, LOOSE = 1e-4, 2e-2
"""Relative difference that repeating a step may make: on processors in full precision, and anywhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A step and what is known of it."""

    kind: Kind
    epoch: int
    step: int
    """Optimiser steps taken when the run was here."""
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
class Outcome:
    """What came of a step."""

    loss: float | None = None
    norm: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "gradient_norm": self.norm, **self.terms, "error": self.error}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A captured step, repeated."""

    kind: str
    then: Outcome
    now: Outcome
    reproduces: bool
    why: str
    """One sentence with the numbers."""
    tolerance: float
    samples: tuple[str, ...]


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

    def captured(self, reader: Reader, error: BaseException) -> Captured | None:
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


def batch_of_rows(reader: Reader, rows: list[int], epoch: int, augment: Augment | None) -> Batch:
    """These rows from the store, as they are learnt from in this epoch: the same tensors whenever it is asked."""
    read = [reader.read_row(row) for row in rows]
    image, probability, threshold, mask = (
        torch.stack([torch.from_numpy(r[name]) for r in read]) for name in Batch._fields[:4]
    )
    batch = Batch(image, probability, threshold, mask, torch.tensor(rows))
    return batch if augment is None else augment(batch, epoch)


def take_step(
    detector: Detector, batch: Batch, loss: Mapping[str, Any], precision: str, random: Tensor | None
) -> Outcome:
    """One forward and backward pass on the host; the weights are not changed. An error is an outcome, too."""
    detector.train().requires_grad_(True)
    if random is not None:
        torch.set_rng_state(random)
    half = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()
    try:
        with half, torch.enable_grad():
            made = build_loss(loss["name"], loss["options"])
            terms = made(detector(batch.image), Targets.unpack(*batch[1:4]))
        terms.total.backward()
    except Exception as error:
        # Whatever the step raises is what it came to; telling that is the purpose here.
        return Outcome(error=f"{type(error).__name__}: {error}")
    norm = torch.nn.utils.get_total_norm([w.grad for w in detector.parameters() if w.grad is not None])
    named = {name: float(value.detach()) for name, value in terms._asdict().items() if name != "total"}
    return Outcome(loss=float(terms.total.detach()), norm=float(norm), terms=named)


def save_step(
    path: Path,
    captured: Captured,
    batch: Batch | None,
    *,
    card: Mapping[str, Any],
    names: Sequence[str],
    device: str,
    then: Outcome,
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
    torch.save(content, path)


def load_step(path: Path) -> dict[str, Any]:
    """A captured step, refused unless it is one."""
    content = read_checkpoint(path)
    step = content.get("step")
    if not isinstance(step, dict) or "then" not in step:
        raise DataError(f"{path}: this is a checkpoint, not a captured step", hint="bundles are in the run's debug/")
    return content


def batch_in(step: Mapping[str, Any]) -> Batch | None:
    return None if step["batch"] is None else Batch(**step["batch"])


def detector_in(content: Mapping[str, Any]) -> Detector:
    """The detector of a captured step with its weights."""
    detector = build_detector(DetectorSpec.of(content["ocrmaps"]["model"]), pretrained=False)
    detector.load_state_dict({k.removeprefix("detector."): v for k, v in content["state_dict"].items()})
    return detector


def replay(path: Path) -> Replay:
    """Repeat a captured step on the host from its file alone."""
    content = load_step(path)
    step, card = content["step"], content["ocrmaps"]
    batch = batch_in(step)
    if batch is None:
        raise DataError(f"{path}: there is no batch in it, so there is nothing to repeat")
    known = {k: v for k, v in step["then"].items() if k not in ("loss", "gradient_norm", "error")}
    then = Outcome(
        loss=step["then"]["loss"], norm=step["then"]["gradient_norm"], error=step["then"]["error"], terms=known
    )
    # The caller's generator is put back: repeating a step must not change what comes after it.
    before = torch.get_rng_state()
    try:
        now = take_step(detector_in(content), batch, card["run"]["loss"], card["precision"], step["random"])
    finally:
        torch.set_rng_state(before)
    exact = step["device"] == "cpu" and card["precision"] == "fp32"
    tolerance = EXACT if exact else LOOSE
    same, why = compare(step["kind"], then, now, tolerance, step["stale"])
    return Replay(
        kind=step["kind"], then=then, now=now, reproduces=same, why=why, tolerance=tolerance,
        samples=tuple(step["samples"]),
    )  # fmt: skip


def compare(kind: str, then: Outcome, now: Outcome, tolerance: float, stale: int = 0) -> tuple[bool, str]:
    """Whether a repeated step is what it was, and a sentence that says so in numbers.

    >>> compare("asked for", Outcome(loss=2.0, norm=1.0), Outcome(loss=2.5, norm=1.0), 1e-4)
    (False, 'loss 2 then, 2.5 now, gradient norm 1 then, 1 now (a difference of 0.0001 is allowed)')
    """
    if then.error:
        same = bool(now.error) and now.error.partition(":")[0] == then.error.partition(":")[0]
        return same, f"then {_line(then.error)}; now {_line(now.error) or _numbers(now)}"
    if now.error:
        return False, f"then {_numbers(then)}; now {_line(now.error)}"
    values = (("loss", then.loss, now.loss), ("gradient norm", then.norm, now.norm))
    if kind in ("loss", "gradient"):
        wrong = {name: new for name, old, new in values if old is not None and not math.isfinite(old)}
        same = any(new is not None and not math.isfinite(new) for new in wrong.values())
        said = "; ".join(f"{name} {old:g} then, {new:g} now" for name, old, new in values if None not in (old, new))
        if not same and stale:
            said += (
                f". The weights in the bundle are {stale} batches older than the bad one, so what went wrong was not "
                "in this batch alone: watch.guard_every = 1 keeps the weights right before it"
            )
        elif not same:
            said += ". With sound weights this batch is harmless: the weights had gone wrong before"
        return same, said
    pairs = [(name, old, new) for name, old, new in values if old is not None and new is not None]
    same = bool(pairs) and all(_near(old, new, tolerance) for _, old, new in pairs)
    said = ", ".join(f"{name} {old:g} then, {new:g} now" for name, old, new in pairs) or "no numbers to compare"
    if kind == "beside the step":
        said += "; the error was not in this step, which is sound"
    return same, f"{said} (a difference of {tolerance:g} is allowed)"


def _near(old: float, new: float, tolerance: float) -> bool:
    if not (math.isfinite(old) and math.isfinite(new)):
        return str(old) == str(new)
    return abs(old - new) <= tolerance * max(abs(old), 1e-3)


def _numbers(outcome: Outcome) -> str:
    norm = "" if outcome.norm is None else f", gradient norm {outcome.norm:g}"
    return "nothing is known" if outcome.loss is None else f"loss {outcome.loss:g}{norm}"


def _line(text: str) -> str:
    return text.splitlines()[0][:300] if text else ""


def finish(captured: Captured, batch: Batch | None, content: Mapping[str, Any]) -> Outcome:
    """What is known of the step as it was: of one that has no numbers of its own, those that it has here and now."""
    if captured.kind in ("loss", "gradient", "in the step") or batch is None:
        return Outcome(loss=captured.loss, norm=captured.norm, error=captured.error)
    detector = build_detector(DetectorSpec.of(content["model"]), pretrained=False)
    detector.load_state_dict(captured.weights)
    return take_step(detector, batch, content["run"]["loss"], content["precision"], captured.random)


def without_norm(captured: Captured) -> Captured:
    """For runs whose steps gather the gradients of several batches: the norm is of no single one."""
    return replace(captured, norm=None)
