"""How the work on a version grows with its rows: to open, begin an epoch, look at, compare and clean up.

Versions are simulated, with tiny rows in full tables: what is measured is the work a row costs beside its pixels.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.loader import MapLoader
from ocrmaps.pipelines.bench.cases.loader import cold_read, forget
from ocrmaps.pipelines.bench.cases.simulated import simulate
from ocrmaps.pipelines.bench.times import figure, ratio
from ocrmaps.scratch import scratch
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import diff
from ocrmaps.store.upkeep.removal import plan_gc
from ocrmaps.store.upkeep.status import cache_status
from ocrmaps.store.upkeep.verify import verify

SIZES = (10_000, 100_000, 1_000_000)
QUICK = (100, 1_000)
SMALL_SHARDS = 4
"""Rows of each shard where there are few, beside 256."""
STEPS = {
    "open": "opening the version",
    "loader": "making a MapLoader of all rows",
    "first_batch": "the order of an epoch and its first batch",
    "status": "`cache status`, sources not there",
    "verify_quick": "`verify --level quick`",
    "gc": "planning `cache gc`",
    "diff": "`cache diff` with a version that differs in a hundredth of the rows",
    "diff_fewer": "`cache diff` with a version that lacks a hundredth of the samples",
}


def bench_scale(repeats: int = 3, *, quick: bool = False) -> list[dict[str, Any]]:
    """Milliseconds of processor time by number of rows, with how they grow. Needs 2 GB of temporary space."""
    sizes = QUICK if quick else SIZES
    times: dict[str, dict[int, list[float]]] = {step: {} for step in STEPS}
    memory: dict[int, float] = {}
    for rows in sizes:
        with scratch("bench") as cache, scratch("bench") as elsewhere:
            folder, fewer = simulate(cache, rows), simulate(elsewhere, rows - max(1, rows // 100))
            other = simulate(cache, rows, changed=max(1, rows // 100))
            memory[rows] = _bytes_a_row(folder)
            for _ in range(max(1, repeats)):
                for step, ms in _times(cache, folder, other, fewer).items():
                    times[step].setdefault(rows, []).append(ms)
    results = [_grown(step, times[step], sizes) for step in STEPS]
    most = sizes[-1]
    results.append(
        figure(
            "scale/loader_bytes_a_row",
            [memory[most]],
            "bytes",
            "memory of a MapLoader beside its tables, an epoch begun",
            by_rows={str(rows): round(value, 1) for rows, value in memory.items()},
        )
    )
    results += _small_shards(repeats, 64 if quick else 8192)
    return [*results, _cold_rows(repeats, 64 if quick else 4096)]


def growth(before: float, after: float, times: float) -> float:
    """The power of the number of rows with which a cost grows: 1 is as the rows, 0 not at all.

    >>> growth(2.0, 20.0, 10), growth(2.0, 2.0, 10)
    (1.0, 0.0)
    """
    return round(math.log(after / before) / math.log(times), 6)


def _grown(step: str, times: dict[int, list[float]], sizes: Sequence[int]) -> dict[str, Any]:
    middle = {rows: statistics.median(times[rows]) for rows in sizes}
    return figure(
        f"scale/{step}", times[sizes[-1]], "ms", f"{STEPS[step]}, {sizes[-1]} rows",
        by_rows={str(rows): round(ms, 3) for rows, ms in middle.items()},
        growth=round(growth(middle[sizes[-2]], middle[sizes[-1]], sizes[-1] / sizes[-2]), 2),
    )  # fmt: skip


def _times(cache: Path, folder: Path, other: Path, fewer: Path) -> dict[str, float]:
    found = {
        "open": _ms(lambda: Reader(folder).close()),
        "status": _ms(lambda: cache_status(cache)),
        "verify_quick": _ms(lambda: verify(folder, level="quick")),
        "gc": _ms(lambda: plan_gc(cache)),
        "diff": _ms(lambda: diff(folder, other)),
        "diff_fewer": _ms(lambda: diff(folder, fewer)),
    }
    made: list[MapLoader] = []
    found["loader"] = _ms(lambda: made.append(_loader(folder)))
    with made[0] as loader:
        found["first_batch"] = _ms(lambda: next(iter(loader)))
    return found


def _loader(folder: Path, threads: int = 1) -> MapLoader:
    return MapLoader(folder, split="train", batch_size=16, shuffle=True, threads=threads)


def _ms(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def _bytes_a_row(folder: Path) -> float:
    """What a loader holds beside the columns of its version while an epoch is shown, over the rows."""
    tracemalloc.start()
    try:
        with _loader(folder) as loader:
            shown = iter(loader)
            next(shown)
            held = _settled()
            reader = loader._reader
            assert isinstance(reader, Reader)
            tables = reader.rows.nbytes_held + reader.shards.nbytes_held
            return (held - tables) / len(loader.rows)
    finally:
        tracemalloc.stop()


def _settled(looks: int = 100, still: int = 5) -> int:
    """The memory in use, in whole pages, once it no longer changes: threads that read ahead have paused."""
    seen: list[int] = []
    while len(seen) < looks and not (len(seen) >= still and len(set(seen[-still:])) == 1):
        time.sleep(0.05)
        gc.collect()
        seen.append(tracemalloc.get_traced_memory()[0] // 4096)
    return seen[-1] * 4096


def _small_shards(repeats: int, rows: int) -> list[dict[str, Any]]:
    """What rows cost in shards of four, over what they cost in shards of 256, in the first epoch and in later ones."""
    epochs: dict[tuple[int, str], list[float]] = {}
    with scratch("bench") as cache:
        of = {n: simulate(cache / str(n), rows, rows_per_shard=n, canvas=(256, 160)) for n in (SMALL_SHARDS, 256)}
        for _ in range(max(1, repeats)):
            for n, folder in of.items():
                with _loader(folder) as loader:
                    for which in ("first", "later"):
                        epochs.setdefault((n, which), []).append(_ms(lambda loader=loader: [None for _ in loader]))  # type: ignore[misc]
    return [
        ratio(
            f"scale/small_shards_{which}_epoch", epochs[SMALL_SHARDS, which], epochs[256, which],
            f"rows of 256x160 in shards of {SMALL_SHARDS}, over the same in shards of 256",
        )
        for which in ("first", "later")
    ]  # fmt: skip


def _cold_rows(repeats: int, rows: int) -> dict[str, Any]:
    """How near an epoch in random order comes to the disk, when nothing of it is in memory."""
    disk, epochs = [], []
    with scratch("bench") as cache, Reader(simulate(cache, rows, canvas=(256, 160), packed=False)) as reader:
        for _ in range(max(1, repeats)):
            disk.append(cold_read(reader)[0])
            forget(reader)
            start = time.perf_counter()
            with _loader(reader.folder, threads=2) as loader:
                for _ in loader:
                    pass
            epochs.append(time.perf_counter() - start)
        nbytes = sum(path.stat().st_size for path in forget(reader))
    return ratio(
        "scale/cold_rows_of_disk", disk, epochs,
        "unpacked rows of 256x160 in random order by the clock, page cache emptied, of reading their files in order",
        disk_gb_s=round(nbytes / statistics.median(disk) / 1e9, 3),
    )  # fmt: skip
