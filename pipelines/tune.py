"""Chooses how maps are read on a validation split and freezes it into a new checkpoint; a test split is scored once.

The network runs once. Each map is read with every setting while it is in memory, in threads beside the network, and is
then dropped: nothing is written to disk and no map is rounded. Least scores cost nothing: they are cuts through one
matching. Memory: the maps that wait (`ocrmaps.evaluation.judging.WAITING`) and one count for each picture and setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ocrmaps.annotations import Source, read
from ocrmaps.annotations.samples import headers
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained, checkpoint_bytes, load_detector, read_checkpoint
from ocrmaps.errors import AnnotationError, DataError, SpecError
from ocrmaps.evaluation.detectors import in_threads
from ocrmaps.evaluation.judging import FloatMap, Judging
from ocrmaps.evaluation.rows import Progress, check_prepared_alike, device_of, rows_of, store_identity, store_maps
from ocrmaps.evaluation.sources import file_of
from ocrmaps.evaluation.tune.checks import check_apart, check_out, check_splits
from ocrmaps.evaluation.tune.goals import SHOWN, Goal, Sweep, goal_from, sweep_texts
from ocrmaps.evaluation.tune.grid import Choice, Grid, Tuned, choose, on_store, swept
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.files import digest_of, replacing
from ocrmaps.geometry import Frame, PolygonSet
from ocrmaps.loader.settings import default_threads
from ocrmaps.store.far.source import open_source
from ocrmaps.store.several import Several, Stored, Where, opened, split_in
from ocrmaps.text import typed
from ocrmaps.training.folder import rows_asked
from ocrmaps.trust import NOTHING, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Everything that one map is read and scored with."""

    settings: Sequence[ExtractSpec]
    cuts: tuple[float, ...]
    """Least scores."""
    thresholds: tuple[float, ...]
    """IoU thresholds."""
    protocols: frozenset[str]
    """Protocols that a goal asks for."""


