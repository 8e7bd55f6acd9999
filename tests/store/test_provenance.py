"""Who drew a row: receipts and manifests name code and libraries, and versions of several such say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocrmaps.cli import cache as cache_commands
from ocrmaps.errors import StoreCorrupt
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing import provenance
from ocrmaps.store.writing.provenance import Drawers, Origins, differences, identity, identity_name
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World, make_world


def show(world: World, *options: str) -> str:
    words = ["show", str(world.folder), "--root", str(world.cache), *options]
    result = CliRunner().invoke(cache_commands.app, words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def drawing(monkeypatch):
    """Lets the following builds be drawn by another Pillow."""
    tools, code = provenance._identity()

    def change(pillow: str) -> None:
        monkeypatch.setattr(provenance, "_identity", lambda: ({**tools, "pillow": pillow}, code))

    return change


def test_a_version_names_the_one_identity_that_drew_it(world: World):
    manifest = world.build()
    (entry,) = manifest.recorded["drawn_by"]
    assert entry["identity"] == identity_name(identity())
    assert (entry["tools"], entry["code"]) == (identity()["tools"], identity()["code"])
    assert entry["rows"] == manifest.rows and "where" not in entry
    assert f"{manifest.rows} rows drawn by " in show(world) and "python 3" in show(world)
    assert verify(world.folder).warnings == ()


def test_the_root_digest_does_not_know_who_drew(quick_folder: Path, drawing):
    one, two = make_world(quick_folder / "one"), make_world(quick_folder / "two")
    first = one.build()
    drawing("0.1")
    second = two.build()
    assert first.recorded["drawn_by"] != second.recorded["drawn_by"]
    assert (first.version, first.root_digest) == (second.version, second.root_digest)


def test_copied_and_linked_rows_keep_the_identity_that_drew_them(world: World, drawing):
    drawing("0.1")
    old = world.build()
    drawing("0.2")
    world.add("train", "99.png", seed=99)
    new = world.build()
    first, second = new.recorded["drawn_by"]
    assert (first["tools"]["pillow"], first["rows"]) == ("0.1", old.rows)
    assert (second["tools"]["pillow"], second["rows"], second["shards"]) == ("0.2", 1, 1)
    (warning,) = verify(world.folder).warnings
    assert "1 rows in 1 shards" in warning and "pillow 0.2 instead of 0.1" in warning
    assert "1 rows drawn by other code or libraries: pillow 0.2 instead of 0.1" in show(world)
    assert len(json.loads(show(world, "--json"))["drawn_by"]) == 2
    drawing("0.3")
    world.annotate("train", "99.png", lines=2, text="other")  # no pixel changes: all rows come from the version before
    third = world.build()
    assert {entry["tools"]["pillow"] for entry in third.recorded["drawn_by"]} == {"0.1", "0.2"}
    assert third.version != new.version


def test_rows_of_versions_that_recorded_nothing_stay_unknown(world: World, drawing, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Drawers, "drawn_by", lambda *told: [])
        world.build()
    assert "nobody recorded" in show(world) and verify(world.folder).warnings == ()
    world.add("train", "99.png", seed=99)
    names = [entry["identity"] for entry in world.build().recorded["drawn_by"]]
    assert names == ["unknown", identity_name(identity())]
    (warning,) = verify(world.folder).warnings
    assert "nobody recorded" in warning


def test_a_resumed_build_tells_what_each_attempt_drew(world: World, drawing):
    drawing("0.1")
    with world.building() as building:
        building.record(build_shard(building.tasks()[0]))
    drawing("0.2")
    manifest = world.build()
    assert {entry["tools"]["pillow"] for entry in manifest.recorded["drawn_by"]} == {"0.1", "0.2"}
    wheres = [shard for entry in manifest.recorded["drawn_by"] for shard in entry["where"].items()]
    assert len(wheres) >= 2 and read_manifest(world.folder).recorded == manifest.recorded


def test_a_receipt_without_an_identity_is_unknown():
    drawers = Drawers()
    drawers.add("canvas-64x64/3", {"rows": [{"how": "drawn"}, {"how": "failed"}]})
    assert drawers.drawn_by({}) == [{"identity": "unknown", "rows": 1, "shards": 1}]


def test_where_leads_back_to_the_shards():
    one, two = identity(), {**identity(), "code": {"maps": "other"}}
    drawers = Drawers()
    for i in range(12):
        drawers.add(f"canvas-64x64/{i}", {"rows": [{"how": "drawn"}], "drawn_by": two if i in (3, 4, 9) else one})
    origins = Origins({"drawn_by": drawers.drawn_by({})})
    assert [i for i in range(14) if origins.of("canvas-64x64", i) == (identity_name(two),)] == [3, 4, 9]
    assert origins.of("canvas-64x64", 12) == origins.of("canvas-32x32", 0) == ("unknown",)
    assert set(origins.bodies) == {identity_name(one), identity_name(two)}


@pytest.mark.parametrize("told", [5, [{}], [1], [{"identity": "a"}, {"identity": "b"}], {"a": 1}])
def test_a_record_that_no_build_wrote_is_refused(told):
    with pytest.raises(StoreCorrupt, match="what drew the rows"):
        Origins({"drawn_by": told})


def test_code_that_was_replaced_under_a_running_process_is_not_its_code(monkeypatch):
    before = provenance.code_files()
    file = next(file for file in provenance._LOADED if file.name == "kernels.py")
    monkeypatch.setitem(provenance._LOADED, file, (1, 2, 3))
    provenance.code_files.cache_clear()
    try:
        after = provenance.code_files()
    finally:
        provenance.code_files.cache_clear()
    assert {name for name in before if before[name] != after[name]} == {"maps/kernels.py"}
    one = {**identity(), "files": before}
    assert differences(one, {**identity(), "files": after}) == ["maps/kernels.py"]
