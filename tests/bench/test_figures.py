"""The figures that others read out of a record are all there, and every guarded stage that gets slower is named.

Stages that compute do their work ten times over. Builds and waits are counted on a virtual clock instead. All share
what was measured once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench.all import ALL
from ocrmaps.pipelines.bench.cases import break_even as bench_break_even
from ocrmaps.pipelines.bench.cases import build as bench_build
from ocrmaps.pipelines.bench.cases import extract as bench_extract
from ocrmaps.pipelines.bench.cases import loader as bench_loader
from ocrmaps.pipelines.bench.cases import maps as bench_maps
from ocrmaps.pipelines.bench.cases import metrics as bench_metrics
from ocrmaps.pipelines.bench.cases import step as bench_step
from ocrmaps.pipelines.bench.cases import store as bench_store
from ocrmaps.pipelines.bench.cases import validation as bench_validation
from ocrmaps.pipelines.bench.ceilings import BOUNDS, of_ceilings
from ocrmaps.pipelines.bench.guard import check
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.thresholds import Thresholds, load_thresholds

NAMES = {
    "machine": {
        "machine/memcpy_gb_s", "machine/codec_decode_gb_s", "machine/jpeg_mpx_s", "machine/disk_sequential_gb_s",
        "machine/disk_random_gb_s",
    },
    "maps": {"maps/exact_vs_reference", "maps/official_vs_reference"},
    "extract": {"extract/vs_reference"},
    "metrics": {"metrics/iou_vs_reference", "metrics/cleval_ms"},
    "build": {
        "build/vs_decode_resize", "build/two_workers", "build/unchanged", "build/one_percent", "build/bytes_share",
        "build/two_threads_bare",
    },
    "store": {"store/verify_vs_read", "store/reused_share"},
    "loader": {"loader/vs_decode", "loader/vs_dataloader_zarr", "loader/vs_on_the_fly"},
    "break-even": {"break-even/epochs_vs_published", "break-even/epochs_vs_own"},
    "step": {"step/callbacks_share", "step/host_syncs", "step/p95_vs_median", "memory/peak"},
    "validation": {
        "validation/vs_plain", "validation/read_ms", "validation/extract_ms", "validation/match_ms",
        "validation/plain_decode_ms", "validation/plain_draw_ms", "validation/plain_box_ms",
    },
    "predict": {"predict/pytorch_1_ms", "predict/pytorch_1_network_ms", "predict/pytorch_1_per_second",
                "predict/read_share", "predict/evaluate_files_share", "predict/evaluate_store_share"},
    "cli": {
        "cli/version_s", "cli/help_s", "cli/help_of_commands_s", "cli/wrong_input_s", "cli/cache_status_s",
        "cli/data_check_s", "cli/help_vs_typer", "cli/heavy_imports",
    },
}  # fmt: skip
"""Counts are looked at beside their limits, in test_counts.py."""


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_gives_its_names(name, named, measured):
    assert NAMES[name] <= named(measured(name))


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("maps", "maps/exact_ms"), ("extract", "extract/default_boxes_ms"), ("metrics", "metrics/cleval_ms"),
        ("loader", "loader/batch_ms"), ("step", "step/ms"), ("validation", "validation/extract_ms"),
    ],
)  # fmt: skip
def test_what_is_done_often_says_how_single_times_are_spread(name, figure, measured):
    (times,) = [result["times"] for result in measured(name) if result["name"] == figure]
    assert times["count"] > 1
    assert 0 < times["median_ms"] <= times["p95_ms"] <= times["p99_ms"]


def test_the_steps_of_a_validation_are_all_of_its_time(measured):
    for chain in ("validation/plain_", "validation/"):
        steps = [r for r in measured("validation") if r["name"].startswith(chain) and "share" in r]
        mine = [r for r in steps if ("plain_" in r["name"]) == ("plain_" in chain)]
        assert sum(r["share"] for r in mine) == pytest.approx(1)
        assert len(mine) == {"validation/plain_": 5, "validation/": 4}[chain]


def test_the_steps_of_a_prediction_are_all_of_its_time(measured):
    found = {r["name"]: r["value"] for r in measured("predict")}
    steps = [found[f"predict/pytorch_1_{step}_ms"] for step in ("prepare", "network", "read")]
    assert sum(steps) == pytest.approx(found["predict/pytorch_1_ms"])


def test_an_evaluation_is_told_apart_from_its_network(measured):
    found = {r["name"]: r["value"] for r in measured("predict")}
    assert 0 < found["predict/evaluate_store_share"] < 1
    assert 0 < found["predict/evaluate_files_share"] < 1


def test_two_workers_say_what_the_machine_gives_a_bare_loop(measured):
    found = {r["name"]: r for r in measured("build")}
    assert found["build/two_workers"]["bare_loop"] == found["build/two_threads_bare"]["value"] > 0


def test_all_measures_every_benchmark_but_scores_and_what_needs_a_browser_or_much_disk():
    assert set(ALL) == set(bench.BENCHES) - {"oracle", "diagnose", "page", "scale"}
    assert {*NAMES, "counts"} == set(ALL) - {"decode"}
    assert ALL[0] == "machine"


def test_every_bound_is_formed_from_what_the_benchmarks_give(measured):
    everything = [r for name in ("machine", "build", "store", "loader") for r in measured(name)]
    everything.append(
        {"name": "decode/full_vs_opencv", "value": 0.7, "spread": 0.1, "mpx": 34.8, "milliseconds": 900.0}
    )
    if not any(r["name"] == "loader/disk_gb_s" for r in everything):
        pytest.skip("this system cannot be asked to forget files")
    shares = of_ceilings(everything)
    assert [share["name"] for share in shares] == list(BOUNDS)
    assert all(share["value"] > 0 for share in shares)


def test_a_bound_without_its_ceiling_is_left_out():
    assert of_ceilings([{"name": "store/verify_gb_s", "value": 1.0, "spread": 0.0, "unit": "GB/s"}]) == []


def test_a_share_is_achieved_over_ceiling_with_both_spreads():
    figures = [
        {"name": "store/verify_gb_s", "value": 2.0, "spread": 0.2, "unit": "GB/s"},
        {"name": "store/read_gb_s", "value": 4.0, "spread": 0.8, "unit": "GB/s"},
    ]
    (share,) = of_ceilings(figures)
    assert share["value"] == 0.5
    assert share["spread"] == pytest.approx(0.5 * (0.1 + 0.2))
    assert (share["figure"], share["ceiling"]) == ("store/verify_gb_s", "store/read_gb_s")


TIMES = 10


def often(work: Callable[..., Any]) -> Callable[..., Any]:
    def repeated(*args: Any, **kwargs: Any) -> Any:
        for _ in range(TIMES - 1):
            work(*args, **kwargs)
        return work(*args, **kwargs)

    return repeated


def slow_maps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bench_maps, "draw_maps", often(bench_maps.draw_maps))


def slow_extraction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bench_extract, "extract", often(bench_extract.extract))


def slow_matching(patch: pytest.MonkeyPatch) -> None:
    for name in ("match_iou", "match_deteval", "match_cleval"):
        patch.setattr(bench_metrics, name, often(getattr(bench_metrics, name)))


def slow_loader(patch: pytest.MonkeyPatch) -> None:
    real = bench_loader.loader_of

    class Slow:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __enter__(self) -> Slow:
            self.inner.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.inner.__exit__(*error)

        def __iter__(self) -> Any:
            for _ in range(TIMES - 1):
                for _ in self.inner:
                    pass
            return iter(self.inner)

    patch.setattr(bench_loader, "loader_of", lambda f, check: Slow(real(f, check)) if check else real(f, check))


def slow_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bench_store, "_verify", often(bench_store._verify))


def forgetful_store(patch: pytest.MonkeyPatch) -> None:
    real = bench_store.build

    def build(recipe: Any, cache: Any) -> Any:
        shutil.rmtree(cache, ignore_errors=True)
        return real(recipe, cache)

    patch.setattr(bench_store, "build", build)


def dear_build(patch: pytest.MonkeyPatch) -> None:
    real = bench_break_even.build

    def build(recipe: Any, cache: Any, **how: Any) -> Any:
        for i in range(TIMES - 1 if cache.name != "warm" else 0):
            real(recipe, cache / f"again-{i}", **how)
        return real(recipe, cache, **how)

    patch.setattr(bench_break_even, "build", build)


def slow_validation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bench_validation, "epoch", often(bench_validation.epoch))


HEAVY = """
import sys
if "ocrmaps" in (line := str(sys.orig_argv)) and "--help" in line:
    import numba
