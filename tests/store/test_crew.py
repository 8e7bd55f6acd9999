"""Builds on a cluster whose workers are missing, different, or without the pictures: who draws, and what is said."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster, get_worker, wait

from ocrmaps.errors import SpecError, StoreError
from ocrmaps.pipelines import crew, executors
from ocrmaps.pipelines.build import build
from ocrmaps.pipelines.mounts import read_mounts
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.places.cache import Store
from ocrmaps.store.writing.provenance import identity
from ocrmaps.store.writing.tasks import build_shard
from tests.torture.cluster import source_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def recipe(quick_folder: Path):
    made, _ = source_world(quick_folder, samples=7)
    return made


@pytest.fixture
def cache(quick_folder: Path) -> Path:
    return quick_folder / "cache"


@pytest.fixture
def cluster():
    """Workers are threads here, named 0, 1, ...; none to begin with."""
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as made:  # fmt: skip
        yield made


def grow(cluster: LocalCluster, workers: int) -> None:
    cluster.scale(workers)
    cluster.wait_for_workers(workers)


def test_a_scheduler_without_workers_is_said_and_given_up(recipe, cache, cluster):
    said: list[str] = []
    with pytest.raises(StoreError, match=r"no worker of tcp://127\.0\.0\.1.*none is there") as caught:
        build(recipe, cache, scheduler=cluster.scheduler_address, wait_workers=0.3, announce=said.append)
    assert "dask worker" in caught.value.hint and "--wait-workers" in caught.value.hint
    assert any(line.startswith(f"no worker at {cluster.scheduler_address} yet") for line in said)
    assert not Store(cache, recipe.name).versions()


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\1\0\0\0\0\0\0\0x"])
def test_what_listens_where_a_scheduler_should_is_not_waited_for(recipe, cache, monkeypatch, greeting):
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as other:
        calls: list[socket.socket] = []

        def greet() -> None:
            with suppress(OSError):
                while True:
                    calls.append(other.accept()[0])
                    calls[-1].sendall(greeting)

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(StoreError, match=r"no dask scheduler answers at 127\.0\.0\.1:[0-9]+"):
            build(recipe, cache, scheduler=f"127.0.0.1:{other.getsockname()[1]}")
        for call in calls:
            call.close()


def test_a_worker_that_is_named_as_the_scheduler_is_refused(recipe, cache, cluster):
    grow(cluster, 1)
    with pytest.raises(StoreError, match="found Worker") as caught:
        build(recipe, cache, scheduler=next(iter(cluster.workers.values())).address)
    assert "`dask scheduler` prints" in caught.value.hint


def test_a_worker_that_comes_late_draws(recipe, cache, cluster):
    def come(line: str) -> None:
        if line.startswith("no worker"):
            cluster.scale(1)

    report = build(recipe, cache, scheduler=cluster.scheduler_address, announce=come, wait_workers=600)
    assert report.root_digest == build(recipe, cache / "plain").root_digest


EXAMINE = crew.examine
WARNED = threading.Event()


def is_first() -> bool:
    """Whether this is worker 0; any other waits until that one has been found out, so that it is the one to begin."""
    return get_worker().name == 0 or not WARNED.wait(300)


def first_lacks_pictures(folders, pictures):
    told = EXAMINE(folders, pictures)
    return {**told, "missing": ["cannot read a.png (No such file or directory)"]} if is_first() else told


def first_has_other_numba(folders, pictures):
    told = EXAMINE(folders, pictures)
    other = {**told, "tools": {**told["tools"], "numba": "0.1"}, "files": {**told["files"], "maps/rings.py": "0"}}
    return other if is_first() else told


def first_draws_otherwise(task):
    receipt = build_shard(task)
    other = {**identity(), "code": {**identity()["code"], "maps": "0"}}
    return {**receipt, "drawn_by": other} if is_first() else receipt


@pytest.mark.parametrize(
    "part, instead, what",
    [
        ("examine", first_lacks_pictures, "cannot read a.png"),
        ("examine", first_has_other_numba, "numba 0.1 instead of"),
        ("build_shard", first_draws_otherwise, "code of maps"),
    ],
)
def test_one_unfit_worker_is_set_aside_and_the_other_draws(recipe, cache, cluster, monkeypatch, part, instead, what):
    grow(cluster, 2)
    monkeypatch.setattr(crew, part, instead)
    said: list[str] = []
    WARNED.clear()

    def hear(line: str) -> None:
        said.append(line)
        if line.startswith("WARNING: worker"):
            WARNED.set()

    report = build(recipe, cache, scheduler=cluster.scheduler_address, announce=hear, wait_workers=600)
    (entry,) = read_manifest(report.folder).recorded["drawn_by"]
    assert entry["tools"] == identity()["tools"] and entry["code"] == identity()["code"]
    (warning,) = [line for line in said if line.startswith("WARNING: worker")]
    assert cluster.workers[0].address in warning and f"on host {platform.node()}" in warning and what in warning
    assert ("maps/rings.py" in warning) == (instead is first_has_other_numba)


def test_a_cluster_of_unfit_workers_is_refused_with_every_reason(recipe, cache, cluster, monkeypatch):
    grow(cluster, 1)
    monkeypatch.setattr(crew, "examine", first_has_other_numba)
    refused: list[str] = []
    clock = SimpleNamespace(monotonic=lambda: 601.0 if any("numba" in s for s in refused) else 0.0, sleep=time.sleep)
    monkeypatch.setattr(crew, "time", clock)
    with pytest.raises(StoreError, match="can draw") as caught:
        build(recipe, cache, scheduler=cluster.scheduler_address, announce=refused.append, wait_workers=600)
    (problem,) = caught.value.problems
    assert "numba 0.1 instead of" in problem.message and "install the same" in problem.message
    assert not Store(cache, recipe.name).versions()


SEEN: list[str] = []


def draw_and_tell(task):
    SEEN.extend([task.tree, task.temporary, *(row.picture for row in task.rows)])
    return build_shard(task)


def test_workers_with_other_mounts_draw_the_same_version(recipe, cache, cluster, quick_folder, tmp_path, monkeypatch):
    grow(cluster, 1)
    there = tmp_path / "there"
    there.symlink_to(quick_folder)
    monkeypatch.setattr(crew, "build_shard", draw_and_tell)
    SEEN.clear()
    report = build(
        recipe, cache, scheduler=cluster.scheduler_address, wait_workers=600, mounts=[f"{quick_folder}={there}"]
    )
    assert SEEN and all(path.startswith(f"{there}/") for path in SEEN)
    plain = build(recipe, quick_folder / "plain")
    assert (report.version, report.root_digest) == (plain.version, plain.root_digest)
    assert str(there) not in (report.folder / "manifest.json").read_text()


def test_a_worker_is_asked_for_the_file_that_a_page_or_a_member_lies_in(tmp_path):
    for name in ("scan.tif", "more.tar"):
        (tmp_path / name).write_bytes(b"x")
    terms = crew.terms_of([f"{tmp_path}/scan.tif#2", f"{tmp_path}/more.tar#a/1.png"])
    assert terms.pictures == (f"{tmp_path}/scan.tif", f"{tmp_path}/more.tar")
    assert crew.examine([], terms.pictures)["missing"] == []


def test_a_mount_that_a_worker_does_not_have_is_said_with_the_map(quick_folder):
    picture = quick_folder / "train" / "a.png"
    terms = crew.terms_of([str(picture)], [], read_mounts([f"{picture.parent}=/not-there"], "tcp://x:1"))
    (fault,) = crew.faults(terms, crew.examine(terms.folders, terms.pictures))
    assert "cannot read /not-there/a.png" in fault and f"--map says that {picture.parent} is /not-there there" in fault


@pytest.mark.parametrize(
    "written, scheduler, what",
    [
        (["/a=/b"], "threads", "--scheduler threads"),
        (["a=/b"], "tcp://x:1", "two absolute folders"),
        (["/a=b"], "tcp://x:1", "two absolute folders"),
        (["/a=/b", "/a/=/c"], "tcp://x:1", "twice"),
    ],
)
def test_maps_that_mean_nothing_are_refused(recipe, cache, written, scheduler, what):
    with pytest.raises(SpecError, match=what):
        build(recipe, cache, scheduler=scheduler, mounts=written)


def test_a_map_of_a_folder_that_the_build_does_not_need_is_refused(recipe, cache, cluster, quick_folder):
    with pytest.raises(SpecError, match="found no picture and no cache below /elsewhere"):
        build(recipe, cache, scheduler=cluster.scheduler_address, mounts=["/elsewhere=/b"])


def test_a_worker_tells_what_it_cannot_reach(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"x")
    told = crew.examine([str(tmp_path), str(tmp_path / "gone")], [str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    assert len(told["missing"]) == 2
    assert f"no folder {tmp_path / 'gone'}" in told["missing"][0] and "b.png (No such file" in told["missing"][1]


def test_what_fails_on_a_worker_names_the_worker_and_its_host(recipe, cache, cluster, quick_folder):
    grow(cluster, 1)

    def lose(line: str) -> None:
        (quick_folder / "train" / "006.png").unlink(missing_ok=True)

    with pytest.raises(StoreError, match=f"worker tcp://.* on host {platform.node()}: .*006.png can no longer be read"):
        build(recipe, cache, scheduler=cluster.scheduler_address, announce=lose, wait_workers=600)


def test_a_result_that_went_away_with_its_worker_is_not_waited_for(cluster, monkeypatch):
    grow(cluster, 1)
    monkeypatch.setattr(crew, "_FETCH_SECONDS", 0.2)
    with Client(cluster) as client:
        address = cluster.workers[0].address
        future = client.submit(crew.examine, [], [], workers=[address], pure=False)
        wait(future)
        assert crew.fetched(future)["missing"] == []
        cluster.scale(0)
        while cluster.scheduler.workers:
            time.sleep(0.01)
        assert crew.fetched(future) is None
        one = crew.Crew(client, crew.terms_of([]), wait=600, say=print)
        one._judge(address, future)
        assert one.fit == set()


def test_a_worker_that_differs_or_cannot_reach_something_is_at_fault(tmp_path):
    own = crew.terms_of([])
    told = crew.examine([], [])
    assert crew.faults(own, told) == []
    other = {**told, "tools": {**told["tools"], "numpy": "0"}}
    assert "numpy" in crew.faults(own, other)[0]
    blind = crew.examine([str(tmp_path / "cache")], [str(tmp_path / "a.png")])
    assert [words in crew.faults(own, blind)[0] for words in ("cache", "a.png", "mount")] == [True] * 3


def test_a_shard_that_other_code_drew_is_not_accepted():
    said: list[str] = []
    one = crew.Crew(None, crew.terms_of([]), wait=600, say=said.append)
    one.fit = {"tcp://a", "tcp://b"}
    mine = identity()
    assert one.accepts("tcp://a", "here", {"drawn_by": mine}) and not said
    assert not one.accepts("tcp://b", "there", {"drawn_by": {**mine, "code": {**mine["code"], "maps": "0"}}})
    assert one.fit == {"tcp://a"} and "tcp://b on host there gets no work" in said[0]


@pytest.mark.slow
def test_a_worker_with_other_drawing_code_is_refused_by_file(recipe, cache, cluster, tmp_path):
    shutil.copytree(ROOT / "ocrmaps", tmp_path / "ocrmaps", ignore=shutil.ignore_patterns("__pycache__", "*.ckpt"))
    rings = tmp_path / "ocrmaps" / "maps" / "rings.py"
    rings.write_text(rings.read_text() + "\nWIDER = 1\n")
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--nthreads", "1"]
    options = ["--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path), "--host", "127.0.0.1"]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [*command, *options], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 120
        while not cluster.scheduler.workers and worker.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert cluster.scheduler.workers, (tmp_path / "log").read_text()
        said: list[str] = []

        def come(line: str) -> None:
            said.append(line)
            if "gets no work" in line:
                cluster.scale(1)

        report = build(recipe, cache, scheduler=cluster.scheduler_address, announce=come, wait_workers=600)
    finally:
        worker.terminate()
        worker.wait(60)
    assert any("maps/rings.py: install the same ocrmaps" in line for line in said)
    assert len(read_manifest(report.folder).recorded["drawn_by"]) == 1
