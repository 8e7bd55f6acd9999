"""The reliability loops at the size of a test suite; `make torture` runs them in full."""

from __future__ import annotations

import gc
import sys

import pytest

from ocrmaps.pipelines import executors
from ocrmaps.store.places import posix as disk
from tests.torture import crowd, kills, mutations, power, steps
from tests.torture.__main__ import faults

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and advisory locks")


def test_a_build_survives_a_fault_at_any_step(quick_folder):
    tried, wrong = steps.break_all(quick_folder, stride=61)
    assert wrong == []
    assert tried > 20


def test_killed_builds_lose_nothing_and_end_with_the_same_digest(quick_folder):
    seen = kills.kill_clients(quick_folder, 12)
    assert seen["kills"] >= 12
    assert not faults({"kills": seen})


def test_a_power_cut_takes_nothing_that_was_promised(quick_folder):
    seen = power.cut_power(quick_folder, 60)
    assert seen["cuts"] == 60
    assert not faults({"power": seen})


def test_the_power_cuts_miss_no_missing_sync(quick_folder, monkeypatch):
    monkeypatch.setattr(disk, "sync", lambda files, folders=(): None)
    seen = power.cut_power(quick_folder, 24, tell=lambda line: None)
    assert seen["wrong"] > 0


def test_every_damage_is_found_and_never_read(quick_folder):
    seen = mutations.mutate_many(quick_folder, 600)
    assert seen["mutations"] >= 600
    assert not faults({"mutations": seen})
    assert seen["reads_refused"] > 120


def test_the_loops_can_fail():
    assert faults({"kills": {"wrong_reads": 1}}) == ["kills.wrong_reads"]


def test_the_receipts_of_many_tasks_are_in_the_journal_and_not_in_memory(tmp_path, monkeypatch):
    held = []

    def count(what, done, total):
        if done in (0, total):
            held.append(sum(type(thing) is dict and "drawn_by" in thing for thing in gc.get_objects()))

    monkeypatch.setattr(executors, "build_shard", crowd.not_drawn)
    crowd.measure(tmp_path, 40, 2, lambda building, progress: executors.run_tasks(building, workers=1, progress=count))
    first, last = held
    assert last - first < 10
