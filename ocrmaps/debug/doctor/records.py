"""What the doctor writes down: samples on their way through the chain, findings by stage, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalSpec, CanonicalTransform
from ocrmaps.debug.entries import plain
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec
from ocrmaps.pictures import Picture

STAGES: dict[str, str] = {
    "file": "the picture file is there and is the one that was drawn",
    "decoded": "pixels as stored, and outlines that lie on the text in them",
    "canonical": "turned upright, resized, padded; outlines moved by the same matrix",
    "maps": "what is stored is what these outlines give, and gives them back",
    "batch": "what the loader hands out is what is stored",
    "augmented": "picture and maps moved by one matrix",
    "prediction": "the network answers with probabilities that know text from background",
    "original": "polygons back in the frame of the annotation, matched there",
}
"""The chain in its order, with what must hold at each stage."""
Tone = Literal["problem", "note"]
Pixels = npt.NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class Case:
    """One sample on its way; stages add to it what they made, for the stages after them and for the pictures."""

    name: str
    why: str
    """Why it was chosen."""
    polygons: PolygonSet
    """As annotated."""
    transform: CanonicalTransform
    row: int | None = None
    split: str = ""
    path: Path | None = None
    picture: Picture | None = None
    image: Pixels | None = None
    """Canonical."""
    maps: dict[str, Pixels] = field(default_factory=dict)
    """probability, threshold, mask."""
    probability: npt.NDArray[np.float32] | None = None
    """Predicted."""
    border: npt.NDArray[np.float32] | None = None
    """Predicted threshold."""
    level: npt.NDArray[np.float32] | None = None
    """The same, where it is what the probability is cut at."""
    seen: dict[str, Callable[[], Pixels]] = field(default_factory=dict)
    """What draws the picture of a stage, by stage: only a page needs them."""
    lost: str = ""
    """The stage after which it could not be followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinding:
    """Something at a stage that is not as it must be, or that a person should know."""

    stage: str
    tone: Tone
    what: str
    then: str = ""
    """What to do next."""
    sample: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"stage": self.stage, "tone": self.tone, "what": self.what, "next": self.then, "sample": self.sample}


@dataclass(slots=True, kw_only=True)
class Stage:
    """One stage with its numbers and what was found there."""

    name: str
    skipped: str = ""
    """Why it was not looked at."""
    said: str = ""
    """One line of numbers."""
    numbers: dict[str, Any] = field(default_factory=dict)
    findings: list[StageFinding] = field(default_factory=list)

    def problem(self, what: str, then: str = "", sample: str = "") -> None:
        self.findings.append(StageFinding(stage=self.name, tone="problem", what=what, then=then, sample=sample))

    def note(self, what: str, then: str = "", sample: str = "") -> None:
        self.findings.append(StageFinding(stage=self.name, tone="note", what=what, then=then, sample=sample))

    @property
    def breaks(self) -> bool:
        return any(f.tone == "problem" for f in self.findings)

    @property
    def state(self) -> str:
        return "BREAKS" if self.breaks else "not looked at" if self.skipped else "holds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The chain, stage by stage."""

    target: str
    kind: str
    """run, store or source."""
    lead: str
    """What was examined, in one line."""
    stages: tuple[Stage, ...]
    cases: tuple[Case, ...]

    @property
    def first(self) -> Stage | None:
        """The first stage that breaks."""
        return next((stage for stage in self.stages if stage.breaks), None)

    @property
    def ok(self) -> bool:
        return self.first is None

    def as_dict(self) -> dict[str, Any]:
        return plain(
            {
                "target": self.target,
                "kind": self.kind,
                "examined": self.lead,
                "ok": self.ok,
                "first_break": None if self.first is None else self.first.name,
                "stages": [
                    {
                        "name": s.name,
                        "state": s.state,
                        "said": s.said or s.skipped,
                        "numbers": s.numbers,
                        "findings": [f.as_dict() for f in s.findings],
                    }
                    for s in self.stages
                ],
                "samples": [{"name": c.name, "why": c.why, "row": c.row} for c in self.cases],
            }
        )

    def lines(self) -> list[str]:
        """For a terminal."""
        out = [self.lead, *(f"  sample: {c.name} ({c.why})" for c in self.cases)]
        width = max(map(len, STAGES))
        out += [f"{s.name:{width}}  {s.state:13s}  {s.said or s.skipped}".rstrip() for s in self.stages]
        if self.first is None:
            out.append("every stage that was looked at holds")
        else:
            out.append(f"first break: {self.first.name} ({STAGES[self.first.name]})")
            out += _told(f for f in self.first.findings if f.tone == "problem")
            later = [f for s in self.stages if s is not self.first for f in s.findings if f.tone == "problem"]
            if later:
                out.append("later, and perhaps because of it:")
                out += _told(later)
        notes = [f for s in self.stages for f in s.findings if f.tone == "note"]
        if notes:
            out.append("notes:")
            out += _told(notes)
        return out


def joined(reports: Mapping[str, Report]) -> Report:
    """One report of a target's stores, by their names: a stage holds where it holds in all of them."""
    stages = []
    for several in zip(*(report.stages for report in reports.values()), strict=True):
        looked = [stage for stage in several if not stage.skipped]
        stages.append(
            Stage(
                name=several[0].name,
                skipped="" if looked else several[0].skipped,
                said=" | ".join(stage.said for stage in looked if stage.said),
                numbers={name: stage.numbers for name, stage in zip(reports, several, strict=True)},
                findings=[
                    replace(finding, sample=f"{name}: {finding.sample}" if finding.sample else name)
                    for name, stage in zip(reports, several, strict=True)
                    for finding in stage.findings
                ],
            )
        )
    return replace(
        next(iter(reports.values())),
        lead="\n".join(report.lead for report in reports.values()),
        stages=tuple(stages),
        cases=tuple(
            replace(case, name=f"{name}: {case.name}") for name, report in reports.items() for case in report.cases
        ),
    )


def _told(findings: Iterable[StageFinding]) -> list[str]:
    out: list[str] = []
    advised = ""
    seen = list(findings)
    for finding in seen[:8]:
        where = f" [{finding.sample}]" if finding.sample else ""
        advice = [f"    try: {finding.then}"] if finding.then not in ("", advised) else []
        out += [f"  {finding.stage}: {finding.what}{where}", *advice]
        advised = finding.then
    if len(seen) > 8:
        out.append(f"  ... and {len(seen) - 8} more")
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Specs:
    """How the chain that is examined draws."""

    canonical: CanonicalSpec
    maps: MapSpec


def group_by_canvas(cases: Sequence[Case]) -> Mapping[tuple[int, int], list[Case]]:
    groups: dict[tuple[int, int], list[Case]] = {}
    for case in cases:
        groups.setdefault(case.transform.canvas, []).append(case)
    return groups
