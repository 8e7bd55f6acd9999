"""What a build's client spends on a task of a cluster: `python -m tests.torture.crowd [--tasks N] [--record FILE]`.

A scheduler and two workers are processes of their own on loopback. The client is a real build's: it gives out the
shards of a plan, takes receipts, looks for the files and keeps the journal. Only drawing is left out: a worker gives
four names to one file that exists and returns a receipt of the usual length. Counted are CPU seconds of the client's
process, its memory at equal steps, and the longest time without a receipt.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
from distributed import Client

from ocrmaps.canonical import CanonicalSpec, plan
from ocrmaps.geometry import PolygonSet
from ocrmaps.machine import machine
from ocrmaps.pipelines import executors
from ocrmaps.recipe import ARRAYS, Layout, Recipe, SourceRecipe
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.places.cache import Store
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.provenance import identity
from ocrmaps.store.writing.tasks import ShardTask

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
"""Bytes of each file that is not drawn."""
STEPS = 10


def not_drawn(task: ShardTask, stop: Any = None, team: Any = None) -> dict[str, Any]:
    """A receipt as of 50 polygons a row, with its files, for next to no work."""
    tree = Path(task.tree)
    for array in ARRAYS:
        path = tree / task.key.path(array)
        path.unlink(missing_ok=True)
        os.link(Path(task.temporary).parent / "file", path)
    places, digests = [123_456, 98_765] * len(ARRAYS), "0123456789abcdef" * len(ARRAYS)
    rows = [
        {"slot": row.slot, "how": "drawn", "outcomes": bytes(len(row.polygons)).hex(), "places": places,
         "digests": digests}
        for row in task.rows
    ]  # fmt: skip
    files = {array: [SIZE, "0123456789abcdef" * 4] for array in ARRAYS}
    return {
        "shard": str(task.key), "asked": task.asked, "files": files, "rows": rows, "seconds": 0.0,
        "drawn_by": identity(),
    }  # fmt: skip


def dask_setup(worker: Any) -> None:
    """What `dask worker --preload` calls."""
    from ocrmaps.pipelines import crew

    crew.build_shard = not_drawn  # type: ignore[assignment]


def crowd(root: Path, tasks: int, rows: int) -> SimpleNamespace:
    """A plan of so many shards; all have the same rows, so that the plan itself takes no memory."""
    spec = CanonicalSpec(canvases=((64, 64),), scale="longest", side=64)
    quads = [[(4.0, 4.0 + i), (34.0, 4.0 + i), (34.0, 14.0 + i), (4.0, 14.0 + i)] for i in range(50)]
    picture = root / "picture.png"
    picture.write_bytes(b"x")
    polygons = PolygonSet.of(quads, frame="upright", texts=["text"] * 50, ignore=[False] * 50)
    shard = [
        SimpleNamespace(
            position=slot, name=f"train/{slot}", path=picture, picture=SimpleNamespace(sha=bytes(32)),
            fingerprint=np.full(32, slot, np.uint8).tobytes(), sample=SimpleNamespace(id=str(slot), polygons=polygons),
            transform=plan((64, 64), 1, spec),
        )
        for slot in range(rows)
    ]  # fmt: skip
    recipe = Recipe(
        name="crowd", sources=(SourceRecipe(path=root),), canonical=spec, layout=Layout(rows_per_shard=rows)
    )
    shards = {ShardKey((64, 64), i): shard for i in range(tasks)}
    return SimpleNamespace(recipe=recipe, canvases=((64, 64),), shards=shards, version="0" * 16)


@contextmanager
def loopback(root: Path, workers: int = 2) -> Iterator[str]:
    """A scheduler and workers in processes of their own; yields its address."""
    file = root / "scheduler.json"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-W", "ignore", "-m", *command], cwd=root, env=env, stderr=log)

    with (root / "log").open("wb") as log:
        started = [start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                         "--scheduler-file", str(file))]  # fmt: skip
        try:
            worker = (
                "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny",
                "--no-dashboard", "--local-directory", str(root), "--host", "127.0.0.1", "--preload", __file__,
            )  # fmt: skip
            started += [start(*worker) for _ in range(workers)]
            until = time.monotonic() + 120
            while not file.exists():
                if time.monotonic() > until or started[0].poll() is not None:
                    raise AssertionError((root / "log").read_text())
                time.sleep(0.05)
            time.sleep(0.2)
            address = json.loads(file.read_text())["address"]
            with Client(address) as client:
                client.wait_for_workers(workers)
            yield address
        finally:
            for process in started:
                process.kill()
                process.wait()


def measure(root: Path, tasks: int, rows: int, run: Callable[..., None]) -> dict[str, Any]:
    """Seconds of this process a task, its memory on the way and the longest silence."""
    shutil.rmtree(root / "cache", ignore_errors=True)
    asked = crowd(root, tasks, rows)
    me = psutil.Process()
    marks: list[int] = []
    longest, last = 0.0, time.monotonic()
    with Building(Store(root / "cache", "crowd"), asked) as building:  # type: ignore[arg-type]
        (building.store.staging(asked.version) / "file").write_bytes(b"x" * SIZE)

        def progress(what: str, done: int, total: int) -> None:
            nonlocal longest, last
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            if done * STEPS // total > len(marks):
                marks.append(round(me.memory_info().rss / 1e6))

        gc.collect()
        before, wall, cpu = me.memory_info().rss, time.perf_counter(), time.process_time()
        run(building, progress)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        assert len(building.receipts) == tasks
    return {
        "tasks": tasks, "rows_per_task": rows, "cpu_ms_a_task": round(1e3 * cpu / tasks, 3),
        "wall_ms_a_task": round(1e3 * wall / tasks, 3),
        "longest_silence_s": round(longest, 2),
        "memory_mb_before": round(before / 1e6), "memory_mb_by_tenths": marks,
    }  # fmt: skip


def on_cluster(root: Path, tasks: int, rows: int) -> dict[str, Any]:
    with loopback(root) as address:
        return measure(
            root, tasks, rows,
            lambda building, progress: executors.run_tasks(
                building, workers=2, scheduler=address, wait_workers=120, progress=progress, announce=print
            ),
        )  # fmt: skip


def on_threads(root: Path, tasks: int, rows: int) -> dict[str, Any]:
    real, executors.build_shard = executors.build_shard, not_drawn  # type: ignore[assignment]
    try:
        return measure(
            root, tasks, rows, lambda building, progress: executors.run_tasks(building, workers=2, progress=progress)
        )
    finally:
        executors.build_shard = real  # type: ignore[assignment]


def alone(root: Path, tasks: int, rows: int) -> dict[str, Any]:
    """The floor: the same receipts recorded one window after the other, with nothing between client and worker."""

    def run(building: Building, progress: Callable[..., None]) -> None:
        waiting = building.tasks()
        for i in range(0, len(waiting), 32):
            building.record(*(not_drawn(task) for task in waiting[i : i + 32]))

    return measure(root, tasks, rows, run)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--only", choices=["cluster", "threads", "alone"], default=None)
    parser.add_argument("--record", type=Path, default=None, help="write the figures here as JSON")
    chosen = parser.parse_args(arguments)
    memory = Path("/dev/shm")
    room = Path(tempfile.mkdtemp(prefix="ocrmaps-crowd-", dir=memory if memory.is_dir() else None))
    cases = {"alone": alone, "threads": on_threads, "cluster": on_cluster}
    record: dict[str, Any] = {}
    try:
        for name, case in cases.items():
            if chosen.only in (None, name):
                record[name] = {**case(room, chosen.tasks, chosen.rows), "load": round(os.getloadavg()[0], 1)}
                print(name, json.dumps(record[name]), flush=True)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    if chosen.record is not None:
        chosen.record.write_text(json.dumps({**record, "machine": machine()}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
