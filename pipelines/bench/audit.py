"""`ocrmaps bench audit`: errors of known kinds are put into a source, and the audit has to find them.

Each kind is put in by itself at each rate and with each seed; the audit ranks what it thinks is of that kind. Then all
kinds of single labels together strike as many labels, and the probabilities of all findings are held against the truth.
`cleanlab` ranks the same boxes by the same detections in the same run where it is installed, each kind by the score of
its that suits it best: `overlooked` for text without an outline, `badloc` for outlines, the label quality for pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample, open_source, read
from ocrmaps.annotations.samples import subset
from ocrmaps.evaluation.audit.faults import Faulty, put_in
from ocrmaps.evaluation.audit.judge import audit
from ocrmaps.evaluation.audit.records import KINDS, PICTURE_KINDS, AuditResult, Evidence
from ocrmaps.files import refuse_existing, write_json
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet
from ocrmaps.machine import commit, machine
from ocrmaps.metrics.matching import pair_geometry
from ocrmaps.pipelines.audit import gather

Ranked = list[tuple[float, int]]
"""(score, the error that it points at, or -1)."""
_SURE = 0.5
_DOUBTFUL = 0.05
"""Probabilities from here on are held against the truth: the many below would make any error look small."""
TOGETHER = (0.01, 0.05, 0.1)
"""Shares of wrong labels at which probabilities are held against the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How well errors of one kind were found, over all seeds."""

    kind: str
    rate: float
    errors: int
    average_precision: float
    spread: float
    """The standard deviation of the average precision over seeds; 0 for one seed."""
    precision_at_errors: float
    """Of as many of the first findings as there are errors, the share that is right."""
    recall_when_sure: float
    """Errors among the findings of a probability of a half or more."""
    cleanlab: float | None
    """Average precision of cleanlab's ranking; None where it is not installed."""
    cleanlab_spread: float | None


def measure_kinds(
    samples: Sequence[Sample],
    seen: Mapping[str, Evidence],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    kinds: Sequence[str] = KINDS,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Measure], list[dict[str, float]]]:
    """Every kind by itself at every rate, and the reliability of the probabilities over all of it."""
    sizes = {s.id: seen[s.id].transform.size(s.polygons.frame) for s in samples}
    peer = find_spec("cleanlab") is not None
    out: list[Measure] = []
    trusted: list[tuple[float, bool]] = []
    for rate in rates:
        for kind in kinds:
            ours, theirs, first, sure, errors = [], [], [], [], 0
            for seed in seeds:
                faulty = put_in(samples, sizes, {kind: rate}, seed)
                number = sum(len(f.faults) for f in faulty)
                if not number:
                    continue
                errors += number
                result = audit([f.sample for f in faulty], seen, seed=seed + 500)
                ranked = _ranked(result, faulty, seen, kind)
                ours.append(average_precision(ranked, number))
                first.append(len({e for _, e in ranked[:number] if e >= 0}) / number)
                sure.append(len({e for p, e in ranked if e >= 0 and p >= _SURE}) / number)
                trusted += [(f.probability, hit) for f, hit in _hits(result, faulty, seen)]
                if peer:
                    theirs.append(average_precision(cleanlab_ranking(faulty, seen, kind), number))
            if errors:
                out.append(
                    Measure(
                        kind=kind,
                        rate=rate,
                        errors=errors,
                        average_precision=float(np.mean(ours)),
                        spread=float(np.std(ours)),
                        precision_at_errors=float(np.mean(first)),
                        recall_when_sure=float(np.mean(sure)),
                        cleanlab=float(np.mean(theirs)) if theirs else None,
                        cleanlab_spread=float(np.std(theirs)) if theirs else None,
                    )
                )
                beside = "" if not theirs else f", cleanlab {np.mean(theirs):.3f}"
                say(f"{kind} at {rate:.0%}: {errors} errors, average precision {np.mean(ours):.3f}{beside}")
    return out, reliability(trusted)


