"""Pictures and annotations in object storage: the same version as from files, one listing when nothing changed."""

from __future__ import annotations

import http.client
import json
import random
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import LocalCluster
from PIL import Image

from ocrmaps import members
from ocrmaps.errors import DataError, SpecError, StoreError
from ocrmaps.evaluation.sources import source_identity
from ocrmaps.kinds import expect_pictures, expect_source, names_pictures
from ocrmaps.pipelines import crew
from ocrmaps.pipelines.build import build, repair
from ocrmaps.recipe import Recipe, SourceRecipe, dump_recipe, load_recipe, load_text
from ocrmaps.store.far import source as far
from ocrmaps.store.far.source import bring, bring_all, open_source, open_sources
from ocrmaps.store.format.identity import picture_fingerprint
from ocrmaps.store.places.cache import Store
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing import tasks
from ocrmaps.store.writing.tasks import build_shard
from ocrmaps.tiff import inside
from tests.cloud.server import BUCKET, sometimes
from tests.torture.cluster import source_world
from tests.torture.sources import lay_tables


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recipe, Path]:
    monkeypatch.setenv("OCRMAPS_CACHE", str(tmp_path / "near"))
    recipe, _ = source_world(tmp_path / "files", samples=7)
    return recipe, tmp_path / "files"


def upload(folder: Path, url: str) -> ObjectPlace:
    """Pictures and annotations as objects, and one beside them that nobody named."""
    place = ObjectPlace(url)
    for path in (folder / "labels.json", *(folder / "train").iterdir()):
        place.put(path.relative_to(folder).as_posix(), path.read_bytes())
    return place


def recipe_at(tmp_path: Path, recipe: Recipe, url: str) -> Recipe:
    """The recipe file that names the same source by URL."""
    path = tmp_path / "far.toml"
    lines = dump_recipe(recipe).splitlines()
    named = {"path": f"{url}/labels.json", "pictures": f"{url}/train"}
    keys = [line.partition(" = ")[0] for line in lines]
    lines = [f'{key} = "{named[key]}"' if key in named else line for key, line in zip(keys, lines, strict=True)]
    path.write_text("\n".join(lines))
    return load_recipe(path)


def test_the_same_version_as_from_files_and_one_listing_when_nothing_changed(world, tmp_path, monkeypatch):
    recipe, folder = world
    url = f"memory://{tmp_path.name}/receipts"
    place = upload(folder, url)
    asked = recipe_at(tmp_path, recipe, url)
    plain = build(recipe, tmp_path / "plain")
    report = build(asked, tmp_path / "cache")
    assert (report.version, report.root_digest) == (plain.version, plain.root_digest)
    told = json.loads((report.folder / "manifest.json").read_text())["recorded"]
    assert (
        told["sources"][0]["pictures"] == f"{url}/train"
        and told["recipe"]["sources"][0]["path"] == f"{url}/labels.json"
    )
    calls = Counter()
    for name in ("get", "entries", "entry", "range"):
        real = getattr(ObjectPlace, name)
        monkeypatch.setattr(ObjectPlace, name, lambda self, *a, _n=name, _r=real: (calls.update([_n]), _r(self, *a))[1])
    assert build(asked, tmp_path / "cache").state == "unchanged"
    assert calls == {"entries": 2, "entry": 1}  # of the pictures, and to learn that the other name is a file's
    # One picture changes, one goes: only the first is read.
    data = place.get("train/000.png")
    place.put("train/001.png", data)
    calls.clear()
    assert build(asked, tmp_path / "cache").version != report.version
    assert calls["get"] == 1


def test_a_version_whose_pictures_are_in_a_place_is_proven_and_mended_from_its_copy(world, tmp_path):
    recipe, folder = world
    url = f"memory://{tmp_path.name}/receipts"
    upload(folder, url)
    report = build(recipe_at(tmp_path, recipe, url), tmp_path / "cache")
    assert verify(report.folder, level="rebuild").ok
    shard = next(report.folder.glob("canvas-*/image/c.*"))
    data = shard.read_bytes()
    shard.unlink()
    (report.folder / "rows" / "fingerprint" / "c.0.0").unlink()
    repair(Store(tmp_path / "cache", recipe.name), report.version)
    assert shard.read_bytes() == data


