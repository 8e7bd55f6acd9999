"""A record goes to disk whole, with a note and a plot, and never over another one unasked."""

from __future__ import annotations

import json
import shutil
from importlib import metadata

import pytest

from ocrmaps.errors import AnnotationError, DataError, OcrmapsError, RunError, SpecError
from ocrmaps.machine import machine
from ocrmaps.pipelines import data
from ocrmaps.pipelines.bench import all as bench_all
from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench import save as bench_save
from ocrmaps.pipelines.bench.all import in_own_process, measure_all
from ocrmaps.pipelines.bench.cases.break_even import Costs, bench_break_even, break_even
from ocrmaps.pipelines.bench.load import Load
from ocrmaps.pipelines.bench.note import note
from ocrmaps.pipelines.bench.save import RECORD, baseline, check_against, save_record

RESULTS = (
    {"name": "maps/exact_vs_reference", "value": 25.0, "unit": "x", "reference": "plain | loop", "spread": 3.0},
    {"name": "step/ms", "value": 5.0, "unit": "ms", "reference": "a step", "spread": 1.0,
     "times": {"count": 9, "mean_ms": 5.5, "median_ms": 5.0, "p95_ms": 8.0, "p99_ms": 9.0, "std_ms": 1.0}},
    {"name": "break-even/epochs_vs_own", "value": 1.3, "unit": "epochs", "reference": "r", "spread": 0.1,
     "note": "the build pays for itself after 1.3 epochs"},
    {"name": "store/verify_gb_s", "value": 2.0, "unit": "GB/s", "reference": "r", "spread": 0.2},
    {"name": "store/read_gb_s", "value": 4.0, "unit": "GB/s", "reference": "r", "spread": 0.8},
)  # fmt: skip


@pytest.fixture
def record(record_from):
    runs = [{"bench": "maps", "seconds": 3.0, "peak_mb": 100.0}, {"bench": "step", "seconds": 1.0, "peak_mb": None}]
    runs[1]["problem"] = "step: ended by signal SIGSEGV"
    return record_from(RESULTS, runs=runs, failed=["step"])


def test_the_note_says_what_where_how_sure_and_what_failed(record):
    text = note(record)
    for said in (
        "a processor, 2 cores", "0123456789ab", "`ocrmaps bench all`", "Load quiet", "plain \\| loop",
        "the build pays for itself after 1.3 epochs", "**Failed:** step: ended by signal SIGSEGV", "50 %",
        "| what | count | mean ms | median ms | p95 ms | p99 ms | std ms | of |",
        "| step/ms | 9 | 5.5 | 5 | 8 | 9 | 1 | a step |", "**Quick",
    ):  # fmt: skip
        assert said in text


