"""Files of a version damaged in every common way: verify must say so, reads must refuse, nothing may crash."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ocrmaps.errors import StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.layout import list_files
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import World, make_world
from tests.torture.processes import forked

STAMP = 1_700_000_000_000_000_000
"""Time of writing that intact files carry here."""
KINDS = ("flip", "truncate", "zero", "delete", "swap", "rename", "duplicate", "extend")


def mutate_many(root: Path, count: int, *, seed: int = 0, tell: Callable[[str], None] = print) -> dict[str, int]:
    """Damage, verify, read, mend, `count` times, in a process whose death would be noticed."""
    world = make_world(root / "world", samples=4, rows_per_shard=2)
    world.build()
    result = root / "result.txt"
    ended = forked(lambda: result.write_text(_mutate(world, count, seed, tell)), log=root / "log.txt")
    if ended != 0:
        raise AssertionError(f"the mutating process ended with {ended}: {(root / 'log.txt').read_text()[-2000:]}")
    numbers = [int(n) for n in result.read_text().split()]
    return dict(zip(("mutations", "unnoticed", "wrong_reads", "reads_refused"), numbers, strict=True))


def _mutate(world: World, count: int, seed: int, tell: Callable[[str], None]) -> str:
    folder = world.folder
    good = {path: (folder / path).read_bytes() for path in list_files(folder)}
    for path in good:
        (folder / path).chmod(0o644)
    _mend(folder, good, quick=False)
    with Reader(folder) as reader:
        truth = [reader.read_row(row) for row in range(len(reader))]
    rng = random.Random(seed)
    done = unnoticed = wrong = refused = 0
    while done < count:
        path, kind = rng.choice(sorted(good)), rng.choice(KINDS)
        changed = _damage(folder, path, kind, good, rng)
        if changed is None:
            continue
        done += 1
        if verify(folder).ok:
            unnoticed += 1
            tell(f"unnoticed: {kind} {path}")
        bad, no = _reads(folder, truth)
        wrong += bad
        refused += no
        if bad:
            tell(f"wrong read: {kind} {path}")
        _mend(folder, good, quick=done % 100 != 0)
        if done % 5000 == 0:
            tell(f"  {done} mutations, {unnoticed} unnoticed, {wrong} wrong reads")
    return f"{done} {unnoticed} {wrong} {refused}"


def _damage(folder: Path, path: str, kind: str, good: dict[str, bytes], rng: random.Random) -> bytes | None:
    """Damage one file; returns its new content (b"" if gone), or None if the damage would change nothing."""
    data = bytearray(good[path])
    target = folder / path
    if kind == "flip":
        bit = rng.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
    elif kind == "truncate":
        del data[rng.randrange(len(data)) :]
    elif kind == "zero":
        start = rng.randrange(len(data))
        data[start : start + rng.randint(1, 4096)] = bytes(len(data[start : start + 4096]))[: len(data) - start]
        data = data[: len(good[path])].ljust(len(good[path]), b"\0")
    elif kind == "extend":
        data += rng.randbytes(rng.randint(1, 64))
    elif kind == "delete":
        target.unlink()
        return b""
    elif kind in ("swap", "rename"):
        other = rng.choice(sorted(good))
        if good[other] == good[path]:
            return None
        if kind == "rename":
            os.replace(target, folder / other)
            os.utime(folder / other)
            return b""
        os.replace(target, folder / "between")
        os.replace(folder / other, target)
        os.replace(folder / "between", folder / other)
        os.utime(target)
        os.utime(folder / other)
        return good[other]
    elif kind == "duplicate":
        shutil.copyfile(target, target.with_name(f"{target.name}.{rng.randrange(99)}"))
        return good[path]
    if bytes(data) == good[path]:
        return None
    target.write_bytes(data)
    return bytes(data)


def _reads(folder: Path, truth: list[dict[str, np.ndarray]]) -> tuple[int, int]:
    """Strict reads of every row: a row comes out right or is refused; returns (wrong, refused)."""
    wrong = refused = 0
    try:
        reader = Reader(folder)
    except StoreError:
        return 0, len(truth)
    with reader:
        for row, expected in enumerate(truth):
            try:
                found = reader.read_row(row)
            except StoreError:
                refused += 1
            else:
                wrong += any(not np.array_equal(found[name], expected[name]) for name in ARRAYS)
    return wrong, refused


def _mend(folder: Path, good: dict[str, bytes], *, quick: bool) -> None:
    """Bring every file back; quickly by length and time of writing, now and then by every byte."""
    found = list_files(folder)
    for path in found.keys() - good.keys():
        (folder / path).unlink()
    for path, data in good.items():
        target = folder / path
        if quick and found.get(path) == len(data) and target.stat().st_mtime_ns == STAMP:
            continue
        target.write_bytes(data)
        os.utime(target, ns=(STAMP, STAMP))
