"""Small pictures full of trouble: what the fast scores and the plain ones have to agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ocrmaps.geometry import FloatArray, PolygonSet
from ocrmaps.metrics import ClevalCounts, ClevalRule, match_cleval

Quads = Sequence[tuple[float, float, float, float]]


def box(x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    """An axis-aligned quad from its upper left corner."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def boxes(
    corners: Quads, *, ignore: Sequence[bool] | None = None, texts: Sequence[str | None] | None = None
) -> PolygonSet:
    return PolygonSet.of([box(*c) for c in corners], frame="raw", ignore=ignore, texts=texts)


def score_of(
    truth: Quads,
    texts: Sequence[str | None],
    found: Quads,
    read: Sequence[str | None] | None = None,
    ignore: Sequence[bool] | None = None,
    **rule: Any,
) -> ClevalCounts:
    """CLEval of boxes; detections read `q` where nothing else is said."""
    read = ["q"] * len(found) if read is None else read
    return match_cleval(
        boxes(truth, texts=texts, ignore=ignore), boxes(found, texts=read), rule=ClevalRule(**rule)
    ).counts


def wordless(polygons: PolygonSet, every: int = 1) -> PolygonSet:
    """Every so many texts taken away."""
    texts = tuple(None if i % every == 0 else text for i, text in enumerate(polygons.texts))
    return replace(polygons, texts=texts)


def trouble(seed: int, *, crossing: float = 0.0, polygons: float = 0.0) -> tuple[PolygonSet, PolygonSet]:
    """Up to five truths, some ignored, and up to six detections: moved, cut, joined, scaled, turned, made up."""
    rng = np.random.default_rng(seed)
    letters = list("abAB c#")

    def quad() -> FloatArray:
        x, y = rng.integers(-10, 110, 2)
        width, height = rng.integers(4, 80), rng.integers(4, 40)
        if rng.random() < 0.2:
            width, height = height, width
        out = box(x, y, x + width, y + height)
        kind = rng.random()
        if kind < 0.4:
            turn = rng.normal() * 0.5
            out = (out - out[0]) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + out[0]
        elif kind < 0.6:
            out = out + rng.normal(0, 2, (4, 2))
        if rng.random() < 0.1:
            out = np.roll(out, rng.integers(4), axis=0)
        if rng.random() < 0.1:
            out = out[::-1]
        if rng.random() < crossing:
            out = out[[0, 2, 1, 3]]
        return out

    def word() -> str:
        return "".join(rng.choice(letters, rng.integers(0, 9)))

    digits = int(rng.choice([0, 0, 2]))
    truth = [np.round(quad(), digits) for _ in range(rng.integers(0, 6))]
    texts = [word() for _ in truth]
    found = []
    for _ in range(rng.integers(0, 7)):
        out = quad()
        if truth and rng.random() < 0.75:
            out, other, kind = truth[rng.integers(len(truth))], truth[rng.integers(len(truth))], rng.random()
            low, high = np.sort(rng.random(2))
            if kind < 0.3:
                out = out + rng.normal(0, 2, (4, 2))
            elif kind < 0.6:
                top, bottom = out[1] - out[0], out[2] - out[3]
                out = np.stack([out[0] + low * top, out[0] + high * top, out[3] + high * bottom, out[3] + low * bottom])
            elif kind < 0.8:
                both = np.concatenate([out, other])
                out = box(*both.min(axis=0), *both.max(axis=0))
            elif kind < 0.9:
                out = (out - out.mean(axis=0)) * rng.uniform(0.6, 2.2) + out.mean(axis=0)
        found.append(np.round(out, digits))
    if rng.random() < polygons:
        truth, found = [_rounder(p, rng) for p in truth], [_rounder(p, rng) for p in found]
    read = [texts[rng.integers(len(texts))] if texts and rng.random() < 0.5 else word() for _ in found]
    ignore = [bool(rng.random() < 0.25) for _ in truth]
    return (
        PolygonSet.of(truth, frame="raw", ignore=ignore, texts=texts),
        PolygonSet.of(found, frame="raw", texts=read),
    )


def ties(seed: int) -> tuple[PolygonSet, PolygonSet]:
    """Level and turned boxes of odd sizes, each with a detection of half, twice, 0.4, 0.8, ... its area."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(rng.integers(1, 5)):
        x, y, width, height = np.concatenate([rng.integers(0, 200, 2), rng.integers(4, 80, 2)]) / rng.choice([1, 3, 7])
        outline, turn = box(x, y, x + width, y + height), rng.normal() * 0.7 * (rng.random() < 0.5)
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        outline = (outline - outline[0]) @ turned + outline[0]
        part, other = rng.choice([0.5, 0.5, 2.0, 0.4, 0.8, 2.5]), outline.copy()
        moving, fixed = ([1, 2], [0, 3]) if rng.random() < 0.5 else ([2, 3], [1, 0])
        other[moving] = outline[fixed] + part * (outline[moving] - outline[fixed])
        truth.append(outline)
        found.append(np.roll(other, rng.integers(4), axis=0))
    ignore = [bool(rng.random() < 0.25) for _ in truth]
    return PolygonSet.of(truth, frame="raw", ignore=ignore), PolygonSet.of(found, frame="raw")


def _rounder(outline: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The outline with a vertex more on some sides, moved in or out of line."""
    out = []
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        out.append(a)
        if rng.random() < 0.5:
            out.append((a + b) / 2 + rng.normal(0, 3, 2) * (rng.random() < 0.7))
    return np.array(out)