def average_precision(ranked: Ranked, errors: int) -> float:
    """The mean over all errors of the precision at the place where each is first found; 0 for one that never is.

    What points at an error once more is neither right nor wrong.

    >>> average_precision([(0.9, 0), (0.8, -1), (0.7, 0), (0.6, 1)], 2)
    0.8333333333333333
    """
    found: set[int] = set()
    seen, total = 0, 0.0
    for _, error in ranked:
        if error in found:
            continue
        seen += 1
        if error >= 0:
            found.add(error)
            total += len(found) / seen
    return total / errors if errors else 0.0


def reliability(trusted: Sequence[tuple[float, bool]], bins: int = 5) -> list[dict[str, float]]:
    """For ranges of probability: how many findings, their mean probability and the share that is right."""
    out = []
    for low in np.arange(bins) / bins:
        mine = [(p, hit) for p, hit in trusted if low <= p < low + 1 / bins + (1e-9 if low + 1 / bins >= 1 else 0)]
        if mine:
            out.append(
                {
                    "from": float(low),
                    "findings": float(len(mine)),
                    "probability": float(np.mean([p for p, _ in mine])),
                    "right": float(np.mean([hit for _, hit in mine])),
                }
            )
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far probabilities can be trusted where errors of all kinds strike this share of the labels."""

    rate: float
    errors: int
    findings: int
    expected_calibration_error: float
    """How far the probability is from the share that is right, in the mean over all findings, in ten ranges."""
    brier: float
    """The mean square of probability less truth over all findings; knowing nothing but their share gives `brier_share`.
    """
    brier_share: float
    expected: float
    """Wrong labels that the audit expects."""
    reliability: list[dict[str, float]]


def measure_together(
    samples: Sequence[Sample],
    seen: Mapping[str, Evidence],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    say: Callable[[str], None] = lambda line: None,
) -> list[Trust]:
    """All kinds of single labels at once, sharing each rate evenly."""
    sizes = {s.id: seen[s.id].transform.size(s.polygons.frame) for s in samples}
    kinds = [kind for kind in KINDS if kind not in PICTURE_KINDS]
    out = []
    for rate in rates:
        trusted: list[tuple[float, bool]] = []
        errors, expected = 0, 0.0
        for seed in seeds:
            faulty = put_in(samples, sizes, dict.fromkeys(kinds, rate / len(kinds)), seed)
            result = audit([f.sample for f in faulty], seen, seed=seed + 500)
            errors += sum(len(f.faults) for f in faulty)
            expected += sum(result.expected.values())
            hits = _hits(result, faulty, seen)
            trusted += [(f.probability, hit) for f, hit in hits if f.probability >= _DOUBTFUL]
        out.append(
            Trust(
                rate=rate,
                errors=errors,
                findings=len(trusted),
                **calibration_of(trusted),
                expected=expected,
                reliability=reliability(trusted),
            )
        )
        say(f"together at {rate:.0%}: {errors} errors, calibration error {out[-1].expected_calibration_error:.3f}")
    return out


def calibration_of(trusted: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The expected calibration error in ten ranges, the Brier score, and that of the share of what is right.

    >>> calibration_of([(0.75, True), (0.75, False)])
    {'expected_calibration_error': 0.25, 'brier': 0.3125, 'brier_share': 0.25}
    """
    ranges = reliability(trusted, bins=10)
    right = np.array([hit for _, hit in trusted], dtype=float)
    apart = sum(r["findings"] * abs(r["probability"] - r["right"]) for r in ranges) / max(len(trusted), 1)
    square = float(np.mean((np.array([p for p, _ in trusted]) - right) ** 2)) if trusted else 0.0
    return {
        "expected_calibration_error": float(apart),
        "brier": square,
        "brier_share": float(right.var()) if trusted else 0.0,
    }


