"""What is wrong with the set of detections: duplicates, words against lines, a score threshold that is off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ocrmaps.evaluation.diagnose.records import Cure, PageOutput, Pages, geometry_of, matches_of
from ocrmaps.evaluation.diagnose.shapes import rectangle
from ocrmaps.geometry import BoolArray, FloatArray, PolygonSet
from ocrmaps.metrics.iou import IouCounts, sweep_geometry
from ocrmaps.metrics.matching import pair_geometry

SAME = 0.5
"""IoU of two detections from which one of them is a duplicate."""
APART = 0.3
"""IoU of two detections up to which they are different parts of a text."""
CUTS = 40
"""Score thresholds that are tried."""
SURE_RIGHT = 0.6
"""Share of the detections next to the threshold that have to be right before there may be more below it."""
LEAST_ESTIMATE = 0.07
"""hmean that lower scores have to promise: it is a guess about detections that nobody has seen."""
MARGINAL = 0.15
"""Share of the detections of lowest score that say how right the next lower ones would be."""


def duplicates(pages: Pages) -> Iterator[Cure]:
    """Detections that lie on one of higher score."""
    kept = [_distinct(page) for page in pages]
    dropped, total = sum(int((~k).sum()) for k in kept), sum(map(len, kept))
    if not dropped:
        return
    yield Cure(
        kind="duplicates",
        wrong=f"{dropped} of {total} detections lie on another one (IoU above {SAME:g})",
        change="suppress overlapping detections (NMS) before they are written",
        pages=[page.kept(keep) for page, keep in zip(pages, kept, strict=True)],
        values={"duplicates": dropped},
    )


def _distinct(page: PageOutput) -> BoolArray:
    keep = np.ones(len(page.found), dtype=np.bool_)
    pairs = pair_geometry(page.found.with_ignore(np.zeros_like(keep)), page.found)
    close = (pairs.iou() > SAME) & (pairs.truth_index != pairs.detection_index)
    near: dict[int, list[int]] = {}
    for i, j in zip(pairs.truth_index[close].tolist(), pairs.detection_index[close].tolist(), strict=True):
        near.setdefault(i, []).append(j)
    order = np.arange(len(keep)) if page.scores is None else np.argsort(-page.scores, kind="stable")
    for i in order.tolist():
        if keep[i]:
            keep[[j for j in near.get(i, ()) if j != i]] = False
    return keep


def granularity(pages: Pages) -> Iterator[Cure]:
    """Parts of texts put together, and detections over several texts cut, as the annotations are."""
    joined, parts, texts = zip(*(_joined(page) for page in pages), strict=True) if pages else ((), (), ())
    if sum(texts):
        yield Cure(
            kind="words",
            wrong=f"{sum(texts)} annotated texts are found in {sum(parts)} parts: detections are smaller units, such "
            "as words where lines are annotated",
            change="merge detections to the annotated unit; the score is that of faultless merging",
            pages=list(joined),
            values={"texts": sum(texts), "parts": sum(parts)},
        )
    cut, covered, over = zip(*(_cut(page) for page in pages), strict=True) if pages else ((), (), ())
    if sum(over):
        yield Cure(
            kind="lines",
            wrong=f"{sum(over)} detections cover {sum(covered)} annotated texts: detections are larger units, such as "
            "lines where words are annotated",
            change="split detections to the annotated unit; the score is that of faultless splitting",
            pages=list(cut),
            values={"detections": sum(over), "texts": sum(covered)},
        )


def _joined(page: PageOutput) -> tuple[PageOutput, int, int]:
    """The page with parts of one text as one detection, how many parts there were, and of how many texts."""
    geometry = geometry_of(page)
    rows, columns = geometry.truth_index, geometry.detection_index
    inside = (geometry.share_of_detection() >= 0.5) & (geometry.share_of_truth() < 0.7) & ~page.truth.ignore[rows]
    gone, new, best, texts = np.zeros(len(page.found), dtype=np.bool_), [], [], 0
    for truth in np.unique(rows[inside]).tolist():
        parts = columns[inside & (rows == truth)]
        parts = parts[~gone[parts]]
        if len(parts) < 2 or not _apart(page.found, parts):
            continue
        gone[parts] = True
        texts += 1
        new.append(rectangle(np.concatenate([page.found[int(i)] for i in parts])))
        best.append(1.0 if page.scores is None else float(page.scores[parts].max()))
    return _with(page, gone, new, best), int(gone.sum()), texts


def _apart(found: PolygonSet, parts: object) -> bool:
    some = found.select(parts)  # type: ignore[arg-type]
    pairs = pair_geometry(some, some)
    return not bool((pairs.iou()[pairs.truth_index != pairs.detection_index] > APART).any())


def _cut(page: PageOutput) -> tuple[PageOutput, int, int]:
    """The page with detections over several texts cut, over how many texts they were, and how many detections."""
    geometry = geometry_of(page)
    rows, columns = geometry.truth_index, geometry.detection_index
    covers = (geometry.share_of_truth() >= 0.5) & (geometry.share_of_detection() < 0.8) & ~page.truth.ignore[rows]
    gone, new, best, covered = np.zeros(len(page.found), dtype=np.bool_), [], [], 0
    for detection in np.flatnonzero(np.bincount(columns[covers], minlength=len(page.found)) >= 2).tolist():
        under = rows[covers & (columns == detection)]
        gone[detection] = True
        covered += len(under)
        for truth in under.tolist():
            new.append(_piece(page.found[detection], page.truth[truth]))
            best.append(1.0 if page.scores is None else float(page.scores[detection]))
    return _with(page, gone, new, best), covered, int(gone.sum())


def _piece(detection: FloatArray, truth: FloatArray) -> FloatArray:
    """The part of a detection beside a text: as long as the text, and as high as the detection if that is one line."""
    box = rectangle(detection)
    sides = box[1] - box[0], box[3] - box[0]
    axes = [side / max(float(np.hypot(*side)), 1e-9) for side in sides]
    middle = box.mean(axis=0)
    ends = []
    for axis, side in zip(axes, sides, strict=True):
        half, along = float(np.hypot(*side)) / 2, (truth - middle) @ axis
        low, high = max(-half, float(along.min())), min(half, float(along.max()))
        ends.append((-half, half) if high - low > 1.2 * half else (low, high))
    (a, b), (c, d) = ends
    return np.array([middle + u * axes[0] + v * axes[1] for u, v in ((a, c), (b, c), (b, d), (a, d))])


def _with(page: PageOutput, gone: BoolArray, new: list[FloatArray], best: list[float]) -> PageOutput:
    rest = page.kept(~gone)
    found = PolygonSet.of([*rest.found, *new], frame=page.found.frame)
    return replace(rest, found=found, scores=None if rest.scores is None else np.array([*rest.scores, *best]))


def thresholds(pages: Pages, iou: float) -> Iterator[Cure]:
    """The best score threshold of those above the lowest score, and what lower scores might add."""
    scored = [page.scores for page in pages if page.scores is not None and len(page.scores)]
    if not scored or any(page.scores is None for page in pages):
        return
    ranks = np.concatenate(scored)
    lowest = float(ranks.min())
    if lowest == float(ranks.max()):
        return
    cuts = np.unique(np.quantile(ranks, np.linspace(0, 0.98, CUTS), method="nearest"))
    sweeps = [
        sweep_geometry(geometry_of(page), page.scores, cuts=cuts.tolist(), thresholds=(iou,))  # type: ignore[arg-type]
        for page in pages
    ]
    whole = sweeps[0]
    for sweep in sweeps[1:]:
        whole = whole + sweep
    hmean = whole.hmean()[:, 0]
    best = float(cuts[int(np.argmax(hmean))])
    if best > lowest:
        # Halfway to the next lower score: a threshold that a person can write down.
        below = float(ranks[ranks < best].max())
        shown = next(v for n in range(1, 18) if below < (v := round((below + best) / 2, n)) <= best or n == 17)
        yield Cure(
            kind="threshold-low",
            wrong=f"{int((ranks < best).sum())} of {len(ranks)} detections have scores under {shown:g} and cost more "
            "precision than they add recall",
            change=f"raise the score threshold to {shown:g}",
            pages=[page.kept(page.scores >= best) for page in pages],  # type: ignore[operator]
            values={"threshold": shown, "lowest": lowest},
        )
    yield from _too_high(pages, iou, ranks)


def _too_high(pages: Pages, iou: float, ranks: FloatArray) -> Iterator[Cure]:
    """Whether the detections next to the threshold are so often right that there must be more below it.

    Towards score 0, how many detections there are and which share of them is right are expected to fall evenly to
    nothing from what they are at the threshold.
    """
    lowest = float(ranks.min())
    edge = float(np.quantile(ranks, MARGINAL))
    matches = matches_of(pages, iou)
    counts = sum((match.counts(iou) for match in matches), IouCounts())
    near = [
        (match.found(iou)[match.detection_care & (page.scores <= edge)])  # type: ignore[operator]
        for page, match in zip(pages, matches, strict=True)
    ]
    marginal = np.concatenate(near)
    if lowest < 0.05 or edge <= lowest or len(marginal) < 5 or counts.recall >= counts.precision - 0.1:
        return
    right, density = float(marginal.mean()), len(marginal) / (edge - lowest)
    if right < SURE_RIGHT:
        return
    missing = counts.truth_care - counts.matched
    best, at = counts, lowest
    for cut in np.linspace(0.0, lowest, 21)[:-1].tolist():
        more = density * lowest * (1 - (cut / lowest) ** 2) / 2
        hits = min(density * right * lowest * (1 - (cut / lowest) ** 3) / 3, missing)
        expected = replace(
            counts, matched=counts.matched + round(hits), detection_care=counts.detection_care + round(more)
        )
        if expected.hmean > best.hmean:
            best, at = expected, cut
    if best.hmean - counts.hmean < LEAST_ESTIMATE:
        return
    yield Cure(
        kind="threshold-high",
        wrong=f"no detection has a score under {lowest:.2g}, of those just above {right:.0%} are right, and recall "
        f"{counts.recall:.2f} is below precision {counts.precision:.2f}: right ones were cut off",
        change=f"lower the score threshold, to about {at:.1g}, run again and choose the best one",
        counts=best,
        values={"lowest": lowest, "about": at, "right": right},
    )
