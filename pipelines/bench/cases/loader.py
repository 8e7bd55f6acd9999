"""How close the loader is to what the machine can do, and how far ahead of the usual ways, on one core.

All cases read the same 640x640 rows of one store from the page cache, in turns, pinned to one core. Times are seconds
of processor time, worker processes included: on a core of one's own they are seconds of the clock (given beside them),
and what else a busy machine does is not counted.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ocrmaps.errors import RunError
from ocrmaps.loader import MapLoader
from ocrmaps.machine import threads_within
from ocrmaps.pipelines.bench.cases.rows import BATCH, SAMPLES, cases_of, empty_rows, loader_of, recipe_of
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import distribution, figure, ratio
from ocrmaps.pipelines.build import build
from ocrmaps.scratch import scratch
from ocrmaps.store.reader import Reader


@dataclass(slots=True)
class Times:
    """Seconds for one sample, one entry for each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def bench_loader(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """The loader's ratios, what its time is spent on, and the machine's ceilings. Needs 0.3 GB of temporary space.

    `quick` reads 32 rows instead of 128.
    """
    with scratch("bench") as room:
        asked, what = material(source, room / "source", 32 if quick else SAMPLES)
        folder = build(recipe_of(asked), room / "cache").folder
        with (
            one_core(),
            Reader(folder) as reader,
            loader_of(folder, True) as loader,
            loader_of(folder, False) as unchecked,
            ExitStack() as closing,
        ):
            cases = cases_of(reader, loader, unchecked, room, asked, closing)
            times: dict[str, Times] = {name: Times() for name in cases}
            for case, _ in cases.values():
                case()  # opens files, fills the page cache, compiles
            for _ in range(max(1, repeats)):
                for name, (case, samples) in cases.items():
                    start, clock = cpu_seconds(), time.perf_counter()
                    case()
                    times[name].cpu.append((cpu_seconds() - start) / samples)
                    times[name].wall.append((time.perf_counter() - clock) / samples)
            return [*_figures(times, reader, room, what), *_ceilings(times, reader, what), _batches(loader, repeats)]


def _figures(times: dict[str, Times], reader: Reader, room: Path, what: str) -> list[dict[str, Any]]:
    stored = int(reader.rows["chunk_nbytes"].sum())
    uncompressed = sum(path.stat().st_size for path in (room / "raw").iterdir())
    extra = {
        "data": f"{len(reader)} rows of 640x640, {what}",
        "samples_per_second": round(1 / statistics.median(times["loader"].cpu), 1),
        "milliseconds": round(statistics.median(times["loader"].cpu) * 1e3, 3),
    }
    mine = times["loader"]
    shares = {
        "decode": statistics.median(b / m for b, m in zip(times["bare"].cpu, mine.cpu, strict=True)),
        "read": statistics.median(r / m for r, m in zip(times["read"].cpu, mine.cpu, strict=True)),
        "digest": statistics.median(d / m for d, m in zip(times["digest"].cpu, mine.cpu, strict=True)),
    }
    shares["rest"] = max(0.0, 1 - sum(shares.values()))
    most = max(shares, key=lambda name: shares[name])
    return [
        _ratio("loader/vs_decode", times["bare"], mine, "the bare decode loop, same chunks, from memory to batches")
        | extra
        | {"bottleneck": most, "shares": {name: round(share, 3) for name, share in shares.items()}},
        _ratio("loader/vs_dataloader_zarr", times["zarr_worker"], mine, "DataLoader, 1 worker, plain zarr-python")
        | extra,
        _ratio("loader/vs_dataloader_zarr_alone", times["zarr_alone"], mine, "the same DataLoader without workers")
        | extra,
        _ratio("loader/vs_on_the_fly", times["on_the_fly"], mine, "decode, resize, draw official maps plainly") | extra,
        _ratio("loader/vs_memmap", times["memmap"], mine, "memory-mapped uncompressed .npy into the same batches")
        | extra
        | {"bytes_ratio": round(uncompressed / stored, 2)},
        {
            "name": "loader/bytes_ratio",
            "value": uncompressed / stored,
            "unit": "x",
            "reference": "how many times fewer bytes than the uncompressed .npy files",
            "spread": 0.0,
        },
        _ratio("loader/without_digests", mine, times["unchecked"], "the loader as it is, which checks every row"),
        {
            "name": f"loader/{most}_share",
            "value": shares[most],
            "unit": "share",
            "reference": f"the loader's time; {most} is the bottleneck",
            "spread": 0.0,
        },
    ]


def _ceilings(times: dict[str, Times], reader: Reader, what: str) -> list[dict[str, Any]]:
    """Bytes of tensors each second that one core could copy or unpack, and packed bytes that it could read."""
    unpacked = sum(array.nbytes for array in empty_rows(reader, 1).values())
    stored = int(reader.rows["chunk_nbytes"].sum()) / len(reader)
    disk, nbytes = cold_read(reader)
    return [
        _rate("loader/memcpy_gb_s", unpacked, times["memcpy"].cpu, "copying rows from batch to batch"),
        _rate("loader/decode_gb_s", unpacked, times["bare"].cpu, "bytes out of the bare decode loop"),
        _rate("loader/cached_read_gb_s", stored, times["read"].cpu, "packed bytes out of the page cache"),
        _rate("loader/disk_gb_s", nbytes, [disk], "packed bytes by the clock, after asking the system to forget them"),
    ]


def _batches(loader: MapLoader, repeats: int) -> dict[str, Any]:
    """What a reader that does nothing else waits for each batch."""
    middles, every = [], []
    for _ in range(max(1, repeats)):
        times, start = [], time.perf_counter()
        for _ in loader:
            times.append((time.perf_counter() - start) * 1e3)
            start = time.perf_counter()
        middles.append(statistics.median(times))
        every += times
    what = f"reading {BATCH} rows by the clock, one thread, one core"
    return figure("loader/batch_ms", middles, "ms", what, times=distribution(every))


def _ratio(name: str, reference: Times, mine: Times, what: str) -> dict[str, Any]:
    by_clock = [r / m for r, m in zip(reference.wall, mine.wall, strict=True)]
    return ratio(
        name, reference.cpu, mine.cpu, what, by_the_clock=round(statistics.median(by_clock), 3),
        reference_milliseconds=round(statistics.median(reference.cpu) * 1e3, 3),
    )  # fmt: skip


def cpu_seconds() -> float:
    """Processor time of this process and of the worker processes that it keeps."""
    others = (process.cpu_times() for process in psutil.Process().children(recursive=True))
    return time.process_time() + sum(t.user + t.system for t in others)


def _rate(name: str, nbytes: float, seconds: Sequence[float], what: str) -> dict[str, Any]:
    rates = [nbytes / s / 1e9 for s in seconds]
    return {
        "name": name,
        "value": statistics.median(rates),
        "unit": "GB/s",
        "reference": what,
        "spread": max(rates) - min(rates),
    }


def forget(reader: Reader) -> list[Path]:
    """Take the shard files of a version out of the page cache; those files."""
    paths = sorted(reader.folder.glob("canvas-*/*/c.*"))
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    return paths


def cold_read(reader: Reader) -> tuple[float, int]:
    """Seconds and bytes of reading the shards from front to back once they are out of the page cache."""
    paths, scratch = forget(reader), bytearray(8 << 20)
    start, nbytes = time.perf_counter(), 0
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        while found := os.readv(handle, [scratch]):
            nbytes += found
        os.close(handle)
    return time.perf_counter() - start, nbytes


@contextmanager
def one_core() -> Iterator[None]:
    """This thread and those it starts on one core; OpenCV and torch with one thread."""
    if not hasattr(os, "sched_setaffinity"):
        raise RunError("this benchmark needs a system that can pin a process to one core, such as Linux")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        with threads_within(1):
            yield
    finally:
        os.sched_setaffinity(0, allowed)
