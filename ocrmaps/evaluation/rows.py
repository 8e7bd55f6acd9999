"""A checkpoint on the rows of a store, in the batches and the arithmetic (fp32) that its training validated in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.trained import Trained
from ocrmaps.errors import Problem, SpecError
from ocrmaps.evaluation import Evaluation, EvaluationSpec, PictureResult, evaluate, judge_picture
from ocrmaps.evaluation.judging import FloatMap, Judging, found_in
from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.loader import MapLoader
from ocrmaps.progress import Progress
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import Several, Stored, Where, readers_of, split_in
from ocrmaps.store.writing.plan import SPLITS


def evaluate_rows(
    trained: Trained,
    reader: Stored,
    where: Where,
    split: str,
    spec: EvaluationSpec,
    *,
    batch: int | None,
    threads: int,
    device: torch.device,
    limit: int | None,
    progress: Progress | None,
    identity: dict[str, Any],
) -> Evaluation:
    """The evaluation of one split; `identity` is completed by what the store says of itself."""
    check_prepared_alike(trained, reader)
    rows = rows_of(reader, split)
    names = row_names(reader, rows)

    lowest = lowest_of(trained.extract, spec)

    def judge(row: int, probability: FloatMap, level: FloatMap | None) -> PictureResult:
        truth, detections, found = found_in(reader, row, trained.extract, probability, level)
        transform, candidates = reader.transform(row), None
        if lowest is not None:
            wide = extract(probability, lowest, threshold=level)
            candidates = transform.apply(wide.polygons, truth.frame), wide.scores
        return judge_picture(
            names[row],
            truth,
            detections,
            spec=spec,
            scores=found.scores,
            transform=transform,
            extract=trained.extract,
            candidates=candidates,
        )

    judging = Judging(judge, threads=threads)
    judging.begin()
    total, done = min(len(rows), limit or len(rows)), 0
    try:
        for seen, probability, level in store_maps(trained, where, split, batch=batch, device=device):
            kept = seen[: total - done]
            judging.add(kept, probability[: len(kept)], None if level is None else level[: len(kept)])
            done += len(kept)
            if progress is not None:
                progress(done, total)
            if done >= total:
                break
        results = judging.results()
    finally:
        judging.close()
    return evaluate_stored(results.values(), reader, split, names, spec, identity | {"precision": "fp32"})


def evaluate_stored(
    results: Iterable[PictureResult],
    reader: Stored,
    split: str,
    names: Mapping[int, str],
    spec: EvaluationSpec,
    identity: Mapping[str, Any],
) -> Evaluation:
    """The evaluation over the named rows; where they are of several stores, with that over each of them alone."""
    identity = {**identity, "store": store_identity(reader, split)}
    whole = evaluate(results, list(names.values()), spec=spec, identity=identity)
    if not isinstance(reader, Several):
        return whole
    by_store: dict[Reader, list[str]] = {}
    for row, name in names.items():
        by_store.setdefault(reader.at(row)[0], []).append(name)
    seen = {picture.picture: picture for picture in whole.pictures}
    alone = tuple(
        evaluate(
            [seen[name] for name in by_store[own] if name in seen],
            by_store[own],
            spec=spec,
            identity={**identity, "store": store_identity(own, its_split)},
        )
        for own, its_split, _ in split_in(reader, split)
    )
    return replace(whole, stores=alone)


def store_identity(reader: Stored, split: str) -> dict[str, Any]:
    """What a score says about the rows it was made on; of several stores as one and of each."""
    said: dict[str, Any] = {
        "name": "+".join(each.folder.parent.name for each in readers_of(reader)),
        "version": reader.version,
        "root_digest": reader.root_digest,
        "split": split,
    }
    if isinstance(reader, Several):
        said["stores"] = [store_identity(own, its_split) for own, its_split, _ in split_in(reader, split)]
    return said


def store_maps(
    trained: Trained, where: Where, split: str, *, batch: int | None = None, device: torch.device
) -> Iterator[tuple[list[int], FloatMap, FloatMap | None]]:
    """(rows, probability maps, threshold maps where extraction learns its threshold) of a split, batch after batch.

    The batches are those of a validation while training, unless another size is given.
    """
    size = batch or int(trained.card["run"].get("data", {}).get("batch_size", 8))
    learned = trained.extract.binarize == "learned"
    with MapLoader(
        where, split=split, batch_size=size, shuffle=False, device=None if device.type == "cpu" else device
    ) as loader:
        for item in loader:
            yield item.row.tolist(), *trained.maps(item.image, threshold=learned)


def lowest_of(how: ExtractSpec, spec: EvaluationSpec) -> ExtractSpec | None:
    """Extraction down to the lowest score of the curves; None where there is no curve or nothing to add."""
    if not spec.cuts or spec.cuts[0] >= how.score_min:
        return None
    return replace(how, score_min=spec.cuts[0])


def check_prepared_alike(trained: Trained, reader: Stored) -> None:
    """Refuse a store whose pictures were prepared in another way than those of each store that was learnt from."""
    for each in readers_of(reader):
        if not trained.learnt_from(each.recipe.canonical):
            _check_prepared_alike(trained.canonical, each)


def _check_prepared_alike(canonical: CanonicalSpec, reader: Reader) -> None:
    mine, theirs = asdict(canonical), asdict(reader.manifest.recipe.canonical)
    problems = [
        Problem(loc=f"canonical.{name}", message=f"the checkpoint needs {mine[name]!r}, the store has {theirs[name]!r}")
        for name in mine
        if mine[name] != theirs[name]
    ]
    if problems:
        raise SpecError(
            f"store {reader.folder.parent.name}/{reader.manifest.version} was prepared for another detector:",
            problems=problems,
            hint="--source prepares pictures as the checkpoint needs them, or build a store with its settings",
        )


def rows_of(reader: Stored, split: str) -> list[int]:
    """The rows of a split; an unknown or empty one, also of one store among several, is refused with what there is."""
    parts = list(split_in(reader, split)) or [(own, split, 0) for own in readers_of(reader)]
    for own, its_split, _ in parts:
        if its_split not in SPLITS or not len(own.select(its_split)):
            counts = {name: len(own.select(name)) for name in SPLITS}
            found = ", ".join(f"{name!r} {n}" for name, n in counts.items() if n) or "no rows at all"
            raise SpecError(
                f"store {own.title}: split {its_split!r} has no rows; it has {found}",
                hint="name one of these with --split",
            )
    rows: list[int] = reader.select(split).tolist()
    return rows


def row_names(reader: Stored, rows: Sequence[int]) -> dict[int, str]:
    """What each row is called in the tables: its sample id, with source and split where two sources share ids."""
    ids = {row: reader.id(row) for row in rows}
    times = Counter(ids.values())
    return {row: id if times[id] == 1 else reader.name(row) for row, id in ids.items()}


def device_of(device: str) -> torch.device:
    """The device that is named; `auto` is a CUDA device where there is one."""
    if device not in ("auto", "cpu", "cuda"):
        raise SpecError(f"found device {device!r}, expected auto, cpu or cuda")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("device: found cuda, but torch sees no CUDA device here", hint="device auto or cpu")
    return torch.device(device)
