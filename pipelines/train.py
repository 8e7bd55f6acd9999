"""One training run: what must hold is checked before the first step, everything it finds is in one folder.

run.json  environment.json  metrics.csv  curves.png  batch.png  run.log  result.json
checkpoints/{last,best-...}.ckpt   val/*.png   debug/<bundles>
"""

from __future__ import annotations

import json
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

from ocrmaps.errors import RunError, SpecError
from ocrmaps.loader import MapLoader
from ocrmaps.loader_order import steps
from ocrmaps.model import build_detector, describe
from ocrmaps.store.places import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training.checkpoint import LAST, Keeper, make_card, read_checkpoint
from ocrmaps.training.data import MapData
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.settings import check_precision
from ocrmaps.training.sinks import check_sinks, open_sinks
from ocrmaps.training.stop import Interrupted, Stop
from pipelines import bench, train_pictures
from pipelines.debug_write import on_crash
from pipelines.train_checks import check_compile, check_same_run, check_sides, check_store
from pipelines.train_log import Journal, Patience
from pipelines.train_parts import make_augment, make_module, make_trainer, make_watchers, quiet
from pipelines.train_ranks import Place, beside, check_ranks
from pipelines.train_spec import RunSpec

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
    Ctrl-C is `Interrupted`, raised when the state was saved.
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
        checkpoint = _resumed(out, resume)
        _seed(spec)
        detector = build_detector(spec.model)
        check_sides(spec, reader, detector.multiple)
        built = describe(detector, max(reader.manifest.canvases))
        card = make_card(
            reader.manifest, store=store.name, model=spec.model, extract=spec.extract, seed=spec.seed,
            precision=spec.precision, run=spec.as_dict(), built=built,
        )  # fmt: skip
        if checkpoint is not None:
            check_same_run(read_checkpoint(checkpoint)["ocrmaps"], card, checkpoint)
        elif first and out.exists() and any(out.iterdir()):
            raise SpecError(
                f"{out} is not empty", hint="name another --out, or go on with what is there by --resume auto"
            )
        out.mkdir(parents=True, exist_ok=True)
        changed = make_augment(spec, reader)
        module = make_module(spec, reader, detector=detector, augment=changed, card=card)
        data = MapData(
            reader.folder, train=spec.data.train, val=spec.data.val, batch_size=spec.data.batch, seed=spec.seed,
            drop_last=spec.data.drop_last,
        )  # fmt: skip
        with (
            _log(out / "run.log", say, append=checkpoint is not None, first=first) as tell,
            on_crash(spec.as_dict(), out, reader, changed, tell) as witness,
        ):
            keeper = Keeper(out / "checkpoints", top=spec.keep.top, every_steps=spec.keep.every_steps)
            stop = Stop(keeper)
            watchers = make_watchers(spec, out, reader, tell=tell, first=first)
            journal = Journal(out, tell, watchers, keeper, identity=_identity(card), resumed=checkpoint)
            # The witness first: it looks on while the others work. The end last: what they keep is kept before it.
            callbacks: list[Callback] = [witness, *watchers.values(), journal, keeper, *extra]
            if spec.budget.patience is not None:
                callbacks.append(Patience(spec.budget.patience, spec.budget.patience_delta, tell))
            if progress:
                callbacks.append(RichProgressBar())
            callbacks.append(stop)
            if first:
                _write(out / "run.json", spec.as_dict())
                _write(out / "environment.json", _environment(device))
                _announce(spec, reader, card, tell, checkpoint)
                if checkpoint is None:
                    train_pictures.draw_batch(_first_batch(spec, reader, changed), out / "batch.png")
                journal.sinks = open_sinks(
                    out, tensorboard=spec.watch.tensorboard, wandb=spec.watch.wandb, name=spec.name,
                    config=spec.as_dict(), step=_steps_done(checkpoint),
                )  # fmt: skip
            job = {
                "run": spec.as_dict(),
                "out": str(out),
                "cache": str(where),
                "checkpoint": None if checkpoint is None else str(checkpoint),
            }
            compiled = _Compiled(spec.hardware.compile)
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
                    identity={"steps": trainer.global_step, "samples": module.samples, **_identity(card)},
                )
                if first:
                    train_pictures.draw_curves(journal.rows, out / "curves.png", _caption(report))
                    train_pictures.draw_pairs(reader, report, out / "val", spec.watch.pictures, spec.data.val)
                    _write(out / "result.json", report.as_dict())
                tell(
                    f"best val hmean {report.hmean:.4f} at IoU 0.5: {report.best} [{_caption(report)}]"
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


class _Compiled:
    """Counts what torch.compile made of a run, and names its failures; does nothing where nothing is compiled."""

    def __init__(self, backend: str) -> None:
        self.backend, self.graphs, self.breaks = backend, 0, 0

    def _count(self) -> tuple[int, int]:
        counters = torch._dynamo.utils.counters
        return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())

    def __enter__(self) -> None:
        if self.backend:
            self._before = self._count()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not self.backend:
            return
        self.graphs, self.breaks = (now - then for now, then in zip(self._count(), self._before, strict=True))
        if isinstance(error, torch._dynamo.exc.TorchDynamoException):
            lines = str(error).strip().splitlines()
            raise RunError(
                f"hardware.compile: {self.backend} could not compile this model ({lines[0] if lines else error!r})",
                hint="inductor needs a C++ compiler; leave the setting out to run without",
            ) from error

    def tell(self, say: Say) -> None:
        if self.backend:
            say(f"compiled by {self.backend}: {self.graphs} graphs, {self.breaks} breaks")


