"""How weights are changed: optimizer, schedule and arithmetic, as records that refuse what would have no effect."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ocrmaps.errors import Problem, SpecError
from ocrmaps.settings.ranges import AtLeast0, Positive, Range, Whole1, check

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from ocrmaps.model import Detector

Precision = Literal["fp32", "fp16-safe", "bf16"]
PRECISIONS: dict[str, Any] = {"fp32": "32-true", "fp16-safe": "16-mixed", "bf16": "bf16-mixed"}
"""What each preset is called by Lightning."""
SAFE_CLIP, SAFE_ACCUMULATE = 5.0, 2
"""What `fp16-safe` holds a run to: at most this clipping norm, at least so many batches in a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec:
    """What changes the weights.

    >>> OptimizerSpec(momentum=0.9)
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: these optimizer settings make no sense:
      optimizer.momentum: found 0.9, which only sgd has
    """

    name: Literal["adamw", "sgd"] = "adamw"
    """sgd is what the papers train with."""
    lr: Positive = 1e-3
    """The highest learning rate of the schedule. The papers' SGD has 0.007."""
    layer_decay: Annotated[float, Range(gt=0, le=1)] = 1.0
    """Each stage of the encoder learns at this share of the rate of the stage after it; 1 is one rate for all."""
    weight_decay: AtLeast0 = 1e-4
    """How strongly weights are pulled to 0, as the optimizer counts it."""
    momentum: Annotated[float, Range(ge=0, lt=1)] | None = None
    """Of SGD; None is the papers' 0.9."""
    clip: Positive = 5.0
    """Gradients with a larger norm over all weights are scaled down to this."""
    accumulate: Whole1 | None = None
    """Batches whose gradients make one step; None is 1, and 2 with fp16-safe."""

    def __post_init__(self) -> None:
        check(self, "optimizer", _only_sgd)

    def build(self, detector: Detector, *, fused: bool) -> Optimizer:
        """The optimizer; `fused` is one kernel for all weights, which gradient scaling does not go with."""
        # Imported here: a run file is read without a network.
        from torch.optim import SGD, AdamW

        from ocrmaps.model.stages import layer_groups

        learnt = layer_groups(detector, self.lr, self.layer_decay)
        if self.name == "adamw":
            return AdamW(learnt, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
        momentum = 0.9 if self.momentum is None else self.momentum
        return SGD(learnt, lr=self.lr, momentum=momentum, weight_decay=self.weight_decay, fused=fused)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """The learning rate over the optimizer steps that the run will really take.

    >>> [round(ScheduleSpec(warmup=0.25, floor=0.0).factor(step, 8), 2) for step in range(9)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """

    name: Literal["cosine", "poly", "constant"] = "cosine"
    """Shape of the way down after the warm-up; poly is the papers'."""
    warmup: Annotated[float, Range(ge=0, lt=1, noun="share")] = 0.05
    """Share of all steps in which the rate rises to its full height."""
    power: Positive | None = None
    """Of `poly`: (1 - share of the steps done) ^ power; None is the papers' 0.9."""
    floor: Annotated[float, Range(ge=0, le=1, noun="share")] = 0.01
    """Share of the full rate that `cosine` and `poly` end with."""

    def __post_init__(self) -> None:
        check(self, "schedule", _only_poly)

    def rise(self, total: int) -> int:
        """Steps of warm-up."""
        return min(total - 1, round(self.warmup * total)) if total > 0 else 0

    def factor(self, step: int, total: int) -> float:
        """What the full rate is multiplied with at a step, counted from 0, of `total`."""
        rise = self.rise(total)
        if step < rise:
            return (step + 1) / rise
        if self.name == "constant":
            return 1.0
        done = min(1.0, (step - rise) / max(1, total - rise))
        if self.name == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * done))
        else:
            share = (1 - done) ** (0.9 if self.power is None else self.power)
        return self.floor + (1 - self.floor) * share


def accumulation(optimizer: OptimizerSpec, precision: Precision) -> int:
    """Batches in one step, once the precision has its say."""
    if optimizer.accumulate is not None:
        return optimizer.accumulate
    return SAFE_ACCUMULATE if precision == "fp16-safe" else 1


def check_precision(optimizer: OptimizerSpec, precision: Precision, device: str) -> None:
    """Refuse arithmetic that the device lacks, and settings that make half precision unsafe."""
    if precision == "fp16-safe":
        problems = []
        if optimizer.clip > SAFE_CLIP:
            message = f"found {optimizer.clip!r}, precision fp16-safe allows at most {SAFE_CLIP:g}"
            problems.append(Problem("optimizer.clip", message))
        if accumulation(optimizer, precision) < SAFE_ACCUMULATE:
            message = f"found {optimizer.accumulate!r}, precision fp16-safe asks for at least {SAFE_ACCUMULATE}"
            problems.append(Problem("optimizer.accumulate", message))
        if problems:
            raise SpecError("these optimizer settings make no sense:", problems=problems)
        if device == "cpu":
            raise SpecError(
                "precision: found fp16-safe on a processor, which has no 16-bit float training",
                hint="use fp32 or bf16 here, or a CUDA device",
            )


def _only_sgd(spec: OptimizerSpec) -> Iterator[tuple[str, str]]:
    if spec.momentum is not None and spec.name != "sgd":
        yield "momentum", f"found {spec.momentum!r}, which only sgd has"


def _only_poly(spec: ScheduleSpec) -> Iterator[tuple[str, str]]:
    if spec.power is not None and spec.name != "poly":
        yield "power", f"found {spec.power!r}, which only poly has"
