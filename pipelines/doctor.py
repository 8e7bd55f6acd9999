"""The doctor: a few samples are followed from file to score, and the first stage that breaks is named.

A run is examined with its store, its augmentation and its best checkpoint; a checkpoint likewise; a store without a
network; annotations without a store. Nothing is changed anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrmaps.annotations import Sample, Source, scan
from ocrmaps.annotations.checks.frames import check_frame
from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.debug.doctor import augmented as doctor_augmented
from ocrmaps.debug.doctor import maps as doctor_maps
from ocrmaps.debug.doctor import network as doctor_network
from ocrmaps.debug.doctor import originals as doctor_originals
from ocrmaps.debug.doctor import pictures as doctor_pictures
from ocrmaps.debug.doctor import stale as doctor_stale
from ocrmaps.debug.doctor.choice import choose, facts_of
from ocrmaps.debug.doctor.records import STAGES, Case, Report, Specs, Stage, joined
from ocrmaps.debug.doctor.rows import cases_of, damaged_rows
from ocrmaps.detect.trained import Trained, load_detector, read_checkpoint
from ocrmaps.errors import AnnotationError, OcrmapsError, SpecError, StoreError, StoreNotFound
from ocrmaps.kinds import is_version
from ocrmaps.maps import MapSpec
from ocrmaps.pictures import Header, read_header
from ocrmaps.pipelines.debug import run_of
from ocrmaps.progress import Progress
from ocrmaps.recipe import Recipe
from ocrmaps.store.far.source import open_source
from ocrmaps.store.places.cache import find_version, stores
from ocrmaps.store.reader import Reader
from ocrmaps.store.several import NO_ROWS
from ocrmaps.store.writing.plan import SPLITS
from ocrmaps.training.folder import find_store, is_run, places_of, read_run
from ocrmaps.training.parts import make_augment
from ocrmaps.training.spec import DataSpec, RunSpec
from ocrmaps.trust import NOTHING, Trusted

HEADERS = 2000
"""Samples whose header is read, to choose among."""


def examine(
    target: str,
    *,
    samples: int = 6,
    cache: Path | None = None,
    frame: Literal["raw", "upright"] = "upright",
    format: str | None = None,
    pictures: Path | None = None,
    longest: int | None = None,
    trusted: Trusted = NOTHING,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Follow `samples` samples of a run, a checkpoint, a store or annotations."""
    path = Path(target)
    of_sources = {"--longest": longest, "--format": format, "--pictures": pictures}
    strays = [name for name, given in of_sources.items() if given is not None]

    def refuse_strays(kind: str) -> None:
        if strays:
            raise SpecError(f"{', '.join(strays)}: only for annotations, and {target} is {kind}", hint="leave it out")

    if is_run(path) or path.suffix == ".ckpt":
        refuse_strays("a run" if is_run(path) else "a checkpoint")
        return _examine_run(target, path, samples, cache, progress, trusted)
    if is_version(path) or not path.exists() or (cache is not None and any(s.name == target for s in stores(cache))):
        folder = _store(target, cache or Path(".ocrmaps"))
        refuse_strays("a store")
        with Reader(folder) as reader:
            return _examine_store(target, "store", reader, samples, progress)
    source = open_source(path, format=format, pictures=pictures, frame=frame)
    return _examine_source(target, source, samples, longest or 640, progress)


def _store(wanted: str, cache: Path) -> Path:
    try:
        store, version = find_version(cache, wanted)
    except StoreNotFound as error:
        raise SpecError(
            f"{wanted}: found no run, checkpoint, store or annotations of that name ({error})",
            hint="a run has run.json, a store is known to `ocrmaps cache list`, annotations are a file or folder",
        ) from error
    return store.version(version)


def _stages() -> dict[str, Stage]:
    return {name: Stage(name=name) for name in STAGES}


