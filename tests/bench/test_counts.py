"""Counts stay within their limits, and what does more than before is named: three seeded changes are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrmaps.errors import SpecError
from ocrmaps.pipelines.bench import counting
from ocrmaps.pipelines.bench.cases import cli, counts
from ocrmaps.pipelines.bench.counts import beyond, load_limits
from ocrmaps.pipelines.build import build
from ocrmaps.store.fast import FastReader
from ocrmaps.store.reader import Reader


def above(found: counts.Found) -> dict[str, str]:
    """The lines of counts above their limits, by name."""
    values = [{"name": f"counts/{name}", "value": value, "unit": unit} for name, value, unit in found]
    lines = [line.split(": ", 2) for line in beyond(values, load_limits())]
    return {name.removeprefix("counts/"): said for state, name, said in lines if state == "more"}


def test_the_benchmark_gives_its_names(measured, named):
    assert {
        "counts/row_opened", "counts/build_calls", "counts/step_waits", "counts/help_modules",
    } <= named(measured("counts"))  # fmt: skip


def test_every_count_is_within_its_limit(measured):
    assert beyond(measured("counts"), load_limits()) == []


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counts")


def test_one_more_file_opened_for_each_row_is_named(room, monkeypatch):
    read = FastReader._read

    def slower(self, row, targets):
        os.close(os.open(os.devnull, os.O_RDONLY))
        return read(self, row, targets)

    with Reader(build(counts.recipe_of(room, counts.PICTURES), room / "cache").folder) as reader:
        assert above(counts.rows(reader)) == {}
        monkeypatch.setattr(FastReader, "_read", slower)
        found = above(counts.rows(reader))
    assert found["row_opened"].startswith("found 8 a shard, limit 4 (was 4): files opened")
    for said in ("The change under test did this", "look at ocrmaps/store/fast.py", "into counts.toml"):
        assert said in found["row_opened"]


def test_a_module_imported_at_the_start_is_named(tmp_path, monkeypatch):
    assert above(counts.commands(tmp_path, ["help"])) == {}
    monkeypatch.setattr(cli, "_MODULES", f"import ocrmaps.store.reader\n{cli._MODULES}")
    assert "an import at the head of a file" in above(counts.commands(tmp_path, ["help"]))["help_modules"]


def test_a_loop_in_a_loop_is_named(tmp_path, monkeypatch):
    looks = counts.check_sources
    code = "def pairs(things):\n  for a in things:\n    for b in things:\n      a == b\n"
    seeded: dict[str, object] = {}
    exec(compile(code, f"{counting.HOME}seeded.py", "exec"), seeded)

    def slower(sources, **options):
        found = looks(sources, **options)
        seeded["pairs"](found.shown)
        return found

    monkeypatch.setattr(counts, "check_sources", slower)
    assert set(above(counts.growth(tmp_path))) == {"check_growth"}


def test_calls_of_other_threads_count_and_those_of_other_code_do_not():
    from concurrent.futures import ThreadPoolExecutor

    from ocrmaps.text import visible

    def twice() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(visible, ["a", "b"]))

    once = counting.counted(lambda: visible("a"))["calls"]
    assert once > 0
    assert counting.counted(twice)["calls"] == 2 * once
    assert counting.counted(lambda: sorted("abc"))["calls"] == 0


def test_a_count_without_a_limit_and_a_limit_without_a_count_are_told():
    limits = load_limits()
    found = beyond([{"name": "counts/new", "value": 1.0, "unit": "a row"}], limits)
    assert "no limit: counts/new: give it one in counts.toml" in found
    assert any(line.startswith("missing: counts/row_calls: ") for line in found)


def test_a_limit_below_what_was_measured_is_refused(tmp_path):
    path = tmp_path / "counts.toml"
    path.write_text('[counts."a"]\ncounts = "x"\nmeasured = 2.0\nlimit = 1.0\nlook = "y"\n', encoding="utf-8")
    with pytest.raises(SpecError, match="found 1, expected at least the 2 that were measured"):
        load_limits(path)
