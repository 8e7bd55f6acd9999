"""The guard fails by name, says noise where the spread covers a change, and never compares unlike things."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrmaps.errors import DataError, SpecError
from ocrmaps.pipelines.bench.guard import check, missing_in, unsteady
from ocrmaps.pipelines.bench.thresholds import Threshold, Thresholds, load_thresholds
from ocrmaps.report.bench import LESS

RATIO = Threshold(bench="maps", better="higher", worse=1.5, look="maps.py")
SHARE = Threshold(bench="step", better="lower", limit=0.01, look="watchers.py")
MEMORY = Threshold(bench="step", better="lower", worse=1.25, look="slots.py")
ON_GPU = Threshold(bench="step", better="lower", worse=1.1, look="tensors.py", needs="gpu")


def guard(**figures: Threshold) -> Thresholds:
    return Thresholds(path=Path("t.toml"), figures={name.replace("__", "/"): t for name, t in figures.items()})


def result(name, value, unit="x", spread=0.0):
    return {"name": name, "value": value, "unit": unit, "reference": "the plain one", "spread": spread}


@pytest.fixture
def judge(record_from):
    def run(threshold, before, after, **machine):
        old, new = (record_from([r] if r else []) for r in (before, after))
        old["machine"] |= {"gpu": machine.pop("gpu", None)}
        new["machine"] = old["machine"] | machine
        (verdict,) = check(old, new, guard(maps__speed=threshold)).verdicts
        return verdict

    return run


def test_a_figure_within_its_threshold_is_in_order(judge):
    assert judge(RATIO, result("maps/speed", 30.0), result("maps/speed", 20.1)).state == "ok"


def test_a_figure_beyond_its_threshold_fails_and_says_where_to_look(judge):
    verdict = judge(RATIO, result("maps/speed", 30.0), result("maps/speed", 19.9))
    assert verdict.failed
    assert verdict.line() == (
        "worse: maps/speed: baseline 30, now 19.9, allowed at least 20: 1.508 times worse, allowed is 1.5; "
        "look at maps.py"
    )


def test_a_figure_exactly_at_its_threshold_is_in_order(judge):
    assert judge(RATIO, result("maps/speed", 30.0), result("maps/speed", 20.0)).state == "ok"
    assert judge(MEMORY, result("maps/speed", 100.0, "MB"), result("maps/speed", 125.0, "MB")).state == "ok"


def test_an_improvement_is_in_order(judge):
    assert judge(RATIO, result("maps/speed", 30.0), result("maps/speed", 300.0)).state == "ok"
    assert judge(MEMORY, result("maps/speed", 700.0, "MB"), result("maps/speed", 1.0, "MB")).state == "ok"


def test_a_change_that_the_spread_covers_is_noise(judge):
    verdict = judge(RATIO, result("maps/speed", 30.0, spread=14.0), result("maps/speed", 18.0, spread=11.0))
    assert verdict.state == "noise"
    assert not verdict.failed


def test_a_change_beyond_the_spread_fails(judge):
    assert judge(RATIO, result("maps/speed", 30.0, spread=14.0), result("maps/speed", 17.0, spread=11.0)).failed


def test_noise_of_an_unsteady_baseline_says_so(judge):
    verdict = judge(RATIO, result("maps/speed", 30.0, spread=40.0), result("maps/speed", 15.0))
    assert "too unsteady" in verdict.said


def test_a_limit_holds_whatever_the_baseline_says(judge):
    verdict = judge(SHARE, result("maps/speed", 0.5, "share"), result("maps/speed", 0.02, "share"))
    assert verdict.failed
    assert "limit of 0.01" in verdict.said


def test_a_limit_that_the_spread_reaches_is_noise(judge):
    verdict = judge(SHARE, result("maps/speed", 0.005, "share"), result("maps/speed", 0.0105, "share", spread=0.002))
    assert verdict.state == "noise"


def test_a_limit_is_not_excused_by_the_spread_of_the_baseline(judge):
    verdict = judge(SHARE, result("maps/speed", 0.005, "share", spread=1.0), result("maps/speed", 0.02, "share"))
    assert verdict.failed


@pytest.mark.parametrize("side", [0, 1])
def test_a_missing_figure_is_an_error(judge, side):
    pair = [result("maps/speed", 1.0), result("maps/speed", 1.0)]
    pair[side] = None
    verdict = judge(RATIO, *pair)
    assert verdict.state == "missing"
    assert verdict.failed


def test_another_machine_is_said_and_ratios_are_still_compared(record_from):
    old, new = record_from([result("maps/speed", 30.0)]), record_from([result("maps/speed", 3.0)])
    new["machine"] = new["machine"] | {"processor": "another"}
    found = check(old, new, guard(maps__speed=RATIO))
    assert found.machine == ("processor: a processor -> another",)
    assert "another machine" in found.text()
    assert not found.ok


def test_memory_is_not_compared_between_machines(judge):
    verdict = judge(MEMORY, result("maps/speed", 700.0, "MB"), result("maps/speed", 9000.0, "MB"), cores=64)
    assert verdict.state == "not compared"
    assert "same machine" in verdict.line()


def test_memory_is_compared_on_the_same_machine(judge):
    assert judge(MEMORY, result("maps/speed", 700.0, "MB"), result("maps/speed", 900.0, "MB")).failed


def test_figures_of_a_gpu_need_one_in_both_records(judge):
    assert judge(ON_GPU, None, None).state == "not compared"
    assert judge(ON_GPU, None, None, gpu="a GPU").state == "missing"
    grown = result("maps/speed", 100.0, "MB"), result("maps/speed", 1000.0, "MB")
    assert judge(ON_GPU, *grown, gpu="a GPU").failed


@pytest.mark.parametrize("unit", ["s", "ms", "GB/s", "ms per image", "hmean"])
def test_bare_times_and_rates_are_refused(judge, unit):
    with pytest.raises(SpecError, match="depends on the machine"):
        judge(RATIO, result("maps/speed", 30.0, unit), result("maps/speed", 30.0, unit))


def test_a_changed_unit_is_not_compared_silently(judge):
    assert judge(RATIO, result("maps/speed", 30.0, "x"), result("maps/speed", 30.0, "share")).failed


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_baseline_without_a_ratio_is_an_error(judge, value):
    assert judge(RATIO, result("maps/speed", value), result("maps/speed", 30.0)).state == "missing"


def test_a_figure_that_fell_to_zero_fails(judge):
    assert judge(RATIO, result("maps/speed", 30.0), result("maps/speed", 0.0)).failed


@pytest.mark.parametrize("bad", [{"value": float("nan")}, {"value": float("inf")}, {"spread": -1.0}])
def test_values_that_are_no_numbers_are_refused(record_from, bad):
    good = record_from([result("maps/speed", 30.0)])
    with pytest.raises(DataError, match="cannot be compared"):
        check(good, record_from([result("maps/speed", 30.0) | bad]), guard(maps__speed=RATIO))


def test_a_figure_found_twice_is_refused(record_from):
    twice = record_from([result("maps/speed", 30.0), result("maps/speed", 1.0)])
    with pytest.raises(DataError, match="twice"):
        check(twice, twice, guard(maps__speed=RATIO))


@pytest.mark.parametrize("other", [{"quick": False}, {"data": "receipts beside the checkout"}])
def test_unlike_records_are_refused(record_from, other):
    with pytest.raises(DataError, match="unlike"):
        check(record_from([]), record_from([], **other), guard(maps__speed=RATIO))


def test_a_baseline_names_what_it_lacks_and_what_is_unsteady(record_from):
    record = record_from([result("maps/a", 30.0, spread=50.0)])
    figures = guard(maps__a=RATIO, maps__b=RATIO, memory__gpu=ON_GPU)
    assert missing_in(record, figures) == ["maps/b"]
    assert unsteady(record, figures) == ["maps/a"]


def test_the_document_is_json_with_a_verdict_for_each_figure(record_from):
    found = check(record_from([]), record_from([]), guard(maps__speed=RATIO, memory__gpu=ON_GPU))
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["ok"] is False
    assert document["counts"] == {"not compared": 1, "missing": 1}
    assert [verdict["figure"] for verdict in document["verdicts"]] == ["maps/speed", "memory/gpu"]


@pytest.mark.parametrize("figure", load_thresholds().figures)
def test_each_guarded_figure_fails_alone_and_by_its_name(figure, record_from):
    """Those of a GPU, too, which no machine of the tests need have."""
    known = load_thresholds()
    units = {name: "MB" if name.startswith("memory/") else "ratio" for name in known.figures}
    sound = {name: 0.0 if t.worse is None and t.better == "lower" else 1.0 for name, t in known.figures.items()}

    def record(values):
        out = record_from([])
        out["results"] = [result(name, value, units[name]) for name, value in values.items()]
        return out | {"machine": out["machine"] | {"gpu": "a GPU"}}

    limit = known.figures[figure].limit
    before = record(sound | {figure: sound[figure] or limit})
    assert check(before, before, known).ok
    bad = 0.05 if known.figures[figure].better == "higher" else 10 * (sound[figure] or limit or 1.0)
    failed = [v for v in check(before, record(sound | {figure: bad}), known).verdicts if v.failed]
    assert [v.figure for v in failed] == [figure]
    assert failed[0].look


def test_the_thresholds_of_the_package_are_sound():
    assert len(load_thresholds().figures) >= 20


def test_plots_and_pages_mark_as_less_is_better_what_is_guarded_so():
    ratios = {name: t.better for name, t in load_thresholds().figures.items() if "_vs_" in name or name in LESS}
    assert len(ratios) >= 15
    assert {name for name, better in ratios.items() if better == "lower"} - {"break-even/epochs_vs_own"} <= set(LESS)
    assert not [name for name, better in ratios.items() if better == "higher" and name in LESS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "figures: missing"),
        ("[figures]\n", "at least 1"),
        ('[figures."a/b"]\nbench = "maps"\nbetter = "higher"\nlook = "x"\n', "guards nothing"),
        ('[figures."a/b"]\nbench = "speed"\nbetter = "higher"\nlook = "x"\nworse = 2.0\n', "no benchmark named speed"),
        (
            '[figures."a/b"]\nbench = "maps"\nbetter = "more"\nlook = "x"\nworse = 2.0\n',
            "expected one of higher, lower",
        ),
        ('[figures."a/b"]\nbench = "maps"\nbetter = "higher"\nlook = "x"\nworse = 1.0\n', "expected a number above 1"),
        (
            '[figures."a/b"]\nbench = "maps"\nbetter = "higher"\nlook = "x"\nworse = nan\n',
            "found nan, expected a number above 1",
        ),
        (
            '[figures."a/b"]\nbench = "maps"\nbetter = "higher"\nlook = "x"\nworse = "2"\n',
            "found '2', expected a number above 1",
        ),
        (
            '[figures."a/b"]\nbench = "maps"\nbetter = "higher"\nlook = "x"\nfactor = 2.0\n',
            "unknown key; known here: bench, better, look, worse, limit, needs",
        ),
        ('[figure."a/b"]\nbench = "maps"\n', "unknown key, did you mean figures? known here: figures"),
        ("[figures\n", "not valid TOML"),
    ],
)
def test_thresholds_are_parsed_strictly(tmp_path, text, said):
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_thresholds(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_threshold_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpecError, match="no such thresholds file"):
        load_thresholds(tmp_path / "none.toml")
