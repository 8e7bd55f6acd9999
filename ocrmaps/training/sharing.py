"""Lets a run go on with another number of devices: its steps stay made of the same batches, dealt to more or fewer.

A step is the mean over `devices * accumulate` batches. Where the product stays, so do the steps, their learning rates
and what each learns from; only which device computes which batch is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ocrmaps.errors import RunError, SpecError
from ocrmaps.store.several import Stored
from ocrmaps.training.budget import make_budget
from ocrmaps.training.optimization import OptimizerSpec, accumulation
from ocrmaps.training.spec import RunSpec
from ocrmaps.training.stores import Weights

SHARING = ("hardware.devices", "hardware.nodes", "optimizer.accumulate")
"""What may differ between a checkpoint and the run that goes on from it, if steps are of as many batches."""


def devices_of(run: Mapping[str, Any]) -> int:
    """Devices of a run on all its machines, as its settings say."""
    hardware = run.get("hardware", {})
    return int(hardware.get("devices", 1)) * int(hardware.get("nodes", 1))


def batches_of_step(run: Mapping[str, Any]) -> int:
    """Batches of one step of a run, as its settings say, over all devices."""
    return devices_of(run) * accumulation(
        OptimizerSpec(accumulate=run["optimizer"].get("accumulate")), run["precision"]
    )


def with_its_steps(spec: RunSpec, card: Mapping[str, Any]) -> RunSpec:
    """The run with steps of as many batches as those that the checkpoint counts, whatever the number of devices."""
    theirs, devices = card["run"], spec.hardware.world
    before = devices_of(theirs)
    if devices == before or spec.optimizer.accumulate != theirs["optimizer"].get("accumulate"):
        return spec
    batches = batches_of_step(theirs)
    if batches % devices:
        raise SpecError(
            f"hardware.devices: found {devices}; the checkpoint's steps are of {batches} batches ({before} devices), "
            f"which {devices} cannot share evenly",
            hint=f"go on with {' or '.join(str(n) for n in range(1, batches + 1) if batches % n == 0)} devices",
        )
    return replace(spec, optimizer=replace(spec.optimizer, accumulate=batches // devices))


def check_steps(spec: RunSpec, card: Mapping[str, Any], reader: Stored, weights: Weights | None) -> None:
    """Refuse to go on where an epoch would have another number of steps than the checkpoint counts in."""
    before = devices_of(card["run"])
    if before == spec.hardware.world:
        return
    alone = replace(spec.hardware, devices=before, nodes=1)
    theirs = with_its_steps(replace(spec, hardware=alone), {"run": spec.as_dict()})
    old, new = make_budget(theirs, reader, weights), make_budget(spec, reader, weights)
    if old.steps != new.steps:
        raise RunError(
            f"hardware.devices: {before} devices make {old.steps} steps of this run, {spec.hardware.world} make "
            f"{new.steps}",
            hint="data.drop_last leaves out other batches then; go on with as many devices as before",
        )


def share_progress(loops: dict[str, Any], before: int, now: int) -> None:
    """Count the batches of a checkpoint's loops as one of `now` devices counts them, in place."""
    progress = loops["fit_loop"]["epoch_loop.batch_progress"]
    for counts in (progress["total"], progress["current"]):
        running = counts["processed"] - counts["completed"]  # a state within an epoch is saved before its batch ends
        for name in ("ready", "started", "processed"):
            counts[name] = -(-counts[name] * before // now)
        counts["completed"] = counts["processed"] - running
