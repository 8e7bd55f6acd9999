"""A comparison of two runs for people, line by line; every line with a number of unlike runs is labelled."""

from __future__ import annotations

from typing import Any

from ocrmaps.report.compare.alike import REFUSALS, said
from ocrmaps.report.compare.runs import Comparison, best_row
from ocrmaps.text import number, visible
from ocrmaps.training.differences import Difference


def table(comparison: Comparison) -> str:
    """The comparison for people."""
    a, b = comparison.a, comparison.b
    mark = f"[{comparison.label}] " if comparison.label else ""
    lines = [f"{mark}a: {a.folder} ({a.identity})", f"{mark}b: {b.folder} ({b.identity})"]
    lines += [
        f"  {run.folder} has not come to its end: its numbers are those of its last epoch"
        for run in (a, b)
        if not run.finished
    ]
    for word, found in comparison.unlike.items():
        lines += ["", f"UNLIKE {word} ({REFUSALS[word]})"] + [_line(d) for d in found]
    for title, found in (
        ("settings that differ", comparison.settings),
        ("operational settings that differ", comparison.operational),
        ("environment", comparison.environment),
    ):
        lines += ["", f"{title}: {len(found) or 'none'}"] + [_line(d) for d in found]
    lines += [
        "",
        f"{mark}{'metric':20s} {'best a':>10} {'best b':>10} {'b - a':>9} {'final a':>10} {'final b':>10} {'b - a':>9}",
    ]
    for entry in comparison.metrics:
        cells = [
            f"{_cell(entry[w]['a']):>10} {_cell(entry[w]['b']):>10} {_signed(entry[w]['difference']):>9}"
            for w in ("best", "final")
        ]
        lines.append(f"{mark}{entry['metric']:20s} {' '.join(cells)}")
    best = [best_row(run) for run in (a, b)]
    said = [f"{name} at epoch {row['epoch']}" for name, row in zip("ab", best, strict=True) if row is not None]
    if said:
        lines.append(f"best by val/hmean at IoU 0.5: {', '.join(said)}")
    lines += ["", f"{mark}{'cost, median of the epochs':30s} {'a':>10} {'b':>10} {'b / a':>9}"]
    lines += [
        f"{mark}{c['cost']:30s} {_cell(c['a']):>10} {_cell(c['b']):>10} {_cell(c['ratio']):>9}"
        for c in comparison.costs
    ]
    lines.append("")
    lines += [f"{mark}{interval.sentence}" for interval in comparison.intervals]
    if comparison.no_interval:
        lines += comparison.no_interval.split("\n")
    else:
        lines.append("Another seed moves scores as well, which this interval does not see.")
    return "\n".join(visible(line, 1000) for line in lines)


def _line(d: Difference) -> str:
    return f"  {d.key}: {said(d.a)} -> {said(d.b)}"


def _cell(value: Any) -> str:
    return "–" if value is None else number(value, 4) if isinstance(value, (int, float)) else str(value)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4g}"
