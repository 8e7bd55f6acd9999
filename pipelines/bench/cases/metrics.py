"""Scoring against plain per-pair code of the same rules: speed, the price of a sweep, large pictures.

Documents are those of the source that is given, or generated pages of 105 words; every result says which.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.metrics import match_cleval, match_deteval, match_geometry, match_iou, pair_geometry, sweep_geometry
from ocrmaps.pipelines.bench.cases.scenes import scenes
from ocrmaps.pipelines.bench.references.metrics import plain_cleval, plain_deteval, plain_iou
from ocrmaps.pipelines.bench.references.published import cleval_version, published_cleval
from ocrmaps.pipelines.bench.source import named, samples_of
from ocrmaps.pipelines.bench.times import distribution, figure

Page = tuple[PolygonSet, PolygonSet]


def bench_metrics(*, repeats: int = 3, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """Measure every protocol, `quick` on four pages; values are medians over the repeats.

    Spreads are the largest minus the smallest.
    """
    pages, what = generated(4, lines=5) if quick and source is None else documents(source, 4 if quick else 100)
    timed = pages[:: max(len(pages) // 2, 1)][:2]
    for page in pages[:3]:
        match_iou(*page, order="best"), match_deteval(*page), match_cleval(*page)
        sweep_geometry(pair_geometry(*page), np.zeros(len(page[1])), cuts=(0.5,))

    words = statistics.mean(len(truth) for truth, _ in pages)
    on = f"{len(pages)} {what}, {words:.0f} words each"
    few = f"{len(timed)} of them"
    out = [
        _ratio("metrics/iou_vs_reference", plain_iou, match_iou, timed, repeats, f"per-pair shapely loop, {few}: {on}"),
        _ratio("metrics/deteval_vs_reference", plain_deteval, match_deteval, timed[:1], 1, f"per-pair loop, 1 of {on}"),
        _ratio(
            "metrics/cleval_vs_reference", plain_cleval, match_cleval, timed[:1], 1, f"per-character loop, 1 of {on}"
        ),
        _each("metrics/iou_ms", match_iou, pages, repeats, on),
        _each("metrics/deteval_ms", match_deteval, pages, repeats, on),
        _each("metrics/cleval_ms", match_cleval, pages, repeats, on),
        _sweep(pages, repeats, on),
    ]
    small = 4 if quick else 30
    return out + _scenes(small, repeats) + _published(small, repeats) + _large(repeats, 300 if quick else 2000)


def documents(source: Path | None = None, number: int = 100) -> tuple[list[Page], str]:
    """Truth and detections of pages, and what they are: a source's texts as boxes, and the same moved a little."""
    if source is None:
        return generated(number)
    rng, pages = np.random.default_rng(0), []
    for _, sample in samples_of(source, number):
        outlines = sample.polygons
        truth = replace(
            PolygonSet.of([_quad(one) for one in outlines], frame=outlines.frame, ignore=outlines.ignore),
            texts=outlines.texts,
        )
        moved = rng.normal(0, 0.05, truth.points.shape) * np.repeat(truth.equivalent_sides()[:, :1], 4, axis=0)
        pages.append((truth, replace(truth, points=truth.points + moved, ignore=np.zeros_like(truth.ignore))))
    return pages, f"pages of {named(source)}, their texts as boxes, moved for detections"


def _quad(outline: FloatArray) -> FloatArray:
    """Its corners, or those of the smallest rectangle around it: the plain rules know boxes only."""
    import cv2

    return outline if len(outline) == 4 else cv2.boxPoints(cv2.minAreaRect(outline.astype(np.float32))).astype(float)


def generated(pages: int, lines: int = 15) -> tuple[list[Page], str]:
    """Invented pages, the same on every run."""
    rng = np.random.default_rng(0)
    return [_page(rng, lines) for _ in range(pages)], "generated pages"