def test_a_source_that_arrives_wrong_over_a_connection_without_tls_is_fetched_again(world, proxy, bucket):
    place = upload(world[1], bucket)
    proxy.forget()
    seen: set[str] = set()
    proxy.plan = lambda method, path: None if path in seen or "list-type=" in path else seen.add(path) or "wrong"
    here = bring(bucket)
    assert proxy.faults["wrong"] >= 8
    names = {entry.key: entry for entry in place.entries()}
    proxy.plan = lambda method, path: None
    assert all((here / key).read_bytes() == place.get(key) for key in names)
    # An object that was uploaded in parts has another ETag: it is compared with itself.
    entry = names["labels.json"]
    proxy.plan = sometimes(0.3, 1, ("wrong",))
    assert far._get(place, replace(entry, etag='"0-2"')) == (here / "labels.json").read_bytes()
    proxy.plan = lambda method, path: "wrong"
    with pytest.raises(StoreError, match="arrives otherwise each of 6 times"):
        far._get(place, entry)
    proxy.plan = lambda method, path: None
    with pytest.raises(DataError, match="it was changed meanwhile"):
        far._get(place, replace(entry, nbytes=7))


def test_nothing_is_read_outside_the_place_that_was_named(world, tmp_path):
    _, folder = world
    place = upload(folder, f"memory://{tmp_path.name}/all")
    place.put("train-secret/x.png", b"x")
    place.put("secret.json", b"x")
    here = bring(f"{place.url}/train")
    assert sorted(p.name for p in here.parent.rglob("*") if p.is_file() and p.parent == here) == sorted(
        p.name for p in (folder / "train").iterdir()
    )
    assert not list((tmp_path / "near").rglob("secret*")) and not list((tmp_path / "near").rglob("x.png"))


@pytest.mark.parametrize("key", ["../up.png", "a//b.png", "a/./b.png", "x" * 300])
def test_objects_whose_names_are_no_files_are_refused_before_anything_is_written(tmp_path, monkeypatch, key):
    monkeypatch.setenv("OCRMAPS_CACHE", str(tmp_path / "near"))
    listed = [far.Listed(key=key, nbytes=1, modified=0.0, etag="1")]
    with pytest.raises(DataError, match="is no name of a file"):
        far._copy("memory://x/y", far._folder("memory://x/y"), listed, None)
    assert not (tmp_path / "near").exists()


def test_folders_that_a_console_made_are_no_files(tmp_path, monkeypatch, bucket, proxy):
    """They are empty objects whose names end in a slash, which a listing leaves out."""
    monkeypatch.setenv("OCRMAPS_CACHE", str(tmp_path / "near"))
    ObjectPlace(bucket).put("a/b.jpg", b"picture")
    for name in ("a", "alone"):
        call = http.client.HTTPConnection("127.0.0.1", proxy.port)
        call.request("PUT", f"/{BUCKET}{bucket.partition(BUCKET)[2]}/{name}/")
        assert call.getresponse().status == 200
        call.close()
    for _ in range(2):
        folder = bring(bucket)
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["a", "a/b.jpg"]


def test_a_copy_that_was_changed_here_is_brought_again_and_what_is_gone_there_goes_here(world, tmp_path):
    _, folder = world
    place = upload(folder, f"memory://{tmp_path.name}/all")
    here = bring(place.url)
    original = (here / "labels.json").read_bytes()
    (here / "labels.json").chmod(0o644)
    (here / "labels.json").write_bytes(b"?")
    (here / "stray.json").write_bytes(b"{}")
    place.delete(["train/000.png"])
    assert bring(place.url) == here and (here / "labels.json").read_bytes() == original
    assert not (here / "stray.json").exists() and not (here / "train" / "000.png").exists()


def test_sources_that_are_too_large_missing_or_of_no_kind_are_refused_with_what_to_do(world, tmp_path, monkeypatch):
    _, folder = world
    place = upload(folder, f"memory://{tmp_path.name}/all")
    with pytest.raises(DataError, match="found nothing at memory://"):
        open_source(f"{place.url}/nothing")
    with pytest.raises(SpecError, match="kind http://"):
        open_source("http://host/receipts")
    ObjectPlace(f"memory://{tmp_path.name}").put("labels.json", b"{}")
    with pytest.raises(SpecError, match="lies in no folder of its bucket"):
        open_source(f"memory://{tmp_path.name}/labels.json")
    monkeypatch.setenv("OCRMAPS_QUOTA_MB", "0")
    with pytest.raises(StoreError, match="has room for 0 GB") as caught:
        open_source(place.url)
    assert "OCRMAPS_QUOTA_MB" in caught.value.hint


