"""The page of an audit: what is wrong where, and every finding with its piece of the picture, to decide on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ocrmaps.annotations import Sample, Source, picture_path
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.evaluation.audit.decisions import Decided
from ocrmaps.evaluation.audit.records import MEANINGS, AuditResult, LabelFinding
from ocrmaps.files import replacing
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit.page import Card, Content, Html, Section, callout, cards, key, page, paragraph, table
from ocrmaps.pagekit.pictures import Canvas, Pixels, jpeg, overlay, see, shrink, window
from ocrmaps.pagekit.review import ReviewItem, controls, review, review_data, script, style
from ocrmaps.pictures import decode
from ocrmaps.progress import Progress
from ocrmaps.text import number

_SIDE = 640
_PROPOSED = (11, 135, 70)
_COLORS = (("#d6006e", "the label in question"), ("#0b8746", "what the detector sees"), ("#1f6feb", "other outlines"))
_WORST = 20


def audit_page(
    source: Source,
    samples: Sequence[Sample],
    result: AuditResult,
    listed: Sequence[LabelFinding],
    decided: Decided,
    identity: Mapping[str, Any],
    out: Path,
    *,
    progress: Progress | None = None,
) -> None:
    """Write the page, in place of an earlier one."""
    items = _items(source, samples, listed, progress)
    total = sum(result.expected.values())
    text = page(
        f"Labels of {source.name or source.annotations.name}",
        [
            Section(title="Kinds", body=(_kinds(result, listed),)),
            Section(title="Pictures", body=(_pictures(result),), mark=str(len(result.pictures))),
            Section(title="Findings", body=(key(_COLORS), controls(), review(items)), mark=str(len(items))),
        ],
        lead=f"Looked at by {identity['detector']}. A finding is a suspicion: what a detector sees is no proof.",
        top=(
            *((callout("note", result.warning),) if result.warning else ()),
            cards(
                [
                    Card(label="Outlines", value=number(result.outlines)),
                    Card(label="Probably wrong", value=f"{total:.0f}", tone="note" if total >= 1 else "good"),
                    Card(label="Findings here", value=number(len(listed)), remark=f"of {number(len(result.findings))}"),
                ]
            ),
        ),
        script=script(),
        style=style(),
        data=review_data(
            str(identity["source"]), {f.key: d for f in result.findings if (d := decided.of(f)) is not None}
        ),
    )
    with replacing(out) as part:
        part.write_bytes(text.encode("utf-8"))


def _kinds(result: AuditResult, listed: Sequence[LabelFinding]) -> Html:
    rows: list[list[Content]] = [
        [kind, MEANINGS[kind], f"{value:.1f}", sum(f.kind == kind for f in result.findings),
         sum(f.kind == kind for f in listed)]
        for kind, value in result.expected.items()
    ]  # fmt: skip
    return table(
        ["kind", "meaning", "wrong labels expected", "findings", "on this page"],
        rows,
        caption="What is wrong, by kind",
        text_columns=(0, 1),
    )


def _pictures(result: AuditResult) -> Html:
    rows: list[list[Content]] = [
        [p.picture, f"{p.expected:.1f}", f"{p.probability:.2f}", p.outlines, p.findings]
        for p in result.pictures[:_WORST]
    ]
    if not rows:
        return paragraph("No picture was judged.")
    return table(
        ["picture", "wrong labels expected", "chance of any", "outlines", "findings"],
        rows,
        caption=f"The {len(rows)} most suspicious pictures",
    )


def _items(
    source: Source, samples: Sequence[Sample], listed: Sequence[LabelFinding], progress: Progress | None
) -> list[ReviewItem]:
    """The findings in their order; each picture is decoded once."""
    known = {sample.id: sample for sample in samples}
    drawn: dict[str, ReviewItem] = {}
    spec = CanonicalSpec.longest(640)
    order = sorted(listed, key=lambda f: f.picture)
    for name, mine in groupby(order, key=lambda f: f.picture):
        canvas = see(decode(picture_path(source, known[name]), name=name), source.frame, spec)
        for f in mine:
            pixels = crop(canvas, known[name].polygons, f)
            height, width = pixels.shape[:2]
            drawn[f.key] = ReviewItem(
                key=f.key,
                title=f"{f.kind.replace('_', ' ')} · {name}",
                remark=_remark(f),
                picture=jpeg(pixels),
                width=width,
                height=height,
            )
            if progress is not None:
                progress(len(drawn), len(listed))
    return [drawn[f.key] for f in listed if f.key in drawn]


def _remark(f: LabelFinding) -> str:
    others = [f"{kind.replace('_', ' ')} {share:.2f}" for kind, share in f.kinds.items() if share >= 0.05]
    parts = [f"{MEANINGS[f.kind]}, {f.probability:.2f}"]
    if len(others) > 1:
        parts.append(f"({', '.join(others[:3])})")
    if f.outline is not None:
        parts.append(f"outline {f.outline}{''.join(f', {i}' for i in f.others)}")
    if f.text:
        parts.append(f"“{f.text}”")
    if f.remark:
        parts.append(f.remark)
    return " · ".join(parts)


def crop(canvas: Canvas, polygons: PolygonSet, finding: LabelFinding) -> Pixels:
    """The piece of the picture around a finding with the outlines there; whole pictures for errors of all outlines."""
    size = canvas.transform.size(canvas.frame)
    if finding.polygon is None:
        return shrink(overlay(canvas, polygons), _SIDE)
    around = np.concatenate([finding.polygon, *finding.proposed, *(polygons[i] for i in finding.others)])
    rows, columns = window(around, size, least=220)
    picked = () if finding.outline is None else (finding.outline, *finding.others)
    corner = np.array([columns.start, rows.start])
    pixels = np.ascontiguousarray(canvas.pixels[rows, columns])
    scale = max(1.0, min(3.0, 480 / max(pixels.shape[:2])))
    if scale > 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    thick = max(1, round(max(pixels.shape[:2]) / 400))

    def stroke(points: Any, color: tuple[int, int, int], width: int) -> None:
        fixed = np.round(((points - corner) * scale - 0.5) * 16).astype(np.int32)
        cv2.polylines(pixels, [fixed], True, color, width, cv2.LINE_AA, 4)

    for i, points in enumerate(polygons):
        if i not in picked and len(points):
            stroke(points, (217, 119, 0) if polygons.ignore[i] else (31, 111, 235), thick)
    for points in finding.proposed:
        stroke(points, _PROPOSED, 2 * thick)
    for i in picked:
        stroke(polygons[i], (214, 0, 110), 2 * thick)
    return shrink(pixels, 2 * _SIDE)
