"""Scores for detected text: the ICDAR IoU rule, DetEval and CLEval, over any polygons, in one frame.

Pure functions score a picture and add pictures up; `METRICS` packs each protocol for an `Accumulator`.
"""

from __future__ import annotations

from ocrmaps.metrics.accumulate import Accumulator, Metric, Score, Status
from ocrmaps.metrics.cleval import (
    CLEVAL,
    SCALE_BINS,
    ClevalCounts,
    ClevalMatch,
    ClevalRule,
    match_cleval,
    match_cleval_scales,
    mean_per_picture,
)
from ocrmaps.metrics.conventions import CONVENTIONS, Convention, page_parts, total_parts
from ocrmaps.metrics.deteval import DETEVAL, DetEvalCounts, DetEvalRule, deteval_geometry, match_deteval, total_deteval
from ocrmaps.metrics.iou import (
    THRESHOLDS,
    IouCounts,
    IouMatch,
    IouSweep,
    average_precision,
    match_geometry,
    match_iou,
    sweep_geometry,
    total_iou,
)
from ocrmaps.metrics.matching import ORDERS, STATUSES, Order, PairGeometry, pair_geometry
from ocrmaps.metrics.protocols import METRICS, cleval_metric, deteval_metric, iou_metric, metric_named

__all__ = [
    "CLEVAL",
    "CONVENTIONS",
    "DETEVAL",
    "METRICS",
    "ORDERS",
    "SCALE_BINS",
    "STATUSES",
    "THRESHOLDS",
    "Accumulator",
    "ClevalCounts",
    "ClevalMatch",
    "ClevalRule",
    "Convention",
    "DetEvalCounts",
    "DetEvalRule",
    "IouCounts",
    "IouMatch",
    "IouSweep",
    "Metric",
    "Order",
    "PairGeometry",
    "Score",
    "Status",
    "average_precision",
    "cleval_metric",
    "deteval_geometry",
    "deteval_metric",
    "iou_metric",
    "match_cleval",
    "match_cleval_scales",
    "match_deteval",
    "match_geometry",
    "match_iou",
    "mean_per_picture",
    "metric_named",
    "page_parts",
    "pair_geometry",
    "sweep_geometry",
    "total_deteval",
    "total_iou",
    "total_parts",
]
