"""What building costs: against a bare decode-and-resize loop, with a second worker, and when little or nothing changed.

Figures are ratios of the same run on the same cores and the same files. In-process, imports excluded; the first build
compiles and is not counted.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.pictures import decode, read_header
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import ratio
from ocrmaps.pipelines.build import BuildReport, build
from ocrmaps.recipe import Recipe, SourceRecipe, default_recipe
from ocrmaps.scratch import scratch
from ocrmaps.store.writing.sources import ask

WORKERS = 2
Timed = dict[str, list[float]]


def bench_build(repeats: int = 3, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """All figures of a build; `quick` with 24 pictures instead of all. Needs about a gigabyte of temporary space."""
    with scratch("bench") as room:
        asked, what = material(source, room / "source", 24 if quick else None)
        recipe = default_recipe([asked], name="bench")
        paths = [row.path for row in ask(recipe, room / "look", threads=WORKERS).rows]
        _compile(recipe, room / "warm")
        times: Timed = {}
        built = None
        for number in range(repeats):
            # The cases take turns, so that a busy machine slows all of them.
            _time(times, "bare one", lambda: _decode_and_resize(paths, recipe.canonical, threads=1))
            _time(times, "bare", lambda: _decode_and_resize(paths, recipe.canonical))
            one, two = room / f"one-{number}", room / f"two-{number}"
            _time(times, "one", lambda one=one: build(recipe, one, workers=1))  # type: ignore[misc]
            built = _time(times, "two", lambda two=two: build(recipe, two, workers=WORKERS))  # type: ignore[misc]
            _time(times, "unchanged", lambda two=two: build(recipe, two, workers=WORKERS))  # type: ignore[misc]
            _scribble(_every(paths, 100, number))
            again = _time(times, "changed", lambda two=two: build(recipe, two, workers=WORKERS))  # type: ignore[misc]
            if again.state != "built" or again.counts["reused"] < 0.9 * len(paths) - 1:
                raise RuntimeError(f"expected a build that reuses nearly everything, found {again.as_dict()}")
            shutil.rmtree(one)
            shutil.rmtree(two)
        assert built is not None  # there is at least one repeat
        what = f"{len(paths)} pictures of {what}"
        plain = f"decoding and resizing {what}, {WORKERS} threads"
        bare = f"second thread, with nothing in its way: decoding and resizing {what}"
        scaling = [one / two for one, two in zip(times["bare one"], times["bare"], strict=True)]
        share = built.counts["bytes"] / built.counts["raw_bytes"]
        mpx = sum(math.prod(read_header(path).size) for path in paths) / 1e6
        return [
            _ratio("build/vs_decode_resize", times["bare"], times["two"], plain) | {"mpx": mpx, "workers": WORKERS},
            _ratio("build/two_workers", times["one"], times["two"], f"one worker, {what}")
            | {"bare_loop": statistics.median(scaling), "bare_loop_spread": max(scaling) - min(scaling)},
            _ratio("build/two_threads_bare", times["bare one"], times["bare"], f"what this machine gives a {bare}"),
            _ratio("build/unchanged", times["unchanged"], times["two"], f"the full build, {what}"),
            _ratio("build/one_percent", times["changed"], times["two"], f"the full build, {what}"),
            {
                "name": "build/bytes_share",
                "value": share,
                "unit": "share",
                "reference": f"raw uint8 bytes (6 a pixel), {what}",
                "spread": 0.0,
            },
        ]


def _compile(recipe: Recipe, cache: Path) -> None:
    """Everything that happens once in a process: imports, compiled loops, Dask's first graph."""
    from ocrmaps.annotations.synth.receipts import SynthSpec, save

    source = save(SynthSpec(num=4), cache.with_name("tiny")).source
    asked = SourceRecipe(path=source.annotations, pictures=source.pictures, format=source.format)
    build(default_recipe([asked], name="warm"), cache, workers=WORKERS)


def _decode_and_resize(paths: Sequence[Path], spec: CanonicalSpec, threads: int = WORKERS) -> None:
    """The least that any preparation does: read, decode, resize with the same filter."""

    def one(path: Path) -> None:
        picture = decode(path)
        transform = plan(picture.header.size, picture.header.orientation, spec)
        height, width = transform.resized
        picture.image.resize((width, height), Image.Resampling.BILINEAR)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, paths))


def _scribble(paths: Sequence[Path]) -> None:
    """Change pictures as a person with a pen would."""
    for path in paths:
        with Image.open(path) as image:
            changed = image.convert("RGB")
        ImageDraw.Draw(changed).rectangle((5, 5, 60, 30), fill=(200, 30, 30))
        changed.save(path, quality=90)
    time.sleep(0.06)  # until a further change would move the time stamps


def _every(paths: Sequence[Path], percent: int, number: int) -> list[Path]:
    """One in `percent` of the paths, evenly spread, others at each call."""
    step = len(paths) / max(1, round(len(paths) / percent))
    return [paths[int(i * step + 7 * number) % len(paths)] for i in range(round(len(paths) / step))]


def _time(times: Timed, name: str, case: Callable[[], BuildReport | None]) -> Any:
    os.sync()  # what an earlier case left to write is not this one's cost
    start = time.perf_counter()
    result = case()
    times.setdefault(name, []).append(time.perf_counter() - start)
    return result


def _ratio(name: str, above: Sequence[float], below: Sequence[float], reference: str) -> dict[str, Any]:
    seconds = {"above": statistics.median(above), "below": statistics.median(below)}
    return ratio(name, above, below, reference, unit="ratio", seconds=seconds)
