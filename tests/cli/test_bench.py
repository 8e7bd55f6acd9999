"""Benchmark records keep their contract, and every bench on the command line exists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrmaps.cli.bench import BENCHES as NAMED
from ocrmaps.errors import SpecError
from ocrmaps.pipelines.bench import record as bench
from tests.cli.test_app import tree

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_line_and_the_pipeline_know_the_same_benches():
    assert list(NAMED) == list(bench.BENCHES)


def test_a_record_says_what_where_and_with_which_code():
    record = bench.run(["maps"], repeats=1)
    assert set(record) == {"results", "machine", "load", "quick", "source", "data", "command", "commit"}
    names = [result["name"] for result in record["results"]]
    assert {"maps/exact_vs_reference", "maps/official_vs_reference"} <= set(names)
    assert len(set(names)) == len(names)
    for result in record["results"]:
        assert {"name", "value", "unit", "reference", "spread"} <= set(result)
    assert {"processor", "cores", "memory_gib", "libraries"} <= set(record["machine"])
    assert names[0] in bench.table(record)


def test_an_unknown_bench_lists_the_known_ones():
    with pytest.raises(SpecError, match="machine, decode, maps"):
        bench.run(["speed"], repeats=1)


@pytest.fixture
def records(tmp_path):
    """A baseline, the same again, and one whose maps are ten times slower; and a file that guards the maps."""
    paths = []
    for name, value in (("old", 30.0), ("same", 29.0), ("slow", 3.0)):
        figure = {"name": "maps/speed", "value": value, "unit": "x", "reference": "plain", "spread": 1.0}
        record = {
            "results": [figure],
            "machine": {"processor": "p", "cores": 2, "gpu": None},
            "quick": False,
            "data": "",
        }
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(record), encoding="utf-8")
    limits = tmp_path / "limits.toml"
    limits.write_text(
        '[figures."maps/speed"]\nbench = "maps"\nbetter = "higher"\nworse = 1.5\nlook = "maps.py"\n', encoding="utf-8"
    )
    return [*paths, limits]


@pytest.fixture(scope="module")
def typed(server):
    with server("import ocrmaps.pipelines.bench.save, ocrmaps.pipelines.bench.all") as typed:
        yield lambda *words: typed(["bench", *map(str, words)], ROOT)


def test_check_ends_with_0_where_nothing_got_worse(records, typed):
    old, same, _, limits = records
    done = typed("check", old, "--record", same, "--thresholds", limits)
    assert (done.returncode, done.stdout) == (0, "1 ok\n")


def test_check_ends_with_1_and_one_line_for_each_figure_that_got_worse(records, typed):
    old, _, slow, limits = records
    done = typed("check", old, "--record", slow, "--thresholds", limits)
    assert done.returncode == 1
    assert "worse: maps/speed: baseline 30, now 3, allowed at least 20" in done.stdout
    assert "look at maps.py" in done.stdout


def test_check_prints_exactly_one_document(records, typed):
    old, _, slow, limits = records
    done = typed("check", old, "--record", slow, "--thresholds", limits, "--json")
    assert json.loads(done.stdout)["verdicts"][0]["state"] == "worse"


def test_check_of_unlike_records_ends_with_3(records, typed):
    old, same, _, limits = records
    same.write_text(same.read_text(encoding="utf-8").replace('"quick": false', '"quick": true'), encoding="utf-8")
    assert typed("check", old, "--record", same, "--thresholds", limits).returncode == 3


def test_an_existing_record_is_refused_before_minutes_of_measuring(tmp_path, typed):
    (tmp_path / "record.json").write_text("{}", encoding="utf-8")
    done = typed("all", "--out", tmp_path)
    assert done.returncode == 2
    assert "another record" in done.stderr


@pytest.mark.parametrize("name", [*NAMED, "all", "baseline", "check"])
def test_each_help_is_a_sentence_with_an_example(name):
    text = tree().commands["bench"].commands[name].help
    assert f". Example: ocrmaps bench {name}" in " ".join(text.split())
