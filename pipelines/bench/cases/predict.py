"""What a picture costs from its file to polygons: by runtime, by threads, and where the time goes.

The shipped detector runs from its checkpoint, and exported as ONNX, as int8 ONNX and as OpenVINO where they are
installed. The same pictures go through all of them in turn, one at a time, so that a busy machine slows all alike.
Latency is by the clock; throughput is of `predict_pictures`, which decodes ahead and reads maps beside the network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ocrmaps.annotations import open_source, read
from ocrmaps.detect.load import load_any
from ocrmaps.detect.pages import PictureFile, prepare
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained
from ocrmaps.extract import extract
from ocrmaps.machine import cores, threads_within
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import figure, ratio, seconds
from ocrmaps.pipelines.export import export
from ocrmaps.scratch import scratch
from ocrmaps.shipped import checkpoint_path

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
        return _figures(runners, f"{len(files)} of {what}")


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
