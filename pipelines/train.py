"""One training run: what must hold is checked before the first step, everything it finds is in one folder.

run.json  environment.json  metrics.csv  curves.png  batch.png  run.log  result.json
checkpoints/{last,best-...}.ckpt   val/*.png   debug/*.pt
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, RichProgressBar

from ocrmaps.augment import AugmentSpec, Outlines, augment
from ocrmaps.errors import SpecError
from ocrmaps.loader import MapLoader
from ocrmaps.model import Detector, build_detector, build_loss, describe
from ocrmaps.store.places import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.training.checkpoint import LAST, Keeper, make_card, read_checkpoint
from ocrmaps.training.data import MapData
from ocrmaps.training.guard import FiniteGuard
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.scoring import Scorer
from ocrmaps.training.settings import PRECISIONS, accumulation, check_precision
from ocrmaps.training.watch import Resources, Throughput
from pipelines import bench, train_pictures
from pipelines.train_checks import check_same_run, check_sides, check_store
from pipelines.train_log import Journal, Patience
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
) -> TrainReport:
    """Train as `spec` says into the folder `out`; `resume` is a checkpoint, or `auto` for the folder's own latest.

    `cache` is where the store is looked for when the run does not say; `extra` callbacks look on.
    """
    device = _device(spec)
    check_precision(spec.optimiser, spec.precision, device)
    where = spec.data.cache or cache or Path(".ocrmaps")
    store, version = find_version(where, spec.data.store)
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
        elif out.exists() and any(out.iterdir()):
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
        with _log(out / "run.log", say, append=checkpoint is not None) as tell:
            keeper = Keeper(out / "checkpoints", top=spec.keep.top, every_steps=spec.keep.every_steps)
            watchers = make_watchers(spec, out, reader)
            journal = Journal(out, tell, watchers, keeper, identity=_identity(card), resumed=checkpoint)
            callbacks: list[Callback] = [*watchers.values(), journal, keeper, *extra]
            if spec.budget.patience is not None:
                callbacks.append(Patience(spec.budget.patience, spec.budget.patience_delta, tell))
            if progress:
                callbacks.append(RichProgressBar())
            trainer = make_trainer(spec, device, callbacks, progress=progress)
            _write(out / "run.json", spec.as_dict())
            _write(out / "environment.json", _environment(device))
            _announce(spec, reader, card, tell, checkpoint)
            if checkpoint is None and trainer.is_global_zero:
                train_pictures.draw_batch(_first_batch(spec, reader, changed), out / "batch.png")
            with quiet():
                trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            report = TrainReport(
                folder=out,
                best=keeper.best_path,
                last=out / "checkpoints" / LAST,
                hmean=keeper.best[0][0] if keeper.best else None,
                rows=tuple(journal.rows),
                identity={"steps": trainer.global_step, "samples": module.samples, **_identity(card)},
            )
            if trainer.is_global_zero:
                train_pictures.draw_curves(journal.rows, out / "curves.png", _caption(report))
                train_pictures.draw_pairs(reader, report, out / "val", spec.watch.pictures, spec.data.val)
                _write(out / "result.json", report.as_dict())
            tell(
                f"best val hmean {report.hmean:.4f} at IoU 0.5: {report.best} [{_caption(report)}]"
                if report.hmean is not None
                else f"no complete validation, so no best checkpoint; the latest is {report.last}"
            )
    return report


def make_augment(spec: RunSpec, reader: Reader) -> Augment | None:
    """What training batches go through, or None where nothing is asked for."""
    chosen = spec.augment
    if chosen == AugmentSpec(fill=chosen.fill, shift=chosen.shift, cut_text=chosen.cut_text):
        return None
    outlines = None
    if chosen.cut_text == "ignore" and any(chosen.may_cut(canvas) for canvas in reader.manifest.canvases):
        rows = reader.select(spec.data.train).tolist()
        texts = ((row, reader.transform(row).apply(reader.polygon_set(row), "canonical")) for row in rows)
        outlines = Outlines.of(texts, reader.manifest.recipe.maps.shrink_ratio)
    return lambda batch, epoch: augment(batch, chosen, seed=spec.seed, epoch=epoch, outlines=outlines)


def make_module(
    spec: RunSpec,
    reader: Reader,
    *,
    detector: Detector | None = None,
    augment: Augment | None = None,
    card: Mapping[str, Any] | None = None,
) -> DetectorModule:
    """The module of a run, with a new detector unless one is given."""
    return DetectorModule(
        build_detector(spec.model) if detector is None else detector,
        build_loss(spec.loss.name, spec.loss.options),
        optimiser=spec.optimiser,
        schedule=spec.schedule,
        precision=spec.precision,
        average=spec.average,
        augment=augment,
        card=card,
        scorer=Scorer(reader, reader.select(spec.data.val), spec.extract),
    )


def make_watchers(spec: RunSpec, out: Path, reader: Reader) -> dict[str, Callback]:
    """The watchers that the run asks for."""
    possible: dict[str, tuple[bool, Callable[[], Callback]]] = {
        "throughput": (spec.watch.throughput, Throughput),
        "resources": (spec.watch.resources, Resources),
        "guard": (spec.watch.guard, partial(FiniteGuard, out / "debug", reader, every=spec.watch.guard_every)),
    }
    return {name: make() for name, (wanted, make) in possible.items() if wanted}


def make_trainer(spec: RunSpec, device: str, callbacks: list[Callback], *, progress: bool = False) -> pl.Trainer:
    """Lightning's trainer, with everything of its own that we do ourselves turned off."""
    with quiet():
        return pl.Trainer(
            accelerator=device,
            devices=1,
            precision=PRECISIONS[spec.precision],
            max_epochs=spec.budget.epochs,
            max_steps=-1 if spec.budget.steps is None else spec.budget.steps,
            check_val_every_n_epoch=spec.budget.validate_every,
            accumulate_grad_batches=accumulation(spec.optimiser, spec.precision),
            callbacks=callbacks,
            deterministic=spec.deterministic,
            benchmark=device == "cuda" and not spec.deterministic,
            num_sanity_val_steps=0,
            logger=False,
            # Left on without a checkpoint callback of ours, Lightning would write its own into the current folder.
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=progress,
            enable_model_summary=False,
            inference_mode=True,
        )


def _device(spec: RunSpec) -> str:
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
    tell(f"built: {parts}; {built['parameters']:,} parameters, {built['flops'] / 1e9:.2f} GFLOPs at {size}")
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
def _log(path: Path, say: Say, *, append: bool) -> Iterator[Say]:
    """What is said is also written, line by line."""
    with path.open("a" if append else "w", encoding="utf-8") as file:

        def tell(line: str) -> None:
            say(line)
            file.write(line + "\n")
            file.flush()

        yield tell


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advice about what we chose on purpose is kept off the screen; its errors are not."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # A scheduler is stepped after a step that gradient scaling skipped: harmless, and said on every run.
        warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler.step\(\)` before")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
