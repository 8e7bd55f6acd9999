"""Puts errors of known kinds into annotations, to learn what errors look like and to measure whether they are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.errors import SpecError
from ocrmaps.evaluation.audit.records import KINDS, OUTLINE_KINDS
from ocrmaps.evaluation.audit.traits import Axes, axes_of
from ocrmaps.geometry import FloatArray, PolygonSet, Size
from ocrmaps.metrics.matching import pair_geometry

TURNS = ("turned by 90", "turned by 180", "turned by 270", "scaled by 0.5", "scaled by 2")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fault:
    """One error that was put in."""

    kind: str
    outlines: tuple[int, ...]
    """Positions of the outlines that are wrong now; none for text that lost its outline."""
    polygon: FloatArray | None
    """Where the text without an outline is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faulty:
    """A sample with errors in it, and which."""

    sample: Sample
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class _Draft:
    """The outlines of one picture while errors are put in."""

    points: list[FloatArray]
    ignore: list[bool]
    texts: list[str | None]
    mark: list[int]
    """The fault of each outline, or -1."""
    kinds: list[str] = field(default_factory=list)
    lost: dict[int, FloatArray] = field(default_factory=dict)

    def fault(self, kind: str) -> int:
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def free(self, i: int) -> bool:
        return self.mark[i] < 0


def put_in(samples: Sequence[Sample], sizes: Mapping[str, Size], rates: Mapping[str, float], seed: int) -> list[Faulty]:
    """The samples with errors: `rates` says of each kind which share of the outlines (or pictures) it strikes.

    `sizes` are those of the pictures in the frame of the annotations. The same seed gives the same errors.
    """
    unknown = [kind for kind in rates if kind not in KINDS]
    if unknown:
        raise SpecError(f"found kind of error {unknown[0]!r}, expected one of {', '.join(KINDS)}")
    rng = np.random.default_rng(seed)
    whole = [kind for kind in ("wrong_frame", "wrong_page") if rates.get(kind)]
    chosen: dict[int, str] = {}
    for kind in whole:
        free = [i for i, sample in enumerate(samples) if i not in chosen and len(sample.polygons) >= 3]
        number = min(len(free), max(1, round(rates[kind] * len(samples))))
        chosen |= dict.fromkeys(rng.choice(free, number, replace=False).tolist() if free else [], kind)
    out = []
    for i, sample in enumerate(samples):
        if i in chosen:
            out.append(_whole(samples, i, chosen[i], sizes, rng))
        else:
            out.append(_single(sample, sizes[sample.id], rates, rng))
    return out


def _whole(samples: Sequence[Sample], i: int, kind: str, sizes: Mapping[str, Size], rng: np.random.Generator) -> Faulty:
    sample, polygons = samples[i], samples[i].polygons
    if kind == "wrong_page":
        others = [j for j, other in enumerate(samples) if j != i and len(other.polygons) >= 3]
        if not others:
            return Faulty(sample=sample, faults=())
        polygons = samples[int(rng.choice(others))].polygons
    else:
        polygons = turned(polygons, sizes[sample.id], TURNS[int(rng.integers(len(TURNS)))])
    return Faulty(
        sample=replace(sample, polygons=polygons),
        faults=(Fault(kind=kind, outlines=tuple(range(len(polygons))), polygon=None),),
    )


def turned(polygons: PolygonSet, size: Size, how: str) -> PolygonSet:
    """The outlines as they would be in a picture of this size that is turned or scaled so.

    >>> p = PolygonSet.of([[(0, 0), (4, 0), (4, 2)]], frame="raw")
    >>> turned(p, (10, 20), "turned by 180").points.tolist()
    [[20.0, 10.0], [16.0, 10.0], [16.0, 8.0]]
    """
    (height, width), (x, y) = size, polygons.points.T
    points = {
        "turned by 90": lambda: (height - y, x),
        "turned by 180": lambda: (width - x, height - y),
        "turned by 270": lambda: (y, width - x),
        "scaled by 0.5": lambda: (x / 2, y / 2),
        "scaled by 2": lambda: (2 * x, 2 * y),
    }[how]()
    return replace(polygons, points=np.stack(points, axis=1))


def _single(sample: Sample, size: Size, rates: Mapping[str, float], rng: np.random.Generator) -> Faulty:
    polygons = sample.polygons
    draft = _Draft(
        points=list(polygons), ignore=polygons.ignore.tolist(), texts=list(polygons.texts), mark=[-1] * len(polygons)
    )
    axes = axes_of(polygons)
    kinds = [kind for kind in ("missing", *OUTLINE_KINDS) if rates.get(kind)]
    shares = np.array([rates[kind] for kind in kinds])
    gone: set[int] = set()
    for i in range(len(polygons)):
        draw = float(rng.random())
        at = int(np.searchsorted(np.cumsum(shares), draw, side="right"))
        if at < len(kinds) and draft.free(i) and i not in gone and len(draft.points[i]) >= 3:
            _strike(draft, axes, i, kinds[at], size, gone, rng)
    kept = [i for i in range(len(draft.points)) if i not in gone]
    places: dict[int, list[int]] = {}
    for new, i in enumerate(kept):
        if draft.mark[i] >= 0:
            places.setdefault(draft.mark[i], []).append(new)
    faults = [
        Fault(kind=kind, outlines=tuple(places.get(f, ())), polygon=draft.lost.get(f))
        for f, kind in enumerate(draft.kinds)
    ]
    changed = PolygonSet.of(
        [draft.points[i] for i in kept],
        frame=polygons.frame,
        ignore=[draft.ignore[i] for i in kept],
        texts=[draft.texts[i] for i in kept],
    )
    return Faulty(sample=replace(sample, polygons=changed), faults=tuple(faults))


