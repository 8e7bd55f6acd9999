"""Draws how costs grow with the number of rows, on logarithmic axes: a slope of one is growth as the rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any


def growth_plot(record: Mapping[str, Any]) -> bytes:
    """SVG of every figure of a record that has `by_rows` in milliseconds, beside a line that grows as the rows."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    lines = [r for r in record["results"] if "by_rows" in r and r["unit"] == "ms"]
    for result in lines:
        rows = [int(n) for n in result["by_rows"]]
        axes.loglog(rows, list(result["by_rows"].values()), marker="o", label=result["name"].removeprefix("scale/"))
    if lines:
        axes.loglog(rows, [n / rows[0] for n in rows], color="gray", linestyle=":", label="as the rows")
    axes.set_xlabel("rows")
    axes.set_ylabel("ms of processor time")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    data = io.BytesIO()
    # Without these the same record would give another file each time.
    with matplotlib.rc_context({"svg.hashsalt": "growth"}):
        figure.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue()