def _steps_done(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(read_checkpoint(checkpoint)["ocrmaps"]["steps"])


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


def _resumed(out: Path, resume: str | None) -> Path | None:
    if resume is None:
        return None
    if resume == "auto":
        path = out / "checkpoints" / LAST
        return path if path.exists() else None
    path = Path(resume)
    if not path.is_file():
        raise SpecError(f"--resume {resume}: no such checkpoint", hint="--resume auto takes the latest of --out")
    return path


def _identity(card: Mapping[str, Any]) -> dict[str, Any]:
    return {"root_digest": card["store"]["root_digest"], "seed": card["seed"], "precision": card["precision"]}


def _caption(report: TrainReport) -> str:
    i = report.identity
    return (
        f"{i['steps']} steps, {i['samples']} samples, root {i['root_digest'][:12]}, seed {i['seed']}, {i['precision']}"
    )


def _announce(spec: RunSpec, reader: Reader, card: Mapping[str, Any], tell: Say, checkpoint: Path | None) -> None:
    built, budget = card["built"], spec.budget
    store = f"{card['store']['name']}/{card['store']['version']}"
    counts = {split: len(reader.select(split)) for split in (spec.data.train, spec.data.val)}
    parts = ", ".join(f"{p} {built[p]['class']} {built[p]['parameters']:,}" for p in ("encoder", "decoder", "head"))
    tell(f"run {spec.name}: store {store}, root {reader.root_digest[:12]}, rows {counts}")
    size = "x".join(map(str, built["flops_size"]))
    taps = " ".join(f"{c}@{s}" for c, s in zip(built["channels"], built["strides"], strict=True))
    tell(
        f"built: {parts}; {built['parameters']:,} parameters, {built['flops'] / 1e9:.2f} GFLOPs at {size}; "
        f"channels@stride {taps} into {built['decoder_channels']}"
    )
    if spec.hardware.devices > 1 or spec.hardware.compile:
        tell(f"devices: {spec.hardware.devices}{_repeats(spec, reader)}; compile: {spec.hardware.compile or 'off'}")
    limit = f", at most {budget.steps} steps" if budget.steps is not None else ""
    tell(
        f"budget: {budget.epochs} epochs of batches of {spec.data.batch}{limit}; {spec.optimiser.name} at "
        f"{spec.optimiser.lr:g}, {spec.schedule.name}; seed {spec.seed}, {spec.precision}"
    )
    extract = card["extract"]
    tell(
        f"maps are read with: {extract['unclip']} unclip, r {extract['shrink_ratio']:g}, binarise "
        f"{extract['binarise']}, score at least {extract['score_min']:g}"
    )
    if checkpoint is not None:
        tell(f"resumed from {checkpoint}")


def _repeats(spec: RunSpec, reader: Reader) -> str:
    """What equal numbers of batches on all ranks cost: whole batches that are shown again, or left out."""
    world, size = spec.hardware.devices, spec.data.batch
    rows = np.unique(reader.rows["canvas"][reader.select(spec.data.train)], return_counts=True)[1].tolist()
    batches = sum(n // size if spec.data.drop_last else -(-n // size) for n in rows)
    odd = steps(batches, world, drop_last=spec.data.drop_last) * world - batches
    if odd > 0:
        return f", {odd} of {batches} batches shown twice an epoch so that each gets as many"
    return f", {-odd} of {batches} batches left out of an epoch so that each gets as many" if odd else ""


def _environment(device: str) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        **bench.machine(),
        "lightning": pl.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": gpu or "cpu",
        "commit": bench.commit(),
    }


def _first_batch(spec: RunSpec, reader: Reader, changed: Augment | None) -> Any:
    settings: dict[str, Any] = {"batch_size": min(8, spec.data.batch), "shuffle": True, "seed": spec.seed}
    with MapLoader(reader.folder, split=spec.data.train, **settings) as loader:
        batch = next(iter(loader))
        return batch if changed is None else changed(batch, 0)


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _log(path: Path, say: Say, *, append: bool, first: bool) -> Iterator[Say]:
    """What is said is also written, line by line; only the first process says anything."""
    if not first:
        yield lambda line: None
        return
    with path.open("a" if append else "w", encoding="utf-8") as file:

        def tell(line: str) -> None:
            say(line)
            file.write(line + "\n")
            file.flush()

        yield tell
