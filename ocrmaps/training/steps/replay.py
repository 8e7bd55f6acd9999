"""A captured step is repeated on the host, and a sentence with numbers says whether it is what it was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from ocrmaps.errors import DataError
from ocrmaps.training.steps.capture import StepOutcome, batch_in, detector_in, load_step, take_step
from ocrmaps.trust import NOTHING, Trusted

EXACT, LOOSE = 1e-4, 2e-2
"""Relative difference that repeating a step may make: on processors in full precision, and anywhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A captured step, repeated."""

    kind: str
    then: StepOutcome
    now: StepOutcome
    reproduces: bool
    why: str
    """One sentence with the numbers."""
    tolerance: float
    samples: tuple[str, ...]


def replay(path: Path, *, trusted: Trusted = NOTHING) -> Replay:
    """Repeat a captured step on the host from its file alone."""
    content = load_step(path)
    step, card = content["step"], content["ocrmaps"]
    batch = batch_in(step)
    if batch is None:
        raise DataError(f"{path}: there is no batch in it, so there is nothing to repeat")
    known = {k: v for k, v in step["then"].items() if k not in ("loss", "gradient_norm", "error")}
    then = StepOutcome(
        loss=step["then"]["loss"], norm=step["then"]["gradient_norm"], error=step["then"]["error"], terms=known
    )
    # The caller's generator is put back: repeating a step must not change what comes after it.
    before = torch.get_rng_state()
    try:
        detector = detector_in(content, trusted=trusted)
        now = take_step(detector, batch, card["run"]["loss"], card["precision"], step["random"], trusted=trusted)
    finally:
        torch.set_rng_state(before)
    exact = step["device"] == "cpu" and card["precision"] == "fp32"
    tolerance = EXACT if exact else LOOSE
    same, why = compare(step["kind"], then, now, tolerance, step["stale"])
    return Replay(
        kind=step["kind"], then=then, now=now, reproduces=same, why=why, tolerance=tolerance,
        samples=tuple(step["samples"]),
    )  # fmt: skip


def compare(kind: str, then: StepOutcome, now: StepOutcome, tolerance: float, stale: int = 0) -> tuple[bool, str]:
    """Whether a repeated step is what it was, and a sentence that says so in numbers.

    >>> compare("asked for", StepOutcome(loss=2.0, norm=1.0), StepOutcome(loss=2.5, norm=1.0), 1e-4)
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


def _numbers(outcome: StepOutcome) -> str:
    norm = "" if outcome.norm is None else f", gradient norm {outcome.norm:g}"
    return "nothing is known" if outcome.loss is None else f"loss {outcome.loss:g}{norm}"


def _line(text: str) -> str:
    return text.splitlines()[0][:300] if text else ""