"""


@pytest.fixture
def heavy_start(tmp_path: Path) -> Path:
    """A folder that makes all help of ours import what it does not need, when it is on Python's path."""
    (tmp_path / "sitecustomize.py").write_text(HEAVY, encoding="utf-8")
    return tmp_path


STAGES: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "maps": ("maps", slow_maps, {"maps/exact_vs_reference", "maps/official_vs_reference"}),
    "extraction": ("extract", slow_extraction, {"extract/vs_reference", "extract/default_vs_reference"}),
    "matching": (
        "metrics",
        slow_matching,
        {name for name, t in load_thresholds().figures.items() if t.bench == "metrics"},
    ),
    "loader": (
        "loader",
        slow_loader,
        {"loader/vs_decode", "loader/vs_dataloader_zarr", "loader/vs_on_the_fly", "loader/without_digests"},
    ),
    "proof": ("store", slow_proof, {"store/verify_vs_read"}),
    "forgetful store": ("store", forgetful_store, {"store/reused_share"}),
    "dear build": ("break-even", dear_build, {"break-even/epochs_vs_own"}),
    "validation": ("validation", slow_validation, {"validation/vs_plain"}),
}


def of(name: str) -> Thresholds:
    known = load_thresholds()
    return replace(known, figures={figure: t for figure, t in known.figures.items() if t.bench == name})


