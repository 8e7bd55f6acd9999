"""How fast target maps are drawn, beside the plain published algorithm on the same polygons in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import FloatArray, PolygonSet, Size
from ocrmaps.machine import threads_within
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.pipelines.bench.references.maps import draw_plain
from ocrmaps.pipelines.bench.source import canonical_pages, named
from ocrmaps.pipelines.bench.times import distribution

Page = tuple[PolygonSet, Size]
PAGES = 5


def bench_maps(repeats: int = 15, *, source: Path | None = None) -> list[dict[str, Any]]:
    """Ratios, milliseconds and the share of the theoretical minimum at longest side 640 and 1024, on one thread.

    The minimum is one multiply and one add for every pixel of a polygon's window and every edge of the polygon.
    """
    with threads_within(1):
        results = []
        one = _multiply_add_ms()
        for longest, suffix in ((640, ""), (1024, "_1024")):
            pages, what = pages_of(source, longest)
            results += _bench(pages, what, suffix, max(1, repeats), one)
    return results


def _bench(pages: list[Page], what: str, suffix: str, repeats: int, multiply_add_ms: float) -> list[dict[str, Any]]:
    exact, official = MapSpec(), MapSpec(style="official")
    draws: dict[str, Callable[[PolygonSet, Size], object]] = {
        "plain": lambda p, size: draw_plain(list(p), p.ignore, size),
        "exact": lambda p, size: draw_maps(p, exact, size),
        "official": lambda p, size: draw_maps(p, official, size),
        "empty": lambda p, size: draw_maps(PolygonSet.empty("canonical"), exact, size),
    }
    for draw in draws.values():
        draw(*pages[0])  # compiles
    # Interleaved, so that whatever else the machine does falls on all of them.
    each: dict[str, FloatArray] = {name: np.zeros((repeats, len(pages))) for name in draws}
    for i in range(repeats):
        for name, draw in draws.items():
            for k, page in enumerate(pages):
                start = time.perf_counter()
                draw(*page)
                each[name][i, k] = (time.perf_counter() - start) * 1e3
    ms = {name: one.mean(axis=1) for name, one in each.items()}
    minimum = _pixel_edges(pages) / len(pages) * multiply_add_ms
    polygons = sum(len(page) for page, _ in pages) / len(pages)
    extra = {"data": what, "images": len(pages), "polygons_per_image": round(polygons, 1)}
    plain = "the plain numpy and pyclipper implementation of the published algorithm, same polygons, same run"
    results = []
    for style in ("exact", "official"):
        results += [
            _entry(f"maps/{style}_vs_reference{suffix}", ms["plain"] / ms[style], "times faster", plain, extra),
            _entry(
                f"maps/{style}_ms{suffix}",
                ms[style],
                "ms per image",
                "plain",
                extra | {"plain_ms": _mid(ms["plain"]), "times": distribution(each[style].ravel().tolist())},
            ),
            _entry(f"maps/{style}_us_per_polygon{suffix}", ms[style] * 1e3 / polygons, "us", "ms per image", extra),
        ]
    counted = "one multiply and add for every pixel of every window and edge, as fast as a row in cache allows"
    results.append(
        _entry(f"maps/exact_share_of_minimum{suffix}", minimum / ms["exact"], "share of 1", counted, extra)
        | {"minimum_ms": minimum, "empty_canvas_ms": _mid(ms["empty"])}
    )
    return results


def _entry(name: str, values: FloatArray, unit: str, reference: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The median of the repeats, and the distance between their quartiles as spread."""
    low, high = np.percentile(values, [25, 75])
    return {
        "name": name,
        "value": _mid(values),
        "unit": unit,
        "reference": reference,
        "spread": float(high - low),
        **extra,
    }


def _mid(values: FloatArray) -> float:
    return float(np.median(values))


def pages_of(source: Path | None, longest: int) -> tuple[list[Page], str]:
    """Outlines on canvases, and where they are from."""
    if source is None:
        return [generated(longest, seed) for seed in range(PAGES)], f"generated receipts, 53 lines, {longest} px"
    pages = canonical_pages(source, longest, PAGES)
    return pages, f"{len(pages)} pictures of {named(source)}, longest side {longest}"


def generated(longest: int, seed: int) -> Page:
    """53 lines of the sizes that receipts have: 9 to 13 px high and 20 to 300 px long at longest side 640."""
    random = np.random.default_rng(seed)
    scale = longest / 640
    lines = []
    for row in range(53):
        height, width = random.uniform(9, 13) * scale, random.uniform(20, 300) * scale
        x, y, lean = random.uniform(10, 60) * scale, (10 + 11.8 * row) * scale, random.normal(0, 0.004) * width
        lines.append([(x, y), (x + width, y + lean), (x + width, y + lean + height), (x, y + height)])
    return PolygonSet.of(lines, frame="canonical"), (longest, longest)


def _pixel_edges(pages: list[Page]) -> int:
    """Pixels of each polygon's window, the bounds and D around them, times its edges."""
    total = 0
    for polygons, size in pages:
        reach = draw_maps(polygons, MapSpec(), size).distances[:, None]
        low = np.floor(np.clip(polygons.bounds()[:, :2] - reach, 0, (size[1], size[0])))
        high = np.ceil(np.clip(polygons.bounds()[:, 2:] + reach, 0, (size[1], size[0])))
        total += int(((high - low).prod(axis=1) * polygons.counts()).sum())
    return total


@compiled
def _multiply_add(row: FloatArray, factor: float, rounds: int) -> None:
    for r in range(rounds):
        term = float(r)
        for i in range(len(row)):
            row[i] = row[i] * factor + term


def _multiply_add_ms(length: int = 1024, rounds: int = 20_000) -> float:
    """Milliseconds of one multiply and add, at the best of five runs over a row that stays in the cache."""
    row = np.ones(length)
    _multiply_add(row, 0.5, 1)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        _multiply_add(row, 0.5, rounds)
        best = min(best, time.perf_counter() - start)
    return float(best) * 1e3 / (length * rounds)
