"""Every step that a build takes on the disk, broken in every way, one at a time; then the same build again."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocrmaps.store.places import posix as disk
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import World, make_world
from tests.torture.processes import CRASHED, forked

FAULTS = ("crash", "eio", "enospc", "short", "torn")
"""`short` takes one byte of a write and goes on; `torn` takes one byte and then the process dies."""


@dataclass
class Fault:
    """A seam that counts steps and strikes at one of them."""

    strike: int = -1
    kind: str = ""
    steps: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, step: str, path: Path) -> int | None:
        with self._lock:
            number = len(self.steps)
            self.steps.append((step, path.name))
        if self.kind == "torn" and number == self.strike + 1:
            os._exit(CRASHED)
        if number != self.strike:
            return None
        if self.kind == "crash":
            os._exit(CRASHED)
        if self.kind in ("short", "torn"):
            return 1 if step in ("write", "append") else None
        code = errno.EIO if self.kind == "eio" else errno.ENOSPC
        raise OSError(code, os.strerror(code))


def small_world(root: Path) -> World:
    """Three pictures in two shards: few enough steps to break each."""
    return make_world(root, samples=3, rows_per_shard=1)


def count_steps(root: Path) -> list[tuple[str, str]]:
    """The steps of one undisturbed build."""
    world = small_world(root)
    seam = Fault()
    disk.between = seam
    try:
        world.build()
    finally:
        disk.between = None
    return seam.steps


def break_one(world: World, number: int, kind: str, expected: str, log: Path) -> str | None:
    """Build with one fault, look, build again; None if all is as promised, else what is not."""
    shutil.rmtree(world.cache, ignore_errors=True)

    def build() -> None:
        disk.between = Fault(strike=number, kind=kind)
        world.build()

    ended = forked(build, log=log)
    visible = world.store.versions()
    if visible and not verify(world.folder).ok:
        return f"a version was visible and damaged ({ended})"
    if not visible:
        manifest = world.build()
        if manifest.root_digest != expected:
            return f"root digest {manifest.root_digest} after resuming, expected {expected}"
    report = verify(world.folder)
    return None if report.ok and report.root_digest == expected else f"not sound after resuming: {report.problems}"


def break_all(
    root: Path, *, stride: int = 1, kinds: tuple[str, ...] = FAULTS, tell: Callable[[str], None] = print
) -> tuple[int, list[str]]:
    """Break every `stride`-th step in every way; returns how many were tried and what went wrong."""
    steps = count_steps(root / "count")
    world = small_world(root / "world")
    expected = world.build().root_digest
    tried, wrong = 0, []
    for number, kind in _chosen(steps, stride, kinds):
        fault = break_one(world, number, kind, expected, root / "log.txt")
        tried += 1
        if fault is not None:
            wrong.append(f"{kind} at step {number} {steps[number]}: {fault}")
            tell(wrong[-1])
    return tried, wrong


def _chosen(steps: list[tuple[str, str]], stride: int, kinds: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    count = 0
    for number, (step, _) in enumerate(steps):
        for kind in kinds:
            if kind in ("short", "torn") and step not in ("write", "append"):
                continue
            if count % stride == 0:
                yield number, kind
            count += 1
