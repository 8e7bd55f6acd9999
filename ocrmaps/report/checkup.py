"""A checkup as one HTML page: the verdict, the findings with pictures of the worst, plots and every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ocrmaps.annotations import Source
from ocrmaps.annotations.checks.checkup import Checkup
from ocrmaps.annotations.checks.findings import Example, Finding
from ocrmaps.annotations.checks.frames import explain
from ocrmaps.annotations.checks.health import Health
from ocrmaps.annotations.checks.measures import SHRINKS, UNDER_HEIGHTS, aspects, canvases, measure
from ocrmaps.annotations.checks.summary import SUSPECT, figure_rows, joint_table
from ocrmaps.annotations.checks.verdict import verdict
from ocrmaps.errors import FrameError, PictureError
from ocrmaps.pagekit import page as part
from ocrmaps.pagekit import plots
from ocrmaps.pagekit.page import Card, Html, Section, Tile, Tone
from ocrmaps.pagekit.pictures import COLORS, Pixels, beside, jpeg, overlay, see, shrink, window
from ocrmaps.pictures import decode
from ocrmaps.progress import Progress
from ocrmaps.text import number, percent, visible

TILES = 8
"""Pictures shown for each finding."""
_SIDE = 420
_PIXELS = 40_000_000
"""Larger pictures are not drawn on the page: one of them costs more than all others together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a page about a checkup is made of."""

    title: str
    lead: str
    top: tuple[Html, ...]
    sections: tuple[Section, ...]


def health_page(checkup: Checkup, progress: Progress = lambda done, total: None) -> str:
    """The whole page. Deterministic: it says nothing about when or where it was made."""
    parts = health_parts(checkup, progress)
    return part.page(parts.title, parts.sections, lead=parts.lead, top=parts.top)


def health_parts(checkup: Checkup, progress: Progress = lambda done, total: None) -> Parts:
    """The parts of the page, for pages that show more."""
    healths = checkup.healths
    several = len(healths) > 1
    total = sum(len(h.findings) for h in healths)
    done = 0
    findings: list[Html] = []
    for health in healths:
        findings += [part.heading(health.name)] if several else []
        findings += _joint(health)
        for finding in health.findings:
            findings.append(_finding(checkup, health, finding))
            done += 1
            progress(done, total)
        if not health.findings:
            findings.append(part.callout("good", "Nothing to report."))
    copies = checkup.copies
    if copies.compared < copies.candidates:
        text = f"Of {copies.candidates} look-alike pairs the {copies.compared} most alike were compared in detail."
        findings.append(part.callout("note", text))
    spec = healths[0].facts.spec
    scale = f"longest side {spec.side} px" if spec.side else "the recipe's scale"
    sections = (
        Section(title="Findings", mark=str(total), body=(*findings, *([part.key(COLORS)] if total else []))),
        Section(title="Coordinates", body=tuple(x for h in healths for x in _coordinates(h, several))),
        Section(title="Text", body=tuple(x for h in healths for x in _text(h, scale, several))),
        Section(title="Pictures", body=tuple(x for h in healths for x in _pictures(h, several))),
        Section(title="Canvases", body=tuple(x for h in healths for x in _canvases(h, several))),
        Section(title="All figures", body=(_figures(healths),)),
    )
    names = ", ".join(h.name for h in healths)
    lead = f"What is in these annotations and pictures, at {scale}, before GPU hours are spent on them."
    return Parts(title=f"Data check: {names}", lead=lead, top=(_verdict(checkup), _cards(checkup)), sections=sections)


def _verdict(checkup: Checkup) -> Html:
    found = verdict(checkup)
    remark = "" if checkup.pixels else "Pictures were not decoded: damage and likeness were not looked for."
    return part.callout(found.level, f"{found.text[:1].upper()}{found.text[1:]}.", remark=remark)


def _cards(checkup: Checkup) -> Html:
    facts = [h.facts for h in checkup.healths]
    heights = np.concatenate([f.heights[f.scored] for f in facts])
    heights = heights[~np.isnan(heights)]
    ignored = np.concatenate([f.outlines.ignore for f in facts])
    problems = sum(len(h.problems) for h in checkup.healths)
    notes = sum(len(h.findings) for h in checkup.healths) - problems
    pictures, found = sum(len(f.samples) for f in facts), sum(f.pictures.found for f in facts)
    damaged = sum(look is not None and bool(look.error) for f in facts for look in f.looks)
    tone: Tone = verdict(checkup).level
    small = percent(float((heights < 8).mean())) if len(heights) else "–"
    return part.cards(
        [
            Card(label="Problems", value=number(problems), remark=f"{notes} notes", tone=tone),
            Card(label="Annotated pictures", value=number(pictures), remark=f"{number(found)} found"),
            Card(label="Damaged pictures", value=number(damaged) if checkup.pixels else "–"),
            Card(label="Outlines", value=number(len(ignored))),
            Card(label="Ignored", value=percent(float(ignored.mean()) if len(ignored) else None)),
            Card(
                label="Median text height",
                value=f"{number(float(np.median(heights)))} px" if len(heights) else "–",
                remark=f"{small} under 8 px",
            ),
        ]
    )


def _finding(checkup: Checkup, health: Health, finding: Finding) -> Html:
    share = f" of {number(finding.of)} {finding.unit} ({percent(finding.share)})" if finding.of > 1 else ""
    pictures = "1 picture" if finding.pictures == 1 else f"{number(finding.pictures)} pictures"
    where = f", on {pictures}" if finding.unit == "outlines" else ""
    text = f"{finding.message[:1].upper()}{finding.message[1:]}: {number(finding.count)}{share}{where}"
    body: list[Html] = []
    if finding.suspect_frame:
        body.append(part.paragraph(SUSPECT))
    tiles = _tiles(checkup, health, finding)
    if tiles:
        body.append(part.gallery(tiles))
    rows = [(e.sample, "" if e.polygon is None else e.polygon, e.detail) for e in finding.examples]
    if rows:
        all_of_them = finding.count == len(rows)
        title = "Which" if all_of_them else f"The {'first' if not tiles else 'worst'} {len(rows)}"
        table = part.table(("where", "outline", "what"), rows, caption=finding.kind, text_columns=(0, 2))
        body.append(part.details(title, [table], open=not tiles and len(rows) <= 5))
    return part.callout(finding.severity, text, remark=finding.hint, body=body)


def _tiles(checkup: Checkup, health: Health, finding: Finding) -> list[Tile]:
    """Pictures of the worst examples, one a picture; none where there is no picture to see."""
    tiles: list[Tile] = []
    seen: set[str] = set()
    for example in finding.examples:
        if len(tiles) == TILES:
            break
        if example.sample in seen:
            continue
        seen.add(example.sample)
        pixels = _pair(checkup, health, example) if example.other else _example(health, example)
        if pixels is not None:
            pixels = shrink(pixels, _SIDE)
            title = example.sample if example.polygon is None else f"{example.sample} outline {example.polygon}"
            tiles.append(
                Tile(
                    data=jpeg(pixels),
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    title=visible(title, 60),
                    remark=visible(example.detail, 700),
                )
            )
    return tiles


def _example(health: Health, example: Example) -> Pixels | None:
    """The example's picture with its outlines in the declared frame, close up where one outline is meant."""
    facts = health.facts
    row = next((i for i, sample in enumerate(facts.samples) if sample.id == example.sample), None)
    if row is None:
        return _whole(facts.source, example.sample) if example.sample in facts.pictures.orphans else None
    look = facts.looks[row]
    if look is None or look.header is None or look.error or np.prod(look.header.size) > _PIXELS:
        return None
    sample = facts.samples[row]
    try:
        canvas = see(decode(facts.source.pictures / sample.picture), facts.source.frame, facts.spec)
    except (PictureError, FrameError):
        return None
    if example.polygon is None:
        return overlay(canvas, sample.polygons)
    size = canvas.pixels.shape[:2]
    rows, columns = window(sample.polygons[example.polygon], size, least=max(160, max(size) / 4))
    shown = max(rows.stop - rows.start, columns.stop - columns.start)
    width = max(1, round(shown / _SIDE))
    return overlay(canvas, sample.polygons, picked=(example.polygon,), width=width)[rows, columns]


