"""What a picture costs from its file to polygons: by runtime, by threads, and where the time goes.

The shipped detector runs from its checkpoint, and exported as ONNX, as int8 ONNX and as OpenVINO where they are
installed. The same pictures go through all of them in turn, one at a time, so that a busy machine slows all alike.
Latency is by the clock; throughput is of `predict_pictures`, which decodes ahead and reads maps beside the network.
What an evaluation takes beside its network is by processor time, in one thread of the network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocrmaps.annotations import Source, open_source, read
from ocrmaps.detect.load import load_any
from ocrmaps.detect.pages import PictureFile, prepare
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_source
from ocrmaps.evaluation.rows import evaluate_rows
from ocrmaps.extract import extract
from ocrmaps.machine import cores, threads_within
from ocrmaps.maps.records import U8Array
from ocrmaps.model.head import FloatMap
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import cpu_seconds, figure, ratio, seconds
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.export import export
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.scratch import scratch
from ocrmaps.shipped import checkpoint_path
from ocrmaps.store.reader import Reader

DETECTOR, PICTURES, BATCH = "receipts", 12, 4
STEPS = ("prepare", "network", "read")


@dataclass(frozen=True, slots=True)
class Runner:
    """One detector in one runtime with so many threads."""

    name: str
    threads: int
    trained: Trained
    steps: list[dict[str, float]] = field(default_factory=list)
    """Milliseconds a picture by step, repeat by repeat."""
    many: list[float] = field(default_factory=list)
    """Pictures a second, repeat by repeat."""

    def totals(self, step: str | None = None) -> list[float]:
        return [sum(one.values()) if step is None else one[step] for one in self.steps]


def bench_predict(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """Latency of each runtime by step, its throughput, and what the runtimes are to each other.

    `quick` looks at PyTorch alone: to export takes longer than all the rest.
    """
    with scratch("bench") as room:
        asked, what = material(source, room / "source", 2 if quick else PICTURES)
        opened = open_source(asked.path, format=asked.format, pictures=asked.pictures)
        files = [PictureFile(name=sample.id, path=opened.pictures / sample.picture) for sample in read(opened)]
        runners = list(_runners(room, files[0].path, None if quick else asked.path))
        for runner in runners:  # compiles, fills the page cache
            with threads_within(runner.threads):
                _one_by_one(runner, files[:1])
        for _ in range(max(1, repeats)):
            for runner in runners:
                with threads_within(runner.threads):
                    runner.steps.append(_one_by_one(runner, files))
                    runner.many.append(len(files) / seconds(partial(_together, runner, files)))
        what = f"{len(files)} of {what}"
        return [*_figures(runners, what), *_beside_the_network(repeats, room, asked, opened, what)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Trained):
    """A detector that says what its network takes."""

    spent: list[float] = field(default_factory=list)
    """Seconds of processor time, call by call; in one thread they are all that the network takes."""

    def maps(self, images: Tensor | U8Array, *, threshold: bool = True) -> tuple[FloatMap, FloatMap | None]:
        start = time.thread_time()
        try:
            return Trained.maps(self, images, threshold=threshold)
        finally:
            self.spent.append(time.thread_time() - start)


def _beside_the_network(
    repeats: int, room: Path, asked: SourceRecipe, source: Source, what: str
) -> Iterator[dict[str, Any]]:
    """The share of an evaluation's processor time that is not its network's, from files and from a store."""
    plain = load_any(checkpoint_path(DETECTOR))
    watched = Watched(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    recipe = Recipe(name="bench", sources=(replace(asked, split="val"),), canonical=plain.canonical)
    folder = build(recipe, room / "cache").folder
    how: dict[str, Any] = {"threads": 1, "device": torch.device("cpu"), "limit": None, "progress": None}

    def from_files() -> object:
        return evaluate_source(watched, source, EvaluationSpec(), batch=BATCH, view=None, identity={}, **how)

    def from_store() -> object:
        return evaluate_rows(watched, reader, folder, "val", EvaluationSpec(), batch=None, identity={}, **how)

    with threads_within(1), Reader(folder) as reader:
        for name, pass_ in (("files", from_files), ("store", from_store)):
            pass_()  # loads what is compiled, opens files
            shares = []
            for _ in range(max(1, repeats)):
                watched.spent.clear()
                all_of_it = cpu_seconds(pass_)
                shares.append(1 - sum(watched.spent) / all_of_it)
            where = f"an evaluation from {name} beside its network, start not counted, PyTorch, 1 thread; {what}"
            yield figure(f"predict/evaluate_{name}_share", shares, "", where)


def _runners(room: Path, picture: Path, calibration: Path | None) -> Iterator[Runner]:
    """Every runtime with one thread, and with all cores where there are more."""
    checkpoint = checkpoint_path(DETECTOR)
    paths = {"pytorch": checkpoint}
    if calibration is not None and find_spec("onnx") is not None and find_spec("onnxruntime") is not None:
        paths["onnx"] = room / "float.onnx"
        export(checkpoint, paths["onnx"], pictures=[picture])
        paths["int8"] = room / "int8.onnx"
        export(checkpoint, paths["int8"], pictures=[picture], int8=calibration)
        if find_spec("openvino") is not None:
            paths["openvino"] = room / "float.xml"
            export(checkpoint, paths["openvino"], format="openvino", pictures=[picture])
    for threads in sorted({1, cores(most=16)}):
        for name, path in paths.items():
            yield Runner(name, threads, load_any(path, threads=threads).folded())


def _one_by_one(runner: Runner, files: list[PictureFile]) -> dict[str, float]:
    """Milliseconds a picture by step, each picture waiting for the one before."""
    trained, spent = runner.trained, dict.fromkeys(STEPS, 0.0)
    learned = trained.extract.binarize == "learned"
    for file in files:
        marks = [time.perf_counter()]
        page = prepare(file, trained.canonical)
        marks.append(time.perf_counter())
        probability, level = trained.maps(page.pixels[None], threshold=learned)
        marks.append(time.perf_counter())
        found = extract(probability[0], trained.extract, threshold=None if level is None else level[0])
        page.transform.apply(found.polygons, "upright")
        marks.append(time.perf_counter())
        for step, before, after in zip(STEPS, marks, marks[1:], strict=False):
            spent[step] += 1e3 * (after - before) / len(files)
    return spent


def _together(runner: Runner, files: list[PictureFile]) -> None:
    for _ in predict_pictures(runner.trained, files, batch=BATCH, threads=runner.threads):
        pass


def _figures(runners: list[Runner], what: str) -> list[dict[str, Any]]:
    known = {(runner.name, runner.threads): runner for runner in runners}
    out = []
    for runner in runners:
        name, threads = f"predict/{runner.name}_{runner.threads}", f"{runner.threads} threads"
        threads = threads.removesuffix("s") if runner.threads == 1 else threads
        out.append(figure(f"{name}_ms", runner.totals(), "ms", f"a picture alone, file to polygons, {threads}; {what}"))
        out += [figure(f"{name}_{step}_ms", runner.totals(step), "ms", f"of it, {threads}") for step in STEPS]
        where = f"batches up to {BATCH} of one canvas, {threads}; {what}"
        out.append(figure(f"{name}_per_second", runner.many, "pictures/s", where))
    plain = known["pytorch", 1]
    out.append(ratio("predict/read_share", plain.totals("read"), plain.totals(), "maps to polygons, PyTorch", unit=""))
    for name in ("onnx", "int8", "openvino"):
        if (name, 1) in known:
            theirs, ours = plain.totals("network"), known[name, 1].totals("network")
            out.append(ratio(f"predict/{name}_vs_pytorch", theirs, ours, "network alone, one thread"))
    return out
