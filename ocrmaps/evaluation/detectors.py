"""A checkpoint, or a file of predictions, against a store or a source: every expected picture counts.

`evaluate_checkpoint` and `evaluate_predictions` return an `ocrmaps.evaluation.Evaluation`;
`ocrmaps.evaluation.write_evaluation` puts its tables into a folder. A picture without prediction is a picture in which
nothing was found, and the evaluation says how many there were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ocrmaps.annotations import Sample, Source
from ocrmaps.annotations.samples import subset
from ocrmaps.detect.load import device_for, load_any
from ocrmaps.detect.predict import Prediction, predict_pictures
from ocrmaps.detect.trained import Trained
from ocrmaps.detect.view import PageView
from ocrmaps.errors import SpecError
from ocrmaps.evaluation import Evaluation, EvaluationSpec, PictureResult, evaluate, judge_picture
from ocrmaps.evaluation.rows import Progress, device_of, evaluate_rows, evaluate_stored, lowest_of, row_names, rows_of
from ocrmaps.evaluation.sources import file_of, samples_of, source_identity
from ocrmaps.evaluation.submitted import PredictionOptions, read_predictions
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.files import digest_of
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader.settings import default_threads
from ocrmaps.pictures import Header
from ocrmaps.store.several import Where, opened
from ocrmaps.trust import NOTHING, Trusted

In = TypeVar("In")
Out = TypeVar("Out")


def evaluate_checkpoint(
    checkpoint: Path,
    *,
    version: Where | None = None,
    split: str = "val",
    source: Source | None = None,
    spec: EvaluationSpec | None = None,
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    limit: int | None = None,
    goal: str | None = None,
    trusted: Trusted = NOTHING,
    view: PageView | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """A checkpoint, or an exported file, on one split of a store version (a folder) or of several, or of a source.

    From a store the network sees the stored rows in the batches of its training, so that a complete pass gives the
    score of that training again. `limit` looks at so many pictures only: a partial evaluation. `goal` reads maps as
    they were tuned for it. `view` is how pages of a source are looked at; a store holds them prepared.
    """
    if (version is None) == (source is None):
        raise SpecError("a checkpoint is evaluated on a store or on a source: name one of the two")
    check_limit(limit)
    if view is not None and not view.plain and source is None:
        raise SpecError(
            "tiles and scales need the pictures themselves, and a store holds them prepared", hint="--source"
        )
    device_of(device)  # refused before anything is read
    trained = load_any(checkpoint, trusted=trusted, threads=threads).reading(goal)
    where = torch.device(device_for(trained, device, checkpoint))
    trained.detector.to(where)
    spec = with_operating_point(spec or EvaluationSpec(), trained.extract)
    identity: dict[str, Any] = {
        "checkpoint": checkpoint_identity(checkpoint, trained),
        # Programs read this document: a key that it once had stays.
        "extract": asdict(trained.extract) | {"binarise": trained.extract.binarize},
        "device": where.type,
    }
    threads = threads or default_threads()
    if version is not None:
        with opened(version) as reader:
            return evaluate_rows(
                trained, reader, version, split, spec, batch=batch, threads=threads, device=where, limit=limit,
                progress=progress, identity=identity,
            )  # fmt: skip
    assert source is not None
    if view is not None and not view.plain:
        identity["view"] = asdict(view)
    return evaluate_source(
        trained, source, spec, batch=batch or 8, threads=threads, device=where, limit=limit, progress=progress,
        identity=identity, view=view,
    )  # fmt: skip


def evaluate_predictions(
    predictions: Path,
    source: Source | None = None,
    *,
    version: Where | None = None,
    split: str = "val",
    options: PredictionOptions | None = None,
    spec: EvaluationSpec | None = None,
    threads: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Predictions against the annotations of a source, or of one split of a store version (a folder) or of several.

    Pictures that the predictions do not name count as empty; a picture that nobody expects is refused, or left out
    where `options` say so. Coordinates are in the frame of the annotations unless the options or the file say another,
    and are checked against the pictures.
    """
    if (version is None) == (source is None):
        raise SpecError("predictions are compared with a store or with a source: name one of the two")
    check_limit(limit)
    options, spec = options or PredictionOptions(), spec or EvaluationSpec()
    if options.scores == "rank":
        spec = replace(spec, cuts=())  # cuts through scores of an unknown scale would say nothing
    threads = threads or default_threads()
    reader = None if version is None else opened(version)
    with nullcontext() if reader is None else reader:
        if reader is not None:
            names = row_names(reader, rows_of(reader, split))
            truths = {name: reader.polygon_set(row) for row, name in names.items()}
            transforms = {name: reader.transform(row) for row, name in names.items()}
            heads = {
                id: Header(size=t.raw_size, orientation=t.orientation, orientation_tag=None, format="", mode="")
                for id, t in transforms.items()
            }
            frames = {truth.frame for truth in truths.values()}
            found = read_predictions(
                predictions, heads, truth_frame=frames.pop() if len(frames) == 1 else "upright", options=options
            )
        else:
            assert source is not None
            samples, headers_ = samples_of(source)
            truths, transforms = {sample.id: sample.polygons for sample in samples}, {}
            heads = dict(zip(truths, headers_, strict=True))
            found = read_predictions(
                predictions,
                heads,
                truth_frame=source.frame,
                options=options,
                images=source.annotations if source.format == "coco" else None,
                folder=source.pictures,
            )

        def judge(pair: tuple[str, PolygonSet]) -> PictureResult:
            id, truth = pair
            polygons, scores = found.of(id, heads[id], truth.frame)
            return judge_picture(
                id,
                truth,
                polygons,
                spec=spec,
                scores=scores,
                transform=transforms.get(id),
                header=heads[id],
                status="scored" if id in found.pictures else "unpredicted",
            )

        results = in_threads(subset(list(truths.items()), limit), judge, threads, progress)
        identity: dict[str, Any] = {"predictions": found.identity}
        if reader is not None:
            return evaluate_stored(results, reader, split, names, spec, identity)
        assert source is not None
        return evaluate(results, list(truths), spec=spec, identity=identity | {"source": source_identity(source)})


def evaluate_source(
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
    view: PageView | None,
) -> Evaluation:
    """The evaluation of the pictures of a source; `identity` is completed by what the source says of itself."""
    samples, _ = samples_of(source)
    chosen = subset(samples, limit)
    # Pages keep no threshold maps, so what learns its threshold has no curve below its own score.
    lowest = None if trained.extract.binarize == "learned" else lowest_of(trained.extract, spec)
    predictions = predict_pictures(
        trained,
        (file_of(source, sample) for sample in chosen),
        batch=batch,
        threads=threads,
        device=device,
        frame=source.frame,
        keep_maps=lowest is not None,
        on_error="report",
        view=view,
    )

    def judge(pair: tuple[Sample, Prediction]) -> PictureResult:
        sample, prediction = pair
        candidates = None
        if lowest is not None and prediction.probability is not None and prediction.transform is not None:
            wide = extract(prediction.probability, lowest)
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
    identity |= {"source": source_identity(source), "precision": "fp32"}
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
        "trained_on": {**card["store"], **({"stores": card["stores"]} if "stores" in card else {})},
        "training_score": card.get("score"),
        "tuned": card.get("tuned"),
    }
