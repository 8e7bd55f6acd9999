"""What a run says as it goes: one row of metrics.csv and a few lines for each epoch, and when enough is enough."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, RichProgressBar

from ocrmaps.text import visible
from ocrmaps.training.callbacks import watch
from ocrmaps.training.callbacks.sinks import Sink
from ocrmaps.training.checkpoint import Keeper
from ocrmaps.training.folder import METRICS, read_metrics, write_metrics
from ocrmaps.training.module import DetectorModule
from ocrmaps.training.resume import Resumed

Say = Callable[[str], None]


class RunJournal(Callback):
    """Writes a row when an epoch, validation included, has ended; every row says what produced it.

    A resumed run keeps the rows up to the checkpoint it goes on from.
    """

    def __init__(
        self,
        folder: Path,
        tell: Say,
        watchers: Mapping[str, Callback],
        keeper: Keeper,
        *,
        identity: Mapping[str, Any],
        resumed: Resumed | None = None,
    ) -> None:
        self.path, self.tell, self.watchers, self.keeper = folder / METRICS, tell, watchers, keeper
        self.identity, self.resumed = dict(identity), resumed
        self.rows: list[dict[str, Any]] = []
        self.sinks: list[Sink] = []

    def close(self) -> None:
        """No more rows will come."""
        for sink in self.sinks:
            sink.close()
        self.sinks = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.resumed is not None:
            self.rows = [row for row in read_metrics(self.path) if int(row["step"]) <= self.resumed.steps]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def _begin(self) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        means = pl_module.means()
        if not trainer.is_global_zero:
            return
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "samples": pl_module.samples,
            "seconds": time.perf_counter() - self._start,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        score = pl_module.score
        row |= means
        if score is not None:
            row["val/state"] = score.state
            if score.complete:
                for threshold, counts in score.totals.items():
                    end = "" if threshold == 0.5 else f"@{threshold:g}"
                    row |= {f"val/{n}{end}": getattr(counts, n) for n in ("hmean", "precision", "recall")}
        row |= watch.rows(self.watchers, pl_module.device)
        row |= self.identity
        self.rows.append(row)
        write_metrics(self.path, self.rows)
        for sink in self.sinks:
            sink.write(row)
        for line in self._lines(trainer, row, score):
            self.tell(line)
        throughput = self.watchers.get("throughput")
        if isinstance(throughput, watch.Throughput) and throughput.pace is not None:
            self.tell(f"  {throughput.pace.verdict}")

    def _lines(self, trainer: pl.Trainer, row: Mapping[str, Any], score: Any) -> list[str]:
        """What the epoch came to, for a terminal of 80 columns."""
        first = f"epoch {row['epoch']}/{trainer.max_epochs}, step {row['step']}: loss {row['train/loss']:.4f}"
        pace = [f"{row['rate']:.1f} samples/s"] if "rate" in row else []
        pace.append(f"{row['seconds']:.1f} s")
        if score is not None and score.complete:
            best = self.keeper.best[0][0] if self.keeper.best else -1.0
            first += f", val loss {row['val/loss']:.4f}, hmean {row['val/hmean']:.4f}"
            first += " *" if row["val/hmean"] > best else ""
            pace[:0] = [
                f"P {row['val/precision']:.3f} R {row['val/recall']:.3f}",
                f"at IoU 0.7 {row['val/hmean@0.7']:.4f}",
            ]
        elif score is not None:
            missing = ", ".join(score.missing[:3])
            pace[:0] = [visible(f"validation {score.state}: no score, missing {missing}", 70)]
        i = self.identity
        came_from = f"{row['samples']} samples, root {i['root_digest'][:12]}, seed {i['seed']}, {i['precision']}"
        return [
            first,
            *textwrap.wrap(", ".join(pace), 78, initial_indent="  ", subsequent_indent="  "),
            f"  [{came_from}]",
        ]


class Bar(RichProgressBar):
    """Draws the epoch under way, counted from 1 as the lines of the run count."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class Patience(Callback):
    """Ends a run after so many complete validations in a row without a better val/hmean."""

    def __init__(self, validations: int, delta: float, tell: Say) -> None:
        self.validations, self.delta, self.tell = validations, delta, tell
        self.best, self.waited = -1.0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that patience ended is finished: going on from it must not train one epoch more each time.
        if self.waited >= self.validations:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DetectorModule)
        score = pl_module.score
        if score is None or not score.complete:
            return
        if score.hmean() > self.best + self.delta:
            self.best, self.waited = score.hmean(), 0
            return
        self.waited += 1
        if self.waited >= self.validations:
            self.tell(f"stopping: {self.waited} validations without a val hmean above {self.best + self.delta:.4f}")
            trainer.should_stop = True
