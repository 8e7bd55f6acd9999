"""What a check reports: one finding for each kind of thing, with counts, the worst examples and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocrmaps.errors import Problem
from ocrmaps.text import visible

Severity = Literal["problem", "note"]
"""problem: something is wrong and the check fails; note: worth knowing before GPU hours are spent."""
EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One occurrence."""

    sample: str
    """The sample id, or the place in a file where there is no sample."""
    detail: str
    polygon: int | None = None
    """Number of the outline within its sample."""
    other: str = ""
    """A second picture that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of thing found in one source.

    >>> f = Finding(kind="empty-picture", severity="note", count=3, of=40, unit="pictures", message="without outlines")
    >>> f.share
    0.075
    """

    kind: str
    """A stable word to count and to filter by."""
    severity: Severity
    count: int
    of: int
    """How many there are in all; 0 where that means nothing."""
    unit: str
    message: str
    hint: str = ""
    pictures: int = 0
    """Pictures that are touched."""
    examples: tuple[Example, ...] = ()
    """The worst first, at most `EXAMPLES`."""
    by_orientation: tuple[tuple[int, int, int], ...] = ()
    """(EXIF orientation, pictures touched, pictures), for rules about coordinates that strike many pictures."""

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    @property
    def suspect_frame(self) -> bool:
        """The rule strikes pictures that their orientation turns by a quarter far more often than all others: it
        then speaks about the frame of the coordinates, not about labels."""
        (turned, of_turned), (others, of_others) = (
            (sum(t for _, t, _ in group), sum(n for _, _, n in group))
            for group in (
                [entry for entry in self.by_orientation if entry[0] >= 5],
                [entry for entry in self.by_orientation if entry[0] < 5],
            )
        )
        return turned > 2 and turned * of_others > 3 * others * of_turned

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": self.count,
            "of": self.of,
            "unit": self.unit,
            "pictures": self.pictures,
            "message": self.message,
            "hint": self.hint,
            "suspect_frame": self.suspect_frame,
            "by_orientation": {str(o): {"touched": t, "pictures": n} for o, t, n in self.by_orientation},
            "examples": [
                {"sample": e.sample, "polygon": e.polygon, "detail": e.detail} | ({"other": e.other} if e.other else {})
                for e in self.examples
            ],
        }


_ABOUT_COORDINATES = {
    "absurd-coordinates",
    "outside-picture",
    "out-of-bounds",
    "slightly-out",
    "degenerate-outline",
    "crossing-outline",
    "duplicate-outline",
    "near-duplicate-outline",
    "sideways-labels",
    "size-mismatch",
    "size-swapped",
    "size-other-frame",
}


def about_coordinates(kind: str) -> bool:
    """Whether a rule of this kind would rather condemn a frame than labels when it strikes many pictures."""
    return kind in _ABOUT_COORDINATES


def from_problems(problems: Iterable[Problem], severity: Severity) -> list[Finding]:
    """One finding for each kind of problem, the most frequent first; the places are the examples."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return [
        Finding(
            kind=kind,
            severity=severity,
            count=len(found),
            of=0,
            unit="entries",
            message=_SAID.get(kind, kind.replace("-", " ")),
            examples=tuple(Example(sample=p.loc, detail=p.message) for p in found[:EXAMPLES]),
        )
        for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1]))
    ]


def not_kept(unused: Mapping[str, int]) -> list[Finding]:
    """One note with everything that the annotations say and samples do not hold, the most frequent first."""
    if not unused:
        return []
    said = ", ".join(f"{name} ({count})" for name, count in sorted(unused.items(), key=lambda item: -item[1]))
    message = f"understood, but not kept: {visible(said, 1000)}"
    return [Finding(kind="not-kept", severity="note", count=sum(unused.values()), of=0, unit="values", message=message)]


_SAID = {
    "invalid": "entries that do not follow the format",
    "missing-picture": "annotated pictures that do not exist",
    "duplicate-id": "pictures annotated more than once",
    "unsafe-path": "picture names that lead outside the picture folder",
    "points-or-text": "lines whose numbers could begin the text, read as points as on other lines of the source",
    "ambiguous-picture": "names that fit more than one picture",
}


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Problems before notes, otherwise as they come."""
    return tuple(sorted(findings, key=lambda f: f.severity != "problem"))
