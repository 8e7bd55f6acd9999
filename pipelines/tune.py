"""Chooses how maps are read on a validation split and freezes it into a new checkpoint; a test split is scored once.

The network runs once. Each map is read with every setting while it is in memory, in threads beside the network, and is
then dropped: nothing is written to disk and no map is rounded. Least scores cost nothing: they are cuts through one
matching. Memory: the maps that wait (`ocrmaps.evaluation.judging.WAITING`) and one count for each picture and setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocrmaps.annotations import Source, open_source, read
from ocrmaps.annotations.samples import headers
from ocrmaps.detect.predict import PictureFile, predict_pictures
from ocrmaps.detect.trained import Trained, load_detector, read_checkpoint
from ocrmaps.errors import AnnotationError, DataError, SpecError
from ocrmaps.evaluation.detectors import in_threads
from ocrmaps.evaluation.judging import FloatMap, Judging
from ocrmaps.evaluation.rows import Progress, check_prepared_alike, device_of, rows_of, store_maps
from ocrmaps.evaluation.tune.checks import check_apart, check_out, check_splits
from ocrmaps.evaluation.tune.grid import CRITERION, SHOWN, Grid, Point, Tuned, rank, swept
from ocrmaps.evaluation.tune.summary import criterion_words
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.files import digest_of, replacing
from ocrmaps.geometry import Frame, PolygonSet
from ocrmaps.loader.settings import default_threads
from ocrmaps.metrics.iou import IouSweep, sweep_geometry
from ocrmaps.metrics.matching import pair_geometry
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader
from ocrmaps.trust import NOTHING, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Everything that one map is read and scored with."""

    settings: Sequence[ExtractSpec]
    cuts: tuple[float, ...]
    """Least scores."""
    thresholds: tuple[float, ...]
    """IoU thresholds."""


def tune_stored(
    checkpoint: Path,
    *,
    out: Path,
    store: str,
    cache: Path,
    split: str = "val",
    test_split: str | None = None,
    test_source: Path | None = None,
    test_frame: Frame = "upright",
    grid: Grid | None = None,
    criterion: tuple[float, ...] = CRITERION,
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    trusted: Trusted = NOTHING,
    progress: Progress | None = None,
) -> Tuned:
    """Choose on `split` of a store, freeze into `out`, then score the test pictures once.

    The best setting has the largest mean hmean over the IoU thresholds of `criterion`.
    """
    check_out(checkpoint, out, overwrite=overwrite)
    grid, threads, where = grid or Grid(), threads or default_threads(), device_of(device)
    trained = load_detector(checkpoint, device=where, trusted=trusted)
    check_splits(split, test_split, test_source, trained.card)
    settings, cuts = grid.settings(trained.extract), grid.cuts(trained.extract)
    tried = Tried(settings=settings, cuts=cuts, thresholds=swept(criterion))
    found = find_version(cache, store)
    test_samples = None if test_source is None else _opened(test_source, test_frame)
    with Reader(found[0].version(found[1])) as reader:
        check_prepared_alike(trained.canonical, reader)
        for name in (split,) if test_split is None else (split, test_split):
            rows_of(reader, name)
        check_apart(reader, split, test_split, test_samples, trained.card)
        sweeps = _sweep_store(trained, reader, split, tried, batch, threads, where, progress)
        points = rank(settings, sweeps, own=trained.extract, criterion=criterion)
        before = next(point for point in points if point.extract == trained.extract)
        chosen_on = _identity(reader, split)
        test_sweeps = None
        tested_on: Mapping[str, Any] | None = None
        if test_split is not None:
            test_sweeps = _sweep_store(trained, reader, test_split, tried, batch, threads, where, progress)
            tested_on = _identity(reader, test_split)
    if test_samples is not None:
        test_sweeps = _sweep_source(trained, test_samples, tried, batch or 8, threads, where, progress)
        tested_on = {"source": str(test_source), "frame": test_frame, "pictures": len(read(test_samples))}
    chosen = points[0]
    refuse_zeros(chosen, checkpoint, split)
    freeze(checkpoint, out, chosen, before=before, chosen_on=chosen_on, grid=grid, trusted=trusted)
    test_points: tuple[Point, ...] = ()
    if test_sweeps is not None:
        test_points = rank(settings, test_sweeps, own=trained.extract, criterion=criterion)
    return Tuned(
        checkpoint=checkpoint,
        out=out,
        chosen_on=chosen_on,
        criterion=criterion,
        before=before,
        chosen=chosen,
        points=points,
        test_before=next((point for point in test_points if point.extract == trained.extract), None),
        test=next((point for point in test_points if point.extract == chosen.extract), None),
        tested_on=tested_on,
        test_best=test_points[0] if test_points else None,
    )