def test_commands_name_sources_by_url_with_their_split(world, tmp_path):
    _, folder = world
    place = upload(folder, f"memory://{tmp_path.name}/all")
    (source,) = open_sources([f"train={place.url}/labels.json"])
    assert source.split == "train" and source.pictures.name == "train"
    expect_source(Path(place.url))
    expect_pictures([place.url])
    assert names_pictures(place.url) and source_identity(source)["pictures"] == f"{place.url}/train"
    assert bring_all([f"{place.url}/train/000.png", "scans/*.jpg"])[1] == "scans/*.jpg"
    assert source.annotations.read_bytes() == (folder / "labels.json").read_bytes()


def test_a_recipe_keeps_the_url_as_it_is_written(world, tmp_path):
    recipe = recipe_at(tmp_path, world[0], "s3://bucket/receipts")
    assert 'path = "s3://bucket/receipts/labels.json"' in dump_recipe(recipe)
    assert load_text(dump_recipe(recipe)) == recipe


FETCHED: list[str] = []


def fetch_and_tell(task):
    FETCHED.extend(row.picture for row in task.rows)
    return build_shard(task)


def test_the_workers_of_a_cluster_fetch_the_pictures_that_they_draw(world, tmp_path, monkeypatch, bucket):
    recipe, folder = world
    upload(folder, bucket)
    asked = recipe_at(tmp_path, recipe, bucket)
    FETCHED.clear()
    monkeypatch.setattr(crew, "build_shard", fetch_and_tell)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as cluster:  # fmt: skip
        report = build(asked, tmp_path / "cache", scheduler=cluster.scheduler_address, wait_workers=600)
    assert len(FETCHED) == 7 and all(picture.startswith(f"{bucket}/train/") for picture in FETCHED)
    assert report.root_digest == build(recipe, tmp_path / "plain").root_digest


def add_pages_and_members(folder: Path) -> None:
    """Two more samples of the source: the second page of a TIFF, and a member of an archive."""
    labels = json.loads((folder / "labels.json").read_text())
    pictures = folder / "train"
    with Image.open(pictures / "000.png") as one, Image.open(pictures / "001.png") as other:
        one.save(pictures / "scan.tif", save_all=True, append_images=[other])
    with tarfile.open(pictures / "more.tar", "w") as archive:
        archive.add(pictures / "002.png", "a/1.png")
    for name, like in (("scan.tif#2", 1), ("more.tar#a/1.png", 2)):
        labels["data_list"].append({**labels["data_list"][like], "img_path": name})
    (folder / "labels.json").write_text(json.dumps(labels))


def test_workers_fetch_pages_and_members_out_of_their_objects(world, tmp_path, monkeypatch, bucket):
    recipe, folder = world
    add_pages_and_members(folder)
    upload(folder, bucket)
    FETCHED.clear()
    monkeypatch.setattr(crew, "build_shard", fetch_and_tell)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as cluster:  # fmt: skip
        asked = recipe_at(tmp_path, recipe, bucket)
        report = build(asked, tmp_path / "cache", scheduler=cluster.scheduler_address, wait_workers=600)
    assert {f"{bucket}/train/scan.tif", f"{bucket}/train/more.tar"} <= set(FETCHED)
    assert report.root_digest == build(recipe, tmp_path / "plain").root_digest


