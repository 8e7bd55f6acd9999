"""Makes a debug bundle of a run, and repeats the step of one; `notes` has the verbs that need no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocrmaps.debug.collect import write_bundle
from ocrmaps.debug.entries import entries, plain
from ocrmaps.debug.reading import STEP, Bundle, damage, unpacked
from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import DataError, OcrmapsError, RunError, StoreNotFound
from ocrmaps.loader import MapLoader
from ocrmaps.model import DetectorSpec, check_parts
from ocrmaps.store.several import Stored, Where, opened
from ocrmaps.text import visible
from ocrmaps.training.folder import find_data, is_run, read_run
from ocrmaps.training.module import Augment
from ocrmaps.training.parts import make_augment
from ocrmaps.training.spec import RunSpec, run_from_dict
from ocrmaps.training.steps.capture import Captured, batch_in, batch_of_rows, load_step
from ocrmaps.training.steps.replay import Replay, replay
from ocrmaps.training.stores import weights_of
from ocrmaps.trust import NOTHING, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """A repeated step, and whether its tensors are still what the store gives."""

    bundle: Bundle
    replay: Replay
    store: str
    """`equal`, `not compared: ...` or which tensors differ."""

    @property
    def ok(self) -> bool:
        return self.replay.reproduces and not self.store.startswith("differs")

    def as_dict(self) -> dict[str, Any]:
        r = self.replay
        return plain(
            {
                "bundle": self.bundle.name,
                "kind": r.kind,
                "reproduces": r.reproduces,
                "why": r.why,
                "then": r.then.as_dict(),
                "now": r.now.as_dict(),
                "tolerance": r.tolerance,
                "store": self.store,
                "samples": list(r.samples),
                "ok": self.ok,
            }
        )


def bundle_run(
    run: Path, *, reason: str, cache: Path | None = None, profile: bool = False, trusted: Trusted = NOTHING
) -> Path:
    """A bundle of a run as its latest checkpoint left it: the step that it would take next."""
    folder = read_run(run)
    try:
        content = read_checkpoint(folder.latest())
    except RunError as error:
        return write_bundle(
            run, reason=reason, message=f"asked for: {reason}", captured=None, reader=None,
            card={"run": dict(folder.settings)}, augment=None, device="cpu", absent=str(error),
        )  # fmt: skip
    card = content["ocrmaps"]
    spec = run_of(card)
    shared: dict[str, Any] = {
        "reason": reason, "message": f"asked for: {reason}", "card": card, "device": "cpu", "profile": profile,
        "trusted": trusted,
    }  # fmt: skip
    try:
        found = find_data(card, cache=cache, run=run)
    except StoreNotFound as error:
        absent = f"{error}; {error.hint}"
        return write_bundle(run, captured=None, reader=None, augment=None, absent=absent, **shared)
    # Before anything is written: once the bundle is begun, a part that may not be built is one more absence in it.
    check_parts(DetectorSpec.of(card["model"]), spec.loss.name, trusted)
    with opened(found) as reader:
        changed = make_augment(spec, reader)
        captured = _next_step(content, spec, found, reader)
        return write_bundle(run, captured=captured, reader=reader, augment=changed, **shared)


def _next_step(content: dict[str, Any], spec: RunSpec, found: Where, reader: Stored) -> Captured:
    settings: dict[str, Any] = {
        "batch_size": spec.data.batch_size, "drop_last": spec.data.drop_last, "seed": spec.seed, "threads": 1,
        "ahead": 1, "weights": weights_of(spec, reader),
    }  # fmt: skip
    with MapLoader(found, split=spec.data.train, shuffle=True, **settings) as loader:
        state = content.get("MapData")
        if state:
            loader.load_state_dict(state)
        epoch = loader.epoch
        rows = next(iter(loader)).row.tolist()
    weights = {k.removeprefix("detector."): v for k, v in content["state_dict"].items() if k.startswith("detector.")}
    return Captured(
        kind="asked for", epoch=epoch, step=int(content["ocrmaps"]["steps"]), rows=rows,
        names=[reader.name(row) for row in rows], weights=weights,
    )  # fmt: skip


def run_of(card: dict[str, Any]) -> RunSpec:
    """The run that a checkpoint describes, as it was resolved then."""
    return run_from_dict(card["run"], where="the checkpoint's run")


def augment_of(card: dict[str, Any], reader: Stored) -> Augment | None:
    return make_augment(run_of(card), reader)


def replay_bundle(bundle: Bundle, *, cache: Path | None = None, trusted: Trusted = NOTHING) -> ReplayReport:
    """Repeat the captured step on the host from the bundle alone, then compare its tensors with the store."""
    faults = [bundle.fault] if bundle.fault else [f"damaged: {fault}" for fault in damage(bundle)]
    if faults:
        raise DataError(f"{bundle.path}: this bundle is {faults[0]}", hint="make another with debug bundle")
    with unpacked(bundle) as folder:
        path = folder / STEP
        # A file that nobody listed was never finished, or put there by somebody else.
        if STEP not in bundle.facts["files"]:
            why = next((e["message"] for e in entries(bundle) if e["kind"] == "absent"), "nothing says why")
            raise RunError(
                f"{bundle.name}: there is no captured step in it ({why})", hint="ocrmaps debug show says more"
            )
        try:
            again = replay(path, trusted=trusted)
            return ReplayReport(bundle=bundle, replay=again, store=_against_store(path, bundle, cache))
        except OcrmapsError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            # Whatever a foreign file makes our code stumble over: what it holds is not what a captured step has.
            raise DataError(
                f"{bundle.path}: its captured step is not one that this ocrmaps can repeat "
                f"({type(error).__name__}: {visible(error)})",
                hint="replay it with the ocrmaps that wrote it; git.json in the bundle names its commit",
            ) from error


def _against_store(path: Path, bundle: Bundle, cache: Path | None) -> str:
    content = load_step(path)
    step, card = content["step"], content["ocrmaps"]
    if "store" not in card:
        return "not compared: the bundle does not say which store"
    run = bundle.path.parent.parent
    try:
        found = find_data(card, cache=cache, run=run if is_run(run) else None)
    except StoreNotFound as error:
        return f"not compared: {error}; {error.hint}"
    batch = batch_in(step)
    assert batch is not None
    with opened(found) as reader:
        fresh = batch_of_rows(reader, step["rows"], step["epoch"], augment_of(card, reader))
    differing = []
    for name, mine in batch._asdict().items():
        other = getattr(fresh, name)
        if mine.shape != other.shape:
            differing.append(f"{name}: shape {tuple(mine.shape)}, the store's {tuple(other.shape)}")
        elif not torch.equal(mine, other):
            differing.append(f"{name}: {int((mine != other).sum())} of {mine.numel()} values")
    return f"differs: {'; '.join(differing)}" if differing else "equal"
