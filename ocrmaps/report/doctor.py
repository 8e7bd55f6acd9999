"""The doctor's report as one page: the verdict, the chain in numbers, and every sample at every stage in pictures."""

from __future__ import annotations

from pathlib import Path

from ocrmaps.debug.doctor.records import STAGES, Case, Report, Stage, StageFinding
from ocrmaps.files import write_new
from ocrmaps.pagekit.page import Html, Section, Tile, callout, details, gallery, key, page, paragraph, table
from ocrmaps.pagekit.pictures import COLORS, jpeg, shrink

SIDE = 420
SEEN = {
    "decoded": "the file, upright, with the outlines as annotated",
    "canonical": "what the network sees, outlines moved",
    "maps": "stored maps: kernels blue, bands green, not learnt orange",
    "augmented": "as it is learnt from: the same colors",
    "prediction": "predicted probability in blue, no numbers magenta",
    "original": "what was found, back on the file",
}


def write_page(report: Report, path: Path, *, replace_existing: bool = False) -> None:
    """Written whole; a page that exists stays unless it was agreed to replace it."""
    write_new(path, html(report).encode(), replace_existing=replace_existing)


def html(report: Report) -> str:
    """The complete document."""
    first = report.first
    if first is None:
        verdict = callout("good", "Every stage that was looked at holds.")
    else:
        shown = [f for f in first.findings if f.tone == "problem"]
        verdict = callout(
            "problem",
            f"First break: {first.name} - {STAGES[first.name]}.",
            body=[_list(shown[:10])],
        )
    rows = [(stage.name, stage.state, stage.said or stage.skipped) for stage in report.stages]
    chain = table(("stage", "state", "numbers"), rows, caption="The chain in its order", text_columns=(0, 1, 2))
    notes = [_stage(stage) for stage in report.stages if stage.findings]
    sections = [Section(title="Chain", body=(chain, *notes))]
    outlines = [(color, f"outline: {meaning}") for color, meaning in COLORS[:2]]
    areas = [
        ("#1f6feb", "area: kernel, probability"),
        ("#009e73", "area: threshold band"),
        ("#d97700", "area: not learnt"),
    ]
    marks = key([*outlines, *areas])
    broken = {f.sample for s in report.stages for f in s.findings if f.tone == "problem" and f.sample}
    # What is broken comes first; the rest keeps its order.
    cases = sorted(report.cases, key=lambda case: case.name not in broken)
    sections += [
        Section(title=case.name, mark="breaks" if case.name in broken else "", body=_case(case, report))
        for case in cases
    ]
    return page(f"Doctor: {report.target}", sections, lead=report.lead, top=[verdict, marks])


def _list(findings: list[StageFinding]) -> Html:
    parts = [
        paragraph(f"{f.sample + ': ' if f.sample else ''}{f.what}{f'. Try: {f.then}' if f.then else ''}")
        for f in findings
    ]
    return sum(parts[1:], parts[0]) if parts else Html("")


def _stage(stage: Stage) -> Html:
    return details(f"{stage.name}: {len(stage.findings)} findings", [_list(stage.findings[:50])], open=stage.breaks)


def _case(case: Case, report: Report) -> tuple[Html, ...]:
    tiles = []
    for name, what in SEEN.items():
        if name in case.seen:
            small = shrink(case.seen[name](), SIDE)
            tiles.append(Tile(data=jpeg(small), width=small.shape[1], height=small.shape[0], title=name, remark=what))
    said = [f for s in report.stages for f in s.findings if f.sample == case.name]
    lost = [paragraph(f"It could not be followed beyond {case.lost}.")] if case.lost else []
    shown = [callout(f.tone, f"{f.stage}: {f.what}", remark=f.then) for f in said[:6]]
    return (paragraph(f"Chosen for: {case.why}."), *shown, *lost, gallery(tiles))
