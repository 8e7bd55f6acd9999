"""`ocrmaps build`, `verify`, `repair` and `cache`, through the command line as a person types it."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.cli import build as build_commands
from ocrmaps.cli import cache as cache_commands
from ocrmaps.errors import DataError, OcrmapsError, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.store.format import tables
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.format.tables import TABLES, SmallFiles, write_table
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.upkeep import catalog
from ocrmaps.store.upkeep.catalog import diff, list_versions, statistics
from ocrmaps.store.upkeep.transfer import pack, unpack
from ocrmaps.store.writing.tasks import OUTCOMES
from tests.store.world import World
from tests.torture.cluster import source_world

app = typer.Typer()
for command in (build_commands.build, build_commands.verify, build_commands.repair):
    app.command()(command)
app.add_typer(cache_commands.app, name="cache")


@pytest.fixture
def shell(quick_folder: Path):
    """Runs a command line on a cache of its own; `{recipe}` stands for a recipe of seven pictures."""
    _, recipe = source_world(quick_folder, samples=7)
    time.sleep(0.06)

    def run(line: str, code: int = 0):
        words = [word.format(recipe=recipe, here=quick_folder) for word in line.split()]
        result = CliRunner().invoke(app, [*words, "--root", str(quick_folder / "cache")])
        if isinstance(result.exception, OcrmapsError):
            assert code == result.exception.exit_code, result.exception
            return result.exception
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in words else result.stdout

    run.here = quick_folder
    return run


def test_build_prints_one_json_document_with_version_digest_counts_and_problems(shell):
    record = shell("build {recipe} --json")
    assert record["state"] == "built"
    assert len(record["version"]) == 16 and len(record["root_digest"]) == 64
    assert record["counts"]["rows"] == 7
    assert record["problems"] == []
    assert shell("build {recipe} --json")["state"] == "unchanged"


def test_a_dry_run_plans_and_changes_nothing(shell):
    record = shell("build {recipe} --dry-run --json")
    assert (record["state"], record["counts"]["draw"]) == ("planned", 7)
    assert shell("cache list --json") == {"versions": []}


def test_verify_reports_damage_and_ends_with_1(shell):
    folder = Path(shell("build {recipe} --json")["folder"])
    assert shell("verify loop --json")["ok"] is True
    shard = next(folder.glob("canvas-*/mask/c.*"))
    shard.unlink()
    record = shell("verify loop --json", code=1)
    assert [p["kind"] for p in record["problems"]] == ["missing"]
    assert record["version"] and record["root_digest"] and record["counts"]["rows"] == 7


def test_repair_shows_first_and_mends_with_yes(shell):
    folder = Path(shell("build {recipe} --json")["folder"])
    next(folder.glob("canvas-*/mask/c.*")).unlink()
    assert shell("repair loop --json", code=1)["planned"] is True
    assert shell("verify loop --json", code=1)["ok"] is False
    assert shell("repair loop --yes --json")["ok"] is True
    assert shell("verify loop --json")["ok"] is True


@pytest.mark.parametrize("subset", ["0/2", "3/2", "x", "1/0", "1"])
def test_a_subset_that_is_none_is_a_usage_error(shell, subset):
    shell("build {recipe}")
    shell(f"verify loop --subset {subset}", code=2)


def test_status_is_current_then_stale_with_its_reason(shell):
    shell("build {recipe}")
    assert shell("cache status --json")["stores"][0]["current"] is True
    shutil.copyfile(shell.here / "train" / "000.png", shell.here / "train" / "003.png")
    record = shell("cache status --json", code=1)
    assert record["stores"][0]["changed"] == {"image": 1}


def _shard_file(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("canvas-*/threshold/c.*"))))


def _cut(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


@pytest.mark.parametrize("harm, kind", [(Path.unlink, "missing"), (_cut, "size")], ids=["missing", "short"])
def test_status_and_list_notice_a_copy_that_lacks_bytes(shell, harm, kind):
    shell("build {recipe}")
    shell("cache status")  # the sources are as remembered from here on
    folder = find_version(shell.here / "cache", "loop")[0].folder / shell("cache list --json")["versions"][0]["version"]
    path = _shard_file(folder)
    harm(path)
    record = shell("cache status --json", code=1)["stores"][0]
    assert (record["current"], record["whole"]) == (True, False)
    assert [(p["loc"], p["kind"]) for p in record["incomplete"]] == [(str(path.relative_to(folder)), kind)]
    listed = shell("cache list --json")["versions"][0]
    assert listed["rows"] == 7 and record["problems"] == [listed["problem"]]
    said = shell("cache status", code=1)
    assert f"ocrmaps repair {folder}" in said and "incomplete" in said and str(path.relative_to(folder)) in said
    assert f"ocrmaps repair {folder}" in shell("cache list")
    shell(f"repair {folder} --yes")
    assert shell("cache status --json")["stores"][0]["incomplete"] == []


def test_a_version_without_its_table_of_shards_is_incomplete(shell):
    folder = Path(shell("build {recipe} --json")["folder"])
    for path in (folder / "shards" / "nbytes").glob("c*"):
        path.unlink()
    record = shell("cache status --json", code=1)["stores"][0]
    assert record["whole"] is False and record["incomplete"][0]["loc"] == "shards/nbytes/c.0.0"


def test_show_lists_expected_and_written_counts_and_the_ledger(shell):
    (shell.here / "train" / "003.png").write_bytes(b"no picture")
    shell("build {recipe} --allow-failures 1")
    record = shell("cache show loop --json")
    assert [(s["expected"], s["written"]) for s in record["sources"]] == [(7, 6)]
    assert record["ledger"]["by_reason"]["skipped"] == 1
    assert "3" in shell("cache show loop")


def test_health_reports_debris_and_drift(shell, monkeypatch):
    shell("build {recipe}")
    assert shell("cache health --json")["problems"] == []
    (shell.here / "cache" / "stranger").mkdir()
    monkeypatch.setattr("ocrmaps.store.upkeep.health.code_digests", lambda: {"maps": "other"})
    problems = shell("cache health --json", code=1)["problems"]
    assert any("stranger" in problem for problem in problems)
    assert any("code changed" in problem for problem in problems)


def test_gc_and_clear_act_only_with_yes(shell):
    shell("build {recipe}")
    shell("build {recipe} --set maps.shrink_ratio=0.5")
    assert len(shell("cache gc --json")["remove"]) == 1
    assert len(shell("cache list --json")["versions"]) == 2
    assert len(shell("cache gc --yes --json")["removed"]) == 1
    assert len(shell("cache list --json")["versions"]) == 1
    shell("cache pin loop --reason keep")
    assert "pinned: keep" in shell("cache clear loop --yes")
    shell("cache pin loop --remove")
    shell("cache clear loop --yes")
    assert shell("cache list --json") == {"versions": []}


def test_diff_names_samples_and_fields(shell):
    old = shell("build {recipe} --json")["version"]
    new = shell("build {recipe} --set maps.shrink_ratio=0.5 --json")["version"]
    record = shell(f"cache diff {old} {new} --json")
    assert record["fields"] == ["recipe.maps.shrink_ratio"]
    assert record["summary"] == {"recipe": 7}


def test_statistics_go_out_as_json_and_csv(shell):
    shell("build {recipe}")
    shell("cache export loop {here}/out.json")
    assert json.loads((shell.here / "out.json").read_text())["counts"]["rows"] == 7
    shell("cache export loop {here}/out.csv")
    with open(shell.here / "out.csv", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [f"{i:03d}.png" for i in range(7)]
    shell("cache export loop {here}/out.csv", code=2)
    shell("cache export loop {here}/out.zip", code=2)


def test_an_archive_comes_back_with_the_same_digest(shell):
    digest = shell("build {recipe} --json")["root_digest"]
    shell("cache export loop {here}/loop.tar")
    assert shell("cache import {here}/loop.tar other --json")["root_digest"] == digest
    shell("verify other")


def test_an_unknown_version_lists_what_there_is(shell):
    shell("build {recipe}")
    assert "loop/" in str(shell("verify nothing", code=4))


def test_the_same_version_packs_to_the_same_archive(world: World, tmp_path: Path):
    world.build()
    pack(world.folder, tmp_path / "a.tar")
    pack(world.folder, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_damaged_archive_brings_nothing_in(world: World, tmp_path: Path):
    world.build()
    pack(world.folder, tmp_path / "a.tar")
    data = bytearray((tmp_path / "a.tar").read_bytes())
    for position in range(600, len(data), max(1, len(data) // 40)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        (tmp_path / "b.tar").write_bytes(damaged)
        try:
            folder = unpack(tmp_path / "b.tar", tmp_path / "cache", "x")
        except (DataError, StoreError):
            assert list((tmp_path / "cache").rglob("manifest.json")) == []
        else:
            shutil.rmtree(folder)  # the flipped bit lay in padding between files


@pytest.mark.parametrize("name", ["../evil", "/abs/evil", "0123456789abcdef/../../evil", "plain"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match="plain files"):
        unpack(tmp_path / "evil.tar", tmp_path / "cache", "x")
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_with_a_link_is_refused(tmp_path: Path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        entry = tarfile.TarInfo("0123456789abcdef/manifest.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(DataError, match="plain files"):
        unpack(tmp_path / "evil.tar", tmp_path / "cache", "x")


def test_a_damaged_version_is_not_packed(world: World, tmp_path: Path):
    world.build()
    next(world.folder.glob("canvas-*/image/c.*")).unlink()
    with pytest.raises(StoreCorrupt):
        pack(world.folder, tmp_path / "a.tar")


def test_versions_are_found_by_store_prefix_and_path(world: World):
    version = world.build().version
    for wanted in ("tiny", f"tiny/{version}", f"tiny/{version[:5]}", version[:6], str(world.folder)):
        assert find_version(world.cache, wanted)[1] == version
    for wanted in ("tin", "tiny/zzzz", "zz", ""):
        with pytest.raises(StoreNotFound):
            find_version(world.cache, wanted)


def test_listing_names_a_damaged_version_instead_of_hiding_it(world: World):
    world.build()
    (world.folder / "manifest.json").unlink()
    assert "manifest" in list_versions(world.cache)[0]["problem"]


def test_statistics_of_shares_add_up(world: World):
    world.build()
    record = statistics(world.folder)
    assert sum(a["raw_bytes"] for a in record["arrays"].values()) == 6 * (5 * 64 * 64 + 2 * 64 * 32)
    assert record["polygons_per_row"]["min"] == 0


def test_a_version_does_not_differ_from_itself(world: World):
    world.build()
    record = diff(world.folder, world.folder)
    assert (record["fields"], record["changes"]) == ([], [])


def test_versions_of_the_same_samples_are_compared_piece_by_piece(world: World, monkeypatch: pytest.MonkeyPatch):
    world.build()
    old = world.folder
    world.annotate("train", "02.png", lines=2, text="other")
    world.add("val", "03.png", seed=50)
    world.build()
    new = next(world.store.version(v) for v in world.store.versions() if v != old.name)
    record = diff(old, new)
    found = {change["sample"]: (change["what"], change["redraw"]) for change in record["changes"]}
    assert found == {"train/02.png": ("annotation", False), "val/03.png": ("image", True)}
    monkeypatch.setattr(tables, "PIECE", 64)
    assert diff(old, new) == record
    monkeypatch.setattr(catalog, "_same_samples", lambda a, b: False)
    assert diff(old, new) == record
    monkeypatch.undo()
    path = new / "rows" / "fingerprint" / "c.0.0"
    path.chmod(0o644)
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(StoreCorrupt, match="found digest"):
        diff(old, new)


@pytest.mark.parametrize("seed", range(4))
def test_samples_are_paired_whatever_their_order(seed: int):
    random = np.random.default_rng(seed)
    a, b = (random.permutation(60)[: random.integers(0, 60)].astype(str).tolist() for _ in range(2))
    at_a, at_b = catalog._matched(a, b)
    assert [a[i] for i in at_a] == [b[i] for i in at_b]
    assert sorted(a[i] for i in at_a) == sorted(set(a) & set(b))


def synthetic_version(cache: Path, name: str, rows: int) -> Path:
    """Write the tables of `rows` samples with ids but no polygons and no shards; sound in all but its content."""
    recipe = Recipe(
        name=name,
        sources=(SourceRecipe(path=Path("nowhere/labels.json"), split="train"),),
        canonical=CanonicalSpec(canvases=((640, 640),), side=640),
    )
    root = cache / name / "building"
    rng = np.random.default_rng(0)
    ids = np.char.zfill(np.arange(rows).astype(str), 11)
    columns: dict[str, dict[str, np.ndarray]] = {}
    for table, spec in TABLES.items():
        n = rows if table == "rows" else 0
        columns[table] = {}
        for column, (dtype, entry) in spec.items():
            extra = 1 if column.endswith("offsets") else 0
            if column == "row_offsets":
                n, extra = 0, rows + 1
            columns[table][column] = np.zeros((n + extra, *entry), dtype=dtype)
            n = rows if table == "rows" else 0
    columns["rows"]["id_bytes"] = np.frombuffer("".join(ids).encode(), np.uint8)
    columns["rows"]["id_offsets"] = np.arange(rows + 1, dtype=np.uint64) * 11
    columns["rows"]["fingerprint"] = rng.integers(0, 255, (rows, 32), dtype=np.uint8)
    files = SmallFiles(root)
    written = {table: write_table(files, table, found) for table, found in columns.items()}
    files.write(LEDGER, b"")
    manifest = Manifest(
        asked={
            "recipe": recipe.identity(),
            "algorithms": {},
            "inputs": {"samples": rows, "digest": file_digest(columns["rows"]["fingerprint"]).hex()},
        },
        written={
            "canvases": [{"size": [640, 640], "positions": rows}],
            "counts": {"rows": rows, "failed": 0, "polygons": 0, "outcomes": {}, "splits": {"train": rows}},
            "ledger": {"lines": 0, "digest": file_digest(b"").hex()},
            "outcomes": list(OUTCOMES),
            "sources": [""],
            "tables": {t: {n: c.as_dict() for n, c in found.items()} for t, found in written.items()},
        },
        recorded={"recipe": recipe.as_dict(), "sources": [], "tools": {}, "code": {}, "built": {}},
    )
    for path, data in manifest.documents().items():
        files.write(path, data)
    files.write(MANIFEST, manifest.to_bytes())
    return root.rename(cache / name / manifest.version)


def test_many_rows_have_a_small_manifest(tmp_path: Path):
    """The size of the manifest must not follow the rows."""
    small, large = synthetic_version(tmp_path, "small", 10), synthetic_version(tmp_path, "large", 100_000)
    sizes = [(folder / "manifest.json").stat().st_size for folder in (small, large)]
    assert abs(sizes[1] - sizes[0]) < 200
