"""The benchmark of the loader measures what its names say, also without real receipts."""

from __future__ import annotations

import os

import pytest

from ocrmaps.pipelines.bench.cases import loader as bench_loader
from ocrmaps.pipelines.bench.cases import rows as bench_loader_cases
from tests.loader.conftest import loading


def test_the_benchmark_reports_ratios_shares_and_ceilings(monkeypatch: pytest.MonkeyPatch):
    for name, value in (("SAMPLES", 3), ("BATCH", 2), ("INNER", 1), ("ON_THE_FLY", 1)):
        monkeypatch.setattr(bench_loader_cases, name, value)
        if hasattr(bench_loader, name):
            monkeypatch.setattr(bench_loader, name, value)
    cores = os.sched_getaffinity(0)
    results = {result["name"]: result for result in bench_loader.bench_loader(repeats=2)}
    for name in ("vs_decode", "vs_dataloader_zarr", "vs_on_the_fly", "vs_memmap", "memcpy_gb_s", "decode_gb_s",
                 "disk_gb_s", "bytes_ratio"):  # fmt: skip
        result = results[f"loader/{name}"]
        assert result["value"] > 0 and result["spread"] >= 0 and result["unit"] and result["reference"]
    first = results["loader/vs_decode"]
    assert first["data"] == "3 rows of 640x640, generated receipts"
    assert first["bottleneck"] in first["shares"]
    assert os.sched_getaffinity(0) == cores and loading() == []
