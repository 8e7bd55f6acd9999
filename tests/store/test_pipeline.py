"""A build from a recipe on disk: schedulers agree, unchanged is free, budgets hold, roots may move."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from ocrmaps.annotations.checks.frames import FrameTable
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.errors import DataError, SpecError, StoreCorrupt, StoreError
from ocrmaps.pipelines import executors as build_run
from ocrmaps.pipelines.build import build, repair
from ocrmaps.recipe import SourceRecipe, default_recipe, dump_recipe, load_recipe
from ocrmaps.store.format.manifest import parse_manifest, read_manifest
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.status import cache_status
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing import sources as asking
from ocrmaps.store.writing.tasks import build_shard
from tests.torture.cluster import kill_cluster, source_world


@pytest.fixture
def recipe(quick_folder: Path):
    made, _ = source_world(quick_folder, samples=7)
    time.sleep(0.06)  # files so fresh that their time stamps could repeat are not remembered
    return made


@pytest.fixture
def cache(quick_folder: Path) -> Path:
    return quick_folder / "cache"


def test_one_and_two_workers_and_processes_give_one_root_digest(recipe, cache):
    digests = {
        build(recipe, cache / name, workers=workers, scheduler=scheduler).root_digest
        for name, workers, scheduler in (("1", 1, "threads"), ("2", 2, "threads"), ("p", 2, "processes"))
    }
    assert len(digests) == 1


def test_one_worker_draws_the_shards_with_the_most_work_first(recipe, cache, monkeypatch):
    started = []

    def noting(task, stop, team):
        started.append(task)
        return build_shard(task, stop, team)

    monkeypatch.setattr(build_run, "build_shard", noting)
    build(recipe, cache, workers=1)
    work = [sum(math.prod(r.transform.raw_size) + 2 * math.prod(r.transform.canvas) for r in t.rows) for t in started]
    assert len(set(work)) > 1 and work == sorted(work, reverse=True)


def test_what_an_older_version_could_not_give_is_said(recipe, cache, quick_folder):
    first = build(recipe, cache)
    (first.folder / "rows" / "fingerprint" / "c.0.0").write_bytes(b"?")
    said = []
    report = build(replace(recipe, maps=replace(recipe.maps, shrink_ratio=0.5)), cache, announce=said.append)
    assert report.counts["reused"] == 0 and any(f"nothing is taken from version {first.version}" in s for s in said)


def test_a_source_with_mixed_frames_is_built_with_a_warning(quick_folder, monkeypatch):
    saved = save(SynthSpec(num=8), quick_folder / "source").source
    asked = SourceRecipe(path=saved.annotations, pictures=saved.pictures, format=saved.format, name="receipts")
    mixed = FrameTable(declared="upright", rows={6: {"upright": 6, "raw": 2}}, against=("a.jpg", "b.jpg"))
    assert mixed.verdict == "mixed"
    monkeypatch.setattr(asking, "check_frame", lambda *told: mixed)
    said = []
    build(default_recipe([asked], name="turned"), quick_folder / "cache", announce=said.append)
    assert any("WARNING: receipts" in line and "2 pictures fit only raw" in line and "a.jpg" in line for line in said)


def test_a_worker_lost_from_a_cluster_costs_nothing(quick_folder):
    assert kill_cluster(quick_folder, 1)["wrong_digests"] == 0


def test_builds_on_processes_beside_each_other_share_no_port():
    with build_run._cluster("processes", 1) as one, build_run._cluster("processes", 1) as two:
        assert one.cluster.scheduler_address != two.cluster.scheduler_address
        listening = [c.laddr for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening and not [address for address in listening if address.port == 8787]
        assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_scheduler_that_is_not_there_is_named(recipe, cache, monkeypatch):
    monkeypatch.setattr("ocrmaps.pipelines.executors.ANSWER_SECONDS", 1)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        build(recipe, cache, scheduler="tcp://127.0.0.1:1")


def test_an_unchanged_build_reads_no_source(recipe, cache, monkeypatch):
    first = build(recipe, cache)
    monkeypatch.setattr("ocrmaps.pipelines.build.ask", lambda *a, **k: pytest.fail("asked again"))
    again = build(recipe, cache)
    assert (again.state, again.version, again.root_digest) == ("unchanged", first.version, first.root_digest)


def test_a_manifest_that_was_proven_is_not_proven_again_and_another_is(recipe, cache, monkeypatch):
    folder = build(recipe, cache).folder
    parsed = []
    real = parse_manifest
    monkeypatch.setattr(
        "ocrmaps.store.format.manifest.parse_manifest", lambda *a, **k: parsed.append(a[1]) or real(*a, **k)
    )
    assert build(recipe, cache).root_digest == read_manifest(folder).root_digest
    assert parsed == [folder / "manifest.json"]  # by this test alone
    # Another spelling of the same: a proof of its own, which fails.
    manifest = folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(StoreCorrupt, match="its bytes differ"):
        build(recipe, cache)


def test_a_command_that_mends_is_quoted_for_a_shell(recipe, quick_folder):
    folder = build(recipe, quick_folder / "my cache").folder
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(StoreCorrupt) as caught:
        build(recipe, quick_folder / "my cache")
    assert f"`ocrmaps repair '{folder}'`" in caught.value.hint
    with pytest.raises(StoreCorrupt) as caught:
        Reader(folder)
    assert f"`ocrmaps verify '{folder}'`" in caught.value.hint


def test_touched_files_are_the_same_version(recipe, cache, quick_folder):
    first = build(recipe, cache)
    for path in [*quick_folder.rglob("*.png"), quick_folder / "labels.json"]:
        os.utime(path)
    assert build(recipe, cache).state == "unchanged"
    assert build(recipe, cache, rehash=True).version == first.version


def test_a_picture_edited_in_place_is_noticed_by_the_shortcut(recipe, cache, quick_folder):
    first = build(recipe, cache)
    picture = quick_folder / "train" / "003.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    second = build(recipe, cache)
    assert second.version != first.version
    assert second.counts["drawn"] == 1


def test_a_picture_that_is_now_a_copy_of_another_is_copied_not_drawn(recipe, cache, quick_folder):
    build(recipe, cache)
    shutil.copyfile(quick_folder / "train" / "000.png", quick_folder / "train" / "003.png")
    assert build(recipe, cache).counts["drawn"] == 0


def test_moved_roots_are_the_same_version(recipe, cache, quick_folder):
    first = build(recipe, cache)
    moved = quick_folder / "elsewhere"
    moved.mkdir()
    shutil.move(quick_folder / "train", moved / "pictures")
    shutil.move(quick_folder / "labels.json", moved / "other.json")
    source = replace(recipe.sources[0], path=moved / "other.json", pictures=moved / "pictures")
    again = build(replace(recipe, sources=(source,)), cache)
    assert (again.state, again.version) == ("unchanged", first.version)


def test_a_dry_run_writes_no_version_and_says_why(recipe, cache):
    build(recipe, cache)
    changed = replace(recipe, maps=replace(recipe.maps, shrink_ratio=0.4))
    report = build(changed, cache, dry_run=True)
    assert (report.state, report.counts["draw"], report.counts["reuse"]) == ("planned", 7, 0)
    assert report.changed == {"recipe.maps.shrink_ratio": 7}
    assert len(Store(cache, recipe.name).versions()) == 1


def test_a_lost_picture_ends_the_build_unless_the_budget_allows_it(recipe, cache, quick_folder):
    (quick_folder / "train" / "002.png").unlink()
    with pytest.raises(DataError, match="1 of 7") as refused:
        build(recipe, cache)
    assert [p.loc for p in refused.value.problems] == ["train/002.png"]
    report = build(recipe, cache, allow_failures=1)
    assert (report.counts["rows"], report.counts["failed"]) == (6, 1)
    with pytest.raises(DataError, match="1 of 7"):
        build(recipe, cache)


def test_a_picture_that_only_fails_to_decode_leaves_a_resumable_build(recipe, cache, quick_folder):
    path = quick_folder / "train" / "002.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="1 of 7") as refused:
        build(recipe, cache)
    assert "--allow-failures 1" in refused.value.hint
    store = Store(cache, recipe.name)
    assert store.versions() == []
    report = build(recipe, cache, allow_failures=1)
    assert report.counts["shards_resumed"] > 0
    with Reader(report.folder) as reader:
        assert len(reader) == 6


def test_a_full_disk_commits_nothing_and_the_next_build_resumes(recipe, cache):
    written = 0

    def full(step: str, path: Path) -> None:
        nonlocal written
        written += step == "write"
        if step == "write" and written > 6:
            raise OSError(28, "No space left on device")

    disk.between = full
    try:
        with pytest.raises(StoreError, match="No space left") as refused:
            build(recipe, cache, workers=1)
    finally:
        disk.between = None
    assert "resumes" in refused.value.hint
    assert Store(cache, recipe.name).versions() == []
    assert build(recipe, cache).state == "built"


def test_a_plan_of_generated_receipts_foresees_their_size(quick_folder):
    saved = save(SynthSpec(num=6), quick_folder / "grainy").source
    asked = SourceRecipe(path=saved.annotations, split="train")
    recipe = default_recipe([asked], name="grainy")
    plan = build(recipe, quick_folder / "cache", workers=1, dry_run=True).counts
    stored = build(recipe, quick_folder / "cache", workers=1).counts["bytes"]
    assert plan["estimated_bytes"] / 2 < stored < plan["estimated_bytes"]


def test_too_little_space_is_refused_before_anything_is_drawn(recipe, cache, monkeypatch):
    monkeypatch.setattr("ocrmaps.pipelines.build._free", lambda cache: 10)
    with pytest.raises(StoreError, match="are free"):
        build(recipe, cache)


def test_a_damaged_version_is_not_called_unchanged(recipe, cache):
    report = build(recipe, cache)
    manifest = report.folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows"', b'"rowz"', 1))
    with pytest.raises(StoreCorrupt) as refused:
        build(recipe, cache)
    assert "repair" in refused.value.hint


@pytest.mark.parametrize(
    "victim", ["manifest.json", "ledger.jsonl", "rows/transform/c.0.0", "canvas-64x64/image/c.0.0.0.0", "zarr.json"]
)
@pytest.mark.parametrize("how", ["delete", "flip"])
def test_repair_brings_back_the_same_bytes(recipe, cache, victim, how):
    report = build(recipe, cache)
    path = report.folder / victim
    good = path.read_bytes()
    if not good:
        pytest.skip("an empty ledger has nothing to flip")
    path.unlink()
    if how == "flip":
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 4]))
    done = repair(Store(cache, recipe.name), report.version, recipe)
    assert done.after.root_digest == report.root_digest
    assert done.replaced == (victim,)
    if victim != "manifest.json":  # it records when it was built
        assert path.read_bytes() == good
    assert verify(report.folder, level="rebuild").ok


def test_repair_needs_the_recipe_when_the_manifest_is_gone(recipe, cache):
    report = build(recipe, cache)
    (report.folder / "manifest.json").unlink()
    with pytest.raises(StoreError, match="manifest is damaged") as refused:
        repair(Store(cache, recipe.name), report.version)
    assert "--recipe" in refused.value.hint


def test_repair_refuses_when_the_sources_are_no_longer_the_same(recipe, cache, quick_folder):
    report = build(recipe, cache)
    shard = next(report.folder.glob("canvas-64x64/image/c.*"))
    shard.unlink()
    for picture in (quick_folder / "train").iterdir():
        picture.unlink()
    before = sorted(p.name for p in report.folder.rglob("*"))
    with pytest.raises(StoreError, match="cannot be drawn again"):
        repair(Store(cache, recipe.name), report.version)
    assert sorted(p.name for p in report.folder.rglob("*")) == before


def test_verify_at_level_rebuild_notices_that_a_source_changed(recipe, cache, quick_folder):
    report = build(recipe, cache)
    shutil.copyfile(quick_folder / "train" / "000.png", quick_folder / "train" / "003.png")
    assert verify(report.folder).ok
    found = verify(report.folder, level="rebuild")
    assert [(p.loc, p.kind) for p in found.problems] == [("train/003.png", "source")]


def test_verify_at_level_rebuild_notices_that_code_draws_differently(recipe, cache, monkeypatch):
    from ocrmaps.store.writing import tasks

    report = build(recipe, cache)
    render = tasks.render
    monkeypatch.setattr(tasks, "render", lambda *a: render(*a) ^ 1)
    assert {p.kind for p in verify(report.folder, level="rebuild").problems} == {"drift"}


def test_subsets_of_verify_see_every_shard_once(recipe, cache):
    report = build(recipe, cache)
    for shard in report.folder.glob("canvas-*/image/c.*"):
        data = bytearray(shard.read_bytes())
        data[3] ^= 1
        shard.chmod(0o644)
        shard.write_bytes(data)
    whole = {p.loc for p in verify(report.folder).problems}
    parts = [{p.loc for p in verify(report.folder, subset=(n, 3)).problems} for n in (1, 2, 3)]
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole) > 2


def test_status_names_the_changed_samples_and_their_inputs(recipe, cache, quick_folder):
    build(recipe, cache)
    assert cache_status(cache)[0]["current"] is True
    shutil.copyfile(quick_folder / "train" / "000.png", quick_folder / "train" / "003.png")
    labels = json.loads((quick_folder / "labels.json").read_text())
    labels["data_list"][1]["instances"][0]["polygon"][0] += 2
    (quick_folder / "labels.json").write_text(json.dumps(labels))
    record = cache_status(cache)[0]
    assert record["current"] is False
    assert {(c["sample"], c["what"]) for c in record["changes"]} == {
        ("train/003.png", "image"),
        ("train/001.png", "annotation"),
    }


def test_status_without_its_sources_says_so(recipe, cache, quick_folder):
    build(recipe, cache)
    (quick_folder / "labels.json").unlink()
    record = cache_status(cache)[0]
    assert record["current"] is None
    assert "labels.json" in record["problems"][0]


def test_a_written_recipe_builds_the_same_version(recipe, cache, quick_folder):
    file = quick_folder / "again.toml"
    file.write_text(dump_recipe(recipe))
    assert build(load_recipe(file), cache, dry_run=True).version == build(recipe, cache).version


def test_a_setting_on_the_command_line_changes_the_version(quick_folder, cache):
    _, path = source_world(quick_folder, samples=2)
    plain = build(load_recipe(path), cache, dry_run=True)
    changed = build(load_recipe(path, ["maps.shrink_ratio=0.5"]), cache, dry_run=True)
    assert plain.version != changed.version
    with pytest.raises(SpecError, match="shrink_ration"):
        load_recipe(path, ["maps.shrink_ration=0.5"])
