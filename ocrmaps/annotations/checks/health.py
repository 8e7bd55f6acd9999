"""The health of a source: everything a person would want to know before spending GPU hours on it.

A rule that strikes more than one picture in a hundred is counted by EXIF orientation, because it may speak about
the coordinates rather than the labels; nothing is ever corrected, dropped or clipped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ocrmaps.annotations.checks.facts import Facts, gather_facts
from ocrmaps.annotations.checks.findings import EXAMPLES, Example, Finding, Severity, from_problems, not_kept, ranked
from ocrmaps.annotations.checks.leakage import Copies, Copy, Shown
from ocrmaps.annotations.checks.outline_findings import bounds_findings, shape_findings, text_findings, unit_findings
from ocrmaps.annotations.checks.picture_findings import file_findings, folder_findings, frame_findings, size_findings
from ocrmaps.annotations.checks.survey import Look
from ocrmaps.annotations.discovery.pictures import Pictures
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.canonical import CanonicalSpec

_CHECKS = (
    frame_findings,
    lambda facts: from_problems(facts.reading.problems, "problem"),
    folder_findings,
    file_findings,
    size_findings,
    bounds_findings,
    unit_findings,
    shape_findings,
    text_findings,
    lambda facts: from_problems(facts.reading.notes, "note"),
    lambda facts: not_kept(facts.reading.unused),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Health:
    """One source: what is known about it and what was found."""

    facts: Facts
    findings: tuple[Finding, ...]
    """Problems first."""

    @property
    def name(self) -> str:
        """How reports call this source."""
        source = self.facts.source
        own = source.name or source.annotations.name
        return source.split if source.split == own or not own else f"{source.split} {own}".strip()

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "problem")


def check_source(
    source: Source, reading: Reading, pictures: Pictures, looks: Sequence[Look | None], spec: CanonicalSpec
) -> Health:
    """Judge one source. `looks` goes with the samples: None for a picture that is missing or was not looked at."""
    facts = gather_facts(source, reading, pictures, looks, spec)
    return Health(facts=facts, findings=ranked([finding for check in _CHECKS for finding in check(facts)]))


def shown_pictures(healths: Sequence[Health]) -> list[Shown]:
    """Every picture that could be read, of all sources, for the search for copies."""
    return [
        Shown(
            source=number,
            id=sample.id,
            path=Path(health.facts.source.pictures, sample.picture),
            digest=look.digest,
            size=look.header.upright,
            imprint=look.imprint,
        )
        for number, health in enumerate(healths)
        for sample, look in zip(health.facts.samples, health.facts.looks, strict=True)
        if look is not None and look.header is not None and not look.error
    ]


def leaks(first: Source, second: Source) -> bool:
    """Whether a picture in both sources is shared between what is learnt and what is judged."""
    return not first.split or not second.split or first.split != second.split


def add_copies(healths: Sequence[Health], shown: Sequence[Shown], copies: Copies) -> list[Health]:
    """The healths with a finding for pictures given twice, and a problem for pictures shared between splits.

    A shared picture is reported for the later source: that is the one whose scores would be wrong.
    """
    groups: dict[tuple[str, int], list[Copy]] = {}
    for pair in copies.pairs:
        a, b = shown[pair.first], shown[pair.second]
        across = a.source != b.source and leaks(healths[a.source].facts.source, healths[b.source].facts.source)
        groups.setdefault(("leaked-picture" if across else "duplicate-picture", b.source), []).append(pair)
    out = []
    for number, health in enumerate(healths):
        found = list(health.findings)
        for kind, severity, message, hint in _COPIES:
            pairs = groups.get((kind, number), [])
            if pairs:
                found.append(_copy_finding(kind, severity, message, hint, pairs, shown, healths))
        out.append(replace(health, findings=ranked(found)))
    return out


_COPIES: tuple[tuple[str, Severity, str, str], ...] = (
    (
        "leaked-picture",
        "problem",
        "pictures that another source has too: scores on them say nothing about new pictures",
        "remove them from one of the sources",
    ),
    ("duplicate-picture", "note", "pictures that occur twice", "they count double in training and scores"),
)


def _copy_finding(
    kind: str,
    severity: Severity,
    message: str,
    hint: str,
    pairs: Sequence[Copy],
    shown: Sequence[Shown],
    healths: Sequence[Health],
) -> Finding:
    exact = sum(pair.exact for pair in pairs)
    examples = []
    for pair in pairs[:EXAMPLES]:
        a, b = shown[pair.first], shown[pair.second]
        other = a.id if a.source == b.source else f"{healths[a.source].name}: {a.id}"
        how = "the same file" if pair.exact else f"the same picture (likeness {pair.likeness:.3f})"
        examples.append(Example(sample=b.id, other=other, detail=f"{how} as {other}"))
    touched = {shown[pair.second].id for pair in pairs}
    return Finding(
        kind=kind,
        severity=severity,
        count=len(touched),
        of=len(healths[shown[pairs[0].second].source].facts.samples),
        unit="pictures",
        message=f"{message} ({exact} equal files, {len(pairs) - exact} by appearance)",
        hint=hint,
        pictures=len(touched),
        examples=tuple(examples),
    )
