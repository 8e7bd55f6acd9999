"""What a run's budget comes to on its store: batches of an epoch on each device, and optimizer steps in all."""

from __future__ import annotations

from dataclasses import dataclass

from ocrmaps.errors import Problem, SpecError
from ocrmaps.loader.order import steps
from ocrmaps.store.several import Stored
from ocrmaps.training.optimization import accumulation
from ocrmaps.training.spec import RunSpec
from ocrmaps.training.stores import Weights, run_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Counts of one run."""

    batches: int
    """Of an epoch, before they are shared out."""
    each: int
    """Batches of an epoch that every device learns from."""
    devices: int
    accumulate: int
    steps: int
    """Optimizer steps of the whole run: what its schedule is stretched over."""

    @property
    def shared(self) -> str:
        """What equal numbers of batches on all devices cost: whole batches that are shown again, or left out."""
        odd = self.each * self.devices - self.batches
        if odd > 0:
            return f", {odd} of {self.batches} batches shown twice an epoch so that each gets as many"
        return f", {-odd} of {self.batches} batches left out of an epoch so that each gets as many" if odd else ""

    def sentence(self, spec: RunSpec) -> str:
        """Epochs, batches, steps, and the learning rate in those steps."""
        several = f" on each of {self.devices} devices" if self.devices > 1 else ""
        grouped = f", {self.accumulate} batches a step" if self.accumulate > 1 else ""
        rise = spec.schedule.rise(self.steps)
        rate = f"{spec.optimizer.lr:g}{f' after {rise} steps of warm-up' if rise else ''}, {spec.schedule.name}"
        if spec.schedule.name != "constant":
            rate += f" to {spec.optimizer.lr * spec.schedule.floor:g}"
        return (
            f"{spec.budget.epochs} epochs of {self.each} batches of {spec.data.batch_size}{several}{grouped}: "
            f"{self.steps} steps; {spec.optimizer.name} at {rate}"
        )


def make_budget(spec: RunSpec, reader: Stored, weights: Weights | None = None) -> Budget:
    """Counts from the rows of the train split; a batch has rows of one canvas."""
    world, drop = spec.hardware.world, spec.data.drop_last
    batches = len(run_order(spec, reader, weights))
    each = steps(batches, world, drop_last=drop)
    accumulate = accumulation(spec.optimizer, spec.precision)
    # The end of an epoch is the end of a step, full or not.
    whole = -(-each // accumulate) * spec.budget.epochs
    limit = whole if spec.budget.steps is None else spec.budget.steps
    return Budget(batches=batches, each=each, devices=world, accumulate=accumulate, steps=min(whole, limit))


def check_budget(spec: RunSpec, budget: Budget) -> None:
    """Refuse a run that would learn from nothing."""
    if not budget.each:
        few = f"{budget.batches} batches for {budget.devices} devices"
        found = few if budget.batches else "no canvas with rows for one"
        raise SpecError(
            "an epoch would have no batch:",
            problems=[Problem("data.drop_last", f"found true with batches of {spec.data.batch_size}, and {found}")],
            hint="a smaller data.batch_size, or drop_last = false",
        )
