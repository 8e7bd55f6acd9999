"""What a validation epoch costs besides the network: stored rows to scores, beside the plain chain in the same run.

Both start from what they have on disk and end with the counts of the IoU rule in original coordinates. The plain chain
decodes, resizes and draws every time; ours reads all four stored arrays, as a validation with a loss does. The maps
that were drawn, or stored, take the place of the network's output in both. Where the time of each chain goes is
measured beside the ratio, step by step in one thread.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.annotations import open_source, read
from ocrmaps.annotations.samples import subset
from ocrmaps.evaluation.judging import found_in
from ocrmaps.extract import ExtractSpec
from ocrmaps.loader import MapLoader
from ocrmaps.loader.settings import default_threads
from ocrmaps.machine import threads_within
from ocrmaps.metrics.iou import match_iou
from ocrmaps.pipelines.bench.cases.rows import BATCH, SAMPLES, SPEC, recipe_of
from ocrmaps.pipelines.bench.references.validation import plain_validation
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import Laps, figure
from ocrmaps.pipelines.build import build
from ocrmaps.scratch import scratch
from ocrmaps.store.reader import Reader
from ocrmaps.training.scoring import THRESHOLDS, Scorer, ValidationScore

PLAIN = 6
"""Pictures of the plain chain in each round, evenly drawn, 2 where it is quick; ours handles all."""


def bench_validation(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """The ratio of processor time for one picture, and what each chain takes. Needs 0.3 GB of temporary space."""
    with scratch("bench") as room, threads_within(1):
        asked, what = material(source, room / "source", 16 if quick else SAMPLES)
        folder = build(recipe_of(asked), room / "cache").folder
        opened = open_source(asked.path, format=asked.format, pictures=asked.pictures)
        chosen = subset(read(opened), 2 if quick else PLAIN)
        # One loader for all passes, as a training has.
        with Reader(folder) as reader, rows_of(folder) as loader:
            score = epoch(reader, loader)  # opens files, fills the page cache, compiles
            plain_validation(opened.pictures / chosen[0].picture, chosen[0].polygons, SPEC)
            ours: list[tuple[float, float]] = []
            plain: list[tuple[float, float]] = []
            for _ in range(max(1, repeats)):
                ours.append(_per_picture(lambda: epoch(reader, loader), len(reader)))
                plain.append(
                    _per_picture(
                        lambda: [plain_validation(opened.pictures / s.picture, s.polygons, SPEC) for s in chosen],
                        len(chosen),
                    )
                )
            texts = float(np.mean([len(sample.polygons) for sample in chosen]))
            what = f"{what} at 640, {texts:.0f} texts each"
            theirs = Laps()
            for sample in chosen:
                theirs.start()
                plain_validation(opened.pictures / sample.picture, sample.polygons, SPEC, theirs)
            fewer = f"{len(chosen)} of {what}"
            return [
                *_figures(ours, plain, score, what, fewer),
                *steps(reader).figures("validation/{}_ms", f"one thread, {what}"),
                *theirs.figures("validation/plain_{}_ms", f"the plain chain, {fewer}"),
            ]


def steps(reader: Reader) -> Laps:
    """What each step of `epoch` takes for each row, one row after the other."""
    spec, laps = _reading(reader), Laps()
    for row in reader.select("train").tolist():
        laps.start()
        arrays = reader.read_row(row)
        laps("read")
        probability = arrays["probability"].astype(np.float32)
        laps("convert")
        truth, detections, _ = found_in(reader, row, spec, probability, texts=False)
        laps("extract")
        match_iou(truth, detections, thresholds=THRESHOLDS)
        laps("match")
    return laps


def _reading(reader: Reader) -> ExtractSpec:
    return ExtractSpec(shrink_ratio=reader.manifest.recipe.maps.shrink_ratio)


def rows_of(folder: Path) -> MapLoader:
    """The rows that are validated."""
    return MapLoader(folder, split="train", batch_size=BATCH, shuffle=False)


def epoch(reader: Reader, loader: MapLoader) -> ValidationScore:
    """Every row read, extracted and matched: a validation without its network."""
    scorer = Scorer(reader, reader.select("train"), _reading(reader))
    scorer.begin()
    for batch in loader:
        scorer.add(batch.row.tolist(), batch.probability.float().numpy())
    return scorer.total(scorer.results())


def _per_picture(run: Any, pictures: int) -> tuple[float, float]:
    """(processor seconds, seconds of the clock) for one picture."""
    cpu, clock = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) / pictures, (time.perf_counter() - clock) / pictures


def _figures(
    ours: list[tuple[float, float]], plain: list[tuple[float, float]], score: ValidationScore, what: str, fewer: str
) -> list[dict[str, Any]]:
    ratios = [p[0] / o[0] for o, p in zip(ours, plain, strict=True)]
    clock = [p[1] / o[1] for o, p in zip(ours, plain, strict=True)]
    return [
        {
            "name": "validation/vs_plain",
            "value": statistics.median(ratios),
            "unit": "x",
            "reference": f"decode, resize, draw, box each contour, compare all pairs, one by one: {fewer}",
            "spread": max(ratios) - min(ratios),
            "by_the_clock": round(statistics.median(clock), 2),
            "threads": default_threads(),
            "hmean_of_the_maps": round(score.hmean(), 4),
        },
        figure("validation/ms", [1e3 * o[0] for o in ours], "ms", f"processor time for a picture; {what}"),
        figure("validation/clock_ms", [1e3 * o[1] for o in ours], "ms", f"by the clock, {default_threads()} threads"),
        figure("validation/plain_ms", [1e3 * p[0] for p in plain], "ms", f"the plain chain; {fewer}"),
    ]