def failed(record_from: Any, before: Any, after: Any, name: str) -> set[str]:
    # Single runs have no spread; what the inner rounds differ by is not what is tested here.
    steady = [[{**result, "spread": 0.0} for result in results] for results in (before, after)]
    found = check(record_from(steady[0]), record_from(steady[1]), of(name))
    return {verdict.figure for verdict in found.verdicts if verdict.failed}


@pytest.mark.parametrize("stage", STAGES)
def test_a_slow_stage_is_named(stage, measured, record_from, monkeypatch):
    """Three tries: beside load, a single run of a millisecond may be off by more than a stage is slowed."""
    name, slow, figures = STAGES[stage]
    before = measured(name)
    for _ in range(3):
        with monkeypatch.context() as patch:
            slow(patch)
            named = failed(record_from, before, bench.BENCHES[name](1, True), name)
        if figures <= named:
            return
        before = bench.BENCHES[name](1, True)
    raise AssertionError(f"named: {sorted(named)}, expected among them: {sorted(figures)}")


class Virtual:
    """A clock that only moves by counted costs."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        pass


COSTS = {"bare one": 96.0, "bare": 60.0, "one": 200.0, "two": 100.0, "unchanged": 0.2, "changed": 7.0}


def counted_build(patch: pytest.MonkeyPatch, slow: str = "") -> list[dict[str, Any]]:
    """The build's figures where every case costs what the table says, and the slow one ten times that."""
    clock, costs = Virtual(), {case: cost * (TIMES if case == slow else 1) for case, cost in COSTS.items()}
    real, bare = bench_build.build, bench_build._decode_and_resize

    def build(recipe: Any, cache: Any, *, workers: int) -> Any:
        report = real(recipe, cache, workers=workers)
        case = "unchanged" if report.state == "unchanged" else "changed" if report.counts["reused"] else ""
        clock.now += costs[case or ("one" if workers == 1 else "two")]
        if slow != "bytes":
            return report
        return replace(report, counts={**report.counts, "bytes": TIMES * report.counts.get("bytes", 0)})

    def decode_and_resize(*args: Any, **settings: Any) -> None:
        bare(*args, **settings)
        clock.now += costs["bare one" if settings.get("threads") == 1 else "bare"]

    with patch.context() as inner:
        inner.setattr(bench_build, "build", build)
        inner.setattr(bench_build, "_decode_and_resize", decode_and_resize)
        inner.setattr(bench_build, "time", clock)
        inner.setattr(bench_build, "material", lambda source, folder, _: material(source, folder, 4))
        return bench_build.bench_build(1, quick=True)


