"""Tries every cure, scores the mended output and ranks what helps: the first thing to change first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ocrmaps.evaluation import EvaluationSpec, evaluate, judge_picture
from ocrmaps.evaluation.diagnose import frames, sets, shapes
from ocrmaps.evaluation.diagnose.classes import missed_kinds
from ocrmaps.evaluation.diagnose.records import KINDS, Cure, Diagnosis, Pages, TriedCure, score
from ocrmaps.evaluation.totals import reason_counts
from ocrmaps.metrics.iou import IouCounts

LEAST_GAIN = 0.02
"""hmean that a cure has to bring to be a finding."""
ALIKE = 0.02
"""Of two cures whose gains differ by less than this share of the larger gain plus this, the earlier kind is named."""
STEPS = 4
"""Cures in a row."""
LOST = 0.3
"""hmean below which coordinates may be wrong in two ways at once."""
Both = tuple[IouCounts, IouCounts]
"""At the IoU threshold and at the stricter one."""
_ORDER = {kind: place for place, kind in enumerate(KINDS)}


def diagnose(
    pages: Pages,
    *,
    iou: float = 0.5,
    named_otherwise: Sequence[Cure] = (),
    steps: int = STEPS,
    notes: tuple[str, ...] = (),
) -> Diagnosis:
    """What is wrong with an output; `named_otherwise` are cures of the names, which only files know."""
    counts = score(pages, iou)
    protocols, losses = protocol_scores(pages, iou)
    findings = _findings(pages, counts, iou, named_otherwise)
    done: list[TriedCure] = []
    current, left = pages, findings
    while left and len(done) < steps:
        done.append(left[0])
        if left[0].cure.pages is None:
            break
        current = left[0].cure.pages
        known = {tried.cure.kind for tried in done}
        left = [one for one in _findings(current, _both(left[0]), iou) if one.cure.kind not in known]
    return Diagnosis(
        iou=iou,
        pages=pages,
        counts=counts[0],
        strict=counts[1],
        findings=tuple(findings),
        steps=tuple(done),
        protocols=protocols,
        losses=losses,
        notes=notes,
    )


def first_finding(pages: Pages, *, iou: float = 0.5) -> TriedCure | None:
    """The first thing to change alone, without what comes after it."""
    found = _findings(pages, score(pages, iou), iou)
    return found[0] if found else None


def _findings(pages: Pages, before: Both, iou: float, more: Sequence[Cure] = ()) -> list[TriedCure]:
    """What helps, the best first, one of each kind."""
    tried = [_tried(cure, before, iou) for cure in (*more, *_cures(pages, iou))]
    if before[0].hmean < LOST and not any(t.counts.hmean >= 2 * LOST for t in tried):
        tried += [_tried(cure, before, iou) for cure in _twofold(pages)]
    best: dict[str, TriedCure] = {}
    for one in tried:
        known = best.get(one.cure.kind)
        if one.worth >= LEAST_GAIN and (known is None or one.worth > known.worth + 0.001):
            best[one.cure.kind] = one
    left, out = list(best.values()), []
    while left:
        top = max(one.worth for one in left)
        # Of those that explain the loss about as well, the one that causes the others.
        chosen = min(
            (one for one in left if one.worth >= top - ALIKE * (1 + top)), key=lambda one: _ORDER[one.cure.kind]
        )
        out.append(chosen)
        left.remove(chosen)
    return out


def _tried(cure: Cure, before: Both, iou: float) -> TriedCure:
    counts, strict = (cure.counts, None) if cure.pages is None else score(cure.pages, iou)
    assert counts is not None
    return TriedCure(cure=cure, counts=counts, strict=strict, before=before[0].hmean, strict_before=before[1].hmean)


def _both(tried: TriedCure) -> Both:
    assert tried.strict is not None
    return tried.counts, tried.strict


def _cures(pages: Pages, iou: float) -> Iterator[Cure]:
    yield from _shifted_pages(pages)
    yield from frames.exif(pages)
    yield from frames.turns(pages)
    yield from frames.scales(pages)
    yield from frames.offsets(pages)
    yield from shapes.corners(pages)
    yield from shapes.point_order(pages)
    yield from sets.duplicates(pages)
    yield from sets.granularity(pages)
    yield from shapes.box_shapes(pages)
    yield from shapes.margins(pages)
    yield from sets.thresholds(pages, iou)
    yield from missed_kinds(pages, iou)


def _twofold(pages: Pages) -> Iterator[Cure]:
    """Axes and scale wrong at once: each alone would show nothing."""
    for turned in frames.turns(pages):
        assert turned.pages is not None
        # A turn needs the size that coordinates count, so the scale comes first where they are of the turned page.
        for scaled in frames.scales(_laid(pages, turned.values["orientation"])):
            assert scaled.pages is not None
            back = [
                page.moved(frames.turn(turned.values["orientation"], page).apply(mended.found.points))
                for page, mended in zip(pages, scaled.pages, strict=True)
            ]
            yield replace(
                turned,
                wrong=f"{turned.wrong}, and {scaled.wrong}",
                change=f"{turned.change}; {scaled.change}",
                pages=back,
                values={**turned.values, **scaled.values},
            )


def _laid(pages: Pages, orientation: int) -> Pages:
    """The annotations as they lie on a page that is laid differently, so that scales can be voted for there."""
    out = []
    for page in pages:
        back = frames.turn(orientation, page).inverse()
        size = (page.size[1], page.size[0]) if orientation >= 5 else page.size
        out.append(replace(page, truth=page.truth.transform(back, page.truth.frame), size=size))
    return out


def _shifted_pages(pages: Pages) -> Iterator[Cure]:
    """The detections of each picture with the picture before or after it."""
    if len(pages) < 3:
        return
    for step, word in ((1, "before"), (-1, "after")):
        moved = [
            replace(page, found=other.found, scores=other.scores, named=other.named)
            for page, other in zip(pages, (*pages[step:], *pages[:step]), strict=True)
        ]
        yield Cure(
            kind="shifted-pages",
            wrong=f"the predictions of each picture are those of the picture {word} it",
            change="write the name of each picture together with its detections, in one place",
            pages=moved,
            values={"step": step},
        )


def protocol_scores(pages: Pages, iou: float) -> tuple[tuple[tuple[str, float | None], ...], dict[str, dict[str, int]]]:
    """The same output under other rules, and the reasons of its losses."""
    levels = tuple(sorted({iou, 0.5, 0.7}, key=lambda t: (t != iou, t)))
    results = [
        judge_picture(
            page.id,
            page.truth,
            replace(page.found, frame=page.truth.frame),
            spec=EvaluationSpec(thresholds=levels, cuts=()),
        )
        for page in pages
    ]
    ids = [page.id for page in pages]
    ours = evaluate(results, ids, spec=EvaluationSpec(thresholds=levels, cuts=()))
    rows: list[tuple[str, float | None]] = [(f"IoU {t:g}", ours.scores["iou"].values.get(f"hmean@{t}")) for t in levels]
    means = [r.match.counts(iou).hmean for r in results]
    rows += [
        (f"IoU {iou:g}, mean over pictures", sum(means) / len(means) if means else None),
        ("DetEval", ours.scores["deteval"].values.get("hmean")),
        ("CLEval", ours.scores["cleval"].values.get("dataset.hmean")),
        ("CLEval, mean over pictures", ours.scores["cleval"].values.get("picture_mean.hmean")),
    ]
    ignored = any(page.truth.ignore.any() for page in pages)
    if ignored:
        strict = [replace(page, truth=page.truth.with_ignore([False] * len(page.truth))) for page in pages]
        rows.append((f"IoU {iou:g}, ignored texts scored too", score(strict, iou)[0].hmean))
    return tuple(rows), reason_counts(results)
