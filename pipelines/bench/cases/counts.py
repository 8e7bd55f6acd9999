"""Counts what stages do where neither load, clocks nor the processor's arithmetic can move it: calls, files, requests.

Everything is done once before it is counted, in this process and on pictures made here, so that nothing is compiled,
imported or opened for the first time meanwhile.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from PIL import Image

from ocrmaps.annotations import WRITERS, Sample, open_source
from ocrmaps.annotations.checks.checkup import check as check_sources
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.evaluation.judging import found_in
from ocrmaps.extract import ExtractSpec
from ocrmaps.geometry import PolygonSet
from ocrmaps.machine import threads_within
from ocrmaps.metrics.cleval import match_cleval
from ocrmaps.metrics.deteval import match_deteval
from ocrmaps.metrics.iou import match_iou
from ocrmaps.pipelines.bench.cases.cli import CommandLine, imports
from ocrmaps.pipelines.bench.cases.step import WaitCount
from ocrmaps.pipelines.bench.counting import Tally, counted, lines, peak_bytes, tallied
from ocrmaps.pipelines.bench.times import figure
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import ARRAYS, Layout, Recipe, SourceRecipe
from ocrmaps.scratch import scratch
from ocrmaps.store.fast import FastReader
from ocrmaps.store.format.layout import row_shape
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.places.standin import stand_in
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.push import push
from ocrmaps.store.writing.inputs import FINE_NS
from ocrmaps.training.checks import check_store
from ocrmaps.training.data import MapData
from ocrmaps.training.parts import make_module, make_trainer, make_watchers, quiet
from ocrmaps.training.spec import run_from_dict
from ocrmaps.training.steps.capture import Witness

Found = Iterator[tuple[str, float, str]]
"""Name, value and unit of each count."""
PICTURES, PER_SHARD, TEXTS, SIDE = 16, 4, 6, 96
MANY = 40
"""Pictures, and twice as many, that show how work grows: a loop in a loop outweighs the rest from there on."""
COMMANDS = {
    "help": ["--help"],
    "status": ["cache", "status", "--root", "cache"],
    "check": ["data", "check", f"train-{PICTURES}/labels.json"],
}
"""Command lines whose imports are counted."""
COPIES = ("_to_copy", "clone", "copy_")
"""Operators that copy a tensor."""


def bench_counts() -> list[dict[str, Any]]:
    """Every count, each of work that was done once before."""
    with scratch("bench") as room, threads_within(1):
        recipe = recipe_of(room, PICTURES)
        found = [*builds(recipe, room), *checks(recipe), *growth(room)]
        with Reader(build(recipe, room / "cache").folder) as reader:
            found += [*rows(reader), *judging(reader), *step(reader, room)]
            if find_spec("obstore") is not None:
                found += far(reader, room)
        found += commands(room)
    return [figure(f"counts/{name}", [value], unit, "") for name, value, unit in found]


def recipe_of(room: Path, pictures: int) -> Recipe:
    """So many pictures to learn from, a quarter as many to validate, with six lines of text each."""
    sources = []
    for split, number in (("train", pictures), ("val", pictures // 4)):
        folder = room / f"{split}-{pictures}"
        (folder / "images").mkdir(parents=True)
        samples = []
        for i in range(number):
            pixels = np.random.default_rng([i, split == "val"]).integers(128, 255, (SIDE, SIDE, 3), np.uint8)
            polygons = texts(TEXTS)
            for left, top in polygons.points[::4].astype(int).tolist():
                pixels[top : top + 8, left : left + 40] = 0
            Image.fromarray(pixels).save(folder / "images" / f"{i:03d}.bmp")
            samples.append(Sample(id=f"{i:03d}.bmp", polygons=polygons, loc="", size=(SIDE, SIDE)))
        labels = WRITERS["ufo"](samples, folder / "labels.json").path
        sources.append(SourceRecipe(path=labels, pictures=folder / "images", format="ufo", split=split))  # type: ignore[arg-type]
    return Recipe(
        name="counts",
        sources=tuple(sources),
        canonical=CanonicalSpec(canvases=((SIDE, SIDE),), scale="fit"),
        layout=Layout(rows_per_shard=PER_SHARD),
    )


def texts(number: int) -> PolygonSet:
    """So many lines of text below each other, two beside each other."""
    corners = [(2 + 46 * (i % 2), 2 + 14 * (i // 2)) for i in range(number)]
    quads = [[(x, y), (x + 40, y), (x + 40, y + 8), (x, y + 8)] for x, y in corners]
    return PolygonSet.of(quads, frame="upright", texts=[f"text {i}" for i in range(number)])


def builds(recipe: Recipe, room: Path) -> Found:
    """A whole build in an empty cache, then the same again over what is there."""
    numbers, pictures = itertools.count(), PICTURES + PICTURES // 4

    def whole() -> None:
        build(recipe, room / f"cache-{next(numbers)}", workers=1)

    whole()
    seen = counted(whole)
    yield "build_calls", seen["calls"] / pictures, "a picture"
    yield "build_opened", seen["opened"] / pictures, "a picture"
    yield "build_examined", seen["examined"] / pictures, "a picture"
    yield "build_synced", seen["synced"], "a build"
    report = build(recipe, room / "cache", workers=1)
    yield "build_bytes", report.counts["bytes"] / report.counts["raw_bytes"], "of raw"
    build(recipe, room / "cache", workers=1)
    seen = counted(lambda: build(recipe, room / "cache", workers=1))
    yield "unchanged_calls", seen["calls"] / pictures, "a picture"
    yield "unchanged_opened", seen["opened"], "a build"
    yield "unchanged_examined", seen["examined"] / pictures, "a picture"


def check_all(recipe: Recipe) -> None:
    """What `ocrmaps data check` does."""
    sources = [open_source(s.path, format=s.format, pictures=s.pictures, split=s.split) for s in recipe.sources]
    check_sources(sources, spec=recipe.canonical, workers=1)


def checks(recipe: Recipe) -> Found:
    """Pictures looked at by `data check`."""
    check_all(recipe)
    yield "check_calls", counted(lambda: check_all(recipe))["calls"] / (PICTURES + PICTURES // 4), "a picture"


def growth(room: Path) -> Found:
    """Lines that twice as much work runs through."""
    once, twice = (recipe_of(room, n) for n in (MANY, 2 * MANY))
    both = {number: texts(number) for number in (TEXTS, 40, 80)}

    def match(number: int) -> None:
        for matched in (match_iou, match_deteval, match_cleval):
            matched(both[number], both[number])

    def plan(recipe: Recipe) -> None:
        build(recipe, room / "empty", workers=1, dry_run=True)

    match(TEXTS)
    yield "match_growth", lines(lambda: match(80)) / lines(lambda: match(40)), "times"
    for name, work in (("plan", plan), ("check", check_all)):
        time.sleep(2 * FINE_NS / 1e9)  # what was written just now is not relied on, and would be looked at again
        work(once), work(twice)
        yield f"{name}_growth", lines(partial(work, twice)) / lines(partial(work, once)), "times"


def rows(reader: Reader) -> Found:
    """Every row read as a loader reads it."""
    every = range(len(reader))
    out = {array: np.empty((len(every), *row_shape(array, reader.canvas(0))), np.uint8) for array in ARRAYS}

    def read() -> None:
        FastReader(reader).read_rows(every, out)

    read()
    yield "row_opened", counted(read)["opened"] / (len(every) / PER_SHARD), "a shard"
    fast = FastReader(reader)
    fast.read_rows(every, out)
    yield "row_calls", counted(lambda: fast.read_rows(every, out))["calls"] / len(every), "a row"
    yield "row_memory", peak_bytes(lambda: fast.read_rows(every, out)) / 1e3, "kB"
    fast.close()


def judging(reader: Reader) -> Found:
    """A validation's work on one picture, without its network."""
    spec = ExtractSpec(shrink_ratio=reader.manifest.recipe.maps.shrink_ratio)
    probability = reader.read_row(0)["probability"].astype(np.float32)

    def judge() -> None:
        truth, detections, _ = found_in(reader, 0, spec, probability)
        match_iou(truth, detections)

    judge()
    yield "judge_calls", counted(judge)["calls"], "a picture"
    yield "judge_memory", peak_bytes(judge) / 1e3, "kB"


