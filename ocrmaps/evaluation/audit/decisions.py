"""What a person decided about findings: kept in a file that the page writes and the next audit reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.errors import DataError, SpecError, reason
from ocrmaps.evaluation.audit.records import BELIEF, KINDS, LabelFinding
from ocrmaps.files import read_regular
from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.metrics.matching import pair_geometry

Decision = Literal["accept", "reject", "later"]
DECISIONS: tuple[str, ...] = get_args(Decision)
FORMAT = 1
_LARGEST = 64 << 20
_WEIGHT = 6
"""As many decisions the belief is worth that holds before there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Decisions by the key of their finding."""

    decisions: Mapping[str, Decision] = field(default_factory=dict)

    def of(self, finding: LabelFinding) -> Decision | None:
        return self.decisions.get(finding.key)

    def belief(self) -> dict[str, float]:
        """For every kind that was decided on: the share of findings that are right, from `BELIEF` on.

        >>> Decided(decisions={"a.jpg|split|0.0": "reject"}).belief()
        {'split': 0.5714285714285714}
        """
        right: Counter[str] = Counter()
        decided: Counter[str] = Counter()
        for key, decision in self.decisions.items():
            kind = key.rsplit("|", 2)[1] if key.count("|") >= 2 else ""
            if kind in KINDS and decision != "later":
                decided[kind] += 1
                right[kind] += decision == "accept"
        return {k: (right[k] + _WEIGHT * BELIEF) / (decided[k] + _WEIGHT) for k in KINDS if decided[k]}


def read_decisions(path: Path) -> Decided:
    """The decisions that a page exported."""
    try:
        data = json.loads(read_regular(path, _LARGEST).decode("utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such file of decisions", hint="the page of an audit exports one") from error
    except (OSError, ValueError, RecursionError) as error:
        detail = reason(error) if isinstance(error, OSError) else "it is no JSON"
        raise DataError(f"{path}: cannot be read as decisions of an audit: {detail}") from error
    decisions = data.get("decisions") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("ocrmaps_audit") != FORMAT or not isinstance(decisions, dict):
        raise DataError(
            f"{path}: expected the decisions of an audit, with ocrmaps_audit = {FORMAT} and decisions",
            hint="export them from the page of an audit",
        )
    wrong = [key for key, value in decisions.items() if value not in DECISIONS]
    if wrong:
        found = decisions[wrong[0]]
        raise DataError(f"{path}: found decision {found!r:.80}, expected one of {', '.join(DECISIONS)}")
    return Decided(decisions=decisions)


def corrected(sample: Sample, accepted: Sequence[LabelFinding]) -> Sample:
    """The sample with what these findings propose: the outline goes, moves, or is new.

    Outlines of a wrong frame or page stay: nobody can draw them all anew from here.
    """
    polygons = sample.polygons
    points: list[FloatArray] = list(polygons)
    ignore, texts = polygons.ignore.tolist(), list(polygons.texts)
    gone: set[int] = set()
    for finding in accepted:
        i, new = finding.outline, list(finding.proposed)
        if finding.kind == "missing":
            _append(points, ignore, texts, new)
        elif i is None:
            continue
        elif finding.kind in ("should_ignore", "should_read"):
            ignore[i] = finding.kind == "should_ignore"
        elif finding.kind == "spurious":
            gone.add(i)
        elif finding.kind == "duplicate":  # without another in the finding, its twin stays for another one
            gone |= set(finding.others) or {i}
        elif finding.kind == "merged" and new:
            alone = [p for p in new if not _outlined(p, i, polygons)]
            points[i], texts[i] = (alone or new)[0], None
            _append(points, ignore, texts, alone[1:])
            gone |= set() if alone else {i}
        elif new:
            points[i] = new[0]
            _append(points, ignore, texts, new[1:])
            gone |= set(finding.others)
            if len(new) > 1 or finding.others:  # a text of other parts than before
                texts[i] = None
    keep = [i for i in range(len(points)) if i not in gone]
    changed = PolygonSet.of(
        [np.asarray(points[i]) for i in keep],
        frame=polygons.frame,
        ignore=[ignore[i] for i in keep],
        texts=[texts[i] for i in keep],
    )
    return replace(sample, polygons=changed)


def _outlined(part: FloatArray, i: int, polygons: PolygonSet) -> bool:
    """Whether another outline than i is there already."""
    pairs = pair_geometry(polygons, PolygonSet.of([part], frame=polygons.frame))
    return bool(((pairs.iou() > 0.5) & (pairs.truth_index != i)).any())


def _append(points: list[FloatArray], ignore: list[bool], texts: list[str | None], new: Sequence[FloatArray]) -> None:
    points += new
    ignore += [False] * len(new)
    texts += [None] * len(new)
