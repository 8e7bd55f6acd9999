"""The doctor on the way back: polygons in the frame of the annotation, matched there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ocrmaps.canonical import turn_upright
from ocrmaps.debug.doctor.maps import extraction_of
from ocrmaps.debug.doctor.records import Case, Stage
from ocrmaps.detect.trained import Trained
from ocrmaps.extract import extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps.records import PROBABILITY_COUNTS
from ocrmaps.metrics import match_iou
from ocrmaps.metrics.iou import IouCounts
from ocrmaps.pagekit.pictures import Canvas, overlay
from ocrmaps.recipe import Recipe


def look_at_originals(cases: Sequence[Case], stage: Stage, trained: Trained, recipe: Recipe) -> None:
    """Polygons come back to the frame of the annotation without loss, and match there."""
    spec, maps = trained.extract, recipe.maps
    if (spec.kernel, spec.shrink_ratio) != (maps.style, maps.shrink_ratio) and spec.unclip == "inverse":
        stage.problem(
            f"the maps are read as style {spec.kernel!r}, r {spec.shrink_ratio:g}; they were drawn with "
            f"{maps.style!r}, r {maps.shrink_ratio:g}",
            "leave extract.kernel and extract.shrink_ratio out of the run file: they follow the store",
        )
    here, there, ceiling = IouCounts(), IouCounts(), IouCounts()
    overlaps = []
    for case in cases:
        if case.probability is None or not np.isfinite(case.probability).all():
            continue
        found = extract(case.probability, spec, threshold=case.level).polygons
        canonical = case.transform.apply(case.polygons, "canonical")
        detections = case.transform.apply(found, case.polygons.frame)
        here += match_iou(canonical, found, thresholds=(0.5,)).counts(0.5)
        there += match_iou(case.polygons, detections, thresholds=(0.5,)).counts(0.5)
        perfect = extract(np.minimum(case.maps["probability"], 1).astype(np.float32), extraction_of(maps, canonical))
        ceiling += match_iou(canonical, perfect.polygons, thresholds=(0.5,)).counts(0.5)
        overlaps.append(_overlap(case, spec.binarize))
        _draw_original(case, detections)
    if not overlaps:
        stage.skipped = "there is no prediction to bring back"
        return
    card = (trained.card.get("score") or {}).get("hmean", {}).get("0.5")
    stage.numbers = {
        "hmean": there.hmean, "precision": there.precision, "recall": there.recall, "hmean_canonical": here.hmean,
        "ceiling": ceiling.hmean, "kernel_overlap": float(np.mean(overlaps)), "hmean_recorded": card,
    }  # fmt: skip
    recorded = "" if card is None else f", the checkpoint says {card:.3f} of its validation"
    stage.said = (
        f"hmean {there.hmean:.3f} at IoU 0.5 on these samples (P {there.precision:.2f} R {there.recall:.2f}), perfect "
        f"maps reach {ceiling.hmean:.3f}{recorded}"
    )
    if abs(there.hmean - here.hmean) > 0.05:
        stage.problem(
            f"hmean is {here.hmean:.3f} on canonical pictures and {there.hmean:.3f} in the annotation's frame: the "
            "way back is wrong",
            "report this, with the page of the doctor",
        )
    elif there.hmean < 0.2 and ceiling.hmean > 0.5:
        if float(np.mean(overlaps)) > 0.5:
            stage.problem(
                f"kernels are predicted (overlap {np.mean(overlaps):.2f}), but the polygons made of them do not match "
                f"(hmean {there.hmean:.3f})",
                f"extraction is set to {spec.unclip} unclip, score at least {spec.score_min:g}, binarize "
                f"{spec.binarize}: take the defaults, which follow the recipe",
            )
        else:
            stage.problem(
                f"hmean is {there.hmean:.3f} where perfect maps reach {ceiling.hmean:.3f}: the network has not learnt "
                "it yet",
                "train longer, on more samples, or with another learning rate; metrics.csv has the loss of every epoch",
            )
    elif ceiling.hmean < 0.5:
        stage.note(f"perfect maps reach only {ceiling.hmean:.3f} here", "ocrmaps recommend finds a better recipe")


def _overlap(case: Case, binarize: Any) -> float:
    assert case.probability is not None
    counts = case.maps["mask"] & PROBABILITY_COUNTS > 0
    cut = case.level if case.level is not None else binarize
    got, wanted = (case.probability > cut) & counts, (case.maps["probability"] > 0) & counts
    union = int((got | wanted).sum())
    return int((got & wanted).sum()) / union if union else 1.0


def _draw_original(case: Case, detections: PolygonSet) -> None:
    if case.picture is None:
        return
    upright = np.ascontiguousarray(turn_upright(case.picture.pixels, case.picture.header.orientation))
    if upright.shape[:2] == case.transform.upright_size:
        canvas = Canvas(pixels=upright, frame="upright", transform=case.transform)
        case.seen["original"] = partial(overlay, canvas, case.transform.apply(detections, "upright"))
