"""What a run is made of: augmentation, module, watchers and trainer, each as its run file says."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, Checkpoint

from ocrmaps.augment import AugmentSpec, Outlines, augment
from ocrmaps.model import Detector, build_detector, build_loss
from ocrmaps.model.stages import freeze_stages
from ocrmaps.store.several import Stored
from ocrmaps.training.callbacks.gradients import Gradients
from ocrmaps.training.callbacks.guard import FiniteGuard
from ocrmaps.training.callbacks.trace import Trace
from ocrmaps.training.callbacks.watch import Resources, Throughput
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.optimization import PRECISIONS, accumulation
from ocrmaps.training.ranks import Rank, strategy
from ocrmaps.training.scoring import Scorer
from ocrmaps.training.spec import RunSpec

Say = Callable[[str], None]


def make_augment(spec: RunSpec, reader: Stored) -> Augment | None:
    """What training batches go through, or None where nothing is asked for."""
    chosen = spec.augment
    if chosen == AugmentSpec(fill=chosen.fill, shift=chosen.shift, cut_text=chosen.cut_text):
        return None
    outlines = None
    if chosen.cut_text == "ignore" and any(chosen.may_cut(canvas) for canvas in reader.canvases):
        rows = reader.select(spec.data.train).tolist()
        texts = ((row, reader.transform(row).apply(reader.polygon_set(row), "canonical")) for row in rows)
        outlines = Outlines.of(texts, reader.recipe.maps.shrink_ratio, every=len(reader))
    return lambda batch, epoch: augment(batch, chosen, seed=spec.seed, epoch=epoch, outlines=outlines)


def make_module(
    spec: RunSpec,
    reader: Stored,
    *,
    detector: Detector | None = None,
    augment: Augment | None = None,
    card: Mapping[str, Any] | None = None,
) -> DetectorModule:
    """The module of a run, with a new detector unless one is given."""
    if detector is None:
        detector = build_detector(spec.model, trusted=spec.trusted)
        freeze_stages(detector, spec.model.freeze)
    module = DetectorModule(
        detector,
        build_loss(spec.loss.name, spec.loss.options, trusted=spec.trusted),
        optimizer=spec.optimizer,
        schedule=spec.schedule,
        precision=spec.precision,
        ema=spec.ema,
        augment=augment,
        card=card,
        scorer=Scorer(reader, reader.select(spec.data.val), spec.extract),
    )
    if spec.hardware.compile:
        # In place, and after the averaged copy was made: weights keep their names, in checkpoints too.
        module.detector.compile(backend=spec.hardware.compile)
    return module


def make_watchers(
    spec: RunSpec, out: Path, reader: Stored, *, tell: Say = lambda line: None, first: bool = True
) -> dict[str, Callback]:
    """The watchers that the run asks for; only the first process traces."""
    trace = partial(Trace, out, first=spec.watch.profile_from, steps=spec.watch.profile_steps, tell=tell)
    possible: dict[str, tuple[bool, Callable[[], Callback]]] = {
        "throughput": (spec.watch.throughput, Throughput),
        "resources": (spec.watch.resources, Resources),
        "guard": (spec.watch.guard, partial(FiniteGuard, reader, every=spec.watch.guard_every)),
        "gradients": (spec.watch.gradients, partial(Gradients, spec.optimizer.clip)),
        "trace": (first and spec.watch.profile_steps > 0, trace),
    }
    return {name: make() for name, (wanted, make) in possible.items() if wanted}


def make_trainer(
    spec: RunSpec, device: str, callbacks: list[Callback], *, progress: bool = False, place: Rank | None = None
) -> pl.Trainer:
    """Lightning's trainer, with everything of its own that we do ourselves turned off."""
    place = place or Rank()
    several = place.world > 1
    with quiet():
        trainer = pl.Trainer(
            accelerator=device,
            devices=place.world // place.nodes,
            num_nodes=place.nodes,
            strategy=strategy(place, device) if several else "auto",
            precision=PRECISIONS[spec.precision],
            max_epochs=spec.budget.epochs,
            max_steps=-1 if spec.budget.steps is None else spec.budget.steps,
            check_val_every_n_epoch=spec.budget.validate_every,
            accumulate_grad_batches=accumulation(spec.optimizer, spec.precision),
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
    # `Stop` listens for SIGTERM. Lightning's own handler speaks to the other ranks in the middle of whatever they are
    # saying, and in every step it asks them whether one came, which waits for the device.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


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
