"""Scores with their causes: every text that was not found and every detection too many has exactly one reason.

    results = [judge_picture("a.jpg", truth, detections, scores=scores, spec=spec), ...]   # any order, any thread
    evaluation = evaluate(results, expected=["a.jpg", ...], spec=spec, identity={...})
    write_evaluation(evaluation, folder)      # result.json, images.csv, texts.csv
    stored = read_evaluation(folder)          # the same as plain dicts, without a model or a store

docs/explanation/evaluation.md defines the reasons.
"""

from __future__ import annotations

from ocrmaps.evaluation.picture import judge_picture
from ocrmaps.evaluation.reasons import DETECTION_REASONS, ERRORS, TEXT_REASONS
from ocrmaps.evaluation.records import CUTS, PROTOCOLS, Evaluation, EvaluationSpec, Measures, PictureResult
from ocrmaps.evaluation.tables import (
    IMAGES,
    RESULT,
    TEXTS,
    StoredEvaluation,
    read_evaluation,
    result_document,
    write_evaluation,
)
from ocrmaps.evaluation.totals import evaluate, groups

__all__ = [
    "CUTS",
    "DETECTION_REASONS",
    "ERRORS",
    "IMAGES",
    "PROTOCOLS",
    "RESULT",
    "TEXTS",
    "TEXT_REASONS",
    "Evaluation",
    "EvaluationSpec",
    "Measures",
    "PictureResult",
    "StoredEvaluation",
    "evaluate",
    "groups",
    "judge_picture",
    "read_evaluation",
    "result_document",
    "write_evaluation",
]
