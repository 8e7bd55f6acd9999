"""What a training step costs beside its arithmetic: watchers, waiting for data, waits for the device, memory.

A light network trains for a few epochs on a store invented for the occasion, with every watcher on; the seconds that
their hooks take are counted where they are spent, because two runs differ by more than the watchers cost. A trace also
slows the steps that it traces, so it has a training of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import psutil
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.pipelines import data
from ocrmaps.pipelines.bench.times import distribution, figure
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.scratch import scratch
from ocrmaps.store.reader import Reader
from ocrmaps.training.budget import make_budget
from ocrmaps.training.callbacks.watch import Hooked, Throughput
from ocrmaps.training.checks import check_store
from ocrmaps.training.data import MapData
from ocrmaps.training.parts import make_module, make_trainer, make_watchers, quiet
from ocrmaps.training.spec import run_from_dict
from ocrmaps.training.steps.capture import Witness

Result = dict[str, Any]
WAITS = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "bincount")
"""Operators after which the host must know a value, or a shape that depends on one."""
EPOCHS, TRACED = 4, 2
WATCHERS = {
    "throughput": "throughput",
    "resources": "resources",
    "guard": "the guard against values that are not finite",
    "gradients": "gradient norms",
    "witness": "remembering the batch for a debug bundle",
}
"""Names of watchers that are on by default, and what each is."""


def bench_step(repeats: int = 3, *, quick: bool = False) -> list[Result]:
    """Shares of a step, waits for the device in one step, and memory; each with its spread over the repeats.

    `quick` takes two epochs of three steps instead of four of four. A GPU is measured after the processor.
    """
    epochs = 2 if quick else EPOCHS
    with scratch("bench") as folder:
        data.synth(folder / "train", format="ufo", num=12 if quick else 16, seed=1)
        data.synth(folder / "val", format="ufo", num=2, seed=2)
        recipe = Recipe(
            name="bench",
            sources=(
                SourceRecipe(path=folder / "train", split="train"),
                SourceRecipe(path=folder / "val", split="val"),
            ),
            canonical=CanonicalSpec(canvases=((320, 160),), scale="fit"),
        )
        report = build(recipe, folder / "cache")
        version = Path(report.folder)
        runs = [_run(version, folder, "cpu", epochs) for _ in range(repeats)]
        traced = [_run(version, folder, "cpu", 2, traced=True) for _ in range(repeats)]
        on_gpu = [_run(version, folder, "cuda", epochs) for _ in range(repeats)] if torch.cuda.is_available() else []
    units = {
        "step/callbacks_share": ("share", "seconds in the hooks of what watches by default over seconds of the steps"),
        **{f"step/{name}_share": ("share", f"of that {what}") for name, what in WATCHERS.items()},
        "step/data_wait_share": ("share", "seconds the host waited for a batch over seconds of the steps"),
        "step/host_syncs": ("waits", "operators in one optimizer step that make the host wait for the device"),
        "step/ms": ("ms", "median step: light network, 4 pictures of 320x160"),
        "step/p95_vs_median": ("ratio", "95th percentile of step times over their median, without the first epoch"),
        "memory/peak": ("MB", "largest resident memory while training"),
        "memory/growth": ("MB", f"resident memory at the end of epoch {epochs} less that of epoch {epochs // 2}"),
    }
    found = [figure(key, [run.figures[key] for run in runs], *words) for key, words in units.items()]
    times = {"times": distribution([ms for run in runs for ms in run.steps])}
    found = [one | times if one["name"] == "step/ms" else one for one in found]
    found += [
        figure(
            "step/traced_vs_untraced", [run.figures["traced"] for run in traced], "ratio",
            "a step that the profiler traces over the median of those before it, starting and writing left out",
        ),
        figure(
            "step/trace_seconds", [run.figures["trace_seconds"] for run in traced], "s",
            f"starting the profiler, then writing a trace of {TRACED} steps; once a run, and only if asked for",
        ),
    ]  # fmt: skip
    return found + (_gpu_figures(on_gpu) if on_gpu else [])


def _gpu_figures(runs: Sequence[Run]) -> list[Result]:
    where = f"the same training on {torch.cuda.get_device_name()}"
    times = distribution([ms for run in runs for ms in run.steps])
    return [
        figure("step/gpu_ms", [run.figures["step/ms"] for run in runs], "ms", where, times=times),
        figure("step/gpu_callbacks_share", [run.figures["step/callbacks_share"] for run in runs], "share", where),
        figure("step/gpu_p95_vs_median", [run.figures["step/p95_vs_median"] for run in runs], "ratio", where),
        figure("memory/gpu_peak", [run.gpu_peak for run in runs], "MB", f"largest allocation in {where}"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one training showed."""

    figures: Mapping[str, float]
    steps: tuple[float, ...]
    """Milliseconds of each step after the first epoch."""
    gpu_peak: float
    """MB; 0 on a processor."""


