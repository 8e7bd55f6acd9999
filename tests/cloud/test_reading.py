"""Reading from a URL: the same batches as from a disk, few requests, nothing listed, and every damage noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

import ocrmaps
from ocrmaps.cli import build as build_commands
from ocrmaps.cli import cache as cache_commands
from ocrmaps.errors import OcrmapsError, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.loader import MapDataset, MapLoader
from ocrmaps.store.far import rows as far_rows
from ocrmaps.store.far.rows import Ahead
from ocrmaps.store.far.version import _opened
from ocrmaps.store.fast import FastReader
from ocrmaps.store.places.cache import find_version, local_folder, reading_folder, stores
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.places.standin import held_bytes, mark_of
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.mirror import pull_all
from ocrmaps.store.upkeep.exchange.push import push
from ocrmaps.store.upkeep.verify import verify
from tests.cloud.server import BUCKET, FAULTS, Proxy, environment, sometimes
from tests.store.world import World, make_world


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Forty rows, each in a shard of its own."""
    world = make_world(tmp_path_factory.mktemp("many"), samples=40, rows_per_shard=1)
    world.build()
    return world


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Thirteen rows, each in a shard of its own."""
    world = make_world(tmp_path_factory.mktemp("few"), samples=13, rows_per_shard=1)
    world.build()
    return world


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OCRMAPS_CACHE", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def pushed(many: World, s3_port: int) -> str:
    """The URL of that version in the bucket, pushed once. Nobody changes it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(s3_port).items():
            patch.setenv(name, value)
        place = ObjectPlace(f"s3://{BUCKET}/many")
        push(many.folder, place)
    return f"{place.url}/tiny/{many.folder.name}"


@pytest.fixture
def url(pushed: str, proxy: Proxy, here: Path) -> str:
    """The same, through a proxy that has counted nothing yet."""
    _opened.clear()
    return pushed


@pytest.fixture
def own_url(few: World, bucket: str, proxy: Proxy, here: Path) -> str:
    """The URL of a version in the bucket that one test may change."""
    push(few.folder, ObjectPlace(bucket))
    proxy.forget()
    return f"{bucket}/tiny/{few.folder.name}"


