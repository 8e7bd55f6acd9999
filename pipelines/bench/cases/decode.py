"""How much reduced JPEG decoding saves on a large scan, and how the decoder compares with OpenCV's."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ocrmaps.canonical import CanonicalSpec, needed_resolution, plan, render
from ocrmaps.pictures import decode
from ocrmaps.pipelines.bench.times import ratio

SCAN = (7016, 4961)
"""(height, width) of an A4 page at 600 dpi."""


def bench_decode(repeats: int) -> list[dict[str, Any]]:
    """From JPEG bytes to the canonical picture of longest side 1024; ratios of medians in this run."""
    data = _scan()
    full = CanonicalSpec.longest(1024, decode="full")
    reduced = CanonicalSpec.longest(1024, decode="reduced")
    transform = plan(SCAN, 1, full)

    def ours(spec: CanonicalSpec) -> None:
        at_least = needed_resolution(transform) if spec.decode == "reduced" else None
        render(decode(data, name="scan", at_least=at_least), transform, spec)

    def opencv() -> None:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert pixels is not None  # it was encoded a moment ago
        cv2.resize(pixels, transform.resized[::-1], interpolation=cv2.INTER_AREA)

    cases = {"full": lambda: ours(full), "reduced": lambda: ours(reduced), "opencv": opencv}
    times = _alternate(cases, repeats)
    return [
        _ratio("decode/reduced_vs_full", times["full"], times["reduced"], "full decoding of the same 4961x7016 scan"),
        _ratio("decode/full_vs_opencv", times["opencv"], times["full"], "OpenCV decode + area resize, all its threads")
        | {"mpx": SCAN[0] * SCAN[1] / 1e6},
    ]


def _alternate(cases: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds per case, the cases taking turns so that a busy machine slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(repeats):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            times[name].append(time.perf_counter() - start)
    return times


def _ratio(name: str, reference: list[float], mine: list[float], what: str) -> dict[str, Any]:
    ms = [round(statistics.median(seconds) * 1e3, 2) for seconds in (mine, reference)]
    return ratio(name, reference, mine, what, milliseconds=ms[0], reference_milliseconds=ms[1])


def _scan() -> bytes:
    """A page-like JPEG: text-sized dark strokes and noise, so that decoding costs what it costs on a real scan."""
    rng = np.random.default_rng(0)
    height, width = SCAN
    page = np.full((height, width), 235, dtype=np.uint8)
    for y in range(200, height - 200, 90):
        for x in range(300, width - 300, 55):
            page[y : y + int(rng.integers(20, 60)), x : x + int(rng.integers(5, 40))] = rng.integers(20, 90)
    grain = rng.integers(-6, 7, (height, width), dtype=np.int16)
    gray = np.clip(page.astype(np.int16) + grain, 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(gray).convert("RGB").save(data, "JPEG", quality=85)
    return data.getvalue()
