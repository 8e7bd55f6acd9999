"""A debug bundle is written: when a training crashes, when the guard fires, or on request.

bundle.json  debug.jsonl  run.log.txt  traceback.txt  run.json  git.json  environment.json  store.json  metrics.csv
step.pt (weights, last batch, what came of it)  batch.json  batch.png  predictions.{pt,json,png}  profile.json
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocrmaps.debug import parts as debug_parts
from ocrmaps.debug.reading import STEP
from ocrmaps.debug.redact import this_machine
from ocrmaps.debug.writing import BundleDraft
from ocrmaps.errors import OcrmapsError
from ocrmaps.store.several import Stored
from ocrmaps.text import typed
from ocrmaps.training.callbacks.guard import NotFinite
from ocrmaps.training.module import Augment, DetectorModule
from ocrmaps.training.optimization import OptimizerSpec, accumulation
from ocrmaps.training.steps.capture import Captured, Witness, batch_of_rows, finish, save_step
from ocrmaps.trust import NOTHING, Trusted

Say = Callable[[str], None]


@contextmanager
def on_crash(
    run: Mapping[str, Any],
    out: Path,
    reader: Stored,
    augment: Augment | None,
    tell: Say,
    *,
    trusted: Trusted = NOTHING,
) -> Iterator[Witness]:
    """Yields the callback that looks on; an error in the block leaves a bundle in `out`/debug and goes on its way.

    A refusal before the first step is the user's to mend and leaves none; an interruption is no error.
    """
    witness = Witness()
    try:
        yield witness
    except Exception as error:
        # Any error at all is what bundles are for, and each is raised again as it was.
        if isinstance(error, OcrmapsError) and not witness.started:
            raise
        try:
            folder = _crashed(error, witness, run, out, reader, augment, trusted)
        except Exception as second:
            # The first error is the one that matters; the second is told beside it and must not take its place.
            told = f"the debug bundle could not be written: {type(second).__name__}: {second}"
        else:
            told = f"debug bundle: {folder}"
            if isinstance(error, OcrmapsError):
                error.hint = f"{error.hint}{'; ' if error.hint else ''}{typed('ocrmaps', 'debug', 'show', folder)}"
        error.add_note(told)
        # A log on a full disk, or a terminal that is gone, must not take the error's place either.
        with suppress(OSError, ValueError):
            tell(f"stopped by {type(error).__name__}: {_first_line(error)}")
            tell(told)
        raise


def _crashed(
    error: Exception,
    witness: Witness,
    run: Mapping[str, Any],
    out: Path,
    reader: Stored,
    augment: Augment | None,
    trusted: Trusted,
) -> Path:
    module, absent, captured = witness.module, "", None
    try:
        captured = error.captured if isinstance(error, NotFinite) else witness.captured(reader, error)
    except Exception as second:
        # After some errors a GPU gives nothing back any more; all else about the run is still worth keeping.
        absent = f"{type(second).__name__}: {_first_line(second)}"
    card = _card(module, run)
    reason = f"nonfinite-{captured.kind}" if isinstance(error, NotFinite) and captured else type(error).__name__
    return write_bundle(
        out,
        reason=reason,
        message=f"{type(error).__name__}: {_words(error)}",
        captured=captured,
        reader=reader,
        card=card,
        augment=augment,
        device="cpu" if module is None else module.device.type,
        accumulated=_accumulates(run),
        error=error,
        absent=absent,
        trusted=trusted,
    )


def _card(module: DetectorModule | None, run: Mapping[str, Any]) -> dict[str, Any]:
    if module is None:
        return {"run": dict(run)}
    return module.card_now()


def _accumulates(run: Mapping[str, Any]) -> bool:
    return accumulation(OptimizerSpec(**run["optimizer"]), run["precision"]) > 1


def write_bundle(
    out: Path,
    *,
    reason: str,
    message: str,
    captured: Captured | None,
    reader: Stored | None,
    card: Mapping[str, Any],
    augment: Augment | None,
    device: str,
    accumulated: bool = False,
    error: BaseException | None = None,
    profile: bool = False,
    absent: str = "",
    trusted: Trusted = NOTHING,
) -> Path:
    """The bundle's folder, complete. `absent` says why there is no captured step, where there is none."""
    draft = BundleDraft(out / "debug", reason=reason, now=lambda: datetime.now(UTC), redactor=this_machine())
    try:
        return _fill(
            draft, out, message=message, captured=captured, reader=reader, card=card, augment=augment, device=device,
            accumulated=accumulated, error=error, profile=profile, absent=absent, trusted=trusted,
        )  # fmt: skip
    except BaseException:
        draft.abandon()
        raise


