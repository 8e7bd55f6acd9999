"""Push and pull: only what is missing travels, a version appears whole or never, what a dead push leaves is found."""

from __future__ import annotations

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ocrmaps.cli import cache as cache_commands
from ocrmaps.errors import OcrmapsError, StoreBusy, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.pipelines.build import build, build_into
from ocrmaps.recipe import load_recipe
from ocrmaps.store.far.parts import far_manifest, possible_paths
from ocrmaps.store.format.layout import MANIFEST, list_files
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.upkeep.exchange import push as pushing
from ocrmaps.store.upkeep.exchange.journal import dead_pushes, remove_push
from ocrmaps.store.upkeep.exchange.mirror import pull_all, push_all
from ocrmaps.store.upkeep.exchange.pull import pull
from ocrmaps.store.upkeep.exchange.push import push
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import World, make_world
from tests.torture.cluster import source_world

app = typer.Typer()
app.add_typer(cache_commands.app, name="cache")


@pytest.fixture
def place(tmp_path: Path) -> ObjectPlace:
    return ObjectPlace(f"memory://{tmp_path.parent.name}-{tmp_path.name}")


def files(place: ObjectPlace) -> dict[str, bytes]:
    return {entry.key: place.get(entry.key) for entry in place.entries()}


def test_a_pushed_version_is_the_same_files_and_comes_back_the_same(built, place, tmp_path):
    there = push(built.folder, place)
    here = {f"tiny/{built.folder.name}/{path}": (built.folder / path).read_bytes() for path in list_files(built.folder)}
    assert files(place) == here and there.committed and there.files == {"sent": len(here)}
    back = pull(place, "tiny", tmp_path / "other")
    folder = tmp_path / "other" / "tiny" / built.folder.name
    assert {p: (folder / p).read_bytes() for p in list_files(folder)} == {
        p: (built.folder / p).read_bytes() for p in list_files(built.folder)
    }
    assert back.root_digest == verify(folder).root_digest == verify(built.folder).root_digest
    assert not (tmp_path / "other" / "tiny" / ".staging" / f"import-{folder.name}").exists()


def test_what_is_there_already_is_not_sent_again(built, place, tmp_path):
    push(built.folder, place)
    again = push(built.folder, place)
    assert not again.committed and set(again.files) == {"there"}
    pull(place, "tiny", tmp_path)
    assert set(pull(place, "tiny", tmp_path).files) == {"there"}


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(built, place, tmp_path):
    planned = push(built.folder, place, dry_run=True)
    assert files(place) == {}
    assert planned.files == push(built.folder, place).files
    before = files(place)
    planned = pull(place, "tiny", tmp_path / "new", dry_run=True)
    assert not (tmp_path / "new").exists() and files(place) == before
    assert planned.files == pull(place, "tiny", tmp_path / "new").files


def test_shards_that_versions_share_travel_once(tmp_path, place):
    world = make_world(tmp_path / "w")
    world.build()
    push(world.folder, place)
    pull(place, "tiny", tmp_path / "other")
    world.annotate("train", "01.png", lines=1)
    world.build()
    sent = push(world.folder, place)
    assert sent.files["copied"] > 0 and sent.nbytes["sent"] < sum(list_files(world.folder).values())
    got = pull(place, "tiny", tmp_path / "other")
    assert got.version == world.folder.name and got.files["linked"] == sent.files["copied"]
    assert verify(tmp_path / "other" / "tiny" / got.version).ok


class _Cut(Exception):
    pass


def cut_after(monkeypatch: pytest.MonkeyPatch, place: ObjectPlace, puts: int) -> None:
    """The push dies after so many objects."""
    real, left, lock = place.put, [puts], threading.Lock()

    def put(key: str, data: bytes) -> None:
        with lock:
            left[0] -= 1
            if left[0] < 0:
                raise _Cut
        real(key, data)

    monkeypatch.setattr(place, "put", put)