def test_a_record_is_saved_with_note_and_plot(record, tmp_path):
    written = save_record(record, tmp_path / "bench")
    assert sorted(path.name for path in written) == ["note.md", "plot.png", "record.json"]
    assert sorted(path.name for path in (tmp_path / "bench").iterdir()) == ["note.md", "plot.png", "record.json"]
    assert json.loads((tmp_path / "bench" / RECORD).read_text(encoding="utf-8")) == json.loads(json.dumps(record))
    assert (tmp_path / "bench" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_never_replaces_another_unasked(record, tmp_path):
    save_record(record, tmp_path)
    with pytest.raises(SpecError, match="another record"):
        save_record({**record, "commit": "other"}, tmp_path)
    assert "0123456789ab" in (tmp_path / RECORD).read_text(encoding="utf-8")
    save_record({**record, "commit": "other"}, tmp_path, replace=True)
    assert '"other"' in (tmp_path / RECORD).read_text(encoding="utf-8")


def test_a_record_without_ratios_still_gets_its_plot(record_from, tmp_path):
    save_record(record_from([]), tmp_path)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_baseline_is_compared_with_a_record(record, record_from, tmp_path):
    limits = tmp_path / "t.toml"
    limits.write_text(
        '[figures."maps/exact_vs_reference"]\nbench = "maps"\nbetter = "higher"\nworse = 1.5\nlook = "m"\n'
    )
    slow = [{**RESULTS[0], "value": 2.0}]
    save_record(record, tmp_path / "old")
    save_record(record_from(slow), tmp_path / "new")
    old, new = tmp_path / "old" / RECORD, tmp_path / "new" / RECORD
    assert check_against(old, thresholds=limits, record=old).ok
    found = check_against(old, thresholds=limits, record=new)
    assert [verdict.figure for verdict in found.verdicts if verdict.failed] == ["maps/exact_vs_reference"]


def test_a_baseline_that_lacks_a_guarded_figure_is_not_written(record_from, tmp_path, monkeypatch):
    failed = record_from([], runs=[{"bench": "maps", "seconds": 0, "problem": "maps: exit 1: out of memory"}])
    monkeypatch.setattr(bench_save, "measure_all", lambda *_, **__: failed)
    with pytest.raises(RunError, match=r"maps/exact_vs_reference(.|\n)*out of memory"):
        baseline(tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_a_baseline_has_a_note_with_single_times_beside_it(record, tmp_path, monkeypatch):
    limits = tmp_path / "t.toml"
    limits.write_text(
        '[figures."maps/exact_vs_reference"]\nbench = "maps"\nbetter = "higher"\nworse = 1.5\nlook = "m"\n'
    )
    monkeypatch.setattr(bench_save, "measure_all", lambda *_, **__: record)
    kept, _ = baseline(tmp_path / "b.json", thresholds=limits)
    assert [result["name"] for result in kept["results"]] == ["maps/exact_vs_reference", "step/ms"]
    text = (tmp_path / "b.md").read_text(encoding="utf-8")
    assert "| what | count | mean ms | median ms | p95 ms | p99 ms | std ms | of |" in text
    assert "| step/ms | 9 | 5.5 | 5 | 8 | 9 | 1 | a step |" in text
    for name in ("b.json", "b.md"):
        (tmp_path / "b.json").unlink(missing_ok=True), (tmp_path / "b.md").unlink(missing_ok=True)
        (tmp_path / name).write_text("mine")
        with pytest.raises(SpecError, match="exists already"):
            baseline(tmp_path / "b.json", thresholds=limits)
        assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(SpecError, match="its note has this name"):
        baseline(tmp_path / "x.md", thresholds=limits)


def test_figures_are_spelled_without_powers_of_ten(record_from):
    large = {"name": "a/b", "value": 1404.3, "unit": "x", "reference": "r", "spread": 110.4}
    small = {"name": "a/c", "value": 0.00001234, "unit": "ms", "reference": "r", "spread": 0.0}
    for text in (bench.table(record_from([large, small])), note(record_from([large, small]))):
        assert "1404" in text and "110" in text and "0.00001234" in text
        assert "e+" not in text and "e-" not in text


def test_the_command_of_a_record_names_no_folder_of_its_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("OCRMAPS_TOKEN", "tok-7712-xyzzy")
    here = tmp_path / "work"
    words = [
        "bench",
        "all",
        "--out",
        str(here / "new"),
        "--source=/data/ann/my set",
        "~/x.toml",
        "tok-7712-xyzzy",
        "a/b",
    ]
    said = bench.command(words, here)
    assert said == "ocrmaps bench all --out new '--source=.../my set' .../x.toml <redacted> a/b"


def test_single_times_are_told_in_the_terminal_too(record):
    assert "p99 ms" in bench.table(record)


def test_the_table_in_the_terminal_fits_eighty_columns(record_from):
    one = {"name": "validation/plain_decode_ms", "value": 1.5, "unit": "times faster", "spread": 0.25}
    times = {"count": 1000, "mean_ms": 1.0, "median_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "std_ms": 0.0}
    lines = bench.table(record_from([{**one, "reference": "word " * 40, "times": times}])).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()).count("word") == 40


def test_what_is_no_record_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OcrmapsError):
        check_against(tmp_path / "x.json", record=tmp_path / "x.json")


def test_one_process_that_hangs_is_ended_and_named():
    found = in_own_process("maps", repeats=1, quick=True, source=None, limit=0.05)
    assert found.problem == "maps: did not end within 0 s"
    assert found.results == ()


def test_one_process_that_fails_is_named_with_its_reason_and_the_others_go_on(tmp_path):
    source = data.synth(tmp_path / "s", format="ufo", num=1, seed=0).source
    shutil.rmtree(source.pictures)
    said: list[str] = []
    record = measure_all(("break-even", "metrics"), repeats=1, quick=True, source=tmp_path / "s", announce=said.append)
    assert record["failed"] == ["break-even"]
    assert record["runs"][0]["problem"].startswith("break-even: exit 3: ")
    assert any(result["name"].startswith("metrics/") for result in record["results"])
    assert len(said) == 4


def test_a_signal_is_named(tmp_path):
    assert bench_all._reason("maps", -11, tmp_path) == "maps: ended by signal SIGSEGV"


def test_a_source_that_is_not_there_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(OcrmapsError, match="no such source"):
        measure_all(source=tmp_path / "none")


@pytest.mark.parametrize(
    ("costs", "epochs"),
    [
        ((0.03, 0.001, 0.021), 1.5),
        ((0.03, 0.001, 0.031), 1.0),
        ((0.0, 0.001, 0.002), 0.0),
        ((0.03, 0.002, 0.001), None),
    ],
)
def test_break_even_is_build_over_what_an_epoch_saves(costs, epochs):
    found = break_even(Costs(build=costs[0], load=costs[1], on_the_fly=costs[2]))
    assert found == (None if epochs is None else pytest.approx(epochs))


def test_break_even_is_measured_on_any_source(tmp_path):

    data.synth(tmp_path / "mine", format="coco", num=3, seed=0)
    figures = {result["name"]: result for result in bench_break_even(1, source=tmp_path / "mine", quick=True)}
    assert "3 samples of mine" in figures["break-even/build_ms"]["reference"]
    assert "pays for itself after" in figures["break-even/epochs_vs_published"]["note"]


def test_break_even_refuses_what_is_no_source(tmp_path):
    (tmp_path / "gt.txt").write_text("nonsense", encoding="utf-8")
    with pytest.raises((AnnotationError, DataError)):
        bench_break_even(1, source=tmp_path)


def test_a_busy_machine_is_said():
    load = {"start": None, "end": None, "seconds": 1.0, "cores": 2}
    assert Load(others=0.5, **load).as_dict()["busy"]
    assert not Load(others=0.05, **load).busy


@pytest.mark.parametrize("there", [("opencv-python",), ("opencv-python-headless",), ()])
def test_any_distribution_of_opencv_is_reported(there, monkeypatch):
    real = metadata.version

    def version(name: str) -> str:
        if not name.startswith("opencv"):
            return real(name)
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return "5.0"

    monkeypatch.setattr(metadata, "version", version)
    found = {name: said for name, said in machine()["libraries"].items() if name.startswith("opencv")}
    if there:
        assert found == {there[0]: "5.0"}
    else:
        assert found["opencv"].startswith("no distribution")


def test_a_library_that_is_absent_is_said(monkeypatch):
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert machine()["libraries"]["zarr"] == "not installed"
