"""Work on a version grows with its rows and no faster, where it grows at all; counted, not timed."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocrmaps.loader import MapLoader
from ocrmaps.pipelines.bench.cases import scale
from ocrmaps.pipelines.bench.cases.simulated import simulate
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import diff
from ocrmaps.store.upkeep.removal import plan_gc
from ocrmaps.store.upkeep.status import cache_status
from ocrmaps.store.upkeep.verify import verify

ROWS = (600, 12_000)
PER_SHARD = 100
SLACK = (ROWS[1] - ROWS[0]) // 16 // 2
"""Calls: fewer than one for each batch that is more."""


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_looked_for_in_what_is_made_here() -> None:
    """The benchmark collects it before steps; what earlier tests keep takes longer to look through than all steps."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def caches(on_disk: Path) -> dict[int, Path]:
    """By number of rows: a cache with two versions that differ in three rows."""
    made = {rows: on_disk / f"{rows}" for rows in ROWS}
    for rows, cache in made.items():
        for changed in (0, 3):
            simulate(cache, rows, rows_per_shard=PER_SHARD, changed=changed)
    return made


def versions(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "scale").iterdir() if (path / "manifest.json").exists())


def counted(work: Callable[[], Any]) -> Counter[str]:
    """Calls of functions in Python and C on the way, and files opened."""
    seen: Counter[str] = Counter()

    def look(frame: Any, event: str, what: Any) -> None:
        if event in ("call", "c_call"):
            seen["calls"] += 1
        if event == "c_call" and what.__name__ in ("open", "scandir", "fdopen"):
            seen["opened"] += 1

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen


def begin_an_epoch(cache: Path) -> None:
    with MapLoader(versions(cache)[0], split="train", batch_size=16, shuffle=True, threads=1) as loader:
        next(iter(loader))


def open_and_close(cache: Path) -> None:
    Reader(versions(cache)[0]).close()


def compare(cache: Path) -> None:
    diff(*versions(cache))


def test_what_is_simulated_is_a_version_like_any_other(caches: dict[int, Path]):
    for folder in versions(caches[ROWS[0]]):
        report = verify(folder)
        assert report.ok, report.problems
        assert report.rows == ROWS[0]


@pytest.mark.parametrize("work", [open_and_close, begin_an_epoch, compare])
def test_rows_cost_no_python_calls_of_their_own(caches: dict[int, Path], work: Callable[[Path], None]):
    for cache in caches.values():
        work(cache)  # imports and remembers
    few, many = (counted(lambda cache=caches[rows]: work(cache)) for rows in ROWS)
    assert many["calls"] <= few["calls"] + SLACK
    assert many["opened"] == few["opened"]


@pytest.mark.parametrize(
    "work",
    [cache_status, plan_gc, lambda cache: verify(versions(cache)[0], level="quick")],
    ids=["status", "gc", "verify"],
)
def test_looking_at_files_costs_each_file_alike(caches: dict[int, Path], work: Callable[[Path], object]):
    """Beside what does not grow: so many times the shards are at most so many times the calls."""
    for cache in caches.values():
        work(cache)
    few, many = (counted(lambda cache=caches[rows]: work(cache)) for rows in ROWS)
    assert many["calls"] <= ROWS[1] / ROWS[0] * few["calls"]
    assert many["opened"] == few["opened"]


def test_a_loader_holds_little_beside_its_tables(caches: dict[int, Path]):
    """The number of each row, its turn in the epoch, and the row in each place of each shard: 20 bytes."""
    few, many = (scale._bytes_a_row(versions(caches[rows])[0]) * rows for rows in ROWS)
    assert (many - few) / (ROWS[1] - ROWS[0]) <= 24


def test_the_benchmark_says_how_each_step_grows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scale, "QUICK", (40, 80))
    results = {result["name"]: result for result in scale.bench_scale(1, quick=True)}
    assert {f"scale/{step}" for step in scale.STEPS} < set(results)
    for step in scale.STEPS:
        result = results[f"scale/{step}"]
        assert set(result["by_rows"]) == {"40", "80"} and result["value"] > 0 and "growth" in result
    assert results["scale/loader_bytes_a_row"]["unit"] == "bytes"
    assert results["scale/small_shards_first_epoch"]["value"] > 0