def _page(rng: np.random.Generator, lines: int) -> Page:
    """A page of lines of 7 words; some detections moved, some in two pieces, some joined with the next word."""
    truth: list[FloatArray] = []
    found: list[FloatArray] = []
    texts: list[str] = []
    read: list[str] = []
    for line in range(lines):
        x, last = 40.0, -1
        for _ in range(7):
            n = int(rng.integers(2, 10))
            quad = _box(x, 60.0 + 70 * line, x + 22 * n, 100.0 + 70 * line)
            truth.append(quad + rng.normal(0, 1, (4, 2)))
            texts.append("".join(rng.choice(list("abcdefgh"), n)))
            x, chance = x + 22 * n + 15, rng.random()
            if chance < 0.06 and last >= 0:
                found[last][1:3] = quad[1:3]
                read[last] += texts[-1]
            elif chance < 0.1:
                middle = (quad[0, 0] + quad[1, 0]) / 2
                (x0, y0), (x1, y1) = quad[0], quad[2]
                found += [_box(x0, y0, middle, y1), _box(middle, y0, x1, y1)]
                read += [texts[-1][: n // 2], texts[-1][n // 2 :]]
                last = -1
            else:
                last = len(found)
                found.append(quad + rng.normal(0, 3, (4, 2)))
                read.append(texts[-1])
    return PolygonSet.of(truth, frame="raw", texts=texts), PolygonSet.of(found, frame="raw", texts=read)


def _box(x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


def _all(score: Callable[..., Any], pages: Sequence[Page]) -> float:
    return _seconds(lambda: [score(*page) for page in pages])


def _ratio(
    name: str, plain: Callable[..., Any], fast: Callable[..., Any], pages: Sequence[Page], repeats: int, reference: str
) -> dict[str, Any]:
    """Plain time over fast time on the same pages, one after the other in each repeat."""
    values = [_all(plain, pages) / statistics.median(_all(fast, pages) for _ in range(20)) for _ in range(repeats)]
    return figure(name, values, "x", reference)


def _scenes(number: int, repeats: int) -> list[dict[str, Any]]:
    """Small pictures, each timed by itself: the median over the pictures of plain time over fast time.

    The plain CLEval knows quads alone, so that bent outlines have its milliseconds and no ratio.
    """
    protocols: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "iou": (plain_iou, match_iou),
        "deteval": (plain_deteval, match_deteval),
        "cleval": (plain_cleval, match_cleval),
    }
    out = []
    for kind in ("icdar15", "totaltext"):
        pages = scenes(kind, number)
        on = f"{number} generated pictures like {kind}"
        for name, (plain, fast) in protocols.items():
            fast(*pages[0])
            if (kind, name) == ("totaltext", "cleval"):
                out.append(_each(f"metrics/{kind}_{name}_ms", fast, pages, repeats, on))
                continue
            values = []
            for _ in range(repeats):
                slow = [_all(plain, [page]) for page in pages]
                quick = [statistics.median(_all(fast, [page]) for _ in range(5)) for page in pages]
                values.append(statistics.median(a / b for a, b in zip(slow, quick, strict=True)))
            out.append(figure(f"metrics/{kind}_{name}_vs_reference", values, "x", f"per picture, plain rules, {on}"))
    return out


def _published(number: int, repeats: int) -> list[dict[str, Any]]:
    """Small pictures under CLEval as published, and ours in turn with it; nothing where it is not installed.

    Processor time, for the two take turns by the millisecond. `single`: of each picture one truth and one detection.
    """
    version = cleval_version()
    out = []
    for kind in ("icdar15", "totaltext") if version else ():
        pages = scenes(kind, number)
        single = [(truth.select(range(1)), found.select(range(min(len(found), 1)))) for truth, found in pages]
        for name, some in ((kind, pages), (f"{kind}_single", single)):
            values = [statistics.median(_beside(page) for page in some) for _ in range(repeats)]
            on = f"per picture, cleval {version}, {number} generated pictures like {kind}"
            on += ", one outline each" if some is single else ""
            out.append(figure(f"metrics/{name}_cleval_vs_published", values, "x", on))
    return out


def _beside(page: Page) -> float:
    theirs, ours = published_cleval(*page), partial(match_cleval, *page)
    slow, quick = [], []
    for _ in range(9):
        slow.append(_seconds(theirs, time.thread_time))
        quick.append(_seconds(ours, time.thread_time))
    return statistics.median(slow) / statistics.median(quick)


def _each(name: str, score: Callable[..., Any], pages: Sequence[Page], repeats: int, on: str) -> dict[str, Any]:
    each = [[_all(score, [page]) * 1000 for page in pages] for _ in range(3 * repeats)]
    times = distribution([ms for one in each for ms in one])
    return figure(name, [statistics.mean(one) for one in each], "ms", f"per picture, {on}") | {"times": times}


def _sweep(pages: Sequence[Page], repeats: int, on: str) -> dict[str, Any]:
    """Twenty score cuts at three IoU thresholds over one evaluation at the same three, both with the geometry."""
    rng = np.random.default_rng(0)
    scores = [rng.random(len(found)) for _, found in pages]
    cuts = np.linspace(0.05, 0.95, 20).tolist()

    def swept() -> None:
        for page, score in zip(pages, scores, strict=True):
            sweep_geometry(pair_geometry(*page), score, cuts=cuts)

    values = [_seconds(swept) / _all(match_iou, pages) for _ in range(3 * repeats)]
    return figure("metrics/sweep_20_vs_single", values, "x", f"one evaluation, {on}")


def _large(repeats: int, n: int) -> list[dict[str, Any]]:
    """`n` truths by as many detections: spread over a page, and piled up so that all pairs overlap."""
    rng = np.random.default_rng(0)
    out = []
    for name, side in ((f"metrics/boxes_{n}_s", 3000.0), (f"metrics/boxes_{n}_piled_s", 1.0)):
        center, half = rng.uniform(0, side, (n, 1, 2)), rng.uniform(8, 30, (n, 1, 2))
        boxes = center + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + rng.normal(0, 0.5, (n, 4, 2))
        truth = PolygonSet.of(boxes, frame="raw")
        found = PolygonSet.of(boxes + rng.normal(0, 1, boxes.shape), frame="raw")
        values = [_all(match_iou, [(truth, found)]) for _ in range(repeats)]
        tracemalloc.start()
        geometry = pair_geometry(truth, found)
        match_geometry(geometry)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        result = figure(name, values, "s", f"{n} x {n} quads, {len(geometry.overlap)} pairs overlap")
        out.append({**result, "peak_mib": round(peak, 1)})
    return out