def _whole(source: Source, name: str) -> Pixels | None:
    try:
        picture = decode(source.pictures / name, at_least=(_SIDE, _SIDE))
    except PictureError:
        return None
    return picture.pixels


def _pair(checkup: Checkup, health: Health, example: Example) -> Pixels | None:
    """Both pictures of a copy, side by side."""
    names = [h.name for h in checkup.healths]
    name, _, rest = example.other.partition(": ")
    other = checkup.healths[names.index(name)] if name in names and rest else health
    both = [_whole(health.facts.source, example.sample), _whole(other.facts.source, rest if rest else example.other)]
    return beside(both[0], both[1]) if both[0] is not None and both[1] is not None else None


def _joint(health: Health) -> list[Html]:
    joint = joint_table(health.findings)
    if not joint:
        return []
    head, *rows = joint
    caption = "Pictures touched by EXIF orientation, for every rule that touches more than 1 % of the pictures"
    return [part.table(head, rows, caption=caption)]


def _coordinates(health: Health, several: bool) -> list[Html]:
    table = health.facts.frame
    first, *rest = list(explain(table))
    tone: Tone = "problem" if table.verdict in ("contradicted", "mixed") else "plain"
    body = [part.heading(health.name)] if several else []
    body.append(part.callout(tone, first[:1].upper() + first[1:]))
    if table.rows:
        head, *rows = table.cells()
        body.append(part.table(head, rows, caption="Pictures by EXIF orientation and the frame their outlines fit"))
    return [*body, part.paragraph(rest[-1].strip())]


