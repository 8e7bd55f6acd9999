"""Building: one name and one root digest for one request, whatever happened on the way."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import AnnotationError, StoreBusy, StoreError
from ocrmaps.maps import MapSpec
from ocrmaps.store.format.shards import index_nbytes
from ocrmaps.store.places.cache import inputs_memory
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.explain import changes, summary
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.inputs import Memory, examine
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import World, make_world


def drawn(world: World) -> dict[str, int]:
    """How the rows of a build came to be."""
    with world.building() as building:
        counts: dict[str, int] = {}
        for task in building.tasks():
            receipt = build_shard(task)
            building.record(receipt)
            for row in receipt["rows"]:
                counts[row["how"]] = counts.get(row["how"], 0) + 1
        building.commit(building.assembled(), {})
    return counts


def test_the_same_request_gives_the_same_version_and_root_digest_anywhere(quick_folder):
    first = make_world(quick_folder / "a").build()
    second = make_world(quick_folder / "elsewhere" / "b").build()
    assert (first.version, first.root_digest) == (second.version, second.root_digest)


def test_the_order_of_sources_does_not_matter(quick_folder):
    world = make_world(quick_folder)
    plan, reordered = world.plan(), world.plan(world.sources()[::-1])
    assert plan.version == reordered.version
    assert [row.key for row in plan.rows] == [row.key for row in reordered.rows]


def test_the_order_in_which_shards_are_built_does_not_matter(quick_folder):
    forward, backward = make_world(quick_folder / "a"), make_world(quick_folder / "b")
    expected = forward.build().root_digest
    with Building(backward.store, backward.plan()) as building:
        for task in building.tasks()[::-1]:
            building.record(build_shard(task))
        assert building.commit(building.assembled(), {}).root_digest == expected


def test_a_task_that_runs_twice_changes_nothing(quick_folder):
    expected = make_world(quick_folder / "a").build().root_digest
    world = make_world(quick_folder / "b")
    with Building(world.store, world.plan()) as building:
        for task in building.tasks():
            building.record(build_shard(task))
            building.record(build_shard(task))
        assert building.commit(building.assembled(), {}).root_digest == expected


def test_a_task_that_ends_after_the_commit_leaves_no_trace(world: World):
    with Building(world.store, world.plan()) as building:
        tasks = building.tasks()
        for task in tasks:
            building.record(build_shard(task))
        building.commit(building.assembled(), {})
        with pytest.raises(StoreError):
            build_shard(tasks[0])
    assert verify(world.folder).ok
    assert not world.store.staged()


def test_an_interrupted_build_resumes_from_what_verifies(quick_folder):
    expected = make_world(quick_folder / "a").build().root_digest
    world = make_world(quick_folder / "b")
    with Building(world.store, world.plan()) as building:
        first, second = building.tasks()[:2]
        building.record(build_shard(first))
        building.record(build_shard(second))
    damaged = world.store.tree(world.plan().version) / second.key.path("image")
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    with Building(world.store, world.plan()) as building:
        left = {str(task.key) for task in building.tasks()}
        assert building.resumed == 1
        assert str(first.key) not in left
        assert str(second.key) in left
        for task in building.tasks():
            building.record(build_shard(task))
        assert building.commit(building.assembled(), {}).root_digest == expected


def test_nobody_sees_a_version_before_its_commit(world: World):
    with Building(world.store, world.plan()) as building:
        for task in building.tasks():
            building.record(build_shard(task))
        assert world.store.versions() == []
        building.commit(building.assembled(), {})
    assert len(world.store.versions()) == 1


def test_a_second_builder_is_told_who_the_first_is(world: World):
    plan = world.plan()
    with Building(world.store, plan), pytest.raises(StoreBusy, match=f'"pid": {os.getpid()}'):
        Building(world.store, plan).__enter__()


def test_touching_pictures_draws_nothing(world: World):
    before = world.build()
    for path in world.root.rglob("*.png"):
        os.utime(path)
    assert world.plan().version == before.version


def test_a_changed_picture_draws_only_itself(world: World):
    before = world.build()
    world.add("train", "01.png", size=(64, 30), seed=99)
    assert drawn(world) == {"drawn": 1, "copied": 1, "linked": 5}
    with Reader(world.store.version(before.version)) as old:
        found = summary(changes(world.plan(), old))
    assert found == {"image": 1}


def test_a_changed_polygon_draws_only_its_picture_and_is_explained(world: World):
    before = world.build()
    world.annotate("train", "02.png", lines=2, shift=3.0)
    with Reader(world.store.version(before.version)) as old:
        assert [(c.sample, c.what) for c in changes(world.plan(), old)] == [("train/02.png", "annotation")]
    assert drawn(world)["drawn"] == 1


def test_a_changed_text_draws_nothing_and_is_stored(world: World):
    before = world.build()
    world.annotate("train", "02.png", lines=2, text="other")
    with Reader(world.store.version(before.version)) as old:
        assert [(c.what, c.redraw) for c in changes(world.plan(), old)] == [("text", False)]
    assert "drawn" not in drawn(world)
    with Reader(world.folder) as reader:
        assert reader.polygon_set(reader.ids().index("02.png")).texts == (None, "other 1 é")


def test_an_added_and_a_removed_sample_draw_only_the_new_one(world: World):
    world.build()
    world.samples["train"] = [s for s in world.samples["train"] if s.id != "01.png"]
    world.add("train", "00a.png", size=(40, 48), seed=50)
    assert drawn(world)["drawn"] == 1


def test_a_canvas_added_to_the_recipe_draws_only_the_rows_that_move(world: World):
    world.build()
    wider = CanonicalSpec(canvases=((64, 64), (64, 32), (64, 56)), scale="longest", side=64)
    world.recipe = replace(world.recipe, canonical=wider)
    with Reader(world.folder) as old:
        moved = sum(canvas == (64, 64) for canvas in map(old.canvas, range(len(old))))
    how = drawn(world)
    with Reader(world.folder) as new:
        stayed = sum(canvas == (64, 64) for canvas in map(new.canvas, range(len(new))))
    assert how["drawn"] == moved - stayed > 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda r: replace(r, maps=MapSpec(shrink_ratio=0.5)), "recipe.maps.shrink_ratio"),
        (lambda r: replace(r, canonical=replace(r.canonical, fill=(9, 9, 9))), "recipe.canonical.fill"),
        (lambda r: replace(r, layout=replace(r.layout, image="zstd")), "recipe.layout.image"),
    ],
)
def test_a_changed_recipe_field_draws_everything_and_is_named(world: World, change, name):
    before = world.build()
    world.recipe = change(world.recipe)
    with Reader(world.store.version(before.version)) as old:
        assert summary(changes(world.plan(), old)) == {name: 7}
    assert drawn(world) == {"drawn": 7}


def test_a_raised_algorithm_number_draws_everything_and_is_named(world: World, monkeypatch):
    before = world.build()
    monkeypatch.setattr("ocrmaps.store.format.identity.ALGORITHMS", {"pictures": 1, "canonical": 2})
    with Reader(world.store.version(before.version)) as old:
        assert summary(changes(world.plan(), old)) == {"algorithms.canonical": 7}
    assert drawn(world) == {"drawn": 7}


def drawn_afresh(world: World) -> str:
    """The root digest of the same rows with no older version to take any from."""
    fresh = World(root=world.root, samples=world.samples, recipe=replace(world.recipe, name="fresh"))
    with Building(replace(world.store, name="fresh"), fresh.plan()) as building:
        for task in building.tasks():
            building.record(build_shard(task))
        return building.commit(building.assembled(), {}).root_digest


def test_small_files_that_stay_the_same_are_those_of_the_older_version(quick_folder):
    world, afresh = make_world(quick_folder / "a"), make_world(quick_folder / "b")
    world.build()
    older = world.folder
    damaged = older / "polygons/text_bytes/c.0"
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    for each in (world, afresh):
        each.add("train", "02.png", size=(40, 48), seed=99)
    expected = afresh.build().root_digest
    manifest = world.build()
    newer = world.store.version(manifest.version)

    def shared(path: str) -> bool:
        return os.path.samefile(older / path, newer / path)

    assert manifest.root_digest == expected and verify(newer).ok
    assert shared("polygons/points/c.0.0") and shared("rows/id_bytes/zarr.json")
    assert not shared("rows/picture/c.0.0")
    assert not shared("polygons/text_bytes/c.0")


def test_reused_rows_are_the_rows_that_would_have_been_drawn(world: World):
    world.build()
    world.add("train", "01.png", size=(64, 30), seed=99)
    assert world.build().root_digest == drawn_afresh(world)


def test_damaged_rows_of_an_older_version_are_drawn_not_copied(world: World):
    before = world.build()
    old = world.store.version(before.version)
    for path in old.glob("canvas-*/image/c.*"):
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        for at in range(20, len(data) - index_nbytes(world.recipe.layout.rows_per_shard), 40):  # every row
            data[at] ^= 1
        path.write_bytes(data)
    world.add("train", "01.png", size=(64, 30), seed=70)
    # Not `verify` alone: a damaged row that is taken over gets digests of its own.
    assert world.build().root_digest == drawn_afresh(world)
    assert verify(world.folder).ok


def test_a_truncated_picture_is_a_row_of_the_ledger_not_a_crash(world: World):
    path = world.root / "train" / "01.png"
    path.write_bytes(path.read_bytes()[:-40])
    manifest = world.build()
    assert manifest.written["counts"]["failed"] == 1
    with Reader(world.folder) as reader:
        assert "01.png" not in reader.ids()
        lost = [line for line in reader.ledger() if line["reason"] == "skipped"]
        assert [(line["sample"], line["before"]) for line in lost] == [("01.png", "bad-picture")]
        for row in range(len(reader)):
            reader.read_row(row)
    assert verify(world.folder).ok


def test_a_missing_picture_is_a_failure_with_its_place(world: World):
    (world.root / "val" / "03.png").unlink()
    plan = world.plan()
    assert [(f.sample, f.reason) for f in plan.failures] == [("03.png", "missing-picture")]


def test_every_annotated_page_of_a_tiff_is_a_row_of_its_own(world: World):
    first, second = (Image.new("RGB", (40, 48), color) for color in ("red", "blue"))
    world.add("train", "scan.tif")
    first.save(world.root / "train" / "scan.tif", save_all=True, append_images=[second])
    world.annotate("train", "scan.tif#2", lines=2)
    world.build()
    with Reader(world.folder) as reader:
        rows = [reader.ids().index(name) for name in ("scan.tif", "scan.tif#2")]
        colors = [reader.read_row(row)["image"][30, 20].tolist() for row in rows]
    assert colors[0][0] > 200 > 50 > colors[0][2] and colors[1][2] > 200 > 50 > colors[1][0]
    assert verify(world.folder).ok


def test_two_pictures_with_one_id_are_refused_by_name(world: World):
    sources = world.sources()
    with pytest.raises(AnnotationError, match="same id"):
        world.plan([*sources, sources[0]])


def test_a_picture_that_changes_during_the_build_stops_it(world: World):
    plan = world.plan()
    world.add("train", "01.png", size=(64, 30), seed=123)
    with pytest.raises(StoreError, match="changed while"):
        world.build(plan)


def test_an_edit_with_restored_time_stamps_is_noticed(world: World):
    path = world.root / "train" / "01.png"
    stamps = path.stat()
    before = world.plan().version
    time.sleep(0.1)
    world.plan()  # remembers the picture, now that its stamps are old enough
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert world.plan().version != before


def test_a_damaged_memory_entry_is_not_believed(world: World):
    import sqlite3

    path = world.root / "train" / "01.png"
    time.sleep(0.1)
    memory = Memory(inputs_memory(world.cache))
    expected = examine([path], memory)
    with sqlite3.connect(inputs_memory(world.cache)) as database:
        ((packed,),) = database.execute("SELECT packed FROM pictures").fetchall()
        # The stamp in front still fits; what it stands for does not.
        database.execute("UPDATE pictures SET packed = ?", [packed[:-1] + bytes([packed[-1] ^ 1])])
    database.close()
    assert examine([path], memory) == expected


def test_a_memory_file_that_is_no_database_is_reported_and_put_aside(world: World):
    expected = world.plan().version
    inputs_memory(world.cache).write_bytes(b"not a database, at length" * 100)
    with pytest.raises(StoreError, match="memory of inputs"):
        world.plan()
    assert world.plan().version == expected
    assert inputs_memory(world.cache).with_name("inputs.sqlite.damaged").exists()


def test_the_ledger_tells_masked_and_clipped_polygons(world: World):
    world.samples["val"] = []
    world.annotate("train", "02.png", lines=1, shift=-30.0)
    world.build()
    with Reader(world.folder) as reader:
        lines = [line for line in reader.ledger() if line["sample"] == "02.png"]
    assert [line["reason"] for line in lines] == ["clipped"]
    assert np.min(lines[0]["before"]) < 0


def test_a_build_of_nothing_is_a_version_of_nothing(quick_folder: Path):
    world = make_world(quick_folder, samples=0)
    manifest = world.build(world.plan([]))
    assert manifest.rows == 0
    assert verify(world.folder).ok
    with Reader(world.folder) as reader:
        assert reader.ids() == []
