"""Watchers of a run: step times and waiting, resources, the path to values that are not finite.

Together they may cost 1 % of a step (`ocrmaps bench step` measures it), so none of them reads from the device in a
step: times on a GPU are events that are read at the end of the epoch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import psutil
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.training.callbacks.gradients import Gradients

BOUND = 0.05
"""Waiting for more than this share of the time starves the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one epoch went.

    >>> print(Pace(seconds=10, samples=500, waited=0.04, steps_ms=(20.0,) * 100).verdict)
    data wait 0.4 % of the step: device-bound
    """

    seconds: float
    """From the first batch asked for to the last step taken."""
    samples: int
    waited: float
    """Seconds of it in which the host waited for a batch; a device with queued work may not have noticed."""
    steps_ms: tuple[float, ...]

    @property
    def wait_share(self) -> float:
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def rate(self) -> float:
        return self.samples / self.seconds if self.seconds else 0.0

    @property
    def verdict(self) -> str:
        """One line for people: is the data side fast enough."""
        bound = "device-bound" if self.wait_share <= BOUND else "STARVED, the device waits for data"
        return f"data wait {100 * self.wait_share:.1f} % of the step: {bound}"

    def row(self) -> dict[str, float]:
        """For the table of the run."""
        out = {"rate": self.rate, "wait_share": self.wait_share, "train_seconds": self.seconds}
        if self.steps_ms:
            quantiles = np.percentile(self.steps_ms, (50, 95, 99)).tolist()
            out |= {f"step_ms_p{q}": value for q, value in zip((50, 95, 99), quantiles, strict=True)}
        return out


class Throughput(Callback):
    """Samples a second, step times and the share of time spent waiting for data, of every epoch: `pace`."""

    def __init__(self) -> None:
        self.pace: Pace | None = None
        self._marks: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # An epoch that is resumed in its middle has no start of its own.
        self._begin(trainer, pl_module)

    def _begin(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._cuda = pl_module.device.type == "cuda"
        self._waited, self._samples = waited(trainer), pl_module.samples
        self._marks, self._events = [], []
        self._mark()

    def _mark(self) -> None:
        self._marks.append(time.perf_counter())
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._mark()
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._finish(trainer, pl_module)

    def _finish(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._cuda:
            self._events[-1].synchronize()
            pairs = zip(self._events, self._events[1:], strict=False)
            steps = [first.elapsed_time(second) for first, second in pairs]
        else:
            steps = (1e3 * np.diff(self._marks)).tolist()
        self.pace = Pace(
            seconds=time.perf_counter() - self._marks[0],
            samples=pl_module.samples - self._samples,
            waited=waited(trainer) - self._waited,
            steps_ms=tuple(steps),
        )
        self._events = []


def waited(trainer: Any) -> float:
    """Seconds the training loader has made its caller wait."""
    return float(trainer.datamodule.train_loader.wait_seconds)


class Resources(Callback):
    """Processor share, memory and disk reading of each epoch; a thread looks every `interval` seconds."""

    def __init__(self, interval: float = 0.5) -> None:
        self.interval = interval
        self._process = psutil.Process()
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None
        self._peak = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(self._stop,), name="resources", daemon=True)
        self._begin(pl_module)
        self._thread.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._stop is not None and self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._stop = self._thread = None

    def _begin(self, pl_module: pl.LightningModule) -> None:
        self._start, self._cpu, self._read = time.perf_counter(), self._cpu_seconds(), self._bytes_read()
        self._peak = self._process.memory_info().rss
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(self.interval):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def _bytes_read(self) -> int:
        # Not every system counts reads by process.
        counters = getattr(self._process, "io_counters", None)
        return 0 if counters is None else int(counters().read_bytes)

    def row(self, device: torch.device) -> dict[str, float]:
        """For the table of the run: since the epoch began."""
        seconds = time.perf_counter() - self._start
        rss = self._process.memory_info().rss
        out = {
            "cpu_cores_busy": (self._cpu_seconds() - self._cpu) / seconds,
            "memory_mb": rss / 1e6,
            "memory_peak_mb": max(self._peak, rss) / 1e6,
            "disk_read_mb": (self._bytes_read() - self._read) / 1e6,
        }
        if device.type == "cuda":
            out["gpu_peak_mb"] = torch.cuda.max_memory_allocated(device) / 1e6
            out["gpu_reserved_mb"] = torch.cuda.max_memory_reserved(device) / 1e6
        return out


class Hooked(Callback):
    """Another callback, and the seconds its hooks took: what a watcher costs, measured where it is spent."""

    HOOKS = (
        "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start", "on_train_batch_end",
        "teardown",
    )  # fmt: skip

    def __init__(self, inner: Callback) -> None:
        self.inner = inner
        self.spent = dict.fromkeys(self.HOOKS, 0.0)
        """Seconds in each hook."""
        for name in self.HOOKS:
            setattr(self, name, self._timed(name, getattr(inner, name)))

    @property
    def seconds(self) -> float:
        return sum(self.spent.values())

    def _timed(self, name: str, hook: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> None:
            start = time.perf_counter()
            hook(*args, **kwargs)
            self.spent[name] += time.perf_counter() - start

        return call


def rows(watchers: Mapping[str, Callback], device: torch.device) -> dict[str, float]:
    """What the watchers of an epoch have to say."""
    out: dict[str, float] = {}
    for watcher in watchers.values():
        if isinstance(watcher, Throughput) and watcher.pace is not None:
            out |= watcher.pace.row()
        elif isinstance(watcher, Resources):
            out |= watcher.row(device)
        elif isinstance(watcher, Gradients):
            out |= watcher.row()
    return out
