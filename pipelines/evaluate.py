"""What a command line asks to be evaluated, checked as a whole before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrmaps.detect.view import PageView
from ocrmaps.errors import Problem, SpecError
from ocrmaps.machine import threads_within
from ocrmaps.text import numbers
from ocrmaps.trust import NOTHING, Trusted

if TYPE_CHECKING:
    from ocrmaps.evaluation import Evaluation, EvaluationSpec
    from ocrmaps.evaluation.predictions import Scale
    from ocrmaps.evaluation.rows import Progress
    from ocrmaps.geometry import Frame
    from ocrmaps.metrics.conventions import Convention


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checkpoint on a store or a source, or predictions on a source."""

    checkpoint: Path | None
    stores: tuple[str, ...]
    """With a checkpoint, neither stores nor a source: what it learnt from."""
    split: str | None
    source: Path | None
    predictions: Path | None
    protocols: tuple[str, ...]
    thresholds: str
    convention: Convention
    format: str | None
    pictures: Path | None
    frame: Frame
    predictions_format: str | None
    predictions_frame: Frame | None
    predictions_layout: str | None
    predictions_scores: Scale
    leave_out_unknown: bool
    limit: int | None
    goal: str | None
    batch: int | None
    threads: int | None
    device: str
    cache: Path
    trusted: Trusted
    view: PageView


def run(asked: Asked, progress: Progress | None = None) -> Evaluation:
    """The evaluation that is asked for; options that would do nothing are refused."""
    check(asked)
    with threads_within(asked.threads):
        return _evaluation(asked, progress)


def _evaluation(asked: Asked, progress: Progress | None) -> Evaluation:
    from ocrmaps.detect.load import load_any
    from ocrmaps.evaluation.detectors import evaluate_checkpoint, evaluate_predictions
    from ocrmaps.evaluation.submitted import PredictionOptions
    from ocrmaps.store.far.source import open_source
    from ocrmaps.store.several import find_parts
    from ocrmaps.training.folder import rows_asked

    spec = spec_of(asked)
    options = PredictionOptions(
        format=asked.predictions_format,
        frame=asked.predictions_frame,
        layout=asked.predictions_layout,
        scores=asked.predictions_scores,
        leave_out_unknown=asked.leave_out_unknown,
    )
    if asked.source is None and asked.predictions is not None:
        return evaluate_predictions(
            asked.predictions, version=find_parts(asked.cache, asked.stores), split=asked.split or "val",
            options=options, spec=spec, threads=asked.threads, limit=asked.limit, progress=progress,
        )  # fmt: skip
    if asked.source is None:
        assert asked.checkpoint is not None
        card = {} if asked.stores else load_any(asked.checkpoint, trusted=asked.trusted).card
        version, split = rows_asked(
            asked.stores, asked.split, cache=asked.cache, checkpoint=asked.checkpoint, card=card
        )  # fmt: skip
        return evaluate_checkpoint(
            asked.checkpoint, version=version, split=split, spec=spec, batch=asked.batch, threads=asked.threads,
            device=asked.device, limit=asked.limit, goal=asked.goal, trusted=asked.trusted, progress=progress,
        )  # fmt: skip
    source = open_source(asked.source, format=asked.format, pictures=asked.pictures, frame=asked.frame)
    if asked.predictions is not None:
        return evaluate_predictions(
            asked.predictions, source, options=options, spec=spec, threads=asked.threads, limit=asked.limit,
            progress=progress,
        )  # fmt: skip
    assert asked.checkpoint is not None
    return evaluate_checkpoint(
        asked.checkpoint, source=source, spec=spec, batch=asked.batch, threads=asked.threads, device=asked.device,
        limit=asked.limit, goal=asked.goal, trusted=asked.trusted, view=asked.view, progress=progress,
    )  # fmt: skip


def spec_of(asked: Asked) -> EvaluationSpec:
    """Protocols and thresholds as a person writes them."""
    from ocrmaps.evaluation import PROTOCOLS, EvaluationSpec

    return EvaluationSpec(
        thresholds=numbers(asked.thresholds, "--iou"),
        protocols=PROTOCOLS if "all" in asked.protocols else tuple(dict.fromkeys(asked.protocols)),
        convention=asked.convention,
    )


def check_out(out: Path | None, *, overwrite: bool) -> None:
    """Refuse to replace tables before an hour was spent on new ones."""
    if out is None or overwrite:
        return
    from ocrmaps.evaluation import IMAGES, RESULT, TEXTS

    there = [name for name in (RESULT, IMAGES, TEXTS) if (out / name).exists()]
    if there:
        raise SpecError(
            f"{out} already holds {', '.join(there)}", hint="name another folder, or add --yes to replace them"
        )


def check(asked: Asked) -> None:
    """Refuse options that do not go together; nothing heavy is imported for it."""
    a, model, stored = asked, asked.checkpoint is not None, asked.source is None
    rules = (
        (model == (a.predictions is None), "name a checkpoint, or --predictions FILE", "checkpoint"),
        (not (a.stores and a.source), "name --store NAME, or --source DIR", "--store"),
        (model or a.stores or a.source, "name --store NAME, or --source DIR", "--store"),
        (a.split is None or a.source is None, "a source is evaluated as a whole", "--split"),
        (not stored or (a.format, a.pictures) == (None, None), "only for --source", "--format, --pictures"),
        (not stored or a.frame == "upright", "only for --source: a store knows its frame", "--frame"),
        (
            a.predictions is not None
            or (a.predictions_format, a.predictions_frame, a.predictions_layout, a.predictions_scores)
            == (None, None, None, "probability"),
            "only for --predictions",
            "--predictions-format, --predictions-frame, --predictions-layout, --predictions-scores",
        ),
        (a.predictions is not None or not a.leave_out_unknown, "only for --predictions", "--leave-out-unknown"),
        (a.view.plain or (model and not stored), "only for a checkpoint on --source", "--tile, --scales"),
        (a.predictions is None or a.batch is None, "no network runs for --predictions", "--batch-size"),
        (a.predictions is None or a.goal is None, "no maps are read for --predictions", "--for"),
        (
            a.predictions is None or a.trusted == NOTHING,
            "no network is built for --predictions",
            "--trust, --trust-code",
        ),
    )
    problems = [Problem(loc=option, message=message) for good, message, option in rules if not good]
    if problems:
        raise SpecError(
            "these options do not go together:",
            problems=problems,
            hint="ocrmaps evaluate CHECKPOINT, or --predictions FILE with --store NAME or --source DIR",
        )
