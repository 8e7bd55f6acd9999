"""Fits a prepared run: its callbacks in order, the processes beside it, and Lightning's loop from start to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.files import write_json
from ocrmaps.loader import MapLoader
from ocrmaps.machine import commit, keep_freed_memory, machine
from ocrmaps.training.announce import announce, identity
from ocrmaps.training.callbacks.log import Bar, Patience, RunJournal
from ocrmaps.training.callbacks.sinks import open_sinks
from ocrmaps.training.callbacks.stop import Interrupted, Stop
from ocrmaps.training.checkpoint import Keeper
from ocrmaps.training.compiling import Compiled
from ocrmaps.training.folder import CHECKPOINTS, SETTINGS
from ocrmaps.training.parts import make_trainer, make_watchers, quiet
from ocrmaps.training.pictures import draw_batch
from ocrmaps.training.prepare import Prepared
from ocrmaps.training.ranks import beside

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a fit came to."""

    best: Path | None
    """The checkpoint with the best complete validation."""
    hmean: float | None
    """val/hmean at IoU 0.5 of `best`."""
    rows: tuple[Mapping[str, Any], ...]
    """One for each epoch, as in metrics.csv."""
    steps: int
    samples: int
    interrupted: Interrupted | None
    """Ctrl-C or SIGTERM, with the state saved; the run is not at its end."""


def fit(
    run: Prepared, tell: Say, *, witness: Callback, extra: Sequence[Callback] = (), progress: bool = False
) -> Fitted:
    """Train until the budget is used, patience ends or a person stops it; `extra` callbacks look on in this process."""
    spec, out = run.spec, run.out
    keeper = Keeper(out / CHECKPOINTS, top=spec.keep.top, every_steps=spec.keep.every_steps)
    stop = Stop(keeper)
    watchers = make_watchers(spec, out, run.reader, tell=tell, first=run.first)
    journal = RunJournal(out, tell, watchers, keeper, identity=identity(run.card), resumed=run.resumed)
    # The witness first: it looks on while the others work. The end last: what they keep is kept before it.
    callbacks: list[Callback] = [witness, *watchers.values(), journal, keeper, *extra]
    if spec.budget.patience is not None:
        callbacks.append(Patience(spec.budget.patience, spec.budget.patience_delta, tell))
    if progress:
        callbacks.append(Bar())
    callbacks.append(stop)
    if run.first:
        _open_folder(run, tell)
        journal.sinks = open_sinks(
            out, tensorboard=spec.watch.tensorboard, wandb=spec.watch.wandb, name=spec.name,
            config=run.card["run"], step=0 if run.resumed is None else run.resumed.steps,
        )  # fmt: skip
    devices = spec.hardware.devices if run.place is None else 1
    checkpoint = None if run.resumed is None else run.resumed.path
    compiled, interrupted = Compiled(spec.hardware.compile), None
    keep_freed_memory()
    try:
        # Their end comes after this process's own threads have ended, whatever ended the run.
        with stop.listening(), beside(devices, run.device, _job(run)) as found:
            trainer = make_trainer(spec, run.device, callbacks, progress=progress, place=run.place or found)
            with _closing(run, watchers), compiled, quiet():
                trainer.fit(run.module, datamodule=run.data, ckpt_path=checkpoint, weights_only=True)
    except Interrupted as error:
        interrupted = error
    finally:
        journal.close()
    if interrupted is None:
        compiled.tell(tell)
    return Fitted(
        best=keeper.best_path, hmean=keeper.best[0][0] if keeper.best else None, rows=tuple(journal.rows),
        steps=0 if interrupted else trainer.global_step, samples=run.module.samples, interrupted=interrupted,
    )  # fmt: skip


def _open_folder(run: Prepared, tell: Say) -> None:
    """Write what a run's folder holds before the first step, and say what is trained."""
    write_json(run.out / SETTINGS, run.spec.as_dict())
    write_json(run.out / "environment.json", _environment(run.device))
    announce(run.spec, run.reader, run.card, run.budget, tell, weights=run.weights, resumed=run.resumed,
             started=run.started)  # fmt: skip
    if run.resumed is None:
        draw_batch(_first_batch(run), run.out / "batch.png")


def _job(run: Prepared) -> dict[str, Any]:
    """What the processes beside this one need to prepare the same run."""
    return {
        "run": run.spec.as_dict(),
        "trusted": sorted(run.spec.trusted.names),
        "out": str(run.out),
        "cache": str(run.cache),
        "checkpoint": None if run.resumed is None else str(run.resumed.path),
    }


@contextmanager
def _closing(run: Prepared, watchers: Mapping[str, Callback]) -> Iterator[None]:
    """Ends the threads of loaders, scoring and watchers; Lightning does so only where nothing was raised."""
    try:
        yield
    finally:
        for watcher in watchers.values():
            watcher.teardown(run.module._trainer, run.module, "fit")  # type: ignore[arg-type]
        run.module.teardown("fit")
        run.data.teardown("fit")


def _environment(device: str) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        **machine(),
        "lightning": pl.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": gpu or "cpu",
        "commit": commit(),
    }


def _first_batch(run: Prepared) -> Any:
    data = run.spec.data
    settings: dict[str, Any] = {
        "batch_size": min(8, data.batch_size), "shuffle": True, "seed": run.spec.seed, "weights": run.weights
    }  # fmt: skip
    with MapLoader(run.data.where, split=data.train, **settings) as loader:
        batch = next(iter(loader))
        return batch if run.augment is None else run.augment(batch, 0)
