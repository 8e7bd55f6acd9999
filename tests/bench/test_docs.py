"""The thresholds shown in the how-to are read as they stand."""

from __future__ import annotations

from pathlib import Path

from ocrmaps.pipelines.bench.thresholds import load_thresholds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "benchmarks.md"


def test_the_thresholds_of_the_how_to_parse(tmp_path):
    text = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    assert set(load_thresholds(tmp_path / "t.toml").figures) == {"loader/vs_decode", "step/callbacks_share"}