class _Look(Callback):
    """Counts the operators of one training step and the calls of the next, from the first hook to the last."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.operators, self.tally = WaitCount(), Tally()
        self._open = ExitStack()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            self._open.enter_context(self.operators)
        elif trainer.global_step == self.step + 1:
            self._open.enter_context(tallied(self.tally))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._open.close()


def step(reader: Reader, room: Path) -> Found:
    """A training step with every watcher that is on by default, in fp32 on the processor."""
    asked = {
        "name": "counts",
        "data": {"store": str(reader.folder), "batch_size": 4},
        "model": {"encoder": "light"},
        "budget": {"epochs": 2},
        "device": "cpu",
    }
    spec = check_store(run_from_dict(asked), reader)
    look = _Look(PICTURES // 4 + 1)  # the first epoch warms up
    trainer = make_trainer(spec, "cpu", [Witness(), *make_watchers(spec, room, reader).values(), look])
    trainer.limit_val_batches = 0
    loaders = MapData(reader.folder, train="train", val="val", batch_size=4, seed=0)
    with quiet():
        trainer.fit(make_module(spec, reader), datamodule=loaders)
    operators = look.operators.operators
    yield "step_operators", sum(operators.values()), "a step"
    yield "step_copies", sum(operators[name] for name in COPIES), "a step"
    yield "step_waits", len(look.operators.found), "a step"
    yield "step_calls", look.tally.totals()["calls"], "a step"


def far(reader: Reader, room: Path) -> Found:
    """Rows of a version in object storage, and the same again once they are here."""
    url = f"memory://{room.parent.name}"
    push(reader.folder, ObjectPlace(url))

    def epoch() -> None:
        folder = stand_in(url, room / "here", None) / reader.folder.parent.name / reader.folder.name
        with Reader(folder) as there:
            fast = FastReader(there)
            for row in range(len(there)):
                fast.read_into(row, [np.empty(row_shape(a, there.canvas(row)), np.uint8) for a in ARRAYS])
            fast.close()

    yield "far_requests", counted(epoch)["requests"] / len(reader), "a row"
    yield "far_again", counted(epoch)["requests"], "an epoch"


def commands(room: Path, names: Sequence[str] = tuple(COMMANDS)) -> Found:
    """Modules of this project that a command has imported when it ends."""
    for name in names:
        found = imports(CommandLine(COMMANDS[name], 0), room)
        yield f"{name}_modules", sum(module.split(".")[0] == "ocrmaps" for module in found), "modules"
