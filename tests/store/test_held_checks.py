"""Checks against what should never happen: each is provoked here, because nothing else would miss it."""

from __future__ import annotations

import os
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocrmaps.errors import StoreCorrupt
from ocrmaps.store.places import lock
from ocrmaps.store.places.cache import inputs_memory
from ocrmaps.store.upkeep.catalog import pin
from ocrmaps.store.upkeep.removal import plan_clear, remove
from ocrmaps.store.upkeep.repair import repair
from ocrmaps.store.upkeep.transfer import pack, unpack
from ocrmaps.store.writing import inputs, tasks
from ocrmaps.store.writing.inputs import Memory, examine
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World


@pytest.mark.parametrize("how", ["short", "long", "gone"])
def test_a_worker_whose_file_has_another_length_here_is_not_believed(world: World, how):
    with world.building() as building:
        task = building.tasks()[0]
        receipt = build_shard(task)
        path = building.store.tree(building.plan.version) / task.key.path("image")
        data = path.read_bytes()
        path.unlink()
        if how != "gone":
            path.write_bytes(data[:-1] if how == "short" else data + b"\0")
        with pytest.raises(StoreCorrupt, match=f"expected {len(data)} bytes that a worker says it wrote"):
            building.record(receipt)
        assert building.receipts == {}


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch, replaced):
    path, patiently, calls = tmp_path / "locks" / "v", lock._patiently, []

    def meanwhile(handle: int, kind: int, at: Path) -> bool:
        calls.append(at)
        if len(calls) == 1:  # between our open and our lock
            path.unlink()
            if replaced:
                path.touch()
        return patiently(handle, kind, at)

    monkeypatch.setattr(lock, "_patiently", meanwhile)
    with lock.building(path, "this"):
        holder = lock.builder_of(path)
        assert holder is not None and holder["pid"] == os.getpid()
    assert len(calls) == 2


def test_a_compressor_that_loses_a_value_is_found_before_anything_is_kept(world: World, monkeypatch):
    real = tasks.packing

    def faulty(codec: str) -> SimpleNamespace:
        return SimpleNamespace(encode=lambda array: real(codec).encode(array ^ 1), decode=real(codec).decode)

    with world.building() as building:
        task = building.tasks()[0]
        monkeypatch.setattr(tasks, "packing", faulty)
        with pytest.raises(StoreCorrupt, match="does not unpack to the same values"):
            build_shard(task)


def test_a_picture_edited_within_one_tick_of_the_clock_is_noticed(world: World, monkeypatch):
    """A file system whose clock stands still cannot tell the edit: its stamps are not to be relied on yet."""
    path = world.root / "train" / "01.png"
    tick = time.time_ns() + 10**9
    monkeypatch.setattr(inputs, "_stamp", lambda name: (os.stat(name).st_size, tick, tick, 1))
    memory = Memory(inputs_memory(world.cache))
    before = examine([path], memory)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert examine([path], memory) != before


def test_an_archive_whose_shard_has_one_wrong_byte_is_not_imported(world: World, tmp_path: Path):
    world.build()
    pack(world.folder, tmp_path / "a.tar")
    data = bytearray((tmp_path / "a.tar").read_bytes())
    with tarfile.open(tmp_path / "a.tar") as tar:
        shard = next(entry for entry in tar if "/image/c." in entry.name)
    data[shard.offset_data + shard.size // 3] ^= 1
    (tmp_path / "b.tar").write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged, nothing was imported") as refused:
        unpack(tmp_path / "b.tar", tmp_path / "cache", "x")
    assert [problem.loc for problem in refused.value.problems] == [shard.name.partition("/")[2]]
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def _never(*given: object) -> None:
    raise AssertionError("the tables are whole: nothing is planned again")


def test_a_shard_that_code_of_today_draws_differently_is_not_repaired(world: World, monkeypatch):
    version = world.build().version
    shard = next(world.folder.glob("canvas-*/image/c.*"))
    shard.unlink()
    render = tasks.render
    monkeypatch.setattr(tasks, "render", lambda *given: render(*given) ^ 1)
    with pytest.raises(StoreCorrupt, match="drawn again with digest"):
        repair(world.store, version, _never, _never)
    assert not shard.exists()


def test_a_version_that_is_pinned_after_the_plan_stays(world: World):
    version = world.build().version
    plan = plan_clear([(world.store, version)])
    pin(world.store, version, "paper")
    assert remove(plan) == ([], [(f"tiny/{version}", "pinned meanwhile")])
    assert world.store.versions() == [version]