def _text(health: Health, scale: str, several: bool) -> list[Html]:
    facts = health.facts
    known = facts.scored & ~np.isnan(facts.heights)
    per_picture = facts.per_sample(np.ones(len(facts.outlines), dtype=np.bool_))
    thickness = facts.outlines.kernel_thickness(SHRINKS[-1]) * facts.scale[facts.outlines.sample]
    plotted = [
        plots.histogram(facts.heights[known], f"Text height at {scale}", unit="px", marks=UNDER_HEIGHTS),
        plots.histogram(thickness[known], f"Kernel thickness, shrink ratio {SHRINKS[-1]}", unit="px", marks=(2, 3)),
        plots.histogram(aspects(facts)[facts.scored], "Text length over height", unit=""),
        plots.histogram(per_picture, "Outlines a picture", unit="outlines", whole=True),
    ]
    return [*([part.heading(health.name)] if several else []), part.grid(plotted)]


def _pictures(health: Health, several: bool) -> list[Html]:
    facts = health.facts
    figures = measure(facts)["pictures"]
    sides = facts.sizes[~np.isnan(facts.sizes).any(axis=1)]
    plotted = [
        plots.histogram(sides.max(axis=1, initial=0), "Longer side of the pictures", unit="px"),
        plots.histogram(sides[:, 0] / sides[:, 1], "Picture height over width", unit=""),
    ]
    tags = figures["orientation_tags"]
    if tags:
        plotted.append(plots.bars([(_tag(t), n) for t, n in tags.items()], "EXIF orientation tag", unit="pictures"))
    if figures["formats"]:
        kinds = [*figures["formats"].items(), *((f"mode {m}", n) for m, n in figures["modes"].items())]
        plotted.append(plots.bars(kinds, "File format and pixel mode", unit="pictures"))
    return [*([part.heading(health.name)] if several else []), part.grid(plotted)]


def _tag(tag: str) -> str:
    return "no tag" if tag == "none" else f"orientation {tag}"


def _canvases(health: Health, several: bool) -> list[Html]:
    head = ("canvas (height x width)", "pictures", "filled", "enlarged", "text height, median",
            *(f"under {px:g} px" for px in UNDER_HEIGHTS))  # fmt: skip
    rows = [
        (
            c["canvas"], number(c["pictures"]), percent(c["filled"]), number(c["enlarged"]),
            f"{number(c['text_height']['median'])} px" if c["text_height"] else "–",
            *(percent(c["under"][f"{px:g}"]) for px in UNDER_HEIGHTS),
        )
        for c in canvases(health.facts)
    ]  # fmt: skip
    caption = f"Canvases{f' of {health.name}' if several else ''}"
    return [part.table(head, rows, caption=caption) if rows else part.paragraph("No picture size is known.")]


def _figures(healths: Sequence[Health]) -> Html:
    rows = figure_rows([measure(h.facts) for h in healths])
    caption = "Every figure by source; three values are the 5th percentile, the median and the 95th percentile"
    return part.table(("", *(h.name for h in healths)), [(what, *values) for what, values in rows], caption=caption)