def _fill(
    draft: BundleDraft,
    out: Path,
    *,
    message: str,
    captured: Captured | None,
    reader: Stored | None,
    card: Mapping[str, Any],
    augment: Augment | None,
    device: str,
    accumulated: bool,
    error: BaseException | None,
    profile: bool,
    absent: str,
    trusted: Trusted,
) -> Path:
    run = card.get("run", {})
    where = {} if captured is None else {"step": captured.step, "epoch": captured.epoch + 1}
    facts: dict[str, Any] = {
        "message": message,
        "run": run.get("name", out.name),
        **where,
        "store": None if "store" not in card else f"{card['store']['name']}/{card['store']['version']}",
        "root_digest": None if "store" not in card else card["store"]["root_digest"],
        "kind": None if captured is None else captured.kind,
    }
    known = {} if captured is None else {"loss": captured.loss, "gradient_norm": captured.norm}
    level = "info" if error is None else "error"
    kind = "asked" if error is None else "nonfinite" if isinstance(error, NotFinite) else "crash"
    names = [] if captured is None else captured.names
    draft.entry(
        level, kind, message,
        {"type": None if error is None else type(error).__name__, **known, **where, "samples": names},
    )  # fmt: skip
    if error is not None:
        text = "".join(traceback.format_exception(error))
        draft.part("traceback", lambda: draft.text("traceback.txt", text))
    draft.part("training log", lambda: debug_parts.log_tail(draft, out / "run.log"))
    draft.part("run", lambda: draft.json("run.json", run))
    draft.part("git", lambda: draft.json("git.json", debug_parts.git_state()))
    draft.part("environment", lambda: draft.json("environment.json", debug_parts.environment(out)))
    draft.part("metrics", lambda: debug_parts.metrics(draft, out / "metrics.csv"))
    if "store" in card:
        draft.part("store", lambda: draft.json("store.json", debug_parts.store(card, reader)))
    if captured is None:
        draft.entry("warning", "absent", f"captured step: absent, {absent or 'no step had been taken'}")
    else:
        draft.part(
            "captured step",
            lambda: _step(draft, captured, reader, card, augment, device, accumulated, profile, trusted),
        )
    return draft.commit(facts)


def _step(
    draft: BundleDraft,
    captured: Captured,
    reader: Stored | None,
    card: Mapping[str, Any],
    augment: Augment | None,
    device: str,
    accumulated: bool,
    profile: bool,
    trusted: Trusted,
) -> None:
    captured = replace(captured, norm=None) if accumulated else captured
    for past, (loss, norm) in enumerate(captured.history):
        draft.entry(
            "debug", "step", f"{len(captured.history) - past - 1} batches before", {"loss": loss, "gradient_norm": norm}
        )
    broken = [
        name for name, value in captured.weights.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        draft.entry("error", "weights", f"{len(broken)} weights are not finite", {"names": broken[:20]})
    batch = None
    if reader is not None:
        batch = draft.part("batch", lambda: batch_of_rows(reader, captured.rows, captured.epoch, augment))
    then = finish(captured, batch, card, trusted=trusted)
    device = "cpu" if captured.kind in ("asked for", "beside the step") else device
    clean = draft.redactor.data(dict(card))
    names = [draft.redactor.text(name) for name in captured.names]
    then = replace(then, error=draft.redactor.text(then.error))
    save_step(draft.path(STEP), captured, batch, card=clean, names=names, device=device, then=then)
    draft.keep(STEP)
    about = {
        "kind": captured.kind, "epoch": captured.epoch + 1, "step": captured.step, "rows": captured.rows,
        "samples": captured.names, "augmented": augment is not None, "weights_older_by_batches": captured.stale,
        "then": then.as_dict(), "device": device,
    }  # fmt: skip
    draft.json("batch.json", about)
    draft.entry("info", "step", "the captured step as it was", {"then": then.as_dict()})
    if batch is None:
        return
    draft.part("picture of the batch", lambda: debug_parts.draw_batch(draft, batch))
    draft.part("predictions", lambda: debug_parts.predict(draft, batch, card, trusted))
    if profile:
        draft.part("profiler trace", lambda: debug_parts.profile(draft, batch, card, trusted))


def _first_line(error: BaseException) -> str:
    return next(iter(_words(error).splitlines()), "without a message")


def _words(error: BaseException) -> str:
    """What an error says; one that fails to say it is an error all the same."""
    try:
        return str(error)
    except Exception as second:
        return f"without words, its text fails with {type(second).__name__}"
