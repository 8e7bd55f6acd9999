"""How fast maps become polygons, beside the published post-processing loop on the same maps in the same run.

The floor at the published settings, 640x640 with 50 texts: read the map twice (compare, find outlines) and, for each
text, two smallest rectangles, a filled mask with its mean and one clipper call, which are the same library calls that
the loop makes. What can be saved is everything around them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.machine import threads_within
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.pipelines.bench.references.extract import plain_boxes, plain_polygons
from ocrmaps.pipelines.bench.source import canonical_pages, named, soft
from ocrmaps.pipelines.bench.times import distribution, figure, ratio

FloatMap = npt.NDArray[np.float32]
ROUNDS = 5
"""Passes over all maps within one repeat; the fastest of each map counts, so that a hiccup of the machine does not."""


def bench_extract(repeats: int = 7, *, source: Path | None = None) -> list[dict[str, Any]]:
    """Ratios to the published loop at the published settings, milliseconds a map, and a map of 11 449 specks."""
    maps, origin = bench_maps(source)
    specks = speck_map()
    boxes, polygons = ExtractSpec.peers(), ExtractSpec.peers("polygons")
    ours_boxes, ours_polygons = ExtractSpec(), ExtractSpec(shape="polygons")
    cases: dict[str, Callable[[FloatMap], Any]] = {
        "plain boxes": lambda m: plain_boxes(m, m.shape),
        "peers boxes": lambda m: extract(m, boxes),
        "default boxes": lambda m: extract(m, ours_boxes),
        "plain polygons": lambda m: plain_polygons(m, m.shape),
        "peers polygons": lambda m: extract(m, polygons),
        "default polygons": lambda m: extract(m, ours_polygons),
    }
    with threads_within(1):
        times, single = _in_turns(cases, maps, repeats)
        speck_times = [_seconds(lambda: extract(specks, ours_boxes)) for _ in range(repeats + 1)][1:]
    texts = np.mean([len(extract(m, boxes)) for m in maps])
    where = f"{origin}; {len(maps)} maps of {maps[0].shape[1]}x{maps[0].shape[0]}, {texts:.0f} boxes each, one thread"
    loop = f"published loop, published settings; {where}"
    specks_found = extract(specks, ours_boxes).outcomes.found
    return [
        ratio("extract/vs_reference", times["plain boxes"], times["peers boxes"], loop),
        ratio("extract/polygons_vs_reference", times["plain polygons"], times["peers polygons"], loop),
        ratio("extract/default_vs_reference", times["plain boxes"], times["default boxes"], f"same maps: {loop}"),
        *(
            figure(
                f"extract/{name.replace(' ', '_')}_ms",
                [1e3 * one for one in seconds],
                "ms",
                where,
                times=distribution([1e3 * one for one in single[name]]),
            )
            for name, seconds in times.items()
        ),
        figure(
            "extract/specks_ms",
            [1e3 * one for one in speck_times],
            "ms",
            f"{specks_found} specks on 640x640, default settings, cap 1000",
        ),
    ]


def bench_maps(source: Path | None = None) -> tuple[list[FloatMap], str]:
    """Probability maps of longest side 640 and where they are from."""
    if source is None:
        return [receipt_map(seed) for seed in range(3)], "drawn maps"
    spec = MapSpec()
    pages = canonical_pages(source, 640, 5)
    drawn = [draw_maps(polygons, spec, size).probability.astype(np.float32) for polygons, size in pages]
    return [soft(one, np.random.default_rng(i)) for i, one in enumerate(drawn)], f"maps drawn of {named(source)}"


def receipt_map(seed: int, *, size: int = 640, texts: int = 50) -> FloatMap:
    """A map like a network's on a receipt: `texts` kernels in lines, slightly turned, with soft and uneven edges."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((size, size), dtype=np.float32)
    rows = -(-texts // 2)
    for i in range(texts):
        row, column = divmod(i, 2)
        width = float(rng.uniform(60, 230))
        x = size * (column + 0.5) / 2 + float(rng.uniform(-10, 10))
        y = size * (row + 0.5) / rows + float(rng.uniform(-1, 1))
        rectangle = ((x, y), (width, float(rng.uniform(6, 9))), float(rng.uniform(-1, 1)))
        cv2.fillPoly(drawn, [np.round(cv2.boxPoints(rectangle) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return soft(drawn, rng)


def speck_map(size: int = 640) -> FloatMap:
    """Thousands of two-pixel specks with scores from 0.6 to 1."""
    rng = np.random.default_rng(0)
    out = np.zeros((size, size), dtype=np.float32)
    ys, xs = np.mgrid[2:size:6, 2 : size - 1 : 6]
    out[ys, xs] = out[ys, xs + 1] = rng.uniform(0.6, 1.0, ys.shape)
    return out


def _in_turns(
    cases: dict[str, Callable[[FloatMap], Any]], maps: list[FloatMap], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds a map for each case and repeat, and every single one; cases take turns, so that a busy machine slows
    all of them."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    single: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case(maps[0])  # compiles, fills caches
    for _ in range(repeats):
        best = {name: [math.inf] * len(maps) for name in cases}
        for _ in range(ROUNDS):
            for i, m in enumerate(maps):
                for name, case in cases.items():
                    taken = _seconds(lambda case=case, m=m: case(m))  # type: ignore[misc]
                    single[name].append(taken)
                    best[name][i] = min(best[name][i], taken)
        for name in cases:
            times[name].append(sum(best[name]) / len(maps))
    return times, single


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
