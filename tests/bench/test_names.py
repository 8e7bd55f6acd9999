"""The names that others read out of a record are all there, and every figure is whole."""

from __future__ import annotations

import math

import pytest

from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench.all import ALL
from ocrmaps.pipelines.bench.ceilings import BOUNDS, of_ceilings

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
                "predict/read_share"},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_gives_its_names(name, measured):
    found = measured(name)
    names = [result["name"] for result in found]
    assert len(set(names)) == len(names)
    assert NAMES[name] <= set(names)
    for result in found:
        assert {"name", "value", "unit", "reference", "spread"} <= set(result)
        assert math.isfinite(result["value"])
        assert math.isfinite(result["spread"])


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


def test_two_workers_say_what_the_machine_gives_a_bare_loop(measured):
    found = {r["name"]: r for r in measured("build")}
    assert found["build/two_workers"]["bare_loop"] == found["build/two_threads_bare"]["value"] > 0


def test_all_measures_every_benchmark_but_scores_and_what_needs_a_browser_or_much_disk():
    assert set(ALL) == set(bench.BENCHES) - {"oracle", "diagnose", "page", "scale"}
    assert set(NAMES) == set(ALL) - {"decode"}
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
