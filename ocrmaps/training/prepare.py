"""Prepares a run: opens its store, builds its parts, and refuses whatever could not come to an end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocrmaps.errors import SpecError
from ocrmaps.model import build_detector, describe
from ocrmaps.model.stages import freeze_stages
from ocrmaps.store.format.identity import fingerprint
from ocrmaps.store.places.cache import reading_folder
from ocrmaps.store.several import Stored, opened
from ocrmaps.training.budget import Budget, check_budget, make_budget
from ocrmaps.training.callbacks.sinks import check_sinks
from ocrmaps.training.checkpoint import make_card
from ocrmaps.training.checks import check_batches, check_sides, check_store
from ocrmaps.training.compiling import check_compile
from ocrmaps.training.data import MapData
from ocrmaps.training.differences import differences, is_operational
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.optimization import check_precision
from ocrmaps.training.parts import make_augment, make_module
from ocrmaps.training.place import place_of
from ocrmaps.training.ranks import Rank, check_ranks
from ocrmaps.training.resume import Resumed, check_folder, check_same_run, find_checkpoint
from ocrmaps.training.sharing import check_steps, with_its_steps
from ocrmaps.training.spec import RunSpec, portable
from ocrmaps.training.stores import Weights, run_order, weights_of
from ocrmaps.training.warm import WarmStart, follow_weights, warm_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that nothing speaks against: all it is made of, and not a step taken."""

    spec: RunSpec
    """As the store completed it."""
    out: Path
    cache: Path
    reader: Stored
    """The store that is learnt from, or the several as one."""
    weights: Weights | None
    """How often an epoch shows each row of the train split; None shows each once."""
    device: str
    """`cpu` or `cuda`."""
    place: Rank | None
    """Which process of the run this is; None in the one that starts the others."""
    budget: Budget
    resumed: Resumed | None
    started: WarmStart | None
    """What became of the weights it starts from, where it names some."""
    augment: Augment | None
    module: DetectorModule
    data: MapData
    card: Mapping[str, Any]
    """What its checkpoints will say about themselves."""

    @property
    def first(self) -> bool:
        """Whether this process writes files and says anything."""
        return self.place is None or self.place.first


@contextmanager
def prepare(
    spec: RunSpec,
    *,
    out: Path,
    cache: Path | None = None,
    resume: str | None = None,
    place: Rank | None = None,
) -> Iterator[Prepared]:
    """Yield the run that `spec` describes, its store open; whatever speaks against it is raised before `out` exists."""
    device = device_of(spec)
    if place is None:
        check_ranks(spec.hardware.devices, device, nodes=spec.hardware.nodes)
    first = place is None or place.first
    resumed = find_checkpoint(out, resume)
    if resumed is not None:
        spec = with_its_steps(spec, resumed.card)
    check_precision(spec.optimizer, spec.precision, device)
    check_compile(spec)
    if first:
        check_sinks(tensorboard=spec.watch.tensorboard, wandb=spec.watch.wandb)
    where = reading_folder(spec.data.cache or cache or ".ocrmaps")
    stored = place_of(spec.data, where)
    with opened(stored) as reader:
        spec = check_store(spec, reader)
        weights = weights_of(spec, reader)
        budget = make_budget(spec, reader, weights)
        check_budget(spec, budget)
        spec = follow_weights(spec, resumed.card if resumed else None)
        _seed(spec)
        # A checkpoint brings all weights: those that the first start was made from may be gone by now.
        detector = build_detector(spec.model, pretrained=resumed is None, trusted=spec.trusted)
        check_sides(spec, reader, detector.multiple)
        check_batches(spec, run_order(spec, reader, weights).counts, detector)
        started = warm_start(detector, spec.model.weights) if spec.model.weights and resumed is None else None
        origin = resumed.card.get("started") if resumed else started.as_dict() if started else None
        freeze_stages(detector, spec.model.freeze)
        card = make_card(
            reader, data=spec.data, weights=weights, model=spec.model, extract=spec.extract, seed=spec.seed,
            precision=spec.precision, run=portable(spec.as_dict(), Path.home()),
            built=describe(detector, max(reader.canvases)),
            started=origin,
        )  # fmt: skip
        if resumed is not None:
            check_same_run(resumed.card, card, resumed.path)
            check_steps(spec, resumed.card, reader, weights)
        elif first:
            check_folder(out, resume)
        out.mkdir(parents=True, exist_ok=True)
        augment = make_augment(spec, reader)
        yield Prepared(
            spec=spec, out=out, cache=where, reader=reader, weights=weights, device=device, place=place, budget=budget,
            resumed=resumed, started=started, augment=augment, card=card,
            module=make_module(spec, reader, detector=detector, augment=augment, card=card),
            data=MapData(
                stored, train=spec.data.train, val=spec.data.val, seed=spec.seed,
                batch_size=spec.data.batch_size, drop_last=spec.data.drop_last, weights=weights,
            ),
        )  # fmt: skip


def meant(run: Prepared) -> dict[str, Any]:
    """What all processes of a run must mean alike, in few words."""
    settings = {found.key: found.b for found in differences({}, run.card["run"]) if not is_operational(found.key)}
    return {
        "root digest": run.reader.root_digest,
        "settings": fingerprint(settings)[:16],
        "rows shown": str(run.card.get("shown")),
        "resumed step": None if run.resumed is None else run.resumed.steps,
    }


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
