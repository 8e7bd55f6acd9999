"""A diagnosis as one page: the first thing to change, what comes after it, pictures before and after, other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ocrmaps.annotations import Sample, Source
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.detect.pages import open_page
from ocrmaps.errors import OcrmapsError
from ocrmaps.evaluation.diagnose.records import KINDS, Diagnosis, PageOutput, TriedCure, matches_of, stricter
from ocrmaps.evaluation.diagnose.summary import NOTHING, effect, sentence
from ocrmaps.evaluation.reasons import words
from ocrmaps.evaluation.sources import file_of
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit import page as part
from ocrmaps.pagekit import plots
from ocrmaps.pagekit.page import Card, Html, Section, Tile
from ocrmaps.pagekit.pictures import jpeg, overlay, see, shrink
from ocrmaps.text import number

TILES = 3
"""Pictures that are shown before and after."""
_SIDE = 420
_KEY = (("#1f6feb", "annotated"), ("#d97700", "ignored"), ("#d6006e", "detected"))


def diagnosis_page(diagnosis: Diagnosis, source: Source, samples: Mapping[str, Sample], *, predictions: str) -> str:
    """The whole document; pictures that cannot be read are left out."""
    first = diagnosis.first
    top = (
        part.callout("good", NOTHING) if first is None else part.callout("problem", f"Change first: {sentence(first)}")
    )
    return part.page(
        f"Diagnosis: {predictions}",
        [
            *([_steps(diagnosis)] if diagnosis.steps else []),
            *([_seen(diagnosis, first, source, samples)] if first is not None else []),
            _looked_for(diagnosis),
            Section(title="Under other rules", body=(_protocols(diagnosis),)),
            Section(title="What costs score now", body=(_losses(diagnosis),)),
        ],
        lead=f"Why {predictions} scores as it does on {source.name or source.annotations.name}: the output was mended "
        "in every way listed here and scored again.",
        top=(top, _cards(diagnosis), *(part.callout("note", note) for note in diagnosis.notes)),
    )


def _cards(diagnosis: Diagnosis) -> Html:
    counts, steps = diagnosis.counts, diagnosis.steps
    cards = [
        Card(
            label=f"hmean at IoU {diagnosis.iou:g}",
            value=f"{counts.hmean:.3f}",
            remark=f"recall {counts.recall:.3f}, precision {counts.precision:.3f}",
        ),
        Card(label=f"hmean at IoU {stricter(diagnosis.iou):g}", value=f"{diagnosis.strict.hmean:.3f}"),
    ]
    if steps:
        cards.append(_card("After the first change", steps[0]))
    if len(steps) > 1:
        cards.append(_card(f"After all {len(steps)}", steps[-1]))
    return part.cards(
        [
            *cards,
            Card(label="Pictures", value=number(len(diagnosis.pages)), remark=f"{number(counts.truth_care)} texts"),
        ]
    )


def _card(label: str, tried: TriedCure) -> Card:
    return Card(
        label=label,
        value=f"{'about ' if tried.estimate else ''}{tried.counts.hmean:.3f}",
        remark="an estimate: run again to know" if tried.estimate else "",
        tone="good",
    )


def _steps(diagnosis: Diagnosis) -> Section:
    rows = [
        (str(i), one.cure.wrong, one.cure.change, f"{one.before:.3f}", _after(one))
        for i, one in enumerate(diagnosis.steps, 1)
    ]
    head = ("", "what is wrong", "what to change", "hmean", "after")
    body = [part.table(head, rows, caption="One change after the other", text_columns=(0, 1, 2))]
    done = {one.cure.kind for one in diagnosis.steps}
    others = [one for one in diagnosis.findings if one.cure.kind not in done]
    if others:
        more = [(KINDS[one.cure.kind], one.cure.wrong, _after(one)) for one in others]
        title = "Changes that help by themselves too: they may be the same fault seen otherwise"
        body.append(
            part.details(
                title, [part.table(("kind", "what", "hmean after"), more, caption="Others", text_columns=(0, 1))]
            )
        )
    return Section(title="What to change", body=tuple(body), mark=str(len(rows)))


def _after(one: TriedCure) -> str:
    strict = "" if one.strict is None else f" ({one.strict.hmean:.3f} stricter)"
    return f"{'about ' if one.estimate else ''}{one.counts.hmean:.3f}{strict}"


def _seen(diagnosis: Diagnosis, first: TriedCure, source: Source, samples: Mapping[str, Sample]) -> Section:
    """The pictures that the first change helps most, as they are and as they would be."""
    now, level = diagnosis.pages, diagnosis.iou
    then = first.cure.pages or now
    gained = np.array([_found(page, level) for page in then]) - [_found(page, level) for page in now]
    if first.cure.pages is None:
        gained = np.array([int(m.truth_care.sum()) - int((m.layer(level) >= 0).sum()) for m in matches_of(now, level)])
    tiles: list[Tile] = []
    for i in np.argsort(-gained, kind="stable")[:TILES].tolist():
        sample = samples[now[i].id]
        tiles += _tiles(now[i], "as it is", source, sample)
        if first.cure.pages is not None:
            tiles += _tiles(then[i], "mended", source, sample)
    if not tiles:
        return Section(title="Pictures", body=(part.paragraph("No picture could be read."),))
    return Section(title="Pictures", body=(part.gallery(tiles), part.key(_KEY)))


def _found(page: PageOutput, iou: float) -> int:
    return int(matches_of([page], iou)[0].counts(iou).matched)


def _tiles(page: PageOutput, what: str, source: Source, sample: Sample) -> list[Tile]:
    truth, found = page.truth, page.found
    both = PolygonSet.of([*truth, *found], frame=truth.frame, ignore=[*truth.ignore.tolist(), *[False] * len(found)])
    try:
        canvas = see(open_page(file_of(source, sample)), truth.frame, CanonicalSpec(canvases=((640, 640),)))
        pixels = shrink(overlay(canvas, both, picked=range(len(truth), len(both))), _SIDE)
    except OcrmapsError:
        return []  # the page is about the output; evaluation names pictures that are damaged
    height, width = pixels.shape[:2]
    return [Tile(data=jpeg(pixels), width=width, height=height, title=page.id, remark=what)]


def _looked_for(diagnosis: Diagnosis) -> Section:
    found = {one.cure.kind: one for one in diagnosis.findings}
    rows = [
        (meaning, f"{one.gain:+.3f}", effect(one)) if (one := found.get(kind)) else (meaning, "–", "not found")
        for kind, meaning in KINDS.items()
    ]
    table = part.table(("what was looked for", "gain", ""), rows, caption="Each by itself", text_columns=(0, 2))
    return Section(title="What was looked for", body=(table,), mark=f"{len(found)} of {len(KINDS)}")


def _protocols(diagnosis: Diagnosis) -> Html:
    rows: Sequence[tuple[str, str]] = [
        (name, "–" if value is None else f"{value:.3f}") for name, value in diagnosis.protocols
    ]
    known = [(name, value) for name, value in diagnosis.protocols if value is not None]
    table = part.table(("rule", "hmean"), rows, caption="The same output")
    return part.grid([plots.bars(known, "hmean by rule", unit="hmean"), table])


def _losses(diagnosis: Diagnosis) -> Html:
    rows = [
        (f"{kind}: {words(reason)}", number(count))
        for kind, reasons in diagnosis.losses.items()
        for reason, count in reasons.items()
        if count
    ]
    if not rows:
        return part.callout("good", "Nothing is lost.")
    return part.table(("reason", "count"), rows, caption=f"At IoU {diagnosis.iou:g}, before any change")