class Errors:
    """Which error an outline, a place or a picture belongs to; errors count through all pictures."""

    def __init__(self, faulty: Sequence[Faulty], seen: Mapping[str, Evidence]) -> None:
        self.outline: dict[tuple[str, int], int] = {}
        self.picture: dict[str, int] = {}
        self.lost: dict[str, tuple[PolygonSet, list[int]]] = {}
        number = 0
        for f in faulty:
            polygons, numbers = [], []
            for fault in f.faults:
                if fault.kind in PICTURE_KINDS:
                    self.picture[f.sample.id] = number
                for i in fault.outlines if fault.kind not in PICTURE_KINDS else ():
                    self.outline[f.sample.id, i] = number
                if fault.polygon is not None:
                    polygons.append(fault.polygon)
                    numbers.append(number)
                number += 1
            self.lost[f.sample.id] = (PolygonSet.of(polygons, frame=f.sample.polygons.frame), numbers)

    def at(self, picture: str, polygon: FloatArray) -> int:
        """The text without an outline that this place is on, or -1."""
        lost, numbers = self.lost[picture]
        geometry = pair_geometry(lost, PolygonSet.of([polygon], frame=lost.frame))
        share = np.maximum(geometry.share_of_detection(), geometry.iou())
        return numbers[int(geometry.truth_index[share.argmax()])] if share.size and share.max() > 0.5 else -1


def _hits(result: AuditResult, faulty: Sequence[Faulty], seen: Mapping[str, Evidence]) -> list[tuple[Any, bool]]:
    """Every finding and whether an error of any kind is there."""
    errors = Errors(faulty, seen)
    return [(f, _pointed(errors, f) >= 0) for f in result.findings]


def _pointed(errors: Errors, f: Any) -> int:
    if f.kind in PICTURE_KINDS:
        return errors.picture.get(f.picture, -1)
    if f.outline is None:
        return errors.at(f.picture, f.polygon)
    return next((errors.outline[f.picture, i] for i in (f.outline, *f.others) if (f.picture, i) in errors.outline), -1)


def _ranked(result: AuditResult, faulty: Sequence[Faulty], seen: Mapping[str, Evidence], kind: str) -> Ranked:
    errors = Errors(faulty, seen)
    pairs = [(f.kinds[kind], _pointed(errors, f)) for f in result.findings if kind in f.kinds]
    return sorted(pairs, key=lambda pair: -pair[0])


def cleanlab_ranking(faulty: Sequence[Faulty], seen: Mapping[str, Evidence], kind: str) -> Ranked:
    """The same boxes ranked by cleanlab's score that suits the kind best; ignored outlines are no labels to it."""
    from cleanlab.object_detection.rank import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        compute_badloc_box_scores,
        compute_overlooked_box_scores,
        get_label_quality_scores,
    )

    errors = Errors(faulty, seen)
    labels: list[dict[str, Any]] = []
    predictions: list[Any] = []
    places: list[IntArray] = []
    for f in faulty:
        evidence = seen[f.sample.id]
        truth = evidence.transform.apply(f.sample.polygons, "canonical")
        kept = np.flatnonzero(~truth.ignore)
        places.append(kept)
        labels.append({"bboxes": truth.select(kept).bounds(), "labels": np.zeros(len(kept), dtype=int)})
        boxes = np.column_stack([evidence.detections.bounds(), np.asarray(evidence.scores, dtype=np.float64)])
        if kind != "should_read":  # detections of what is ignored would all look overlooked
            boxes[pair_geometry(truth, evidence.detections).on_ignored(), 4] = 0.0
        predictions.append(np.array([boxes, None], dtype=object)[:1])
    out: Ranked = []
    if kind in PICTURE_KINDS:
        scores = get_label_quality_scores(labels, predictions, verbose=False)
        out = [(1 - float(s), errors.picture.get(f.sample.id, -1)) for s, f in zip(scores, faulty, strict=True)]
    elif kind in ("missing", "should_read"):
        found = compute_overlooked_box_scores(labels=labels, predictions=predictions, high_probability_threshold=_SURE)
        for f, scores in zip(faulty, found, strict=True):
            evidence = seen[f.sample.id]
            placed = evidence.transform.apply(evidence.detections, f.sample.polygons.frame)
            for j in np.flatnonzero(~np.isnan(scores)).tolist():
                error = errors.at(f.sample.id, placed[j]) if kind == "missing" else _ignored(errors, f, placed[j])
                out.append((1 - float(scores[j]), error))
    else:
        for f, kept, scores in zip(
            faulty, places, compute_badloc_box_scores(labels=labels, predictions=predictions), strict=True
        ):
            out += [
                (1 - float(s), errors.outline.get((f.sample.id, int(i)), -1)) for i, s in zip(kept, scores, strict=True)
            ]
    return sorted(out, key=lambda pair: -pair[0])