def test_workers_fetch_only_the_row_groups_of_tables_that_they_draw(world, tmp_path, monkeypatch, bucket):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    padding = 50_000  # the end of a table is read with 64 kB before it
    files = sorted((world[1] / "train").iterdir())
    pictures = [path.read_bytes() + random.Random(path.name).randbytes(padding) for path in files]
    lay_tables(tmp_path / "tables", pictures)
    for path in (tmp_path / "tables").iterdir():
        ObjectPlace(bucket).put(f"tables/{path.name}", path.read_bytes())
    recipe = replace(world[0], sources=(SourceRecipe(path=tmp_path / "tables", split="train"),))
    monkeypatch.setattr(members, "HELD_BYTES", 0)
    monkeypatch.setattr(members, "BLOCK", 10_000)
    pieces: list[tuple[str, int, int]] = []
    real = tasks._piece
    monkeypatch.setattr(tasks, "_piece", lambda *asked: (pieces.append(asked), real(*asked))[1])
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, worker_dashboard_address=None,
    ) as cluster:  # fmt: skip
        asked = load_text(dump_recipe(recipe).replace(f"{tmp_path}/tables", f"{bucket}/tables"))
        report = build(asked, tmp_path / "cache", scheduler=cluster.scheduler_address, wait_workers=600)
    assert report.counts["rows"] == 7
    assert report.root_digest == build(recipe, tmp_path / "plain").root_digest
    assert {url.rpartition("/")[2] for url, _, _ in pieces} == {"a.parquet", "c.arrow"}  # bare rows are ranges
    assert max(nbytes for url, _, nbytes in pieces if url.endswith("parquet")) < 2.1 * padding + 2 * members.BLOCK


def test_a_table_that_arrives_wrong_is_fetched_again(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    lay_tables(tmp_path / "tables", [b"picture %d" % i * 50 for i in range(7)])
    place = ObjectPlace(f"memory://{tmp_path.name}")
    place.put("a.parquet", (tmp_path / "tables" / "a.parquet").read_bytes())
    row = SimpleNamespace(
        name="train/t/3", picture=f"{place.url}/a.parquet", inside=inside(f"{tmp_path}/tables/a.parquet#3"),
        picture_sha=picture_fingerprint(b"picture 2" * 50).hex(),
    )  # fmt: skip
    real, wrong = ObjectPlace.range, [3, 2, 1]

    def damaged(self, key: str, start: int, nbytes: int) -> bytes:
        data = real(self, key, start, nbytes)
        return bytes(len(data)) if wrong and wrong.pop() else data

    monkeypatch.setattr(ObjectPlace, "range", damaged)
    assert tasks._input(row) == b"picture 2" * 50 and not wrong
    row.picture_sha = picture_fingerprint(b"another").hex()
    with pytest.raises(StoreError, match="changed while the version was being built"):
        tasks._input(row)
    row.picture = f"{place.url}/gone.parquet"
    with pytest.raises(StoreError, match="can no longer be read"):
        tasks._input(row)
    place.put("other.parquet", bytes(row.inside.stamp[0]))  # pyarrow is never shown it: it could end the process
    row.picture = f"{place.url}/other.parquet"
    with pytest.raises(StoreError, match="others than when the build began"):
        tasks._input(row)


def test_a_worker_without_pyarrow_gets_no_rows_of_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "find_spec", lambda name: None)
    ObjectPlace(f"memory://{tmp_path.name}").put("t.parquet", b"x")
    told = crew.examine([], [f"memory://{tmp_path.name}/t.parquet"])
    (said,) = crew.faults(SimpleNamespace(own=told), told)
    assert "without pyarrow: pip install 'ocrmaps[parquet]'" in said and "mount" not in said


def test_a_worker_without_the_objects_says_so(tmp_path):
    told = crew.examine([], [f"memory://{tmp_path.name}/a b/1.png"])
    (said,) = crew.faults(SimpleNamespace(own=told), told)
    assert f"cannot read memory://{tmp_path.name}/a b/1.png (no such object)" in said and "mount" not in said


def test_a_worker_that_a_place_refuses_is_told_to_have_credentials(bucket, proxy, monkeypatch):
    def refuse(*asked: object, **wanted: object) -> bytes:
        raise OSError("status code: 403 Forbidden: <Code>AccessDenied</Code><Message>Access Denied</Message>")

    asked: list[str] = []
    monkeypatch.setattr(
        ObjectPlace, "range", lambda self, key, *_: (asked.append(key), self._again("get", key, refuse))[1]
    )
    told = crew.examine([], [f"{bucket}/1.png", f"{bucket}/other/1.png"])
    assert len(asked) == 1
    (said,) = crew.faults(SimpleNamespace(own=told), told)
    assert "AccessDenied" in said and "check AWS_ACCESS_KEY_ID" in said and "mount" not in said
