"""The benchmark of maps measures what its names say, on generated receipts."""

from __future__ import annotations

from ocrmaps.maps import DRAWN, MapSpec, draw_maps
from ocrmaps.pipelines.bench.cases import maps as bench


def test_the_benchmark_reports_ratios_times_and_the_share_of_the_minimum(monkeypatch):
    monkeypatch.setattr(bench, "_multiply_add_ms", lambda: 1e-7)
    results = {result["name"]: result for result in bench.bench_maps(repeats=1)}
    for suffix in ("", "_1024"):
        for name in (
            "exact_vs_reference",
            "official_vs_reference",
            "exact_ms",
            "official_ms",
            "exact_share_of_minimum",
        ):
            result = results[f"maps/{name}{suffix}"]
            assert result["value"] > 0 and result["spread"] >= 0 and result["unit"] and result["reference"]
            assert result["data"].startswith("generated receipts")


def test_generated_receipts_are_lines_that_both_styles_draw():
    polygons, size = bench.generated(640, 0)
    assert len(polygons) == 53
    for style in ("exact", "official"):
        assert set(draw_maps(polygons, MapSpec(style=style), size).outcomes) <= DRAWN