def test_a_push_that_was_cut_off_is_no_version_and_goes_on_where_it_was(built, place, monkeypatch):
    with monkeypatch.context() as patch:
        cut_after(patch, place, 20)
        with pytest.raises(_Cut):
            push(built.folder, place)
    there = f"tiny/{built.folder.name}"
    assert far_manifest(place, there) is None
    with pytest.raises(StoreNotFound):
        pull(place, "tiny", built.root / "nowhere")
    done = push(built.folder, place)
    assert done.committed and done.files["there"] == 19  # the first object was the journal
    assert done.files["sent"] + done.files["there"] == len(list_files(built.folder))


def test_what_a_dead_push_left_is_found_by_its_journal_and_nothing_else_goes(built, place, monkeypatch):
    place.put(f"tiny/{built.folder.name}/strange", b"not ours")
    place.put("elsewhere", b"not ours")
    with monkeypatch.context() as patch:
        cut_after(patch, place, 20)
        with pytest.raises(_Cut):
            push(built.folder, place)
    assert len(files(place)) == 22
    assert dead_pushes(place, age_hours=24)[0] == []
    [dead], _ = dead_pushes(place, age_hours=0)
    assert not dead.committed and set(dead.keys) <= {
        f"tiny/{built.folder.name}/{path}" for path in possible_paths(read_manifest(built.folder))
    }
    assert remove_push(place, dead, age_hours=0) is None
    assert set(files(place)) == {f"tiny/{built.folder.name}/strange", "elsewhere"}


def test_the_journal_of_a_push_that_was_committed_goes_alone(built, place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pushing.PushJournal, "forget", lambda self: None)
        push(built.folder, place)
    [dead], _ = dead_pushes(place, age_hours=0)
    assert dead.committed and dead.keys == ()
    assert remove_push(place, dead, age_hours=0) is None
    assert len(files(place)) == len(list_files(built.folder))


def test_a_push_whose_objects_are_removed_under_it_makes_no_version(built, place, monkeypatch):
    """It was taken for dead, say because its machine slept for a day: then it must not commit what is gone."""
    real = pushing.PushJournal.finish

    def late(self: pushing.PushJournal) -> None:
        [dead], _ = dead_pushes(place, age_hours=0)
        assert remove_push(place, dead, age_hours=0) is None
        place.create(self._end, b"removal by somebody")
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(pushing.PushJournal, "finish", late)
        with pytest.raises(StoreBusy, match="were removed while it was pushed"):
            push(built.folder, place)
    assert far_manifest(place, f"tiny/{built.folder.name}") is None


def test_a_removal_gives_way_to_a_push_that_began_after_it_looked(built, place, monkeypatch):
    with monkeypatch.context() as patch:
        cut_after(patch, place, 20)
        with pytest.raises(_Cut):
            push(built.folder, place)
    [dead], _ = dead_pushes(place, age_hours=0)
    with monkeypatch.context() as patch:
        cut_after(patch, place, 5)
        with pytest.raises(_Cut):
            push(built.folder, place)
    assert remove_push(place, dead, age_hours=0) == "being pushed again"
    assert not any(key.endswith(".end") for key in files(place))
    assert push(built.folder, place).committed


