"""Takes corrected annotations back: which samples changed and how, what is in conflict, and the merged samples.

Labelling tools round coordinates and change the order of outlines. An outline that came back as it was keeps its own
numbers and place, so that a sample nobody changed stays the same to the last digit and is not drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ocrmaps.annotations.records import Sample
from ocrmaps.geometry import FloatArray, PolygonSet

SAME = 0.05
"""Pixels that a corner may be moved by a tool's rounding."""
_MOVED = 0.2
"""Overlap of bounds from which a changed outline is the same one moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleChange:
    """What was corrected in one picture."""

    picture: str
    added: int = 0
    removed: int = 0
    moved: int = 0
    """Outlines with other points."""
    text: int = 0
    """Outlines in their place with another text."""
    ignore: int = 0
    """Outlines in their place that are ignored now, or no longer."""

    def as_dict(self) -> dict[str, str | int]:
        return {
            "picture": self.picture,
            "added": self.added,
            "removed": self.removed,
            "moved": self.moved,
            "text": self.text,
            "ignore": self.ignore,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A corrected picture that was not taken, and why."""

    picture: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The base with its corrections."""

    samples: tuple[Sample, ...]
    """In the order of the base."""
    changes: tuple[SampleChange, ...]
    unchanged: int
    """Corrected pictures that came back as they were."""
    conflicts: tuple[Conflict, ...]


def merge_samples(
    base: Sequence[Sample], corrected: Sequence[Sequence[Sample]], *, sent: Sequence[Sample] | None = None
) -> Merge:
    """The base in which every corrected picture is as it came back; pictures that did not come back stay.

    `sent` is what the corrections started from: a picture that changed in the base since then, and differently in the
    corrections, is a conflict and stays as the base has it. So are pictures that the base does not have, that claim
    another size, or that came back twice and differently.
    """
    known = {sample.id: sample for sample in base}
    before = known if sent is None else {sample.id: sample for sample in sent}
    # A format without texts must not wipe them out.
    with_texts = [any(text is not None for s in samples for text in s.polygons.texts) for samples in corrected]
    merged: dict[str, tuple[Sample, SampleChange]] = {}
    conflicts: dict[str, str] = {}
    came: set[str] = set()
    for samples, texts in zip(corrected, with_texts, strict=True):
        for sample in samples:
            here = known.get(sample.id)
            if here is None:
                conflicts[sample.id] = "the base has no such picture"
                continue
            came.add(sample.id)
            if None not in (here.size, sample.size) and here.size != sample.size:
                conflicts[sample.id] = f"the base says it is {_size(here)}, the correction {_size(sample)}"
                continue
            new, change = _apply(here, sample, texts=texts)
            if change is None:
                continue
            if sent is not None and sample.id in before:
                if _apply(before[sample.id], sample, texts=texts)[1] is None:
                    continue  # nobody corrected it; what the base has is newer
                if _apply(before[sample.id], here, texts=True)[1] is not None:
                    conflicts[sample.id] = "it changed in the base since it was sent"
                    continue
            if sample.id in merged and _apply(merged[sample.id][0], new, texts=True)[1] is not None:
                conflicts[sample.id] = "it came back twice and differently"
            merged.setdefault(sample.id, (new, change))
    merged = {id: pair for id, pair in merged.items() if id not in conflicts}
    return Merge(
        samples=tuple(merged[s.id][0] if s.id in merged else s for s in base),
        changes=tuple(merged[s.id][1] for s in base if s.id in merged),
        unchanged=len(came - merged.keys() - conflicts.keys()),
        conflicts=tuple(Conflict(picture=id, reason=conflicts[id]) for id in sorted(conflicts)),
    )


def _size(sample: Sample) -> str:
    height, width = sample.size or (0, 0)
    return f"{width}x{height}"


def _apply(here: Sample, corrected: Sample, *, texts: bool) -> tuple[Sample, SampleChange | None]:
    """The sample as corrected, and what changed; None where nothing did."""
    old, new = here.polygons, corrected.polygons
    partner = _same_places(old, new)
    text = ignore = 0
    taken: dict[int, int] = {j: i for j, i in enumerate(partner) if i >= 0}
    back = {i: j for j, i in taken.items()}
    fresh = [j for j in range(len(new)) if j not in taken]
    gone = [i for i in range(len(old)) if i not in back]
    moved = _moved([old[i] for i in gone], [new[j] for j in fresh])
    of_old = {gone[a]: fresh[b] for a, b in moved.items()}
    points: list[FloatArray] = []
    flags: list[bool] = []
    words: list[str | None] = []
    for i in range(len(old)):
        j = back.get(i, of_old.get(i, -1))
        if j < 0:
            continue
        # A text that nobody gave is the same as an empty one: formats differ in how they say it.
        word = new.texts[j] if texts and (new.texts[j] or None) != (old.texts[i] or None) else old.texts[i]
        text += i in back and word != old.texts[i]
        ignore += bool(new.ignore[j]) != bool(old.ignore[i])
        points.append(old[i] if i in back else new[j])
        flags.append(bool(new.ignore[j]))
        words.append(word)
    added = [j for j in fresh if j not in of_old.values()]
    for j in added:
        points.append(new[j])
        flags.append(bool(new.ignore[j]))
        words.append(new.texts[j])
    change = SampleChange(
        picture=here.id,
        added=len(added),
        removed=len(gone) - len(of_old),
        moved=len(of_old),
        text=text,
        ignore=ignore,
    )
    if change == SampleChange(picture=here.id):
        return here, None
    return replace(here, polygons=PolygonSet.of(points, frame=old.frame, ignore=flags, texts=words)), change


def _same_places(old: PolygonSet, new: PolygonSet) -> list[int]:
    """For each new outline the old one with the same corners, up to rounding and where the outline begins, or -1."""
    free: Mapping[int, list[int]] = {n: [] for n in set(old.counts().tolist())}
    for i, n in enumerate(old.counts().tolist()):
        free[n].append(i)
    out = []
    for points in new:
        mine = free.get(len(points), [])
        found = next((i for i in mine if _alike(old[i], points)), -1)
        if found >= 0:
            mine.remove(found)
        out.append(found)
    return out


def _alike(one: FloatArray, other: FloatArray) -> bool:
    if np.abs(one.mean(axis=0) - other.mean(axis=0)).max() > SAME:
        return False
    ways = (other, other[::-1])
    return any(np.abs(one - np.roll(way, k, axis=0)).max() <= SAME for way in ways for k in range(len(one)))


def _moved(old: Sequence[FloatArray], new: Sequence[FloatArray]) -> dict[int, int]:
    """Pairs of outlines whose bounds overlap most, each taken once."""
    pairs = sorted((-_overlap(a, b), i, j) for i, a in enumerate(old) for j, b in enumerate(new))
    out: dict[int, int] = {}
    for value, i, j in pairs:
        if -value >= _MOVED and i not in out and j not in out.values():
            out[i] = j
    return out


def _overlap(one: FloatArray, other: FloatArray) -> float:
    """Intersection over union of the bounds.

    >>> _overlap(np.array([[0, 0], [2, 2.0]]), np.array([[1, 0], [3, 2.0]]))
    0.3333333333333333
    """
    low = np.maximum(one.min(axis=0), other.min(axis=0))
    high = np.minimum(one.max(axis=0), other.max(axis=0))
    shared = float(np.maximum(high - low, 0).prod())
    both = float(np.ptp(one, axis=0).prod() + np.ptp(other, axis=0).prod()) - shared
    return shared / both if both > 0 else 0.0
