"""Several processes on one cache: builders, readers and removals at once, against a model of what must be there."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ocrmaps.errors import StoreBusy, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.maps import MapSpec
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.places.lock import found_in
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.catalog import pin, pins, unpin
from ocrmaps.store.upkeep.removal import plan_clear, plan_gc, remove
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World, make_world
from tests.torture.processes import forked


def test_two_builders_of_one_version_end_with_one_version(quick_folder: Path):
    world = make_world(quick_folder)
    plan = world.plan()
    outcomes = []

    def contend() -> None:
        for _ in range(200):
            try:
                with Building(world.store, plan) as building:
                    if not building.committed:
                        for task in building.tasks():
                            building.record(build_shard(task))
                        building.commit(building.assembled(), {})
                        outcomes.append("built")
                    return
            except StoreBusy:
                time.sleep(0.01)

    threads = [threading.Thread(target=contend) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["built"]
    assert verify(world.folder).ok


def test_two_processes_that_run_one_task_write_the_same_shard(quick_folder: Path):
    world = make_world(quick_folder)
    with Building(world.store, world.plan()) as building:
        tasks = building.tasks()
        for task in tasks:
            other = threading.Thread(target=lambda t=task: forked(lambda: build_shard(t), log=quick_folder / "log"))
            other.start()
            building.record(build_shard(task))
            other.join()
        building.commit(building.assembled(), {})
    assert verify(world.folder).ok


def test_a_dead_builders_lock_holds_nobody_up(world: World):
    plan = world.plan()

    def die_holding_the_lock() -> None:
        Building(world.store, plan).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(die_holding_the_lock, log=world.root / "log") == -signal.SIGKILL
    assert world.build(plan).rows == 7


def test_a_version_built_again_between_two_looks_is_found(quick_folder: Path):
    looks = []

    def look() -> str:
        looks.append(1)
        if len(looks) == 1:  # removed here, and there again before the folder is asked for
            raise FileNotFoundError(2, "no such file", "manifest.json")
        return "there"

    assert found_in(quick_folder, look) == "there"
    with pytest.raises(StoreNotFound):
        found_in(quick_folder / "gone", (quick_folder / "gone" / "manifest.json").read_bytes)
    with pytest.raises(StoreCorrupt, match=r"manifest\.json: the manifest is missing"):
        found_in(quick_folder, (quick_folder / "manifest.json").read_bytes)


def test_a_version_in_use_is_not_removed_and_stays_readable(world: World):
    world.build()
    with Reader(world.folder) as reader:
        gone, stayed = remove(plan_clear([(world.store, reader.manifest.version)]))
        assert gone == []
        assert stayed == []
        assert plan_clear([(world.store, reader.manifest.version)]).kept[0][1] == "in use by a reader"
        reader.read_row(0)
    remove(plan_clear([(world.store, world.store.versions()[0])]))
    assert world.store.versions() == []


def test_a_version_that_a_reader_opens_after_the_plan_stays(world: World):
    world.build()
    plan = plan_clear([(world.store, world.store.versions()[0])])
    with Reader(world.folder) as reader:
        gone, stayed = remove(plan)
        assert (gone, stayed[0][1]) == ([], "in use by a reader")
        reader.read_row(0)


def test_a_pinned_version_stays_until_it_is_unpinned(world: World):
    version = world.build().version
    pin(world.store, version, "paper")
    assert plan_gc(world.cache, keep=0).kept == ((f"tiny/{version}", "pinned: paper"),)
    unpin(world.store, version)
    assert [item.name for item in plan_gc(world.cache, keep=0).items] == [version]


def test_gc_leaves_a_running_and_a_fresh_unfinished_build_alone(world: World):
    with Building(world.store, world.plan()) as building:
        building.record(build_shard(building.tasks()[0]))
        assert plan_gc(world.cache, age_hours=0).items == ()
    assert plan_gc(world.cache, age_hours=1).items == ()
    assert [item.kind for item in plan_gc(world.cache, age_hours=0).items] == ["staging"]


def test_a_quota_removes_debris_first_and_the_oldest_versions_next(world: World):
    first = world.build().version
    world.recipe = replace(world.recipe, maps=MapSpec(shrink_ratio=0.5))
    time.sleep(0.02)
    second = world.build().version
    assert plan_gc(world.cache, keep=0, quota=10**9).items == ()
    assert [item.name for item in plan_gc(world.cache, keep=0, quota=world_size(world) - 1).items] == [first]
    assert {item.name for item in plan_gc(world.cache, keep=0, quota=0).items} == {first, second}


def world_size(world: World) -> int:
    return sum(f.stat().st_size for f in world.store.folder.rglob("*") if f.is_file())


def test_an_interrupted_removal_is_finished_by_the_next_gc(world: World):
    version = world.build().version
    world.store.trash.mkdir()
    world.store.version(version).rename(world.store.trash / f"{version}-abc")
    remove(plan_gc(world.cache))
    assert list(world.store.trash.iterdir()) == []


def test_removing_an_older_version_leaves_the_shards_that_a_newer_one_shares(world: World):
    first = world.build().version
    world.add("train", "01.png", size=(64, 30), seed=99)
    world.build()
    remove(plan_gc(world.cache))
    assert first not in world.store.versions()
    assert verify(world.folder).ok


class Cache(RuleBasedStateMachine):
    """Any order of builds, half builds, reads, pins and removals; the model says what must be there."""

    @initialize()
    def start(self) -> None:
        memory = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.world = make_world(self.root, samples=3, rows_per_shard=2)
        self.present: dict[str, str] = {}
        self.pinned: set[str] = set()
        self.readers: list[Reader] = []
        self.truth: dict[str, dict[str, np.ndarray]] = {}

    def teardown(self) -> None:
        for reader in self.readers:
            reader.close()
        shutil.rmtree(self.root, ignore_errors=True)

    @rule(ratio=st.sampled_from([0.4, 0.5, 0.6]), finish=st.booleans(), seed=st.sampled_from([1, 2]))
    def build(self, ratio: float, finish: bool, seed: int) -> None:
        self.world.recipe = replace(self.world.recipe, maps=MapSpec(shrink_ratio=ratio))
        self.world.add("train", "01.png", size=(64, 30), seed=seed)
        plan = self.world.plan()
        with self.world.building(plan) as building:
            if building.committed:
                assert plan.version in self.present
                return
            for task in building.tasks()[: None if finish else 1]:
                building.record(build_shard(task))
            if finish:
                manifest = building.commit(building.assembled(), {})
                if plan.version in self.truth_digests():
                    assert manifest.root_digest == self.truth_digests()[plan.version]
                self.present[plan.version] = manifest.root_digest
                self.digests = {**self.truth_digests(), plan.version: manifest.root_digest}

    def truth_digests(self) -> dict[str, str]:
        """Root digests that versions had whenever they were built, removed ones included."""
        return getattr(self, "digests", {})

    @precondition(lambda self: self.present)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        self.readers.append(Reader(self.world.store.version(data.draw(st.sampled_from(sorted(self.present))))))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.readers.pop(data.draw(st.integers(0, len(self.readers) - 1))).close()

    @precondition(lambda self: self.present)
    @rule(data=st.data())
    def toggle_pin(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.present)))
        if version in self.pinned:
            unpin(self.world.store, version)
            self.pinned.discard(version)
        else:
            pin(self.world.store, version, "model")
            self.pinned.add(version)

    @rule(keep=st.integers(0, 2))
    def gc(self, keep: int) -> None:
        held = self.pinned | {reader.manifest.version for reader in self.readers}
        gone, stayed = remove(plan_gc(self.world.cache, keep=keep, age_hours=0))
        removed = {item.name for item in gone if item.kind == "version"}
        assert not removed & held
        assert stayed == []
        newest = self.world.store.versions()
        assert len(set(self.present) - removed - held) <= keep
        assert set(newest) == set(self.present) - removed
        self.present = {v: d for v, d in self.present.items() if v not in removed}

    @rule()
    def read(self) -> None:
        for reader in self.readers:
            for row in range(len(reader)):
                key = f"{reader.root_digest}/{row}"
                arrays = reader.read_row(row)
                known = self.truth.setdefault(key, arrays)
                assert all(np.array_equal(known[name], arrays[name]) for name in ARRAYS)

    @invariant()
    def everything_present_is_sound(self) -> None:
        if not hasattr(self, "world"):
            return
        assert set(self.world.store.versions()) == set(self.present)
        assert set(pins(self.world.store)) == self.pinned
        for version, digest in self.present.items():
            report = verify(self.world.store.version(version))
            assert report.ok and report.root_digest == digest


Cache.TestCase.settings = settings(max_examples=25, stateful_step_count=15)
TestCache = Cache.TestCase


def test_a_reader_of_a_version_that_goes_away_meanwhile_gets_one_of_two_answers(world: World):
    """A process opens and reads in a loop while another builds and removes: whole rows, or 'not there'."""
    world.build()
    plan = world.plan()
    with Reader(world.folder) as reader:
        truth = [reader.read_row(row) for row in range(len(reader))]
    stop = threading.Event()
    faults: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not stop.is_set():
            try:
                with Reader(world.store.version(plan.version)) as reader:
                    for row, expected in enumerate(truth):
                        found = reader.read_row(row)
                        if any(not np.array_equal(found[name], expected[name]) for name in ARRAYS):
                            faults.append("torn read")
                    reads += 1
            except StoreNotFound:
                continue
            except StoreError as error:
                faults.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(30):
        remove(plan_clear([(world.store, plan.version)]))
        try:
            world.build(plan)
        except StoreBusy as error:
            pytest.fail(str(error))
        except StoreError:
            assert world.store.version(plan.version).exists()  # it was in use, so it was never removed
    stop.set()
    thread.join()
    assert faults == []
    assert reads > 0