class WaitCount(TorchDispatchMode):
    """Counts operators, and names those that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.operators[name] += 1
        by_mask = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in args[1] if isinstance(args[1], list | tuple)
        )
        if by_mask or name in WAITS or name.startswith(("unique", "_unique")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Waits(Callback):
    """Watches one step from its first hook to its last, watchers included, for operators that wait."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.found: list[str] = []
        self._mode: WaitCount | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            self._mode = WaitCount()
            self._mode.__enter__()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self.found, self._mode = self._mode.found, None


class PeakMemory(Callback):
    """Resident memory at the end of each epoch."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.megabytes.append(psutil.Process().memory_info().rss / 1e6)


def _run(version: Path, folder: Path, device: str, epochs: int, *, traced: bool = False) -> Run:
    spec = run_from_dict(
        {
            "name": "bench",
            "data": {"store": str(version), "batch_size": 4},
            "model": {"encoder": "light"},
            "budget": {"epochs": epochs},
            "device": device,
        }
    )
    with Reader(version) as reader:
        spec = check_store(spec, reader)
        if traced:  # the last steps: nothing comes after them
            last = make_budget(spec, reader).steps
            spec = replace(spec, watch=replace(spec.watch, profile_steps=TRACED, profile_from=last - TRACED))
        module = make_module(spec, reader)
        watchers: dict[str, Callback] = {"witness": Witness(), **make_watchers(spec, folder, reader)}
        hooked = {name: Hooked(watcher) for name, watcher in watchers.items()}
        # The first epoch warms up; the guard looks at an epoch's end, so a step within one must not wait.
        waits, memory = Waits(step=4 if epochs == 2 else 5), PeakMemory()
        seconds, waited = 0.0, 0.0
        steps: list[tuple[float, ...]] = []

        class Sum(Callback):
            def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
                nonlocal seconds, waited
                throughput = watchers["throughput"]
                assert isinstance(throughput, Throughput) and throughput.pace is not None
                seconds += throughput.pace.seconds
                waited += throughput.pace.waited
                steps.append(throughput.pace.steps_ms)

        loaders = MapData(reader.folder, train="train", val="val", batch_size=4, seed=0)
        trainer = make_trainer(spec, device, [*hooked.values(), Sum(), memory, *([] if traced else [waits])])
        trainer.limit_val_batches = 0
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with quiet():
            trainer.fit(module, datamodule=loaders)
    if traced:
        path = watchers["trace"].path  # type: ignore[attr-defined]
        path.unlink()
    later = [ms for epoch in steps[1:] for ms in epoch]
    shares = {f"step/{name}_share": hooked[name].seconds / seconds for name in WATCHERS}
    figures = {
        "step/callbacks_share": sum(shares.values()),
        **shares,
        "step/data_wait_share": waited / seconds,
        "step/host_syncs": float(len(waits.found)),
        "step/ms": float(np.median([ms for epoch in steps for ms in epoch])),
        "step/p95_vs_median": float(np.percentile(later, 95) / np.median(later)),
        "memory/peak": max(memory.megabytes),
        "memory/growth": memory.megabytes[-1] - memory.megabytes[epochs // 2 - 1],
    }
    if traced:
        every = [ms for epoch in steps for ms in epoch]
        spent = hooked["trace"].spent
        slow = (sum(every[-TRACED:]) - 1e3 * spent["on_train_batch_start"]) / TRACED
        figures |= {"traced": slow / float(np.median(every[1:-TRACED])), "trace_seconds": hooked["trace"].seconds}
    peak = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0
    return Run(figures=figures, steps=tuple(later), gpu_peak=peak)
