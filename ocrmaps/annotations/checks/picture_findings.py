"""What is wrong with a source's pictures as files and as wholes: frame, missing, damaged, sizes, empty."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from ocrmaps.annotations.checks.facts import Facts, size_text
from ocrmaps.annotations.checks.findings import EXAMPLES, Example, Finding, Severity, from_problems
from ocrmaps.annotations.checks.frames import explain
from ocrmaps.annotations.checks.imprint import BLANK
from ocrmaps.geometry import BoolArray

SMALL = 64
"""Pictures whose longer side is shorter are thumbnails."""


def frame_findings(facts: Facts) -> list[Finding]:
    """Whether the coordinates are what the source declares."""
    table = facts.frame
    found: list[Finding] = []
    if table.verdict in ("contradicted", "mixed"):
        contradicted = table.verdict == "contradicted"
        found.append(
            Finding(
                kind="frame-contradicted" if contradicted else "frame-mixed",
                severity="problem",
                count=len(table.against),
                of=sum(h is not None and h.orientation >= 5 for h in facts.headers),
                unit="turned pictures",
                pictures=len(table.against),
                message=next(iter(explain(table))),
                hint=f"declare it: --frame {table.other}"
                if contradicted
                else "make two sources of it, each with its own --frame, or correct these labels",
                examples=tuple(
                    Example(sample=i, detail=f"fits only the {table.other} picture") for i in table.against[:EXAMPLES]
                ),
            )
        )
    turned = set(table.sideways)
    bounds, owner = facts.outlines.bounds, facts.outlines.sample

    def detail(i: int) -> str:
        own = bounds[owner == i]
        return f"picture is {facts.size_text(i)}, outlines reach x = {own[:, 2].max():.0f}, y = {own[:, 3].max():.0f}"

    return found + facts.picture_finding(
        "sideways-labels",
        "problem",
        np.array([s.id in turned for s in facts.samples], dtype=np.bool_),
        "pictures whose labels fit only with the sides swapped, though no orientation says so",
        detail,
        hint="the picture was turned, or lost its EXIF orientation, after it was labelled: save it upright again",
    )


def folder_findings(facts: Facts) -> list[Finding]:
    """Pictures without annotation and annotations without picture."""
    found = [
        problem
        for problem in from_problems(facts.pictures.problems, "problem")
        if problem.kind != "orphan-picture" and not (facts.annotation_only and problem.kind == "missing-picture")
    ]
    if not facts.samples:
        found.append(
            Finding(
                kind="no-samples",
                severity="problem",
                count=1,
                of=0,
                unit="sources",
                message="no sample could be read",
                hint="check the path, --format and --pictures",
            )
        )
    elif facts.annotation_only:
        found.append(
            Finding(
                kind="no-pictures",
                severity="note",
                count=len(facts.samples),
                of=len(facts.samples),
                unit="pictures",
                pictures=len(facts.samples),
                message="no picture is there: annotations were checked on their own, with sizes as they claim them",
                hint="say where the pictures are: --pictures FOLDER",
            )
        )
    orphans = facts.pictures.orphans
    if orphans:
        found.append(
            Finding(
                kind="orphan-picture",
                severity="note",
                count=len(orphans),
                of=len(orphans) + facts.pictures.found,
                unit="pictures",
                pictures=len(orphans),
                message="pictures in the folder that nobody annotated",
                examples=tuple(Example(sample=name, detail="no annotation") for name in orphans[:EXAMPLES]),
            )
        )
    return found


def file_findings(facts: Facts) -> list[Finding]:
    """Damaged pictures, odd orientation tags, and pictures that show nothing."""
    looks, headers = facts.looks, facts.headers
    every = facts.per_sample(np.ones(len(facts.outlines), dtype=np.bool_))
    live = facts.per_sample(~facts.outlines.ignore)
    blank = _flags(look is not None and look.imprint is not None and look.imprint.contrast < BLANK for look in looks)
    wide = np.nan_to_num(facts.sizes, nan=SMALL).max(axis=1, initial=0)
    rules: list[tuple[str, Severity, BoolArray, str]] = [
        ("blank-picture", "problem", blank & (live > 0), "pictures of one color that have text outlines"),
        ("empty-picture", "note", every == 0, "pictures without a single outline"),
        ("ignored-picture", "note", (every > 0) & (live == 0), "pictures whose outlines are all ignored"),
        ("small-picture", "note", wide < SMALL, f"pictures whose longer side is under {SMALL} px"),
    ]
    return [
        *facts.picture_finding(
            "corrupt-picture",
            "problem",
            _flags(look is not None and bool(look.error) for look in looks),
            "pictures that cannot be read",
            lambda i: (
                look.error.removeprefix(f"{PurePosixPath(facts.samples[i].id).name}: ") if (look := looks[i]) else ""
            ),
        ),
        *(f for rule in rules for f in facts.picture_finding(*rule, facts.size_text)),
        *facts.picture_finding(
            "odd-orientation",
            "note",
            _flags(h is not None and h.orientation_tag not in (None, h.orientation) for h in headers),
            "pictures whose EXIF orientation is no number from 1 to 8; taken as stored",
            lambda i: f"orientation tag {h.orientation_tag}" if (h := headers[i]) else "",
        ),
    ]


def size_findings(facts: Facts) -> list[Finding]:
    """What the annotations claim about sizes against the pictures themselves."""
    known = _flags(h is not None for h in facts.headers) & ~np.isnan(facts.claimed).any(axis=1)
    differs = known & (facts.claimed != facts.sizes).any(axis=1)
    swapped = differs & (facts.claimed == facts.sizes[:, ::-1]).all(axis=1)
    turned = _flags(h is not None and h.orientation >= 5 for h in facts.headers)
    declared, other = facts.frame.declared, facts.frame.other

    def detail(i: int) -> str:
        return f"claimed {size_text(facts.claimed[i])}, the picture is {facts.size_text(i)} ({declared})"

    return [
        *facts.picture_finding(
            "size-mismatch",
            "problem",
            differs & ~swapped,
            "pictures of another size than their annotation claims",
            detail,
            hint="the labels may belong to another picture, or it was resized after labelling",
        ),
        *facts.picture_finding(
            "size-swapped",
            "problem",
            swapped & ~turned,
            "pictures with swapped sides against their annotation, without an orientation that says so",
            detail,
            hint="the picture was turned, or lost its EXIF orientation, after it was labelled",
        ),
        *facts.picture_finding(
            "size-other-frame",
            "note",
            swapped & turned,
            f"annotations that claim the {other} size while coordinates are declared {declared}",
            detail,
            hint="the frame table tells whether the coordinates agree with the declaration",
        ),
    ]


def _flags(values: Iterable[bool]) -> BoolArray:
    return np.fromiter(values, dtype=np.bool_)