def test_two_pushers_end_with_one_version(built, place):
    done: list[pushing.Exchange] = []
    threads = [threading.Thread(target=lambda: done.append(push(built.folder, place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4 and len({exchange.root_digest for exchange in done}) == 1
    here = {f"tiny/{built.folder.name}/{path}": (built.folder / path).read_bytes() for path in list_files(built.folder)}
    assert files(place) == here


def _other_bytes(built: World, tmp_path: Path, **changes: object) -> Path:
    """The same version with another ledger, as other code could have written it."""
    copy = tmp_path / "copy" / "tiny" / built.folder.name
    shutil.copytree(built.folder, copy)
    manifest = read_manifest(copy)
    (copy / MANIFEST).chmod(0o644)
    (copy / MANIFEST).write_bytes(replace(manifest, **changes).to_bytes())
    return copy


def test_the_same_version_with_other_bytes_is_refused(built, place, tmp_path):
    manifest = read_manifest(built.folder)
    copy = _other_bytes(built, tmp_path, written={**manifest.written, "outcomes": ["other"]})
    push(built.folder, place)
    before = files(place)
    with pytest.raises(StoreBusy, match="is there with root digest"):
        push(copy, place)
    assert files(place) == before


def test_the_same_version_with_other_bytes_is_refused_while_the_first_is_under_way(built, place, tmp_path):
    manifest = read_manifest(built.folder)
    copy = _other_bytes(built, tmp_path, written={**manifest.written, "outcomes": ["other"]})
    journal = pushing.PushJournal(place, "tiny", manifest, manifest.to_bytes())
    journal.begin()
    with pytest.raises(StoreBusy, match="is pushing it with root digest"):
        push(copy, place)
    assert len(files(place)) == 1


def test_a_lost_answer_or_an_equal_version_built_elsewhere_is_no_conflict(built, place, tmp_path):
    manifest = read_manifest(built.folder)
    copy = _other_bytes(built, tmp_path, recorded={**manifest.recorded, "built": {"at": "2020-01-01T00:00:00Z"}})
    push(built.folder, place)
    assert not push(copy, place).committed


def test_a_damaged_file_does_not_leave_this_machine(built, place, tmp_path):
    copy = tmp_path / "tiny" / built.folder.name
    shutil.copytree(built.folder, copy)
    shard = next(copy.glob("canvas-*/image/c.*"))
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="damaged, so not sent"):
        push(copy, place)
    assert far_manifest(place, f"tiny/{built.folder.name}") is None


def test_damage_in_the_place_is_an_error_and_nothing_appears(built, place, tmp_path):
    push(built.folder, place)
    key = next(key for key in files(place) if "/image/c." in key)
    place.put(key, place.get(key)[:-1] + b"x")
    with pytest.raises(StoreCorrupt, match=r"found \d+ bytes with digest"):
        pull(place, "tiny", tmp_path)
    assert not (tmp_path / "tiny" / built.folder.name).exists()
    push_again = key.removeprefix(f"tiny/{built.folder.name}/")
    place.put(key, (built.folder / push_again).read_bytes())
    assert pull(place, "tiny", tmp_path).files["there"] > 40  # what had arrived is kept


@pytest.mark.parametrize("what", ["canvas", "table"])
def test_a_manifest_that_names_files_elsewhere_is_refused(built, place, tmp_path, what):
    manifest = read_manifest(built.folder)
    written = json.loads(json.dumps(manifest.written))
    if what == "canvas":
        written["canvases"][0]["size"] = ["../../..", 1]
    else:
        written["tables"]["../../../rows"] = written["tables"]["rows"]
    push(built.folder, place)
    place.put(f"tiny/{manifest.version}/{MANIFEST}", replace(manifest, written=written).to_bytes())
    with pytest.raises(StoreCorrupt, match=r"not a manifest|expected plain files"):
        pull(place, "tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_version_is_told_how_to_mend_it_and_that_mends_it(built, place, tmp_path):
    push(built.folder, place)
    there = f"tiny/{built.folder.name}"
    key = next(key for key in files(place) if "/image/c." in key)
    place.put(key, place.get(key)[:-1] + b"x")
    with pytest.raises(StoreCorrupt) as wrong:
        pull(place, "tiny", tmp_path)
    place.put(f"{there}/{MANIFEST}", place.get(f"{there}/{MANIFEST}")[:2000])
    for act in (lambda: pull(place, there, tmp_path), lambda: push(built.folder, place)):
        with pytest.raises(StoreCorrupt) as cut:
            act()
        assert cut.value.hint == wrong.value.hint
    told = re.search(r"remove (\S+) with .* then `ocrmaps cache push (\S+) (\S+)`", cut.value.hint)
    assert told.groups() == (f"{place.url}/{there}/{MANIFEST}", place.url, there)
    place.delete([f"{there}/{MANIFEST}"])
    again = push(built.folder, place)
    assert again.committed and again.files["sent"] == 2
    assert pull(place, "tiny", tmp_path).committed


def test_one_damaged_version_keeps_no_other_from_travelling(tmp_path, place):
    world = make_world(tmp_path / "w")
    for lines in (1, 2, 3):
        world.annotate("train", "01.png", lines=lines)
        world.build()
    first, second, third = world.store.versions()[::-1]
    assert len(list(push_all(world.cache, place))) == 3
    place.put(f"tiny/{first}/{MANIFEST}", b"{")
    key = next(key for key in files(place) if key.startswith(f"tiny/{second}/") and "/image/c." in key)
    place.put(key, b"x")
    came = []
    with pytest.raises(StoreError, match="2 of the versions were not fetched") as left:
        came.extend(e.version for e in pull_all(place, tmp_path / "other"))
    assert {problem.loc for problem in left.value.problems} == {f"tiny/{first}", f"tiny/{second}"}
    assert (tmp_path / "other" / "tiny" / third / MANIFEST).exists()
    (world.store.version(third) / MANIFEST).unlink()
    with pytest.raises(StoreError, match="1 of the versions were not sent"):
        list(push_all(world.cache, ObjectPlace(f"{place.url}/more")))
    assert pull(ObjectPlace(f"{place.url}/more"), "tiny", tmp_path / "more").version == second


def test_mirror_sends_and_brings_all_versions(tmp_path, place):
    world = make_world(tmp_path / "w")
    for lines in (1, 2, 3):
        world.annotate("train", "01.png", lines=lines)
        world.build()
    assert [e.committed for e in push_all(world.cache, place)] == [True] * 3
    assert sorted(e.version for e in pull_all(place, tmp_path / "other")) == sorted(world.store.versions())
    assert all(verify(tmp_path / "other" / "tiny" / version).ok for version in world.store.versions())


def test_the_commands_say_and_do_the_same(built, tmp_path):
    def run(line: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, line.split())
        if isinstance(result.exception, OcrmapsError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    url = f"file://{tmp_path}/place"
    planned = json.loads(run(f"cache push {url} tiny --root {built.cache} --dry-run --json"))["exchanges"][0]
    assert planned["done"] is False and not (tmp_path / "place").exists()
    assert "root digest" in run(f"cache push {url} tiny --root {built.cache}")
    record = json.loads(run(f"cache pull {url} tiny --root {tmp_path}/cache --json"))["exchanges"][0]
    assert record["committed"] and record["root_digest"] == planned["root_digest"]
    assert json.loads(run(f"cache mirror {url} --root {built.cache} --json"))["exchanges"][0]["files"].keys() == {
        "there"
    }
    # A place on a disk has the layout of a cache.
    assert verify(tmp_path / "place" / "tiny" / built.folder.name).ok


def test_a_build_into_a_url_is_the_build_on_the_disk_and_appears_complete(tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, recipe = source_world(tmp_path / "w", samples=4)
    here = build(load_recipe(recipe), tmp_path / "cache", workers=1)
    there, pushed = build_into(load_recipe(recipe), place.url, workers=1)
    assert (there.root_digest, there.version) == (here.root_digest, here.version) and pushed.committed
    assert far_manifest(place, f"{there.store}/{there.version}")[0].root_digest == here.root_digest
    again, pushed = build_into(load_recipe(recipe), place.url, workers=1)
    assert again.state == "unchanged" and not pushed.committed and set(pushed.files) == {"there"}


def test_a_place_that_cannot_be_reached_is_found_before_the_work(tmp_path, proxy, bucket, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, recipe = source_world(tmp_path / "w", samples=4)
    proxy.plan = lambda method, path: "drop"
    with pytest.raises(StoreError, match="tries"):
        build_into(load_recipe(recipe), bucket, workers=1)
    assert not list(tmp_path.rglob("canvas-*"))
