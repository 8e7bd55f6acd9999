"""One picture judged: every protocol and a reason for every text and detection, from geometry that is computed once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalTransform
from ocrmaps.errors import CrowdError, DataError
from ocrmaps.evaluation.measures import measure
from ocrmaps.evaluation.reasons import dropped_sizes, tell_reasons
from ocrmaps.evaluation.records import EvaluationSpec, PictureResult, Status
from ocrmaps.extract import ExtractSpec
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet, read_only
from ocrmaps.metrics.cleval import match_cleval
from ocrmaps.metrics.deteval import deteval_geometry
from ocrmaps.metrics.iou import IouSweep, match_geometry, sweep_geometry
from ocrmaps.metrics.matching import PairGeometry, pair_geometry
from ocrmaps.pictures import Header


def judge_picture(
    picture: str,
    truth: PolygonSet,
    detections: PolygonSet,
    *,
    spec: EvaluationSpec,
    scores: npt.ArrayLike | None = None,
    transform: CanonicalTransform | None = None,
    extract: ExtractSpec | None = None,
    candidates: tuple[PolygonSet, npt.ArrayLike] | None = None,
    header: Header | None = None,
    status: Status = "scored",
    problem: str = "",
) -> PictureResult:
    """What one picture's detections are worth, in the frame that both sets share.

    `extract` with `transform` tells which texts are too small to be extracted. `candidates` are detections with scores
    before the score cut, for the curves; without them the curves use the detections themselves. `header` says how the
    picture is turned where there is no transform.

    >>> line = PolygonSet.of([[(0, 0), (90, 0), (90, 9), (0, 9)]], frame="raw")
    >>> half = PolygonSet.of([[(0, 0), (40, 0), (40, 9), (0, 9)]], frame="raw")
    >>> r = judge_picture("a.jpg", line, half, spec=EvaluationSpec())
    >>> r.text_reason, r.detection_reason, r.text_iou.round(3).tolist()
    (('too_tight',), ('too_tight',), [0.444])
    """
    ranked = None if scores is None else _checked(picture, scores, len(detections))
    try:
        geometry = pair_geometry(truth, detections)
        cleval = match_cleval(truth, detections) if "cleval" in spec.protocols else None
    except CrowdError as error:
        raise CrowdError(f"{picture}: {error}", hint=error.hint) from error
    match = match_geometry(geometry, thresholds=spec.thresholds, scores=ranked, order=spec.order)
    text_measures = measure(truth, transform, header)
    too_small = np.zeros(len(truth), dtype=np.bool_)
    if transform is not None and extract is not None:
        height = text_measures.canonical_height
        too_small = dropped_sizes(height, height * text_measures.aspect, extract)
    text_reason, detection_reason = tell_reasons(geometry, match, spec.iou, too_small=too_small)
    partner = match.layer(spec.iou)
    text_iou, detection_iou = _best(geometry, spec.thresholds, match.truth_care, partner)
    return PictureResult(
        picture=picture,
        status=status,
        problem=problem,
        transform=transform,
        orientation=transform.orientation if transform is not None else header.orientation if header else None,
        truth=truth,
        detections=detections,
        scores=ranked,
        match=match,
        deteval=deteval_geometry(geometry) if "deteval" in spec.protocols else None,
        cleval=cleval,
        sweep=_sweep(picture, geometry, ranked, candidates, spec),
        text_reason=text_reason,
        detection_reason=detection_reason,
        text_measures=text_measures,
        detection_measures=measure(detections, transform, header),
        text_partner=read_only(partner, np.int64),
        text_iou=text_iou,
        detection_iou=detection_iou,
    )


def _best(
    geometry: PairGeometry, thresholds: tuple[float, ...], truth_care: npt.NDArray[np.bool_], partner: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(texts), (detections): IoU with the partner, else the largest there is (for detections: with scored truths)."""
    rows, columns, iou = geometry.truth_index, geometry.detection_index, geometry.iou(thresholds)
    of_text, of_detection = np.zeros(len(truth_care)), np.zeros(len(geometry.detections.status))
    np.maximum.at(of_text, rows, iou)
    cared = truth_care[rows]
    np.maximum.at(of_detection, columns[cared], iou[cared])
    paired = partner[rows] == columns
    of_text[rows[paired]] = of_detection[columns[paired]] = iou[paired]
    return read_only(of_text, np.float64), read_only(of_detection, np.float64)


def _sweep(
    picture: str,
    geometry: PairGeometry,
    scores: FloatArray | None,
    candidates: tuple[PolygonSet, npt.ArrayLike] | None,
    spec: EvaluationSpec,
) -> IouSweep | None:
    if not spec.cuts or (scores is None and candidates is None):
        return None
    if candidates is not None:
        found, ranks = candidates
        geometry, scores = pair_geometry(geometry.truth.polygons, found), _checked(picture, ranks, len(found))
    assert scores is not None
    # Extraction's scores are float32 numbers: a cut that is compared with them has to be rounded as they are.
    narrow = (scores == scores.astype(np.float32)).all()
    cuts = [float(np.float32(cut)) if narrow else cut for cut in spec.cuts]
    sweep = sweep_geometry(geometry, scores, cuts=cuts, thresholds=spec.thresholds, order=spec.order)
    return replace(sweep, cuts=spec.cuts)


def _checked(picture: str, scores: npt.ArrayLike, expected: int) -> FloatArray:
    out = np.asarray(scores, dtype=np.float64)
    if out.shape != (expected,):
        raise DataError(f"{picture}: found scores of shape {out.shape}, expected one for each of {expected} detections")
    bad = np.flatnonzero(~np.isfinite(out))
    if bad.size:
        raise DataError(
            f"{picture}: found score {out[bad[0]]} of detection {bad[0]}, expected a number; {bad.size} such in all",
            hint="an order by such scores means nothing: correct what wrote them",
        )
    return read_only(out, np.float64)
