"""A benchmark is measured on the source that is named, never on what happens to lie about, and each line says which."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ocrmaps.annotations import open_source, read
from ocrmaps.cli import bench as commands
from ocrmaps.errors import DataError, RunError, SpecError
from ocrmaps.pipelines import data
from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench import save as bench_save
from ocrmaps.pipelines.bench.asked import VARIABLE
from ocrmaps.pipelines.bench.source import described, material, samples_of
from ocrmaps.recipe import Recipe, SourceRecipe, dump_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "my-receipts"
    data.synth(folder, format="coco", num=3, seed=0, turned=1.0)
    return folder


def run(*words: object) -> str:
    done = CliRunner().invoke(commands.app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_no_product_code_looks_beside_its_own_tree():
    """Files of the tree are named from `parents[1]` at most: its root."""
    for path in sorted([*ROOT.glob("pipelines/**/*.py"), *ROOT.glob("cli/**/*.py")]):
        assert not re.search(r"parents\[([2-9])\]", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("name", ["maps", "extract", "metrics", "oracle", "store"])
def test_figures_of_a_source_name_it(name, mine):
    record = json.loads(run(name, "--source", mine, "--repeats", "1", "--quick", "--json"))
    assert record["source"] == "my-receipts" and record["data"].startswith("3 samples of my-receipts")
    assert record["results"] and {result["source"] for result in record["results"]} == {"my-receipts"}
    assert str(mine) not in json.dumps(record), "no folder of this machine"


def test_each_printed_figure_names_the_source_and_the_environment_may_name_it(mine, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(mine))
    lines = [line for line in run("maps", "--repeats", "1").splitlines() if re.match(r"maps/\w+  .* ms ", line)]
    assert lines and all("my-receipts" in line for line in lines)


def test_generated_receipts_are_called_so(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    record = bench.run(["maps"], repeats=1)
    assert (record["source"], record["data"]) == ("generated receipts", "invented")
    assert {result["source"] for result in record["results"]} == {"generated receipts"}


@pytest.mark.parametrize("name", sorted(set(bench.BENCHES) - set(bench.SOURCED)))
def test_what_makes_its_own_input_takes_no_source(name, mine):
    assert CliRunner().invoke(commands.app, [name, "--source", str(mine)]).exit_code == 2


def test_the_command_line_and_the_pipeline_agree_on_what_takes_a_source():
    assert commands.SOURCED == bench.SOURCED


def test_a_source_that_is_not_there_is_refused_by_its_name(tmp_path, monkeypatch):
    with pytest.raises(RunError, match=r"gone: no such source or recipe$"):
        bench.run(["maps"], repeats=1, source=tmp_path / "gone")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(RunError, match=VARIABLE):
        bench.run(["maps"], repeats=1)


def test_a_copy_may_be_changed_and_holds_the_same_texts(mine, tmp_path):
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    asked, what = material(mine, tmp_path / "copy", None)
    copied = read(open_source(asked.path, format=asked.format, pictures=asked.pictures, frame=asked.frame))
    truth = [sample for _, sample in samples_of(mine)]
    assert what == "my-receipts" and len(copied) == len(truth) == 3
    for one, other in zip(copied, truth, strict=True):
        assert one.polygons.points.tolist() == other.polygons.points.tolist()
        assert one.polygons.frame == other.polygons.frame and one.polygons.texts == other.polygons.texts
        (asked.pictures / one.picture).write_bytes(b"scribbled")
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


def test_a_recipe_names_the_sources_of_one_frame(mine, tmp_path):
    def written(*frames):
        sources = tuple(SourceRecipe(path=mine, frame=frame, name=str(i)) for i, frame in enumerate(frames))
        from ocrmaps.canonical import CanonicalSpec

        recipe = Recipe(name="r", sources=sources, canonical=CanonicalSpec.longest(320))
        (tmp_path / "r.toml").write_text(dump_recipe(recipe), encoding="utf-8")
        return tmp_path / "r.toml"

    assert len(samples_of(written("upright", "upright"))) == 6
    with pytest.raises(SpecError, match="raw and upright pixels"):
        samples_of(written("upright", "raw"))


def test_a_check_on_other_data_is_refused_before_anything_is_measured(mine, tmp_path, monkeypatch, record_from):
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps(record_from([], data=described(mine))), encoding="utf-8")
    monkeypatch.setattr(bench_save, "measure_all", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(DataError, match="the records are unlike: pictures"):
        bench_save.check_against(baseline)


def test_break_even_takes_one_source(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "run", lambda names, *, source, **_: {"on": str(source)})
    monkeypatch.setattr(commands, "_print", lambda record, as_json: print(record["on"]))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert run("break-even", "--json") == f"{tmp_path}\n"
    assert run("break-even", mine, "--json") == run("break-even", "--source", mine, "--json") == f"{mine}\n"
    done = CliRunner().invoke(commands.app, ["break-even", str(mine), "--source", str(tmp_path)])
    assert isinstance(done.exception, SpecError) and "found two sources" in str(done.exception)
