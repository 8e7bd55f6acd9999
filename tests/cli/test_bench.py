"""Benchmark records keep their contract, and every bench on the command line exists."""

from __future__ import annotations

import pytest

from cli.bench import BENCHES as NAMED
from ocrmaps.errors import SpecError
from pipelines import bench


def test_the_command_line_and_the_pipeline_know_the_same_benches():
    assert list(NAMED) == list(bench.BENCHES)


def test_a_record_says_what_where_and_with_which_code():
    record = bench.run(["maps"], repeats=1)
    assert set(record) == {"results", "machine", "command", "commit"}
    names = [result["name"] for result in record["results"]]
    assert {"maps/exact_vs_reference", "maps/official_vs_reference"} <= set(names)
    assert len(set(names)) == len(names)
    for result in record["results"]:
        assert {"name", "value", "unit", "reference", "spread"} <= set(result)
    assert {"processor", "cores", "memory_gib", "libraries"} <= set(record["machine"])
    assert names[0] in bench.table(record)


def test_an_unknown_bench_lists_the_known_ones():
    with pytest.raises(SpecError, match="decode, maps"):
        bench.run(["speed"], repeats=1)