def _strike(
    draft: _Draft,
    axes: Axes,
    i: int,
    kind: str,
    size: Size,
    gone: set[int],
    rng: np.random.Generator,
) -> None:
    """One error of this kind at outline i, where there can be one."""
    if draft.ignore[i] != (kind == "should_ignore") and kind != "spurious":
        return
    a, b = axes.half[i]
    local = axes.local(i, draft.points[i])
    if kind == "missing":
        draft.lost[draft.fault(kind)] = draft.points[i]
        gone.add(i)
    elif kind in ("should_ignore", "should_read"):
        draft.ignore[i] = kind == "should_read"
        draft.mark[i] = draft.fault(kind)
    elif kind == "spurious":
        placed = _elsewhere(draft, gone, 2 * axes.half[i], size, rng)
        if placed is not None:
            _append(draft, placed, draft.fault(kind))
    elif kind == "duplicate":
        fault = draft.fault(kind)
        draft.mark[i] = fault
        moved = local + rng.uniform(-0.12, 0.12, 2) * 2 * b
        _append(draft, axes.world(i, moved), fault, text=draft.texts[i])
    elif kind == "split":
        if a < 2.5 * b or len(local) > 4:
            return
        fault, cut = draft.fault(kind), float(rng.uniform(-0.4, 0.4)) * a
        left, right = axes.rectangle(i), axes.rectangle(i)
        left[[1, 2], 0] = right[[0, 3], 0] = cut
        draft.points[i], draft.mark[i] = axes.world(i, left), fault
        _append(draft, axes.world(i, right), fault)
    elif kind == "merged":
        free = [j for j in _beside(axes, draft, i) if draft.free(j) and j not in gone]
        if not free:
            return
        j = int(rng.choice(free))
        both = np.concatenate([local, axes.local(i, draft.points[j])])
        draft.points[i], draft.mark[i] = axes.world(i, _box(both.min(axis=0), both.max(axis=0))), draft.fault(kind)
        draft.texts[i] = None
        gone.add(j)
    else:
        draft.points[i] = axes.world(i, _misdrawn(local, kind, a, b, rng))
        draft.mark[i] = draft.fault(kind)


def _misdrawn(local: FloatArray, kind: str, a: float, b: float, rng: np.random.Generator) -> FloatArray:
    """The points (s, t) of an outline drawn beside, into or around its text; lengths in its height, 2 b."""
    sign = float(rng.choice([-1.0, 1.0]))
    if kind == "shifted":
        if rng.random() < 0.6:
            return np.asarray(local + [0.0, sign * rng.uniform(0.35, 0.8) * 2 * b])
        far = rng.uniform(0.25, 0.5) * 2 * a
        return np.asarray(local + [sign * max(far, 0.8 * 2 * b), 0.0])
    low, high = np.array([-a, -b]), np.array([a, b])
    if kind == "too_tight":
        if rng.random() < 0.5 and a > 2 * b:
            cut = rng.uniform(0.2, 0.45) * 2 * a
            low[0], high[0] = (low[0] + cut, high[0]) if sign < 0 else (low[0], high[0] - cut)
        else:
            cut = rng.uniform(0.25, 0.45) * 2 * b
            share = rng.uniform(0, 1)
            low[1], high[1] = low[1] + share * cut, high[1] - (1 - share) * cut
    else:
        if rng.random() < 0.5:
            grow = rng.uniform(0.4, 0.9) * 2 * b
            low, high = low - grow, high + grow
        else:
            grow = max(rng.uniform(0.2, 0.6) * 2 * a, 1.0 * 2 * b)
            low[0], high[0] = (low[0] - grow, high[0]) if sign < 0 else (low[0], high[0] + grow)
    place = (local - [-a, -b]) / [2 * a, 2 * b]
    return np.asarray(low + place * (high - low))


def _append(draft: _Draft, points: FloatArray, fault: int, *, text: str | None = None) -> None:
    draft.points.append(points)
    draft.ignore.append(False)
    draft.texts.append(text)
    draft.mark.append(fault)


def _box(low: FloatArray, high: FloatArray) -> FloatArray:
    return np.array([low, [high[0], low[1]], high, [low[0], high[1]]])


def _beside(axes: Axes, draft: _Draft, i: int) -> list[int]:
    """The outlines next to one on its line or directly below: what a careless hand draws as one."""
    a, b = axes.half[i]
    out = []
    for j in range(len(axes.half)):
        if i == j or draft.ignore[j]:
            continue
        other = axes.local(i, draft.points[j])
        low, high = other.min(axis=0), other.max(axis=0)
        across = min(high[1], b) - max(low[1], -b)
        along = min(high[0], a) - max(low[0], -a)
        small = min(2 * b, high[1] - low[1])
        on_line = across > 0.6 * small and -5 * 2 * b < along <= 0.3 * b
        under = low[1] > 0 and along > 0.5 * min(2 * a, high[0] - low[0]) and -1.2 * 2 * b < across <= 0.5 * b
        if on_line or under:
            out.append(j)
    return out


def _elsewhere(
    draft: _Draft, gone: set[int], sides: FloatArray, size: Size, rng: np.random.Generator
) -> FloatArray | None:
    """A rectangle of these sides where nothing is annotated, or None after many tries."""
    height, width = size
    w, h = min(float(sides[0]), 0.6 * width), min(float(sides[1]), 0.3 * height)
    taken = PolygonSet.of(draft.points, frame="raw")
    for _ in range(40):
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        placed = _box(np.array([x, y]), np.array([x + w, y + h]))
        if not len(pair_geometry(taken, PolygonSet.of([placed], frame="raw")).overlap):
            return placed
    return None
