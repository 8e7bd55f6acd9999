"""Pictures become one evaluation: scores over exactly the expected ids, and how they differ by kind of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ocrmaps.errors import DataError
from ocrmaps.evaluation.reasons import ERRORS
from ocrmaps.evaluation.records import Evaluation, EvaluationSpec, PictureResult
from ocrmaps.metrics.accumulate import Accumulator, Metric
from ocrmaps.metrics.iou import IouCounts, IouSweep
from ocrmaps.metrics.protocols import cleval_metric, deteval_metric, iou_metric

HEIGHTS = (4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0)
ASPECTS = (1.3, 3.0, 6.0, 12.0, 24.0)
GROUPINGS = ("height", "canonical_height", "aspect", "direction", "orientation", "canvas")
Unit = tuple[str, PictureResult, int]
"""text or detection, its picture, its index there."""


def evaluate(
    results: Iterable[PictureResult],
    expected: Sequence[str],
    *,
    spec: EvaluationSpec,
    identity: Mapping[str, Any] | None = None,
) -> Evaluation:
    """The evaluation over the expected ids; a result that is unexpected or given twice is refused.

    Missing results make it partial: there are counts, and no score.
    """
    kept: dict[str, PictureResult] = {}
    for result in results:
        if result.picture in kept:
            raise DataError(f"{result.picture}: judged twice in one pass; counted twice, it would weigh twice")
        kept[result.picture] = result
    scores, seen = {}, {}
    for name in spec.protocols:
        metric = _metric(name, spec)
        accumulator = Accumulator(metric, expected)
        accumulator.merge({picture: _part(name, result) for picture, result in kept.items()})
        scores[name] = accumulator.compute()
        seen[name] = dict(metric.total(list(accumulator.results().values()))[0])
    ordered = tuple(kept[name] for name in expected if name in kept)
    totals = {t: sum((r.match.counts(t) for r in ordered), IouCounts()) for t in spec.thresholds}
    return Evaluation(
        spec=spec,
        expected=tuple(expected),
        pictures=ordered,
        scores=scores,
        seen=seen,
        totals=totals,
        sweep=_sweep(ordered),
        identity=dict(identity or {}),
    )


def _metric(name: str, spec: EvaluationSpec) -> Metric:
    if name == "iou":
        return iou_metric(thresholds=spec.thresholds, order=spec.order, convention=spec.convention)
    return (deteval_metric if name == "deteval" else cleval_metric)(convention=spec.convention)


def _part(protocol: str, result: PictureResult) -> Any:
    return {"iou": result.match, "deteval": result.deteval, "cleval": result.cleval}[protocol]


def _sweep(pictures: Sequence[PictureResult]) -> IouSweep | None:
    """The curves of all pictures; none where a picture came without scores."""
    total = None
    for picture in pictures:
        if picture.sweep is None:
            return None
        total = picture.sweep if total is None else total + picture.sweep
    return total


def reason_counts(pictures: Iterable[PictureResult]) -> dict[str, dict[str, int]]:
    """How often each reason that costs something was told, for texts and detections; zeros are there."""
    out = {"text": dict.fromkeys(ERRORS["text"], 0), "detection": dict.fromkeys(ERRORS["detection"], 0)}
    for picture in pictures:
        for kind, reasons in (("text", picture.text_reason), ("detection", picture.detection_reason)):
            for reason in reasons:
                if reason in out[kind]:
                    out[kind][reason] += 1
    return out


def groups(evaluation: Evaluation, by: str) -> list[dict[str, Any]]:
    """Recall, precision and errors of each group of texts and detections, smallest first.

    A detection belongs to the group of its own size and direction. Only what is scored is counted.
    """
    if by not in GROUPINGS:
        raise ValueError(f"found grouping {by!r}, expected one of {', '.join(GROUPINGS)}")
    rows: dict[tuple[float, str], dict[str, Any]] = {}
    levels = evaluation.spec.thresholds
    for picture in evaluation.pictures:
        match = picture.match
        layers = [match.layer(t) >= 0 for t in levels]
        found = [match.found(t) for t in levels]
        for kind, care, hits, reasons in (
            ("text", match.truth_care, layers, picture.text_reason),
            ("detection", match.detection_care, found, picture.detection_reason),
        ):
            for i in np.flatnonzero(care).tolist():
                key = _group(by, (kind, picture, i))
                row = rows.setdefault(key, _empty(key[1], levels))
                row[f"{kind}s"] += 1
                for threshold, hit in zip(levels, hits, strict=True):
                    row[f"{kind}s_matched"][f"{threshold:g}"] += int(hit[i])
                if reasons[i] in ERRORS[kind]:
                    errors = row[f"{kind}_errors"]
                    errors[reasons[i]] = errors.get(reasons[i], 0) + 1
    ordered = [rows[key] for key in sorted(rows)]
    for row in ordered:
        row["recall"] = {t: n / row["texts"] if row["texts"] else None for t, n in row["texts_matched"].items()}
        row["precision"] = {
            t: n / row["detections"] if row["detections"] else None for t, n in row["detections_matched"].items()
        }
    return ordered


def _empty(name: str, levels: Sequence[float]) -> dict[str, Any]:
    return {
        "group": name,
        "texts": 0,
        "texts_matched": {f"{t:g}": 0 for t in levels},
        "text_errors": {},
        "detections": 0,
        "detections_matched": {f"{t:g}": 0 for t in levels},
        "detection_errors": {},
    }


def _group(by: str, unit: Unit) -> tuple[float, str]:
    """(rank, name) of the group of one text or detection."""
    kind, picture, i = unit
    measures = picture.text_measures if kind == "text" else picture.detection_measures
    if by == "direction":
        name = measures.direction(i)
        return float(("horizontal", "slanted", "vertical", "square").index(name)), name
    if by == "orientation":
        turned = picture.orientation
        return (-1.0, "unknown") if turned is None else (float(turned), str(turned))
    if by == "canvas":
        if picture.transform is None:
            return -1.0, "unknown"
        height, width = picture.transform.canvas
        return height * 1e6 + width, f"{height}x{width}"
    value = float(getattr(measures, by)[i])
    return (-1.0, "unknown") if value != value else _bin(value, ASPECTS if by == "aspect" else HEIGHTS)


def _bin(value: float, edges: Sequence[float]) -> tuple[float, str]:
    """The bin of a value; the lower edge belongs to it."""
    place = int(np.searchsorted(edges, value, side="right"))
    if place == 0:
        return 0.0, f"under {edges[0]:g}"
    if place == len(edges):
        return float(place), f"{edges[-1]:g} and more"
    return float(place), f"{edges[place - 1]:g} to {edges[place]:g}"
