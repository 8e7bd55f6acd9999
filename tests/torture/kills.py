"""Builds killed with SIGKILL at random moments, resumed until they end, against an oracle of acknowledged receipts."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ocrmaps.errors import StoreNotFound
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World, make_world
from tests.torture.processes import forked


def kill_clients(root: Path, kills: int, *, seed: int = 0, tell: Callable[[str], None] = print) -> dict[str, int]:
    """Kill building processes until `kills` of them died; counts of what was seen, all faults included."""
    world = make_world(root / "world", samples=9, rows_per_shard=2)
    world.build()  # compiles what a first build compiles
    shutil.rmtree(world.store.folder)
    start = time.perf_counter()
    reference = world.build()
    whole = time.perf_counter() - start
    truth = _rows(world)
    rng = random.Random(seed)
    told = root / "acknowledged.txt"
    seen = {"kills": 0, "builds": 0, "lost_receipts": 0, "wrong_reads": 0, "wrong_digests": 0, "resumed_shards": 0}
    while seen["kills"] < kills:
        shutil.rmtree(world.store.folder, ignore_errors=True)
        told.write_text("")
        while not world.store.versions():
            start = time.perf_counter()
            ended = forked(lambda: _build(world, told), log=root / "log.txt", kill_after=rng.uniform(0.0, 1.2 * whole))
            if ended == 0:
                whole = min(whole, time.perf_counter() - start)  # a busy machine may have made the first one long
            seen["kills"] += ended == -9
            seen["wrong_reads"] += _wrong_reads(world, truth)
            if not world.store.versions():
                lost, resumed = _taken_over(world, told)
                seen["lost_receipts"] += lost
                seen["resumed_shards"] += resumed
        seen["builds"] += 1
        report = verify(world.folder)
        seen["wrong_digests"] += not (report.ok and report.root_digest == reference.root_digest)
        if seen["builds"] % 100 == 0:
            tell(f"  {seen}")
    return seen


def _build(world: World, told: Path) -> None:
    with Building(world.store, world.plan()) as building:
        for task in building.tasks():
            receipt = build_shard(task)
            building.record(receipt)
            # What the world outside has been told can never be taken back.
            handle = os.open(told, os.O_WRONLY | os.O_APPEND)
            os.write(handle, f"{receipt['shard']}\n".encode())
            os.close(handle)
        building.commit(building.assembled(), {})


def _taken_over(world: World, told: Path) -> tuple[int, int]:
    """Acknowledged receipts that the next builder does not take over, and the number of those it does."""
    with Building(world.store, world.plan()) as building:
        building.tasks()
        return len(set(told.read_text().split()) - set(building.receipts)), building.resumed


def _rows(world: World) -> list[dict[str, np.ndarray]]:
    with Reader(world.folder) as reader:
        return [reader.read_row(row) for row in range(len(reader))]


def _wrong_reads(world: World, truth: list[dict[str, np.ndarray]]) -> int:
    try:
        found = _rows(world) if world.store.versions() else truth
    except StoreNotFound:
        return 0
    pairs = zip(found, truth, strict=True)
    return sum(not np.array_equal(a[name], b[name]) for a, b in pairs for name in ARRAYS)
