"""A checkpoint, or a file of predictions, against a store or a source: every expected picture counts.

`evaluate_checkpoint` and `evaluate_predictions` return an `ocrmaps.evaluation.Evaluation`;
`ocrmaps.evaluation.write_evaluation` puts its tables into a folder. A picture without prediction is a picture in which
nothing was found, and the evaluation says how many there were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ocrmaps.annotations import Sample, Source, read
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.evaluation import Evaluation, EvaluationSpec, PictureResult, evaluate, judge_picture
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.geometry import Frame
from ocrmaps.loader_settings import default_threads
from ocrmaps.pictures import Header
from ocrmaps.store.reader import Reader
from ocrmaps.training.checkpoint import Trained, load_detector
from pipelines.evaluate_files import digest_of, read_predictions
from pipelines.evaluate_store import Progress, device_of, evaluate_rows
from pipelines.oracle import headers, subset
from pipelines.predict import PictureFile, Prediction, predict_pictures

In = TypeVar("In")
Out = TypeVar("Out")


def evaluate_checkpoint(
    checkpoint: Path,
    *,
    version: Path | None = None,
    split: str = "val",
    source: Source | None = None,
    spec: EvaluationSpec | None = None,
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    limit: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """A checkpoint on one split of a store version (a folder), or on the pictures of a source.

    From a store the network sees the stored rows in the batches and the precision of its training, so that a complete
    pass gives the score of that training again. `limit` looks at so many pictures only: a partial evaluation.
    """
    if (version is None) == (source is None):
        raise SpecError("a checkpoint is evaluated on a store or on a source: name one of the two")
    check_limit(limit)
    where = device_of(device)
    trained = load_detector(checkpoint, device=where)
    spec = with_operating_point(spec or EvaluationSpec(), trained.extract)
    identity: dict[str, Any] = {
        "checkpoint": checkpoint_identity(checkpoint, trained),
        "extract": asdict(trained.extract),
        "device": where.type,
    }
    threads = threads or default_threads()
    if version is not None:
        with Reader(version) as reader:
            return evaluate_rows(
                trained, reader, split, spec, batch=batch, threads=threads, device=where, limit=limit,
                progress=progress, identity=identity,
            )  # fmt: skip
    assert source is not None
    return _on_source(
        trained, source, spec, batch=batch or 8, threads=threads, device=where, limit=limit, progress=progress,
        identity=identity,
    )  # fmt: skip


def evaluate_predictions(
    predictions: Path,
    source: Source,
    *,
    format: str | None = None,
    frame: Frame | None = None,
    spec: EvaluationSpec | None = None,
    threads: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """A file of predictions against the annotations of a source; pictures it does not name count as empty.

    `frame` is what the predictions are written in, the source's own when not given. Both are checked against the
    pictures. A picture that the source does not have is refused.
    """
    check_limit(limit)
    spec = spec or EvaluationSpec()
    samples, heads = _samples_of(source)
    by_id = dict(zip((sample.id for sample in samples), heads, strict=True))
    found = read_predictions(predictions, source, by_id, format=format, frame=frame)
    chosen = subset(list(zip(samples, heads, strict=True)), limit)

    def judge(pair: tuple[Sample, Header]) -> PictureResult:
        sample, head = pair
        polygons, scores = found.of(sample.id, head, sample.polygons.frame)
        return judge_picture(
            sample.id,
            sample.polygons,
            polygons,
            spec=spec,
            scores=scores,
            header=head,
            status="scored" if sample.id in found.pictures else "unpredicted",
        )

    results = in_threads(chosen, judge, threads or default_threads(), progress)
    identity = {"predictions": found.identity, "source": _source_identity(source)}
    return evaluate(results, [sample.id for sample in samples], spec=spec, identity=identity)


def _on_source(
    trained: Trained,
    source: Source,
    spec: EvaluationSpec,
    *,
    batch: int,
    threads: int,
    device: torch.device,
    limit: int | None,
    progress: Progress | None,
    identity: dict[str, Any],
) -> Evaluation:
    samples, _ = _samples_of(source)
    chosen = subset(samples, limit)
    lower = spec.cuts and spec.cuts[0] < trained.extract.score_min and trained.extract.binarise != "learned"
    predictions = predict_pictures(
        trained,
        (PictureFile(name=s.id, path=source.pictures / s.picture, page=1) for s in chosen),
        batch=batch,
        threads=threads,
        device=device,
        frame=source.frame,
        keep_maps=bool(lower),
        on_error="report",
    )

    def judge(pair: tuple[Sample, Prediction]) -> PictureResult:
        sample, prediction = pair
        candidates = None
        if lower and prediction.probability is not None and prediction.transform is not None:
            wide = extract(prediction.probability, replace(trained.extract, score_min=spec.cuts[0]))
            candidates = prediction.transform.apply(wide.polygons, source.frame), wide.scores
        return judge_picture(
            sample.id,
            sample.polygons,
            prediction.polygons,
            spec=spec,
            scores=prediction.scores,
            transform=prediction.transform,
            extract=trained.extract,
            candidates=candidates,
            status="scored" if prediction.error is None else "failed",
            problem=prediction.error or "",
        )

    pairs = zip(chosen, predictions, strict=True)
    results = in_threads(pairs, judge, threads, progress, total=len(chosen))
    identity |= {"source": _source_identity(source), "precision": "fp32"}
    return evaluate(results, [sample.id for sample in samples], spec=spec, identity=identity)


def in_threads(
    items: Iterable[In],
    work: Callable[[In], Out],
    threads: int,
    progress: Progress | None = None,
    *,
    total: int | None = None,
) -> list[Out]:
    """Results in the order of the items, which are asked for only a little ahead of the threads."""
    if total is None:
        items = list(items)
        total = len(items)
    out: list[Out] = []
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="judge") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while len(waiting) > 4 * threads or (waiting and waiting[0].done()):
                    out.append(waiting.popleft().result())
                    if progress is not None:
                        progress(len(out), total)
            for future in waiting:
                out.append(future.result())
                if progress is not None:
                    progress(len(out), total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return out


def _samples_of(source: Source) -> tuple[Sequence[Sample], list[Header]]:
    """The samples of a source with the headers of their pictures; the frame it declares is checked."""
    samples = read(source)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples: there is nothing to score")
    return samples, headers(source, samples)


def with_operating_point(spec: EvaluationSpec, how: ExtractSpec) -> EvaluationSpec:
    """The curves also show the score that extraction cuts at."""
    if not spec.cuts:
        return spec
    return replace(spec, cuts=tuple(sorted({*spec.cuts, float(how.score_min)})))


def check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise SpecError(f"found a limit of {limit} pictures, expected 1 or more")


def checkpoint_identity(path: Path, trained: Trained) -> dict[str, Any]:
    """What a score says about the weights that made it."""
    card = trained.card
    return {
        "path": str(path),
        "sha256": digest_of(path),
        "identity": trained.identity,
        "steps": card["steps"],
        "samples": card["samples"],
        "epoch": card.get("epoch"),
        "seed": card["seed"],
        "precision": card["precision"],
        "trained_on": dict(card["store"]),
        "training_score": card.get("score"),
        "tuned": card.get("tuned"),
    }


def _source_identity(source: Source) -> Mapping[str, Any]:
    named = source.annotations
    return {
        "name": source.name or named.name,
        "annotations": str(named),
        "pictures": str(source.pictures),
        "format": source.format,
        "frame": source.frame,
        "annotations_sha256": digest_of(named) if named.is_file() else None,
    }
