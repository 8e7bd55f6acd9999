"""One training run: what must hold is checked before the first step, everything it finds is in one folder.

run.json  environment.json  metrics.csv  curves.png  batch.png  run.log  result.json
checkpoints/{last,best-...}.ckpt   val/*.png   debug/<bundles>
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from ocrmaps.debug.collect import on_crash
from ocrmaps.detect.trained import LAST
from ocrmaps.errors import SpecError
from ocrmaps.files import write_json
from ocrmaps.loader import MapLoader
from ocrmaps.machine import commit, machine
from ocrmaps.model import build_detector, describe
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training import pictures as train_pictures
from ocrmaps.training.announce import announce, caption, identity, log
from ocrmaps.training.budget import check_budget, make_budget
from ocrmaps.training.callbacks.log import Journal, Patience
from ocrmaps.training.callbacks.sinks import check_sinks, open_sinks
from ocrmaps.training.callbacks.stop import Interrupted, Stop
from ocrmaps.training.checkpoint import Keeper, make_card
from ocrmaps.training.checks import check_sides, check_store
from ocrmaps.training.compiling import Compiled, check_compile
from ocrmaps.training.data import MapData
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.optimization import check_precision
from ocrmaps.training.parts import make_augment, make_module, make_trainer, make_watchers, quiet
from ocrmaps.training.ranks import Place, beside, check_ranks
from ocrmaps.training.resume import check_folder, check_same_run, find_checkpoint
from ocrmaps.training.spec import RunSpec, portable

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a run came to."""

    folder: Path
    best: Path | None
    """The checkpoint with the best complete validation."""
    last: Path
    hmean: float | None
    """val/hmean at IoU 0.5 of `best`."""
    rows: tuple[Mapping[str, Any], ...]
    """One for each epoch, as in metrics.csv."""
    identity: Mapping[str, Any]
    """Steps, samples, root digest, seed, precision: what produced these numbers."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "best": None if self.best is None else str(self.best),
            "last": str(self.last),
            "hmean": self.hmean,
            "epochs": len(self.rows),
            "final": dict(self.rows[-1]) if self.rows else None,
            **self.identity,
        }


def train(
    spec: RunSpec,
    *,
    out: Path,
    cache: Path | None = None,
    resume: str | None = None,
    say: Say = lambda line: None,
    progress: bool = False,
    extra: tuple[Callback, ...] = (),
    place: Place | None = None,
) -> TrainReport:
    """Train as `spec` says into the folder `out`; `resume` is a checkpoint, or `auto` for the folder's own latest.

    `cache` is where the store is looked for when the run does not say; `extra` callbacks look on, in this process.
    `place` is given to the processes that a run on several devices starts beside this one.
    Ctrl-C and SIGTERM are `Interrupted`, raised when the state was saved.
    """
    device = device_of(spec)
    if place is None:
        check_ranks(spec.hardware.devices, device)
    first = place is None or place.first
    check_precision(spec.optimiser, spec.precision, device)
    check_compile(spec)
    if first:
        check_sinks(tensorboard=spec.watch.tensorboard, wandb=spec.watch.wandb)
    where = spec.data.cache or cache or Path(".ocrmaps")
    store, version = find_version(where, spec.data.store)
    stopped: Interrupted | None = None
    with Reader(store.version(version)) as reader:
        spec = check_store(spec, reader)
        budget = make_budget(spec, reader)
        check_budget(spec, budget)
        resumed = find_checkpoint(out, resume)
        checkpoint = None if resumed is None else resumed.path
        _seed(spec)
        # A checkpoint brings all weights: those that the first start was made from may be gone by now.
        detector = build_detector(spec.model, pretrained=resumed is None, trusted=spec.trusted)
        check_sides(spec, reader, detector.multiple)
        built = describe(detector, max(reader.manifest.canvases))
        card = make_card(
            reader.manifest, store=store.name, model=spec.model, extract=spec.extract, seed=spec.seed,
            precision=spec.precision, run=portable(spec.as_dict(), Path.home()), built=built,
        )  # fmt: skip
        if resumed is not None:
            check_same_run(resumed.card, card, resumed.path)
        elif first:
            check_folder(out, resume)
        out.mkdir(parents=True, exist_ok=True)
        changed = make_augment(spec, reader)
        module = make_module(spec, reader, detector=detector, augment=changed, card=card)
        data = MapData(
            reader.folder, train=spec.data.train, val=spec.data.val, batch_size=spec.data.batch, seed=spec.seed,
            drop_last=spec.data.drop_last,
        )  # fmt: skip
        with (
            log(out / "run.log", say, append=resumed is not None, first=first) as tell,
            on_crash(spec.as_dict(), out, reader, changed, tell, trusted=spec.trusted) as witness,
        ):
            keeper = Keeper(out / "checkpoints", top=spec.keep.top, every_steps=spec.keep.every_steps)
            stop = Stop(keeper)
            watchers = make_watchers(spec, out, reader, tell=tell, first=first)
            journal = Journal(out, tell, watchers, keeper, identity=identity(card), resumed=resumed)
            # The witness first: it looks on while the others work. The end last: what they keep is kept before it.
            callbacks: list[Callback] = [witness, *watchers.values(), journal, keeper, *extra]
            if spec.budget.patience is not None:
                callbacks.append(Patience(spec.budget.patience, spec.budget.patience_delta, tell))
            if progress:
                callbacks.append(RichProgressBar())
            callbacks.append(stop)
            if first:
                write_json(out / "run.json", spec.as_dict())
                write_json(out / "environment.json", _environment(device))
                announce(spec, reader, card, budget, tell, resumed)
                if resumed is None:
                    train_pictures.draw_batch(_first_batch(spec, reader, changed), out / "batch.png")
                journal.sinks = open_sinks(
                    out, tensorboard=spec.watch.tensorboard, wandb=spec.watch.wandb, name=spec.name,
                    config=card["run"], step=0 if resumed is None else resumed.steps,
                )  # fmt: skip
            job = {
                "run": spec.as_dict(),
                "trusted": sorted(spec.trusted.names),
                "out": str(out),
                "cache": str(where),
                "checkpoint": checkpoint and str(checkpoint),
            }
            compiled = Compiled(spec.hardware.compile)
            try:
                # Their end comes after this process's own threads have ended, whatever ended the run.
                with stop.listening(), beside(spec.hardware.devices if place is None else 1, device, job) as found:
                    trainer = make_trainer(spec, device, callbacks, progress=progress, place=place or found)
                    with _closing(data, module, watchers), compiled, quiet():
                        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            except Interrupted as error:
                # Out of reach of what looks for crashes: this is none.
                stopped = error
                tell(str(error))
            finally:
                journal.close()
            if stopped is None:
                compiled.tell(tell)
                report = TrainReport(
                    folder=out,
                    best=keeper.best_path,
                    last=out / "checkpoints" / LAST,
                    hmean=keeper.best[0][0] if keeper.best else None,
                    rows=tuple(journal.rows),
                    identity={"steps": trainer.global_step, "samples": module.samples, **identity(card)},
                )
                if first:
                    train_pictures.draw_curves(journal.rows, out / "curves.png", caption(report.identity))
                    train_pictures.draw_pairs(
                        reader, report, out / "val", spec.watch.pictures, spec.data.val, spec.trusted
                    )
                    write_json(out / "result.json", report.as_dict())
                tell(
                    f"best val hmean {report.hmean:.4f} at IoU 0.5: {report.best} [{caption(report.identity)}]"
                    if report.hmean is not None
                    else f"no complete validation, so no best checkpoint; the latest is {report.last}"
                )
    if stopped is not None:
        raise stopped
    return report


@contextmanager
def _closing(data: MapData, module: DetectorModule, watchers: Mapping[str, Callback]) -> Iterator[None]:
    """Ends the threads of loaders, scoring and watchers; Lightning does so only where nothing was raised."""
    try:
        yield
    finally:
        for watcher in watchers.values():
            watcher.teardown(module._trainer, module, "fit")  # type: ignore[arg-type]
        module.teardown("fit")
        data.teardown("fit")


def device_of(spec: RunSpec) -> str:
    """The kind of device of a run, here; one that is not there is refused."""
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise SpecError("device: found cuda, but torch sees no CUDA device here", hint="device = 'cpu' or 'auto'")
    if spec.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return spec.device


def _seed(spec: RunSpec) -> None:
    """Nothing of ours draws from the global generators; a layer with dropout or an own encoder may."""
    torch.manual_seed(spec.seed)
    np.random.seed(spec.seed)
    if spec.deterministic and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


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


def _first_batch(spec: RunSpec, reader: Reader, changed: Augment | None) -> Any:
    settings: dict[str, Any] = {"batch_size": min(8, spec.data.batch), "shuffle": True, "seed": spec.seed}
    with MapLoader(reader.folder, split=spec.data.train, **settings) as loader:
        batch = next(iter(loader))
        return batch if changed is None else changed(batch, 0)