@pytest.fixture(scope="module")
def plain_build() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        return counted_build(patch)


BUILDS = {
    "two": {"build/vs_decode_resize", "build/two_workers"},
    "unchanged": {"build/unchanged"},
    "changed": {"build/one_percent"},
    "bytes": {"build/bytes_share"},
}


@pytest.mark.parametrize("slow", BUILDS)
def test_a_slow_build_is_named(slow, plain_build, record_from, monkeypatch):
    assert failed(record_from, plain_build, counted_build(monkeypatch, slow), "build") == BUILDS[slow]


STEP = {
    "step/callbacks_share", "step/data_wait_share", "step/host_syncs", "step/p95_vs_median", "memory/peak",
}  # fmt: skip


def test_a_slow_step_is_named(measured, record_from, monkeypatch):
    # Steps of one length, and the memory of just now, whatever else the machine and other tests did meanwhile.
    now = {r["name"]: r["value"] for r in bench.BENCHES["step"](1, True)}
    plain = {"step/p95_vs_median": 1.0, "memory/peak": now["memory/peak"]}
    before = [r | {"value": plain.get(r["name"], r["value"])} for r in measured("step")]
    mark, kept = bench_step.Throughput._mark, []

    def wasteful(self: Any) -> None:
        """Wait for a value, keep gigabytes, and take four times as long for the second step by a clock of its own."""
        if len(self._marks) == 2 and not kept:
            kept.append(b"1" * int(0.5e6 * now["memory/peak"] + 1e9))
        self.tensor = getattr(self, "tensor", None)
        if self.tensor is None:
            self.tensor = bench_step.torch.ones(1)
        self.tensor.item()
        mark(self)
        step = len(self._marks) - 1
        self._marks[-1] = self._marks[0] + step + (3.0 if step > 1 else 0.0)

    from ocrmaps.loader import MapLoader

    book = MapLoader._progress
    monkeypatch.setattr(MapLoader, "_progress", lambda self, which, waited: book(self, which, waited + 10.0))
    monkeypatch.setattr(bench_step.Throughput, "_mark", wasteful)
    assert failed(record_from, before, bench.BENCHES["step"](1, True), "step") >= STEP


COMMANDS = {"cli/help_vs_typer", "cli/heavy_imports"}


def test_commands_that_import_what_they_do_not_need_are_named(measured, record_from, heavy_start, monkeypatch):
    before = measured("cli")
    monkeypatch.setenv("PYTHONPATH", str(heavy_start))
    assert failed(record_from, before, bench.BENCHES["cli"](1, True), "cli") == COMMANDS


def test_every_guarded_figure_has_a_seeded_fault():
    caught = set().union(*(figures for _, _, figures in STAGES.values()), *BUILDS.values(), STEP, COMMANDS)
    on_gpu = {name for name, threshold in load_thresholds().figures.items() if threshold.needs == "gpu"}
    assert set(load_thresholds().figures) - on_gpu == caught


def test_an_unchanged_record_is_in_order(measured, record_from):
    for name in ("maps", "extract", "metrics"):
        assert failed(record_from, measured(name), measured(name), name) == set()
