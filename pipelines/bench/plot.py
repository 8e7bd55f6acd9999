"""A record as one picture: every ratio against its reference, and every share of a ceiling."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ocrmaps.pipelines.bench.times import spelled
from ocrmaps.report.bench import LESS, RATIOS

_BAR = 0.24
"""Inches for one bar."""


def plot(record: Mapping[str, Any]) -> bytes:
    """PNG with two panels: ratios on a logarithmic axis, shares of ceilings from 0 to 1; whiskers are spreads."""
    from matplotlib.figure import Figure

    results = record["results"]
    ratios = [r for r in results if r["unit"] in RATIOS and r["value"] > 0]
    shares = [r for r in results if str(r["name"]).startswith("ceiling/")]
    share_of_minimum = [r for r in results if "share_of_minimum" in str(r["name"])]
    shares += share_of_minimum
    height = 1.7 + _BAR * max(len(ratios), len(shares), 8)
    figure = Figure(figsize=(13, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    if ratios:
        left.set_xscale("log")
        left.xaxis.set_major_formatter(lambda value, place: spelled(value, 3))
    _bars(left, ratios, "against the named reference, which is 1 (↓: less is better)", origin=1.0)
    _bars(right, shares, "share of the measured ceiling", origin=0.0)
    if shares:
        right.set_xlim(0, max(1.15, *(1.15 * float(r["value"] + r["spread"] / 2) for r in shares)))
    machine = record["machine"]
    quick = ", quick (sizes too small to mean much)" if record["quick"] else ""
    figure.suptitle(f"{machine['processor']}, {machine['cores']} cores, commit {record['commit']}{quick}")
    data = io.BytesIO()
    figure.savefig(data, dpi=110, format="png")
    return data.getvalue()


def _bars(axes: Any, results: Sequence[Mapping[str, Any]], title: str, *, origin: float) -> None:
    axes.set_title(title, fontsize="medium")
    if not results:
        axes.text(0.5, 0.5, "nothing of this kind was measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    names = [str(r["name"]).removeprefix("ceiling/") for r in results]
    values = [float(r["value"]) for r in results]
    groups = list(dict.fromkeys(name.partition("/")[0] for name in names))
    colors = [f"C{groups.index(name.partition('/')[0]) % 10}" for name in names]
    # A whisker that would leave the positive numbers ends at a tenth of its bar.
    below = [min(float(r["spread"]) / 2, 0.9 * value) for r, value in zip(results, values, strict=True)]
    above = [float(r["spread"]) / 2 for r in results]
    places = list(range(len(results)))
    axes.axvline(1.0, color="black", linewidth=1)
    lengths = [value - origin for value in values]
    axes.barh(places, lengths, left=origin, color=colors, height=0.7)
    axes.errorbar(values, places, xerr=(below, above), fmt="none", ecolor="black", elinewidth=1, alpha=0.6)
    for place, value, high in zip(places, values, above, strict=True):
        axes.annotate(
            spelled(value, 3),
            (max(value, origin) + high, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )
    axes.set_yticks(places, [f"{name} ↓" if name in LESS else name for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.margins(x=0.12)