def _readings(
    truth: PolygonSet,
    to_truth: Any,
    probability: FloatMap,
    level: FloatMap | None,
    tried: Tried,
) -> list[IouSweep]:
    """One map read in every way."""
    out = []
    cuts = tried.cuts
    for how in tried.settings:
        found = extract(
            probability, replace(how, score_min=cuts[0]), threshold=level if how.binarize == "learned" else None
        )
        geometry = pair_geometry(truth, to_truth(found.polygons))
        # Scores are float32: a cut that is compared with them has to be rounded as they are.
        rounded = [float(np.float32(cut)) for cut in cuts]
        sweep = sweep_geometry(geometry, found.scores, cuts=rounded, thresholds=tried.thresholds)
        out.append(replace(sweep, cuts=cuts))
    return out


def _added(parts: Iterable[list[IouSweep]], number: int) -> list[IouSweep]:
    total: list[IouSweep] | None = None
    for part in parts:
        total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    if total is None or len(total) != number:
        raise SpecError("no picture was read: there is nothing to choose on")
    return total


def _sweep_store(
    trained: Trained,
    reader: Reader,
    split: str,
    tried: Tried,
    batch: int | None,
    threads: int,
    device: torch.device,
    progress: Progress | None,
) -> list[IouSweep]:
    def judge(row: int, probability: FloatMap, level: FloatMap | None) -> list[IouSweep]:
        truth, transform = reader.polygon_set(row), reader.transform(row)
        return _readings(truth, lambda p: transform.apply(p, truth.frame), probability, level, tried)

    judging = Judging(judge, threads=threads)
    judging.begin()
    total, done = len(reader.select(split)), 0
    try:
        for rows, probability, level in store_maps(trained, reader, split, batch=batch, device=device):
            judging.add(rows, probability, level)
            done += len(rows)
            if progress is not None:
                progress(done, total)
        results = judging.results()
    finally:
        judging.close()
    return _added((results[row] for row in reader.select(split).tolist()), len(tried.settings))


def _sweep_source(
    trained: Trained,
    source: Source,
    tried: Tried,
    batch: int,
    threads: int,
    device: torch.device,
    progress: Progress | None,
) -> list[IouSweep]:
    if trained.extract.binarize == "learned":
        raise SpecError(
            "this checkpoint learns its threshold: its maps are not kept for pictures of a source",
            hint="build a store of the test pictures and use --test-split",
        )
    samples = read(source)
    predictions = predict_pictures(
        trained,
        (PictureFile(name=s.id, path=source.pictures / s.picture, page=1) for s in samples),
        batch=batch,
        threads=threads,
        device=device,
        frame=source.frame,
        keep_maps=True,
    )

    def judge(pair: Any) -> list[IouSweep]:
        sample, prediction = pair
        return _readings(
            sample.polygons, lambda p: prediction.transform.apply(p, source.frame), prediction.probability, None, tried
        )  # fmt: skip

    pairs = zip(samples, predictions, strict=True)
    return _added(in_threads(pairs, judge, threads, progress, total=len(samples)), len(tried.settings))


def _opened(path: Path, frame: Frame) -> Source:
    source = open_source(path, frame=frame)
    samples = read(source)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples: there is nothing to score")
    headers(source, samples)
    return source


def _identity(reader: Reader, split: str) -> dict[str, Any]:
    return {
        "store": reader.folder.parent.name,
        "version": reader.manifest.version,
        "root_digest": reader.root_digest,
        "split": split,
        "pictures": len(reader.select(split)),
    }


def refuse_zeros(chosen: Point, checkpoint: Path, split: str) -> None:
    """Refuse to choose among settings that all find nothing: the first would be as good as any."""
    if chosen.value == 0.0:
        raise DataError(
            f"{checkpoint}: no setting finds a text of {split} ({criterion_words(chosen.criterion)} is 0 throughout), "
            "so there is nothing to choose",
            hint=f"train for more steps, or let `ocrmaps debug doctor {checkpoint}` say which stage breaks",
        )


def freeze(
    checkpoint: Path,
    out: Path,
    chosen: Point,
    *,
    before: Point,
    chosen_on: Mapping[str, Any],
    grid: Grid,
    trusted: Trusted = NOTHING,
) -> None:
    """The same weights with the chosen settings, in a file that appears whole and holds plain data only."""
    content = read_checkpoint(checkpoint)
    card = content["ocrmaps"]
    content["ocrmaps"] = {
        **card,
        "extract": asdict(chosen.extract),
        "score": {"state": "complete", "hmean": {f"{t:g}": chosen.counts[t].hmean for t in SHOWN}},
        "tuned": {
            "on": dict(chosen_on),
            "from": digest_of(checkpoint),
            "criterion": {"mean_hmean_at_iou": list(chosen.criterion)},
            "before": before.as_dict(),
            "chosen": chosen.as_dict(),
            "grid": {name: list(values) for name, values in asdict(grid).items()},
        },
    }
    with replacing(out) as part:
        torch.save(content, part)
        load_detector(part, trusted=trusted)
