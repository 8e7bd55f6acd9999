"""The protocols by name, each packed for an `Accumulator`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from ocrmaps.errors import SpecError
from ocrmaps.metrics.accumulate import Metric
from ocrmaps.metrics.cleval import CLEVAL, ClevalCounts, ClevalMatch, ClevalRule, match_cleval, mean_per_picture
from ocrmaps.metrics.conventions import Convention, checked_convention, total_parts
from ocrmaps.metrics.deteval import DETEVAL, DetEvalCounts, DetEvalRule, match_deteval, total_deteval
from ocrmaps.metrics.iou import THRESHOLDS, IouCounts, IouMatch, average_precision, match_iou, total_iou
from ocrmaps.metrics.matching import Order, checked_thresholds

_PARTS = ("precision", "recall", "hmean")


def iou_metric(
    *, thresholds: Sequence[float] = THRESHOLDS, order: Order = "first", convention: Convention = "ocrmaps"
) -> Metric:
    """Values `precision@0.5`, `recall@0.5`, `hmean@0.5`, ...; with scores everywhere also `average_precision@0.5`."""
    levels = checked_thresholds(thresholds)
    checked_convention(convention)

    def total(matches: Sequence[IouMatch]) -> tuple[dict[str, float], dict[str, int]]:
        sums = total_iou(matches)
        counts = {**asdict(sums.get(levels[0], IouCounts())), **{f"matched@{t}": c.matched for t, c in sums.items()}}
        del counts["matched"]
        sums = sums or dict.fromkeys(levels, IouCounts())
        values = {f"{part}@{t}": v for t, c in sums.items() for part, v in total_parts(c, convention).items()}
        if values and matches and all(match.scores is not None for match in matches):
            there = bool(counts["truth_care"])
            values |= {f"average_precision@{t}": average_precision(matches, t) if there else 0.0 for t in levels}
        return values, counts

    return Metric(
        name="iou",
        picture=lambda truth, found, scores: match_iou(truth, found, thresholds=levels, scores=scores, order=order),
        total=total,
    )


def deteval_metric(*, rule: DetEvalRule = DETEVAL, convention: Convention = "ocrmaps") -> Metric:
    """Values `precision`, `recall`, `hmean` over the data set."""
    checked_convention(convention)

    def total(pictures: Sequence[DetEvalCounts]) -> tuple[dict[str, float], dict[str, int]]:
        whole = total_deteval(pictures)
        counts = {name: value for name, value in asdict(whole).items() if isinstance(value, int)}
        return total_parts(whole, convention), counts

    return Metric(name="deteval", picture=lambda truth, found, _: match_deteval(truth, found, rule=rule), total=total)


def cleval_metric(*, rule: ClevalRule = CLEVAL, convention: Convention = "ocrmaps") -> Metric:
    """Values `dataset.hmean`, `picture_mean.hmean` and their parts; with all texts known, `dataset.read_hmean` too."""
    checked_convention(convention)

    def total(matches: Sequence[ClevalMatch]) -> tuple[dict[str, float], dict[str, int]]:
        pictures = [match.counts for match in matches]
        whole = sum(pictures, ClevalCounts())
        counts = {name: value for name, value in asdict(whole).items() if isinstance(value, int)}
        if not whole.recall_total and convention == "ocrmaps":
            return {}, counts
        values = {f"dataset.{part}": getattr(whole, part) for part in _PARTS}
        if whole.read_hmean is not None:
            values |= {f"dataset.read_{part}": getattr(whole, f"read_{part}") for part in _PARTS}
        values |= {f"picture_mean.{name}": value for name, value in mean_per_picture(pictures).items()}
        return values, counts

    return Metric(name="cleval", picture=lambda truth, found, _: match_cleval(truth, found, rule=rule), total=total)


METRICS: Mapping[str, Callable[..., Metric]] = {
    "iou": iou_metric,
    "deteval": deteval_metric,
    "cleval": cleval_metric,
}


def metric_named(name: str) -> Metric:
    """A protocol with its published settings."""
    if name not in METRICS:
        raise SpecError(f"found metric {name!r}, expected one of {', '.join(METRICS)}")
    return METRICS[name]()
