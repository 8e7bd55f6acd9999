"""Versions go to an S3 server, come back and are read row by row, while a proxy does all that networks do."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.errors import OcrmapsError
from ocrmaps.store.far import version as far_version
from ocrmaps.store.fast import FastReader
from ocrmaps.store.format.layout import list_files
from ocrmaps.store.places import objects
from ocrmaps.store.places.cache import reading_folder
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.journal import dead_pushes, remove_push
from ocrmaps.store.upkeep.exchange.pull import pull
from ocrmaps.store.upkeep.exchange.push import push
from ocrmaps.store.upkeep.verify import verify
from tests.cloud.server import BUCKET, Proxy, environment, missing, s3_server, sometimes
from tests.store.world import World, make_world

_PUSHER = """
import sys
from pathlib import Path
from ocrmaps.store.places import objects
from ocrmaps.store.upkeep.exchange.push import push
objects.FIRST_PAUSE, objects.LONGEST_PAUSE = 0.001, 0.02
push(Path(sys.argv[1]), objects.ObjectPlace(sys.argv[2]))
"""


class _Killed(Exception):
    pass


def through_faults(root: Path, faults: int) -> dict[str, Any]:
    """Rounds of push, pull and reading until so many faults were done; before every other push one dies."""
    reason = missing()
    if reason:
        return {"skipped": reason}
    world = make_world(root / "w", samples=12, rows_per_shard=2)
    world.build()
    before = dict(os.environ)
    pauses = objects.FIRST_PAUSE, objects.LONGEST_PAUSE
    objects.FIRST_PAUSE, objects.LONGEST_PAUSE = 0.001, 0.02
    counts: Counter[str] = Counter()
    try:
        with s3_server() as port:
            proxy = Proxy(port)
            os.environ |= {**environment(proxy.port), "OCRMAPS_CACHE": str(root / "near")}
            try:
                while sum(proxy.faults.values()) < faults:
                    _round(world, root, proxy, counts["rounds"], counts)
                    counts["rounds"] += 1
                kinds, requests = dict(sorted(proxy.faults.items())), dict(sorted(proxy.requests.items()))
            finally:
                proxy.close()
    finally:
        objects.FIRST_PAUSE, objects.LONGEST_PAUSE = pauses
        os.environ.clear()
        os.environ.update(before)
    zero = ("wrong", "wrong_reads", "wrong_digests", "left_over", "gave_up")
    return {
        "faults": sum(kinds.values()), "by_kind": kinds, "requests": requests, **dict.fromkeys(zero, 0), **counts,
    }  # fmt: skip


def _round(world: World, root: Path, proxy: Proxy, number: int, counts: Counter[str]) -> None:
    rng = random.Random(number)
    place = ObjectPlace(f"s3://{BUCKET}/round-{number}")
    proxy.plan = sometimes(rng.choice((0.1, 0.25, 0.4)), number)
    try:
        if number % 4 == 3:
            _die(world, place, rng, counts, proxy)
            _removed_or_left(world, place, rng, counts, proxy)
        if number % 4 == 1:
            _kill(world, place, rng, counts, proxy)
            _removed_or_left(world, place, rng, counts, proxy)
        push(world.folder, place)
        back = pull(place, "tiny", root / "back")
        _read(world, place, back.version, counts)
    except OcrmapsError as error:  # ten tries or six looks in a row that all met a fault: said, and nothing wrong
        counts["gave_up"] += 1
        print(f"  round {number} gave up: {error}", flush=True)
        proxy.plan = lambda method, path: None
        push(world.folder, place)
        back = pull(place, "tiny", root / "back")
        _read(world, place, back.version, counts)
    proxy.plan = lambda method, path: None
    folder = root / "back" / "tiny" / back.version
    report = verify(folder)
    with Reader(world.folder) as near:
        counts["wrong_digests"] += not report.ok or report.root_digest != near.root_digest
    for dead in dead_pushes(place, age_hours=0)[0]:  # of a push that died before this version was there
        remove_push(place, dead, age_hours=0)
    here = {path: (world.folder / path).read_bytes() for path in list_files(world.folder)}
    there = {e.key.removeprefix(f"tiny/{back.version}/"): place.get(e.key) for e in place.entries()}
    counts["wrong"] += here != there
    place.delete([e.key for e in place.entries()])
    far_version._opened.clear()
    shutil.rmtree(root / "back")
    shutil.rmtree(root / "near", ignore_errors=True)


def _die(world: World, place: ObjectPlace, rng: random.Random, counts: Counter[str], proxy: Proxy) -> None:
    """A push dies after some objects."""
    real, left = place.put, [rng.randrange(100)]

    def put(key: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise _Killed
        real(key, data)

    place.put = put  # type: ignore[method-assign]
    try:
        push(world.folder, place)
    except _Killed:
        counts["dead_pushes"] += 1
    finally:
        place.put = real  # type: ignore[method-assign]


def _kill(world: World, place: ObjectPlace, rng: random.Random, counts: Counter[str], proxy: Proxy) -> None:
    """A process that pushes gets SIGKILL after some requests."""
    before, wanted = sum(proxy.requests.values()), rng.randrange(1, 120)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _PUSHER, str(world.folder), place.url])
    while process.poll() is None and sum(proxy.requests.values()) - before < wanted:
        time.sleep(0.001)
    process.kill()
    counts["killed_pushes"] += process.wait() == -9
    while proxy.busy:  # what it had sent arrives
        time.sleep(0.001)


def _removed_or_left(world: World, place: ObjectPlace, rng: random.Random, counts: Counter[str], proxy: Proxy) -> None:
    """In half of the cases what a dead push left is removed by its journal, in the other it is there for the next."""
    if rng.random() < 0.5:
        for dead in dead_pushes(place, age_hours=0)[0]:
            remove_push(place, dead, age_hours=0)
        plan, proxy.plan = proxy.plan, lambda method, path: None
        committed = {e.key for e in place.entries()}
        counts["left_over"] += bool(committed) and len(committed) != len(list_files(world.folder))
        proxy.plan = plan


def _read(world: World, place: ObjectPlace, version: str, counts: Counter[str]) -> None:
    folder = reading_folder(place.url) / "tiny" / version
    with Reader(folder) as far, Reader(world.folder) as near:
        fast = FastReader(far)
        ahead = fast.ahead(range(len(near)))
        for row in range(len(near)):
            expected = near.read_row(row)
            out = [np.full_like(array, 255) for array in expected.values()]
            fast.read_into(row, out)
            counts["rows"] += 1
            counts["wrong_reads"] += not all(map(np.array_equal, out, expected.values()))
        if ahead is not None:
            ahead.stop()
        fast.close()