def _ignored(errors: Errors, f: Faulty, place: FloatArray) -> int:
    """The error of the outline that a detection lies on."""
    polygons = f.sample.polygons
    geometry = pair_geometry(polygons, PolygonSet.of([place], frame=polygons.frame))
    share = np.maximum(geometry.share_of_detection(), geometry.iou())
    return errors.outline.get((f.sample.id, int(geometry.truth_index[share.argmax()])), -1) if share.size else -1


def bench_audit(
    path: Path,
    detectors: Sequence[Path],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    limit: int | None = None,
    out: Path | None = None,
    replace: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The record of one source: every kind at every rate, the reliability, and where and with what it was measured."""
    if out is not None:
        refuse_existing(out, replace_existing=replace)
    source = open_source(path)
    samples = subset(read(source), limit)
    seen, failed, names = gather(source, samples, detectors, batch=4, threads=None, device="auto")
    judged = [sample for sample in samples if sample.id in seen]
    measures, ranges = measure_kinds(judged, seen, rates=rates, seeds=seeds, say=say)
    together = measure_together(judged, seen, rates=TOGETHER, seeds=seeds, say=say)
    record = {
        "source": source.name,
        "pictures": len(judged),
        "not_read": len(failed),
        "outlines": sum(len(s.polygons) for s in judged),
        "detector": names,
        "seeds": list(seeds),
        "measures": [asdict(m) for m in measures],
        "mean": means(measures),
        "reliability": ranges,
        "together": [asdict(t) for t in together],
        "machine": machine(),
        "commit": commit(),
    }
    if out is not None:
        write_json(out, record)
    return record


def means(measures: Sequence[Measure]) -> list[dict[str, float | None]]:
    """For each rate the mean over kinds, ours and cleanlab's."""
    out: list[dict[str, float | None]] = []
    for rate in dict.fromkeys(m.rate for m in measures):
        mine = [m for m in measures if m.rate == rate]
        peers = [m.cleanlab for m in mine if m.cleanlab is not None]
        out.append(
            {
                "rate": rate,
                "average_precision": float(np.mean([m.average_precision for m in mine])),
                "cleanlab": float(np.mean(peers)) if peers else None,
            }
        )
    return out


def table(record: Mapping[str, Any]) -> str:
    """The record for a terminal."""
    lines = [f"{record['source']}: {record['outlines']} outlines in {record['pictures']} pictures"]
    lines.append(
        f"{'kind':14}{'rate':>6}{'errors':>8}{'AP':>8}{'± seeds':>9}{'P@errors':>10}{'recall':>8}{'cleanlab':>10}"
    )
    for m in record["measures"]:
        peer = "-" if m["cleanlab"] is None else f"{m['cleanlab']:.3f}"
        lines.append(
            f"{m['kind']:14}{m['rate']:6.0%}{m['errors']:8}{m['average_precision']:8.3f}"
            f"{m['spread']:9.3f}{m['precision_at_errors']:10.3f}{m['recall_when_sure']:8.3f}{peer:>10}"
        )
    for mean in record["mean"]:
        peer = "-" if mean["cleanlab"] is None else f"{mean['cleanlab']:.3f}"
        lines.append(f"{'mean':14}{mean['rate']:6.0%}{'':8}{mean['average_precision']:8.3f}{'':27}{peer:>10}")
    lines.append("probabilities where all kinds together are in this share of the labels:")
    lines += [
        f"{t['rate']:4.0%}: {t['errors']} errors put in, {t['expected']:.0f} expected; calibration error "
        f"{t['expected_calibration_error']:.3f}, Brier score {t['brier']:.3f} ({t['brier_share']:.3f} for one "
        f"probability for all)"
        for t in record["together"]
    ]
    return "\n".join(lines)
