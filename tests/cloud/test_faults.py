"""Everything a network can do to requests is done to them: what arrives is right, or an error says what is wrong."""

from __future__ import annotations

import pytest

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.store.format.layout import list_files
from ocrmaps.store.places import objects
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.places.patience import LOOKS
from ocrmaps.store.upkeep.exchange.journal import dead_pushes
from ocrmaps.store.upkeep.exchange.pull import pull
from ocrmaps.store.upkeep.exchange.push import SENDS, push
from ocrmaps.store.upkeep.verify import verify
from tests.cloud.server import FAULTS, sometimes
from tests.torture import network


@pytest.mark.parametrize("seed", range(2))
def test_push_and_pull_through_every_fault_end_with_the_same_root_digest(built, proxy, bucket, tmp_path, seed):
    proxy.plan = sometimes(0.25, seed)
    place = ObjectPlace(bucket)
    there = push(built.folder, place)
    back = pull(place, "tiny", tmp_path)
    folder = tmp_path / "tiny" / back.version
    assert there.committed and verify(folder).ok
    assert {p: (folder / p).read_bytes() for p in list_files(folder)} == {
        p: (built.folder / p).read_bytes() for p in list_files(built.folder)
    }
    assert set(proxy.faults) == set(FAULTS)
    # Bounded: at most so often is anything asked for, and in fact little more than once a fault.
    files = len(list_files(folder))
    faults = sum(proxy.faults.values())
    assert proxy.requests["put"] <= files + 2 + faults and proxy.requests["get"] <= 2 * files + 40 + 2 * faults
    proxy.plan = lambda method, path: None
    assert dead_pushes(place, age_hours=0) == ([], [])


@pytest.mark.parametrize("fault", ["lost", "duplicate"])
def test_a_lost_answer_to_the_manifest_is_resolved_by_reading_it_back(built, proxy, bucket, fault):
    place = ObjectPlace(bucket)
    seen = []

    def plan(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("/manifest.json"):
            seen.append(path)
            return fault if len(seen) == 1 else None
        return None

    proxy.plan = plan
    assert push(built.folder, place).committed and 1 <= len(seen) <= 2


@pytest.mark.parametrize("faults", [("lost", "", "wrong"), ("duplicate", "wrong")], ids="-".join)
def test_the_right_to_the_manifest_that_arrived_damaged_is_still_this_push_s(built, proxy, bucket, faults):
    left = list(faults)

    def plan(method: str, path: str) -> str | None:
        return (left.pop(0) or None) if left and path.endswith(".end") and method in ("PUT", "GET") else None

    proxy.plan = plan
    assert push(built.folder, ObjectPlace(bucket)).committed and not left


def test_a_manifest_that_arrived_damaged_is_written_again(built, proxy, bucket, tmp_path):
    seen = []

    def plan(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("/manifest.json"):
            seen.append(path)
            return "wrong" if len(seen) == 1 else None
        return None

    proxy.plan = plan
    place = ObjectPlace(bucket)
    assert push(built.folder, place).committed and len(seen) == 2
    assert pull(place, "tiny", tmp_path).committed


def test_a_place_that_always_changes_bytes_is_given_up_on_after_a_bounded_number_of_tries(built, proxy, bucket):
    proxy.plan = lambda method, path: "wrong" if method == "PUT" and "/image/" in path else None
    with pytest.raises(StoreCorrupt, match="expected"):
        push(built.folder, ObjectPlace(bucket))
    assert proxy.requests["get"] <= len(list_files(built.folder)) * LOOKS * SENDS
    assert proxy.requests["put"] <= len(list_files(built.folder)) * SENDS + 1


def test_a_place_that_never_answers_is_given_up_on(built, proxy, bucket):
    proxy.plan = lambda method, path: "drop"
    with pytest.raises(StoreError, match=rf"\({objects.TRIES} tries\)"):
        push(built.folder, ObjectPlace(bucket))
    assert sum(proxy.requests.values()) == objects.TRIES


def test_rounds_of_pushes_pulls_and_reads_through_faults_end_right(tmp_path):
    """The full loop is `python -m tests.torture --only network`."""
    counts = network.through_faults(tmp_path, 100)
    assert counts["faults"] >= 100 and counts["rows"] >= 12, counts
    zero = ("wrong", "wrong_reads", "wrong_digests", "left_over")
    assert {name: counts[name] for name in zero} == dict.fromkeys(zero, 0), counts
