"""The sections of a run's page about its score: beside the ceiling, by cause, by score cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.detect.trained import Trained
from ocrmaps.evaluation import Evaluation
from ocrmaps.evaluation.reasons import words
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit import plots
from ocrmaps.pagekit.page import Card, Html
from ocrmaps.pagekit.plots import Series
from ocrmaps.text import number, percent, typed
from ocrmaps.training.folder import RunFolder


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def score_cards(ceiling: Mapping[float, float], document: Mapping[str, Any]) -> Html:
    cards: list[Card] = []
    for t, totals in document["totals"].items():
        reachable = ceiling.get(float(t))
        beside = "" if reachable is None else f"perfect maps reach {reachable:.4f}; "
        cards.append(
            Card(
                label=f"hmean at IoU {t}",
                value=_figure(totals["hmean"]),
                remark=f"{beside}precision {totals['precision']:.4f}, recall {totals['recall']:.4f}",
                tone="plain" if cards else "good" if totals["hmean"] else "problem",
            )
        )
    for name in ("deteval", "cleval"):
        if name in document["protocols"]:
            values = document["protocols"][name]["values"]
            value = next((v for k, v in values.items() if k.endswith("hmean")), None)
            cards.append(Card(label=f"{'DetEval' if name == 'deteval' else 'CLEval'} hmean", value=_figure(value)))
    totals = document["totals"][f"{document['reasons_at_iou']:g}"]
    lost, wrong = sum(document["reasons"]["texts"].values()), sum(document["reasons"]["detections"].values())
    cards.append(Card(label="Texts lost", value=number(lost), remark=f"of {number(totals['truth_care'])}"))
    cards.append(Card(label="Predictions wrong", value=number(wrong), remark=f"of {number(totals['detection_care'])}"))
    return html.cards(cards)


def quick_cards(run: RunFolder) -> Html:
    scored = (row for row in run.rows if "val/hmean" in row)
    best = max(scored, key=lambda row: (row["val/hmean"], -row.get("val/loss", 0.0)), default=None)
    if best is not None and not best["val/hmean"]:
        doctor = typed("ocrmaps", "debug", "doctor", run.folder)
        said = f"Train for more steps, or let {doctor} say which stage breaks."
        return html.callout("problem", "No text was found in any validation: hmean is 0.", remark=said)
    if best is None:
        return html.callout("note", "No complete validation: there is no score.")
    return html.cards(
        [
            Card(
                label="Best hmean at IoU 0.5",
                value=_figure(best["val/hmean"]),
                remark=f"epoch {best['epoch']}",
                tone="good",
            ),
            Card(label="hmean at IoU 0.7", value=_figure(best.get("val/hmean@0.7")), remark=f"epoch {best['epoch']}"),
        ]
    )


def same_score(run: RunFolder, evaluation: Evaluation, checkpoint: Path | None) -> list[Html]:
    """The score of the training beside the one of this page, where they ought to agree."""
    then, now = run.result.get("hmean"), evaluation.hmean
    if checkpoint is not None or then is None or now is None:
        return []
    if abs(then - now) <= 1e-6:
        return [html.paragraph(f"The training's own validation said the same: {then:.6f}.")]
    remark = (
        f"The training's validation said {then:.6f}, this page {now:.6f}; other devices or libraries round otherwise."
    )
    return [html.callout("note", "Two numbers for one checkpoint.", remark=remark)]


def error_count(document: Mapping[str, Any]) -> str:
    return number(sum(sum(reasons.values()) for reasons in document["reasons"].values()))


def reasons(document: Mapping[str, Any]) -> tuple[Html, ...]:
    texts, found = document["reasons"]["texts"], document["reasons"]["detections"]
    iou = f"{document['reasons_at_iou']:g}"
    total = document["totals"][iou]
    rows = [
        (
            words(reason),
            number(texts.get(reason, 0)),
            percent(texts.get(reason, 0) / max(total["truth_care"], 1)),
            number(found.get(reason, 0)),
            percent(found.get(reason, 0) / max(total["detection_care"], 1)),
        )
        for reason in dict.fromkeys((*texts, *found))
    ]
    head = ("cause", "texts lost", "of all texts", "predictions wrong", "of all predictions")
    out = [
        html.table(head, rows, caption=f"Errors at IoU {iou} by cause"),
        html.grid(
            [
                plots.bars([(words(k), float(v)) for k, v in _ranked(texts)], "Texts lost", unit="texts"),
                plots.bars([(words(k), float(v)) for k, v in _ranked(found)], "Predictions wrong", unit="predictions"),
            ]
        ),
    ]
    names = {
        "canonical_height": "text height on the canvas, px",
        "height": "text height as annotated, px",
        "aspect": "length over height",
        "direction": "direction",
        "orientation": "EXIF orientation",
        "canvas": "canvas",
    }
    for by, name in names.items():
        groups = document["groups"][by]
        causes = [c for c in texts if any(g["text_errors"].get(c) for g in groups)]
        thresholds = [f"{t:g}" for t in document["thresholds"]]
        body = [
            (
                g["group"],
                number(g["texts"]),
                *(_share(g["recall"][t]) for t in thresholds),
                *(number(g["text_errors"].get(c, 0)) for c in causes),
                number(g["detections"]),
                _share(g["precision"][iou]),
            )
            for g in groups
        ]
        columns = (
            name,
            "texts",
            *(f"recall at {t}" for t in thresholds),
            *map(words, causes),
            "predictions",
            f"precision at {iou}",
        )
        table = html.table(columns, body, caption=f"By {name}")
        out.append(table if by == "canonical_height" else html.details(f"By {name}", [table]))
    return tuple(out)


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((k, v) for k, v in counts.items() if v), key=lambda pair: -pair[1])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def sweeps(trained: Trained, document: Mapping[str, Any]) -> tuple[Html, ...]:
    sweep = document["sweep"]
    if sweep is None:
        return (html.paragraph("These predictions have no scores, so there are no curves."),)
    # Of nothing that is found there is no precision: a curve that fell to 0 there would tell of mistakes.
    some = np.array(sweep["detections"]) > 0
    found = {t: {**curve, "precision": np.where(some, curve["precision"], np.nan)} for t, curve in sweep["iou"].items()}
    cuts, first = sweep["cuts"], f"{document['reasons_at_iou']:g}"
    parts = found[first]
    best = int(np.argmax(parts["hmean"]))
    now = float(trained.extract.score_min)
    at = [i for i, cut in enumerate(cuts) if abs(cut - now) < 1e-9]
    here = f"the checkpoint cuts at {now:g}" + (f", where it is {parts['hmean'][at[0]]:.4f}" if at else "")
    remark = (
        f"Here hmean at IoU {first} is highest, {parts['hmean'][best]:.4f}, at a score of {cuts[best]:g}; {here}. "
        "A best of a sweep is chosen on the pictures that it is measured on: it is no score."
    )
    return (
        html.grid(
            [
                plots.lines(
                    [Series(name=f"IoU {t}", x=curve["recall"], y=curve["precision"]) for t, curve in found.items()],
                    "Precision and recall",
                    x="recall",
                    y="precision",
                ),
                plots.lines(
                    [Series(name=part, x=cuts, y=parts[part]) for part in ("precision", "recall", "hmean")],
                    f"Score cut at IoU {first}",
                    x="least score",
                    y="value",
                ),
            ]
        ),
        html.paragraph(remark),
    )
