"""Checks against what should never happen: each is provoked here, because nothing else would miss it."""

from __future__ import annotations

import errno
import os
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.store.format.layout import LEDGER, MANIFEST
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.places import lock, posix
from ocrmaps.store.places.cache import inputs_memory
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import pin
from ocrmaps.store.upkeep.removal import plan_clear, remove
from ocrmaps.store.upkeep.repair import repair
from ocrmaps.store.upkeep.transfer import pack, unpack
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing import inputs, tasks
from ocrmaps.store.writing.inputs import Memory, examine, listing
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


def test_a_lock_that_finds_no_space_says_where(tmp_path: Path, monkeypatch):
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        pytest.raises(StoreError, match=f"write {tmp_path}/v: No space") as refused,
        lock.building(tmp_path / "v", "x"),
    ):
        pass
    assert "free some space" in refused.value.hint


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


def test_a_link_that_leads_to_itself_is_listed_as_one(tmp_path: Path):
    before = listing([tmp_path])
    (tmp_path / "self").symlink_to("self")
    assert listing([tmp_path]) not in (None, before)


def test_a_folder_is_listed_once_whatever_leads_back_to_it(tmp_path: Path, monkeypatch):
    (tmp_path / "back").symlink_to(tmp_path)
    opened, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.append(path) or real(path, *rest))
    assert listing([tmp_path]) is not None
    assert opened == [str(tmp_path), str(tmp_path / "back")]


def test_the_order_in_which_a_folder_is_read_changes_no_listing(tmp_path: Path, monkeypatch):
    for name in "abc":
        (tmp_path / name).mkdir()
    real, found = os.scandir, set()
    for backwards in (False, True):

        @contextmanager
        def scandir(folder, backwards=backwards):
            with real(folder) as entries:
                yield sorted(entries, key=lambda entry: entry.name, reverse=backwards)

        monkeypatch.setattr(os, "scandir", scandir)
        found.add(listing([tmp_path]))
    assert len(found) == 1


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


def _changed(path: Path, at: int = -1) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("row", [-1, 7])
def test_the_strict_reader_knows_its_rows(world: World, row):
    world.build()
    with Reader(world.folder) as reader:
        out = {"mask": np.zeros((1, *reader.canvas(0)), dtype=np.uint8)}
        with pytest.raises(IndexError, match=f"row {row} of {len(reader)}"):
            reader.read_rows([row], out)


def test_the_strict_reader_fills_only_buffers_of_the_row(world: World):
    """As many bytes in another shape would be filled without a word."""
    world.build()
    with Reader(world.folder) as reader:
        height, width = reader.canvas(0)
        for shape, dtype in (((height * 2, width // 2), np.uint8), ((height, width), np.int8)):
            with pytest.raises(StoreError, match=r"row 0 .* of mask has shape"):
                reader.read_rows([0], {"mask": np.zeros((1, *shape), dtype=dtype)})  # type: ignore[dict-item]


def test_a_ledger_with_one_changed_byte_is_not_read(world: World):
    world.annotate("train", "01.png", lines=2, shift=-10)  # beyond the picture, which is told in the ledger
    world.build()
    _changed(world.folder / LEDGER, 5)
    with Reader(world.folder) as reader, pytest.raises(StoreCorrupt, match="its digest is not"):
        reader.ledger()


def test_a_manifest_with_one_changed_value_is_refused(world: World):
    world.build()
    path = world.folder / MANIFEST
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"rows_per_shard": 3', '"rows_per_shard": 4'))
    with pytest.raises(StoreCorrupt, match="its bytes differ from what its own digests state"):
        read_manifest(world.folder)


def test_a_version_by_another_name_is_refused(world: World):
    world.build()
    other = world.folder.rename(world.folder.with_name("0" * 16))
    with pytest.raises(StoreCorrupt, match=f"in a folder named {'0' * 16}"):
        read_manifest(other)


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_column_that_is_cut_or_longer_is_refused(world: World, extra):
    world.build()
    path = world.folder / "rows" / "canvas" / "c.0"
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-1] if extra < 0 else data + b"\0")
    with Reader(world.folder) as reader, pytest.raises(StoreCorrupt, match=rf"bytes, expected {len(data)}"):
        reader.rows["canvas"]


def test_a_column_with_one_changed_byte_is_refused(world: World):
    world.build()
    _changed(world.folder / "rows" / "split" / "c.0")
    with Reader(world.folder) as reader, pytest.raises(StoreCorrupt, match="found digest"):
        reader.rows["split"]


def test_a_file_that_is_there_is_not_written_again(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "a").chmod(0o644)
    with pytest.raises(StoreError, match=r"open .*exists"):
        posix.write_new(tmp_path / "a", [b"yours"])
    assert (tmp_path / "a").read_bytes() == b"mine"


def test_a_disk_that_loses_bytes_is_noticed(tmp_path: Path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:1]) and len(data))
    with pytest.raises(StoreError, match="found 1 bytes after writing 5"):
        posix.write_new(tmp_path / "a", [b"whole"])


def test_a_file_that_cannot_be_finished_leaves_no_part(tmp_path: Path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def full(step: str, path: Path) -> None:
        if step == "fsync":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(posix, "between", full)
    with pytest.raises(StoreError, match=r"fsync .*No space left on device"):
        posix.publish(tmp_path / "a", [b"new"])
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_damaged_shard_of_an_older_version_is_not_linked(world: World):
    world.build()
    damaged = next(world.folder.glob("canvas-*/image/c.*"))
    _changed(damaged, 30)
    world.annotate("train", "01.png", lines=2, text="another")  # another version of the same rows
    new = world.store.version(world.build().version)
    assert verify(new).ok and not os.path.samefile(damaged, new / damaged.relative_to(damaged.parents[2]))


def test_a_receipt_whose_file_was_damaged_is_not_taken_over(world: World):
    with world.building() as building:
        tasks = building.tasks()
        building.record(*(build_shard(task) for task in tasks))
        _changed(building.store.tree(building.plan.version) / tasks[0].key.path("image"), 30)
    with world.building() as building:
        assert [task.key for task in building.tasks()] == [tasks[0].key]
        assert building.resumed == len(tasks) - 1


def test_a_file_that_vanishes_before_the_commit_stops_it(world: World):
    with world.building() as building:
        tasks = building.tasks()
        building.record(*(build_shard(task) for task in tasks))
        (building.store.tree(building.plan.version) / tasks[0].key.path("mask")).unlink()
        with pytest.raises(StoreCorrupt, match=r"found no file, expected .* bytes at commit"):
            building.commit(building.assembled(), {})
    assert world.store.versions() == []


def test_a_row_that_failed_is_tried_again(world: World):
    plan = world.plan()
    with world.building(plan) as building:
        (task, *_) = building.tasks()
        receipt = build_shard(task)
        row = receipt["rows"][0]
        receipt["rows"][0] = {"slot": row["slot"], "how": "failed", "reason": "x", "message": "x", "places": []}
        building.record(receipt)
    with world.building(plan) as building:
        assert task.key in [again.key for again in building.tasks()] and building.resumed == 0