def tune_stored(
    checkpoint: Path,
    *,
    out: Path,
    store: str | Sequence[str] = (),
    cache: Path,
    split: str | None = None,
    test_split: str | None = None,
    test_source: Path | None = None,
    test_frame: Frame = "upright",
    grid: Grid | None = None,
    goals: Sequence[Goal] = (goal_from("iou"),),
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    trusted: Trusted = NOTHING,
    progress: Progress | None = None,
) -> Tuned:
    """Choose on `split` of a store for every goal, freeze into `out`, then score the test pictures once.

    Of several stores the pictures of all count together, and what the choice is worth on each alone is told; where none
    is named, they are those that the checkpoint learnt from, and `split` is what its run validated on.
    Where no goal is named, maps are read as it is best for the first.
    """
    check_out(checkpoint, out, overwrite=overwrite)
    grid, threads, where = grid or Grid(), threads or default_threads(), device_of(device)
    trained = load_detector(checkpoint, device=where, trusted=trusted)
    names = [store] if isinstance(store, str) else store
    place, split = rows_asked(names, split, cache=cache, checkpoint=checkpoint, card=trained.card)
    check_splits(split, test_split, test_source, trained.card)
    settings, cuts = grid.settings(trained.extract), grid.cuts(trained.extract)
    protocols = frozenset(goal.protocol for goal in goals)
    tried = Tried(settings=settings, cuts=cuts, thresholds=swept(goals), protocols=protocols)
    test_samples = None if test_source is None else _opened(test_source, test_frame)
    tests: Swept | None = None
    with opened(place) as reader:
        check_prepared_alike(trained, reader)
        for name in (split,) if test_split is None else (split, test_split):
            rows_of(reader, name)
        check_apart(reader, split, test_split, test_samples, trained.card)
        sweeps = _sweep_store(trained, reader, place, split, tried, batch, threads, where, progress)
        if test_split is not None:
            tests = _sweep_store(trained, reader, place, test_split, tried, batch, threads, where, progress)
    if test_samples is not None:
        tests = Swept(
            whole=_sweep_source(trained, test_samples, tried, batch or 8, threads, where, progress),
            on={"source": str(test_source), "frame": test_frame, "pictures": len(read(test_samples))},
        )
    choices = tuple(_chosen(goal, settings, sweeps, tests, own=trained.extract) for goal in goals)
    chosen_on, tested_on = sweeps.on, None if tests is None else tests.on
    for choice in choices:
        refuse_zeros(choice, checkpoint, split)
    freeze(checkpoint, out, choices, chosen_on=chosen_on, grid=grid, trusted=trusted)
    return Tuned(checkpoint=checkpoint, out=out, chosen_on=chosen_on, tested_on=tested_on, choices=choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What every setting scores on one set of pictures."""

    whole: list[Sweep]
    on: Mapping[str, Any]
    stores: Mapping[str, Swept] = field(default_factory=dict)
    """By name and version, where the pictures are of several stores: on those of each alone."""


def _chosen(
    goal: Goal, settings: Sequence[ExtractSpec], sweeps: Swept, tests: Swept | None, *, own: ExtractSpec
) -> Choice:
    """The choice over all pictures, with what it is worth on each of several stores."""
    choice = choose(goal, settings, sweeps.whole, None if tests is None else tests.whole, own=own)
    there = {} if tests is None else tests.stores
    alone = []
    for title in {**sweeps.stores, **there}:
        mine, test = sweeps.stores.get(title), there.get(title)
        said = next(each.on for each in (mine, test) if each is not None)
        on = {
            **{key: said[key] for key in ("store", "version", "root_digest")},
            "pictures": 0 if mine is None else mine.on["pictures"],
            "test_pictures": 0 if test is None else test.on["pictures"],
        }
        alone.append(on_store(choice, settings, on, *(None if each is None else each.whole for each in (mine, test))))
    return replace(choice, stores=tuple(alone))


def _readings(
    truth: PolygonSet,
    to_truth: Any,
    probability: FloatMap,
    level: FloatMap | None,
    tried: Tried,
) -> list[Sweep]:
    """One map read in every way."""
    out = []
    cuts = tried.cuts
    for how in tried.settings:
        found = extract(
            probability, replace(how, score_min=cuts[0]), threshold=level if how.binarize == "learned" else None
        )
        # Scores are float32: a cut that is compared with them has to be rounded as they are.
        rounded = [float(np.float32(cut)) for cut in cuts]
        sweep = sweep_texts(
            truth,
            to_truth(found.polygons),
            found.scores,
            cuts=rounded,
            thresholds=tried.thresholds,
            protocols=tried.protocols,
        )
        out.append(replace(sweep, iou=replace(sweep.iou, cuts=cuts)))
    return out


def _added(parts: Iterable[list[Sweep]], number: int) -> list[Sweep]:
    total: list[Sweep] | None = None
    for part in parts:
        total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    if total is None or len(total) != number:
        raise SpecError("no picture was read: there is nothing to choose on")
    return total


def _sweep_store(
    trained: Trained,
    reader: Stored,
    where: Where,
    split: str,
    tried: Tried,
    batch: int | None,
    threads: int,
    device: torch.device,
    progress: Progress | None,
) -> Swept:
    def judge(row: int, probability: FloatMap, level: FloatMap | None) -> list[Sweep]:
        truth, transform = reader.polygon_set(row), reader.transform(row)
        return _readings(truth, lambda p: transform.apply(p, truth.frame), probability, level, tried)

    judging = Judging(judge, threads=threads)
    judging.begin()
    total, done = len(reader.select(split)), 0
    try:
        for rows, probability, level in store_maps(trained, where, split, batch=batch, device=device):
            judging.add(rows, probability, level)
            done += len(rows)
            if progress is not None:
                progress(done, total)
        results = judging.results()
    finally:
        judging.close()

    def added(rows: npt.NDArray[np.int64]) -> list[Sweep]:
        return _added((results[row] for row in rows.tolist()), len(tried.settings))

    stores = {}
    if isinstance(reader, Several):
        stores = {
            own.title: Swept(whole=added(own.select(its_split) + start), on=_identity(own, its_split))
            for own, its_split, start in split_in(reader, split)
        }
    return Swept(whole=added(reader.select(split)), on=_identity(reader, split), stores=stores)


def _sweep_source(
    trained: Trained,
    source: Source,
    tried: Tried,
    batch: int,
    threads: int,
    device: torch.device,
    progress: Progress | None,
) -> list[Sweep]:
    if trained.extract.binarize == "learned":
        raise SpecError(
            "this checkpoint learns its threshold: its maps are not kept for pictures of a source",
            hint="build a store of the test pictures and use --test-split",
        )
    samples = read(source)
    predictions = predict_pictures(
        trained,
        (file_of(source, s) for s in samples),
        batch=batch,
        threads=threads,
        device=device,
        frame=source.frame,
        keep_maps=True,
    )

    def judge(pair: Any) -> list[Sweep]:
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


def _identity(reader: Stored, split: str) -> dict[str, Any]:
    said = store_identity(reader, split)
    more = {}
    if isinstance(reader, Several):
        more["stores"] = [_identity(own, its_split) for own, its_split, _ in split_in(reader, split)]
    return {
        "store": said["name"],
        **{key: said[key] for key in ("version", "root_digest", "split")},
        "pictures": len(reader.select(split)),
        **more,
    }


def refuse_zeros(choice: Choice, checkpoint: Path, split: str) -> None:
    """Refuse to choose among settings that all find nothing: the first would be as good as any."""
    if choice.chosen.worth(choice.goal) == 0.0:
        raise DataError(
            f"{checkpoint}: no setting finds a text of {split} ({choice.goal.words} is 0 throughout), "
            "so there is nothing to choose",
            hint="train for more steps, or let "
            f"{typed('ocrmaps', 'debug', 'doctor', checkpoint)} say which stage breaks",
        )


def freeze(
    checkpoint: Path,
    out: Path,
    choices: Sequence[Choice],
    *,
    chosen_on: Mapping[str, Any],
    grid: Grid,
    trusted: Trusted = NOTHING,
) -> None:
    """The same weights with the chosen settings, in a file that appears whole and holds plain data only.

    Readings for other goals that the checkpoint was tuned for before stay in it.
    """
    content = read_checkpoint(checkpoint)
    card, first = content["ocrmaps"], choices[0]
    readings = {choice.goal.name: asdict(choice.chosen.extract) for choice in choices}
    content["ocrmaps"] = {
        **card,
        "extract": asdict(first.chosen.extract),
        "readings": {**card.get("readings", {}), **readings},
        "score": {"state": "complete", "hmean": {f"{t:g}": first.chosen.counts[t].hmean for t in SHOWN}},
        "tuned": {
            "on": dict(chosen_on),
            "from": digest_of(checkpoint),
            "goal": first.goal.name,
            "criterion": first.goal.as_dict(),
            "before": first.before.as_dict(),
            "chosen": first.chosen.as_dict(),
            "worth": {choice.goal.name: choice.chosen.worth(choice.goal) for choice in choices},
            "grid": {name: list(values) for name, values in asdict(grid).items()},
        },
    }
    with replacing(out) as part:
        part.write_bytes(checkpoint_bytes(content))
        load_detector(part, trusted=trusted)
