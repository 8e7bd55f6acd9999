"""The sections of a run's page about how it was made: curves, epochs, pace, settings, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ocrmaps.detect.trained import Trained
from ocrmaps.evaluation import Evaluation
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit import plots
from ocrmaps.pagekit.page import Card, Html
from ocrmaps.pagekit.plots import Series
from ocrmaps.report.settings import dotted, plain
from ocrmaps.text import number, percent
from ocrmaps.training.folder import RunFolder


def _series(rows: Sequence[Mapping[str, Any]], key: str, name: str) -> Series:
    points = [(row["step"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]
    return Series(name=name, x=[p[0] for p in points], y=[p[1] for p in points])


def curves(run: RunFolder) -> Html:
    return html.grid(
        [
            plots.lines([_series(run.rows, f"{s}/loss", s) for s in ("train", "val")], "Loss", x="step", y="loss"),
            plots.lines(
                [_series(run.rows, f"val/{k}", k) for k in ("hmean", "precision", "recall")]
                + [_series(run.rows, "val/hmean@0.7", "hmean at IoU 0.7")],
                "Validation at IoU 0.5",
                x="step",
                y="value",
            ),
            plots.lines([_series(run.rows, "lr", "learning rate")], "Learning rate", x="step", y="rate"),
            plots.lines(
                [_series(run.rows, f"train/{k}", k) for k in ("probability", "threshold", "binary")],
                "Parts of the training loss",
                x="step",
                y="loss",
            ),
        ]
    )


def epochs(run: RunFolder) -> tuple[Html, ...]:
    columns = (
        "epoch",
        "step",
        "samples",
        "train/loss",
        "val/loss",
        "val/hmean",
        "val/precision",
        "val/recall",
        "val/hmean@0.7",
        "val/state",
    )
    there = [c for c in columns if any(c in row for row in run.rows)]
    rows = [[_cell(row.get(c)) for c in there] for row in run.rows]
    last = tuple(i for i, c in enumerate(there) if c == "val/state")
    if not rows:
        return (html.paragraph("No epoch has ended."),)
    return (html.details("Every epoch", [html.table(there, rows, caption="Epochs", text_columns=last)]),)


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)):
        return number(value, 4)
    return "–" if value is None else str(value)


def pace(run: RunFolder) -> Html:
    rows = [row for row in run.rows if "rate" in row]
    if not rows:
        return html.paragraph("Nobody watched: watch.throughput was off, or no epoch has ended.")
    waits = [float(row["wait_share"]) for row in rows]
    cards = [
        Card(
            label="Samples a second",
            value=number(float(np.median([r["rate"] for r in rows]))),
            remark="median of the epochs",
        ),
        Card(
            label="Waiting for data",
            value=percent(float(np.median(waits))),
            remark=f"of the step; at most {percent(max(waits))}",
            tone="problem" if np.median(waits) > 0.05 else "good",
        ),
    ]
    steps = [r for r in rows if "step_ms_p50" in r]
    if steps:
        p = {q: float(np.median([r[f"step_ms_p{q}"] for r in steps])) for q in (50, 95, 99)}
        remark = f"95 % under {number(p[95])}, 99 % under {number(p[99])} ms"
        cards.append(Card(label="A step", value=f"{number(p[50])} ms", remark=remark))
    for key, label in (("memory_peak_mb", "Peak memory"), ("gpu_peak_mb", "Peak GPU memory")):
        if any(key in r for r in rows):
            cards.append(Card(label=label, value=f"{number(round(max(r.get(key, 0) for r in rows)))} MB"))
    seconds = sum(float(r["seconds"]) for r in run.rows if "seconds" in r)
    cards.append(Card(label="All epochs", value=f"{number(round(seconds))} s", remark="training and validation"))
    plotted = [
        plots.lines([_series(rows, "rate", "samples a second")], "Pace", x="step", y="samples a second"),
        plots.lines(
            [_series(rows, "wait_share", "waiting")], "Share of the time waiting for data", x="step", y="share"
        ),
        plots.lines(
            [_series(rows, f"step_ms_p{q}", f"{q} % of steps are faster") for q in (50, 95, 99)],
            "Step time",
            x="step",
            y="ms",
        ),
    ]
    return html.cards(cards) + html.grid(plotted)


def settings(run: RunFolder, trained: Trained | None, evaluation: Evaluation | None) -> tuple[Html, ...]:
    out = [
        html.table(("setting", "value"), list(dotted(run.settings).items()), caption="run.json", text_columns=(0, 1))
    ]
    if trained is not None and evaluation is not None:
        built = trained.card.get("built", {})
        out.insert(
            0, html.table(("part", "value"), list(dotted(built).items()), caption="What was built", text_columns=(0, 1))
        )
        how = evaluation.identity.get("extract", {})
        out.append(
            html.table(
                ("setting", "value"), list(dotted(how).items()), caption="How maps were read", text_columns=(0, 1)
            )
        )
    return tuple(out)


def environment(run: RunFolder) -> Html:
    if not run.environment:
        return html.paragraph("environment.json is missing: nobody knows where this ran.")
    rows = [(key, plain(value)) for key, value in dotted(run.environment).items()]
    return html.table(("what", "value"), rows, caption="Where it ran", text_columns=(0, 1))
