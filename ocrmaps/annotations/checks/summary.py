"""A checkup for machines and for the terminal: one JSON document, or tables with one column a source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ocrmaps.annotations.checks.checkup import Checkup
from ocrmaps.annotations.checks.findings import Finding
from ocrmaps.annotations.checks.frames import explain
from ocrmaps.annotations.checks.health import Health
from ocrmaps.annotations.checks.measures import SHRINKS, UNDER_HEIGHTS, measure
from ocrmaps.annotations.checks.verdict import verdict
from ocrmaps.text import number, percent, visible

Figures = dict[str, Any]
_EXAMPLE = 700
"""Letters of an example: more than any message has, so that none loses its middle."""
SUSPECT = "It strikes turned pictures far more than others: suspect the frame of the coordinates, not the labels."

_STYLES = {"good": "bold green", "note": "bold yellow", "problem": "bold red"}


def as_json(checkup: Checkup) -> dict[str, Any]:
    """The whole checkup in plain values."""
    spec = checkup.healths[0].facts.spec
    return {
        "ok": checkup.ok,
        "verdict": verdict(checkup).as_dict(),
        "problems": sum(len(health.problems) for health in checkup.healths),
        "canvases": [f"{h}x{w}" for h, w in spec.canvases],
        "longest": spec.side,
        "pictures_decoded": checkup.pixels,
        "sources": [_source_json(health) for health in checkup.healths],
        "copies": {
            "candidates": checkup.copies.candidates,
            "compared": checkup.copies.compared,
            "pairs": [
                {
                    "first": {"source": checkup.healths[a.source].name, "sample": a.id},
                    "second": {"source": checkup.healths[b.source].name, "sample": b.id},
                    "exact": pair.exact,
                    "likeness": round(pair.likeness, 4),
                }
                for pair in checkup.copies.pairs
                for a, b in [(checkup.shown[pair.first], checkup.shown[pair.second])]
            ],
        },
    }


def _source_json(health: Health) -> dict[str, Any]:
    source = health.facts.source
    return {
        "name": health.name,
        "split": source.split,
        "annotations": str(source.annotations),
        "pictures_folder": str(source.pictures),
        "format": source.format,
        "frame": health.facts.frame.as_dict(),
        "annotation_only": health.facts.annotation_only,
        "findings": [finding.as_dict() for finding in health.findings],
        **measure(health.facts),
    }


def figure_rows(figures: Sequence[Figures]) -> list[tuple[str, list[str]]]:
    """The figures a person reads first: (what, one text a source)."""

    def spread(of: Callable[[Figures], dict[str, float] | None]) -> list[str]:
        return [
            f"{number(q['p05'])} · {number(q['median'])} · {number(q['p95'])}" if (q := of(f)) else "–" for f in figures
        ]

    def counts(of: Callable[[Figures], dict[str, int]]) -> list[str]:
        return [", ".join(f"{name}: {number(n)}" for name, n in of(f).items()) or "–" for f in figures]

    rows = [
        ("annotated pictures", [number(f["pictures"]["annotated"]) for f in figures]),
        ("pictures found", [number(f["pictures"]["found"]) for f in figures]),
        ("damaged pictures", [number(f["pictures"]["damaged"]) for f in figures]),
        ("pictures without annotation", [number(f["pictures"]["unannotated"]) for f in figures]),
        ("EXIF orientation", counts(lambda f: f["pictures"]["orientation_tags"])),
        ("width, px (p05 · median · p95)", spread(lambda f: f["sizes"]["width"])),
        ("height, px", spread(lambda f: f["sizes"]["height"])),
        ("outlines", [number(f["outlines"]["total"]) for f in figures]),
        ("outlines a picture", spread(lambda f: f["outlines"]["per_picture"])),
        ("ignored", [percent(f["outlines"]["ignored_share"]) for f in figures]),
        ("text height as annotated, px", spread(lambda f: f["text"]["height_annotated"])),
        ("text height at scale, px", spread(lambda f: f["text"]["height"])),
        *(
            (f"text under {px:g} px at scale", [percent(f["text"]["under"][f"{px:g}"]) for f in figures])
            for px in UNDER_HEIGHTS
        ),
        ("text length over height", spread(lambda f: f["text"]["aspect"])),
        ("vertical text", [percent(f["text"]["vertical_share"]) for f in figures]),
    ]
    kernels = [
        (
            f"kernels under 1 · 2 · 3 px, r = {shrink:g}",
            [" · ".join(percent(v) for v in f["kernels"][f"{shrink:g}"].values()) for f in figures],
        )
        for shrink in SHRINKS
    ]
    return rows + kernels


def tables(checkup: Checkup) -> RenderableType:
    """The checkup for a terminal. File names are shown as text, never as markup or escape codes."""
    healths = checkup.healths
    figures = Table(box=None, pad_edge=False, header_style="bold")
    figures.add_column("")
    for health in healths:
        figures.add_column(Text(visible(health.name)), justify="right")
    for what, values in figure_rows([measure(h.facts) for h in healths]):
        figures.add_row(Text(what), *(Text(value) for value in values))
    whole = verdict(checkup)
    said = Text(whole.text, style=_STYLES[whole.level])
    parts: list[RenderableType] = [said, Text(""), figures]
    for health in healths:
        parts += [Text(""), Text(visible(health.name), style="bold"), *_health(health)]
    if checkup.copies.compared < checkup.copies.candidates:
        c = checkup.copies
        parts.append(Text(f"compared the {c.compared} most alike of {c.candidates} look-alike pairs", style="yellow"))
    # Again where the eye ends; of good news the short form.
    parts += [Text(""), Text("no problem found", style=_STYLES["good"]) if whole.level == "good" else said]
    return Group(*parts)


def print_tables(checkup: Checkup) -> None:
    """The tables on stdout, wide enough to keep their columns when nobody watches."""
    width = None if sys.stdout.isatty() else 140
    Console(width=width, highlight=False).print(tables(checkup))


def _health(health: Health) -> list[RenderableType]:
    parts: list[RenderableType] = []
    table = health.facts.frame
    if table.verdict in ("contradicted", "mixed") or any(row for o, row in table.rows.items() if o >= 2):
        parts += [Text(line) for line in explain(table)]
    joint = joint_table(health.findings)
    if joint:
        head, *rows = joint
        grid = Table(box=None, pad_edge=False, header_style="dim", title=None)
        for i, cell in enumerate(head):
            grid.add_column(Text(cell), justify="left" if i == 0 else "right")
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
        parts += [Text("pictures touched, by EXIF orientation (rules that touch over 1 % of the pictures)"), grid]
    if health.findings:
        found = Table(box=None, pad_edge=False, header_style="dim")
        for name, justify in (
            ("", "left"),
            ("count", "right"),
            ("pictures", "right"),
            ("what", "left"),
            ("e.g.", "left"),
        ):
            found.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for f in health.findings:
            style = "red" if f.severity == "problem" else "yellow"
            what = "\n→ ".join(x for x in (f.message, f.hint, SUSPECT if f.suspect_frame else "") if x)
            example = visible(_example(f), _EXAMPLE) if f.examples else ""
            found.add_row(Text(f.severity, style=style), number(f.count), number(f.pictures) if f.pictures else "",
                          Text(what), Text(example))  # fmt: skip
        parts.append(found)
    else:
        parts.append(Text("nothing to report"))
    return parts


def _example(finding: Finding) -> str:
    worst = finding.examples[0]
    place = worst.sample if worst.polygon is None else f"{worst.sample} outline {worst.polygon}"
    return f"{place}: {worst.detail}" if worst.detail else place


def joint_table(findings: Sequence[Finding]) -> list[list[str]]:
    """EXIF orientation × rule, where a rule touches more than 1 % of the pictures of a source with turned pictures.

    Empty where every picture has one orientation: then the table would say nothing.
    """
    rules = [f for f in findings if len(f.by_orientation) > 1]
    orientations = sorted({o for f in rules for o, _, _ in f.by_orientation})
    if not rules:
        return []
    rows = [["orientation", "pictures", *(f.kind for f in rules)]]
    for orientation in orientations:
        cells = {f.kind: (t, n) for f in rules for o, t, n in f.by_orientation if o == orientation}
        total = max(n for _, n in cells.values())
        rows.append([str(orientation), number(total), *(f"{number(t)} ({percent(t / n)})" for t, n in cells.values())])
    return rows