def _examine_run(
    target: str, path: Path, number: int, cache: Path | None, progress: Progress, trusted: Trusted
) -> Report:
    run = path if is_run(path) else path.parent.parent
    checkpoint = read_run(path).checkpoint() if is_run(path) else path
    card = read_checkpoint(checkpoint)["ocrmaps"]
    trained, spec = load_detector(checkpoint, trusted=trusted), run_of(card)
    alone = card["store"] | {"train": spec.data.train, "val": spec.data.val}
    learnt = card.get("stores") or [alone]
    reports: dict[str, Report] = {}
    for share, store in zip(_shared_out(number, len(learnt)), learnt, strict=True):
        try:
            found = find_store(card, store, cache=cache, run=run)
        except StoreNotFound as error:
            # The version it learnt from is gone. What its run file means today is examined instead, and told apart.
            found = _todays_store(card, store, run, cache, error)
        with Reader(found) as reader:
            reports[reader.title] = _examine_store(
                target, "run", reader, share, progress, trained=trained, checkpoint=checkpoint, learnt=store,
                spec=replace(spec, data=_alone(spec.data, store)),
            )  # fmt: skip
    return joined(reports) if len(reports) > 1 else next(iter(reports.values()))


def _alone(data: DataSpec, learnt: Mapping[str, Any]) -> DataSpec:
    """The data of a run as if it had one store."""
    train: Any = "train" if learnt["train"] == NO_ROWS else learnt["train"]
    return replace(
        data, store=learnt["name"], stores=(), sampling=(), train=train, val="val" if train != "val" else "train"
    )


