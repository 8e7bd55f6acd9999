"""The names that others read out of a record are all there, and every figure is whole."""

from __future__ import annotations

import math

import pytest

from pipelines import bench
from pipelines.bench_all import ALL
from pipelines.bench_ceilings import BOUNDS, of_ceilings

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
    },
    "store": {"store/verify_vs_read", "store/reused_share"},
    "loader": {"loader/vs_decode", "loader/vs_dataloader_zarr", "loader/vs_on_the_fly"},
    "break-even": {"break-even/epochs_vs_published", "break-even/epochs_vs_own"},
    "step": {"step/callbacks_share", "step/host_syncs", "step/p95_vs_median", "memory/peak"},
    "validation": {"validation/vs_plain"},
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


def test_all_measures_every_benchmark_but_the_scores():
    assert set(ALL) == set(bench.BENCHES) - {"oracle"}
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