def same_batches(url: str, folder: Path, epochs: int = 1) -> None:
    settings = {"split": "train", "batch_size": 4, "shuffle": True, "threads": 2}
    with MapLoader(url, **settings) as far, MapLoader(folder, **settings) as near:
        for _ in range(epochs):
            for mine, theirs in zip(far, near, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_loader_over_a_url_shows_the_batches_of_the_disk_and_lists_nothing(many, url, proxy):
    same_batches(url, many.folder, epochs=2)
    assert set(proxy.requests) == {"get"}
    rows = len(MapDataset(many.folder).rows)
    columns = 16  # at most, with the manifest
    assert proxy.requests["get"] <= 4 * rows + columns  # the second epoch cost nothing
    proxy.forget()
    same_batches(url, many.folder)
    assert proxy.requests == {"get": 1}, proxy.paths  # the manifest: everything else is here and was proven


def test_64_requests_are_in_flight(many, url, proxy):
    def all_of_them(method: str, path: str) -> None:
        """Nobody is answered before 64 have asked."""
        if "/canvas-" in path and not together.is_set():
            with counting:
                asked.append(path)
                if len(asked) == far_rows.IN_FLIGHT == 64:
                    together.set()
            assert together.wait(60)

    asked, counting, together = [], threading.Lock(), threading.Event()
    proxy.plan = all_of_them
    with Reader(url) as far:
        for future in far.far_rows().fetch(range(len(far))):
            future.result()
    assert proxy.most_in_flight >= 64


def test_ranges_that_lie_close_are_one_request(built, bucket, proxy, here, monkeypatch):
    monkeypatch.setattr(far_rows, "WHOLE", 0)
    push(built.folder, ObjectPlace(bucket))
    proxy.forget()
    with Reader(f"{bucket}/tiny/{built.folder.name}") as far, Reader(built.folder) as near:
        proxy.forget()
        futures = far.far_rows().fetch(range(len(far)))
        for future in futures:
            future.result()
        shards = {(str(near.shard_of(row))) for row in range(len(near))}
        assert proxy.requests == {"get": 4 * len(shards)} and len(shards) < len(near)
        for row in range(len(near)):
            assert all(
                np.array_equal(a, b)
                for a, b in zip(far.read_row(row).values(), near.read_row(row).values(), strict=True)
            )
        assert proxy.requests == {"get": 4 * len(shards)}


@pytest.mark.parametrize("seed", range(2))
def test_no_fault_fills_or_changes_a_row(many, url, proxy, seed):
    proxy.plan = sometimes(0.3, seed)
    same_batches(url, many.folder)
    assert set(proxy.faults) == set(FAULTS) and sum(proxy.faults.values()) > 25
    assert proxy.requests["get"] <= 2 * (4 * 40 + 24)


def test_everything_else_of_a_version_is_read_from_the_place_too(many, url):
    with Reader(url) as far, Reader(many.folder) as near:
        assert far.ids() == near.ids() and far.root_digest == near.root_digest
        assert list(far.ledger()) == list(near.ledger())
        assert far.polygon_set(3) == near.polygon_set(3)
        assert far.packed(5, "image") == near.packed(5, "image")


def test_the_newest_version_is_found_by_the_name_of_its_store(tmp_path, bucket, proxy, here):
    world = make_world(tmp_path / "w")
    for lines in (1, 2):  # in the same second, which is all that the place's own times tell
        world.annotate("train", "01.png", lines=lines)
        world.build(at=f"2026-01-01T00:00:00.{lines:06}Z")
        push(world.folder, ObjectPlace(bucket))
    with ocrmaps.open_version("tiny", cache=bucket) as version:
        assert version.folder.name == world.folder.name
    with ocrmaps.open_version(f"{bucket}/tiny") as version:
        assert version.folder.name == world.folder.name
    assert mark_of(reading_folder(bucket)).url == bucket
    with pytest.raises(StoreNotFound, match="no such version"):
        ocrmaps.open_version("other", cache=bucket)


def _stand_in_files(url: str, array: str = "image") -> list[Path]:
    return sorted(local_folder(url).glob(f"canvas-*/{array}/c.*"))


def test_a_damaged_stand_in_is_noticed_and_comes_again(many, url, proxy):
    same_batches(url, many.folder)
    for path in _stand_in_files(url):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 0xFF
        path.write_bytes(data)
    proxy.forget()
    same_batches(url, many.folder)
    assert proxy.requests["get"] >= len(_stand_in_files(url))


def test_a_stand_in_that_changes_under_an_open_loader_is_noticed(many, url, proxy):
    settings = {"split": "train", "batch_size": 4, "shuffle": True, "threads": 2}
    with MapLoader(url, check_digests=False, **settings) as far, MapLoader(many.folder, **settings) as near:
        for epoch in range(3):
            for mine, theirs in zip(far, near, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
            for path in _stand_in_files(url, "threshold" if epoch == 0 else "image"):
                if epoch == 0:
                    path.unlink()
                else:  # pixels that unpack, and are not those of the row
                    data = bytearray(path.read_bytes())
                    data[len(data) // 2] ^= 1
                    path.write_bytes(data)


def test_damage_in_the_place_is_an_error_with_a_name(few, own_url, bucket, here):
    url = own_url
    place = ObjectPlace(bucket)
    key = f"tiny/{few.folder.name}/canvas-64x64/mask/c.3.0.0"
    place.put(key, bytes(reversed(place.get(key))))
    with pytest.raises(StoreCorrupt, match=r"canvas-64x64/mask/c\.3\.0\.0 at byte \d+: row \d+, mask"):
        same_batches(url, few.folder)
    report = verify(local_folder(url))
    assert [problem.loc for problem in report.problems] == ["canvas-64x64/mask/c.3.0.0"]
    place.delete([key])
    with pytest.raises(StoreCorrupt, match=r"mask/c\.3\.0\.0: the file is missing"):
        same_batches(url, few.folder)
    assert not verify(local_folder(url), level="quick").ok


def test_a_quota_holds_and_nothing_is_wrong_for_it(many, url, proxy, monkeypatch):
    monkeypatch.setenv("OCRMAPS_QUOTA_MB", "0")
    folder = reading_folder(url.rsplit("/", 2)[0])
    mark = folder / "place.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "quota": 200_000}))
    with Reader(folder / "tiny" / many.folder.name) as far, Reader(many.folder) as near:
        fast, out = FastReader(far), None
        for _ in range(2):
            for row in range(len(near)):
                expected = near.read_row(row)
                out = [np.zeros_like(array) for array in expected.values()]
                fast.read_into(row, out)
                assert all(np.array_equal(a, b) for a, b in zip(out, expected.values(), strict=True))
    assert held_bytes(folder) <= 200_000 + 4 * 3 * 4096
    assert proxy.requests["get"] > 4 * 40 + 24  # it did not fit: the second time rows came again


def test_a_quota_that_cannot_hold_what_a_row_brings_along_is_refused(many, url, here, monkeypatch):
    monkeypatch.setenv("OCRMAPS_QUOTA_MB", "0")
    with pytest.raises(StoreError, match=r"OCRMAPS_QUOTA_MB: found 0, expected at least 1") as refused:
        same_batches(url, many.folder)
    assert "leave it out" in refused.value.hint
    assert verify(local_folder(url)).ok  # reads no row into it


def test_credentials_are_in_nothing_that_is_written(few, own_url, bucket, here):
    same_batches(own_url, few.folder)
    place = ObjectPlace(bucket)
    written = [path.read_bytes() for path in here.rglob("*") if path.is_file()]
    assert len(written) > 20
    for data in (*written, *(place.get(entry.key) for entry in place.entries())):
        assert b"AKIDTEST" not in data and b"nobody-may-see" not in data


def test_processes_share_a_stand_in(many, url, proxy, here):
    proxy.plan = sometimes(0.1, 5)
    code = (
        "import hashlib, sys; from ocrmaps.store.reader import Reader\n"
        "with Reader(sys.argv[1]) as r:\n"
        "    rows = [r.read_row(i) for i in range(len(r))]\n"
        "print(hashlib.sha256(b''.join(a.tobytes() for row in rows for a in row.values())).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    root = {**os.environ, "PYTHONPATH": str(Path(ocrmaps.__file__).parents[1])}
    others = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True, env=root, cwd=here)
        for name in (url, url, str(many.folder))
    ]
    said = {process.communicate()[0] for process in others}
    assert len(said) == 1 and len(said.pop()) == 65


def test_rows_are_brought_no_further_ahead_than_is_allowed(many, url):
    with Reader(url) as far:
        rows = far.far_rows()
        rows.ahead_bytes = 0
        ahead = Ahead(rows, iter(list(range(len(far))) * 100))
        assert not ahead._thread.join(0.2) and len(ahead._waiting) <= far_rows.GROUP
        ahead.stop()
        assert not ahead._thread.is_alive()


def test_the_commands_read_from_a_url(many, url, here):
    root = url.rsplit("/", 2)[0]
    app = typer.Typer()
    app.command()(build_commands.verify)
    app.add_typer(cache_commands.app, name="cache")

    def run(line: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*line.split(), "--root", root])
        if isinstance(result.exception, OcrmapsError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    with Reader(many.folder) as near:
        digest = near.root_digest
    report = json.loads(run("verify tiny --json"))
    assert report["ok"] and report["root_digest"] == digest
    [entry] = json.loads(run("cache list --json"))["versions"]
    assert entry["root_digest"] == digest and entry["rows"] == 40 and "problem" not in entry
    assert json.loads(run("cache show tiny --json"))["root_digest"] == digest
    assert json.loads(run("cache status --json", 1))["stores"][0]["whole"] is True  # its sources are no files
    assert "nothing to remove" in run("cache gc")
    assert {path.name for path in here.iterdir()} == {".ocrmaps"}
    # What only works on a folder says so.
    with pytest.raises(OcrmapsError, match="expected a cache folder on this machine"):
        run("cache clear tiny")


def test_folders_by_names_that_no_store_has_are_left_alone(built, bucket, here):
    place = ObjectPlace(bucket)
    for name in ("L" * 300, "a b", "\u202egpj"):
        place.put(f"{name}/{built.folder.name}/manifest.json", (built.folder / "manifest.json").read_bytes())
    assert stores(reading_folder(bucket)) == [] and list(pull_all(place, here / "cache")) == []
    assert [path.name for path in reading_folder(bucket).iterdir()] == ["place.json"]


def test_a_version_that_is_gone_from_the_place_is_gone_from_the_stand_in(few, own_url, bucket):
    cache = reading_folder(bucket)
    assert find_version(cache, "tiny")[1] == few.folder.name
    ObjectPlace(bucket).delete([f"tiny/{few.folder.name}/manifest.json"])
    with pytest.raises(StoreNotFound):
        Reader(cache / "tiny" / few.folder.name)
    with pytest.raises(StoreNotFound):
        find_version(cache, "tiny")