def _shared_out(number: int, stores: int) -> list[int]:
    """Samples of each store, at least one.

    >>> _shared_out(6, 4)
    [2, 2, 1, 1]
    """
    return [max(1, number // stores + (place < number % stores)) for place in range(stores)]


def _todays_store(
    card: dict[str, Any], learnt: Mapping[str, Any], run: Path, cache: Path | None, why: StoreNotFound
) -> Path:
    """The version that the run's file would be given today."""
    for place in places_of(card, cache=cache, run=run):
        try:
            store, version = find_version(place, learnt["name"])
        except StoreError:
            continue
        return store.version(version)
    raise why


def _examine_store(
    target: str,
    kind: str,
    reader: Reader,
    number: int,
    progress: Progress,
    *,
    trained: Trained | None = None,
    spec: RunSpec | None = None,
    checkpoint: Path | None = None,
    learnt: Mapping[str, Any] | None = None,
) -> Report:
    stages = _stages()
    recipe = reader.manifest.recipe
    specs = Specs(canonical=recipe.canonical, maps=recipe.maps)
    splits = [s for s in SPLITS if len(reader.select(s))]
    train, val = (learnt["train"], learnt["val"]) if learnt is not None else (splits[0] if splits else "", "")
    damaged = damaged_rows(reader, stages)
    shown = [reader.select(split) for split in (train, val) if split != NO_ROWS]
    rows = np.concatenate(shown) if spec is not None else reader.select()
    cases = cases_of(reader, rows.tolist(), number, damaged, train if spec is not None and train != NO_ROWS else None)
    steps: list[Callable[[], None]] = [
        lambda: doctor_pictures.look_at_files(cases, stages["file"], reader),
        lambda: doctor_stale.look_at_annotations(cases, stages["file"], reader, learnt=spec is not None),
        lambda: doctor_pictures.look_at_pixels(cases, stages["decoded"], None),
        lambda: doctor_pictures.look_at_canonical(cases, stages["canonical"], specs, reader),
        lambda: doctor_maps.look_at_maps(cases, stages["maps"], specs, reader),
        lambda: doctor_maps.look_at_batches(
            cases, stages["batch"], reader, split=val if train == NO_ROWS else train,
            batch_size=4 if spec is None else spec.data.batch_size, seed=0 if spec is None else spec.seed,
        ),
    ]  # fmt: skip
    if spec is None or trained is None:
        for name in ("augmented", "prediction", "original"):
            stages[name].skipped = "a store has no network; examine a run"
    else:
        steps += _network_steps(cases, stages, reader, recipe, trained, spec, train)
    for done, step in enumerate(steps):
        progress(done, len(steps))
        step()
    progress(len(steps), len(steps))
    name = f"{reader.folder.parent.name}/{reader.folder.name}"
    lead = f"{kind} {target}: store {name}, root {reader.root_digest[:12]}, {len(cases)} of {len(rows)} rows"
    if trained is not None and checkpoint is not None:
        lead += f"; {checkpoint.name}: {trained.identity}"
        if learnt is not None and learnt["root_digest"] != reader.root_digest:
            stages["prediction"].note(
                f"these weights learnt from root {learnt['root_digest'][:12]}, which is not here; this "
                f"is root {reader.root_digest[:12]}",
                "--root names the cache folder of the store that was learnt from",
            )
    return Report(target=target, kind=kind, lead=lead, stages=tuple(stages.values()), cases=tuple(cases))


def _network_steps(
    cases: Sequence[Case],
    stages: dict[str, Stage],
    reader: Reader,
    recipe: Recipe,
    trained: Trained,
    spec: RunSpec,
    train: str,
) -> list[Callable[[], None]]:
    def augmented() -> None:
        change = None if train == NO_ROWS else make_augment(spec, reader)
        learnt = [c for c in cases if c.split == train]
        if change is None:
            stages["augmented"].skipped = "this run does not augment"
        elif not learnt:
            stages["augmented"].skipped = "no sample of the training split is among those followed"
        else:
            doctor_augmented.look_at_augmented(
                learnt, stages["augmented"], spec.augment, change, maps=recipe.maps, seed=spec.seed
            )

    return [
        augmented,
        lambda: doctor_network.look_at_predictions(cases, stages["prediction"], trained, recipe),
        lambda: doctor_originals.look_at_originals(cases, stages["original"], trained, recipe),
    ]


def _examine_source(target: str, source: Source, number: int, longest: int, progress: Progress) -> Report:
    stages = _stages()
    reading = scan(source)
    stage = stages["file"]
    for problem in reading.problems[:20]:
        stage.problem(str(problem), "correct the file, or say another --format")
    if not reading.samples and not reading.problems:
        raise AnnotationError(f"{source.annotations}: the source holds no samples")
    specs = Specs(canonical=CanonicalSpec.longest(longest), maps=MapSpec())
    looked = _evenly(reading.samples, HEADERS)
    headers: dict[str, Header] = {}
    for done, sample in enumerate(looked):
        progress(done, len(looked) + 4)
        try:
            headers[sample.id] = read_header(source.pictures / sample.picture)
        except OcrmapsError as error:
            stage.problem(str(error).splitlines()[0], "ocrmaps data check lists all such pictures", sample.id)
        except OSError as error:
            stage.problem(f"{sample.picture} cannot be read ({error.strerror})", "--pictures names a folder", sample.id)
    with_header = [s for s in looked if s.id in headers]
    facts = [facts_of(s.polygons, len(s.polygons), headers[s.id].orientation, headers[s.id].size) for s in with_header]
    cases = [
        Case(
            name=with_header[i].id, why=why, polygons=with_header[i].polygons,
            path=source.pictures / with_header[i].picture,
            transform=plan(headers[with_header[i].id].size, headers[with_header[i].id].orientation, specs.canonical),
        )
        for i, why in choose(facts, number)
    ]  # fmt: skip
    frames = check_frame(with_header, headers, source.frame) if with_header else None
    doctor_pictures.look_at_files(cases, stage, None)
    doctor_pictures.look_at_pixels(cases, stages["decoded"], frames)
    doctor_pictures.look_at_canonical(cases, stages["canonical"], specs, None)
    doctor_maps.look_at_maps(cases, stages["maps"], specs, None)
    progress(len(looked) + 4, len(looked) + 4)
    for name in ("batch", "augmented", "prediction", "original"):
        stages[name].skipped = "annotations alone have none; examine a store or a run"
    lead = (
        f"source {target}: {source.format}, frame {source.frame}, {len(cases)} of {len(reading.samples)} samples, "
        f"longest side {longest}"
    )
    return Report(target=target, kind="source", lead=lead, stages=tuple(stages.values()), cases=tuple(cases))


def _evenly(samples: Sequence[Sample], number: int) -> list[Sample]:
    if len(samples) <= number:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, number).round().astype(int).tolist()]
