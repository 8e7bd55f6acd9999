"""Invented pictures as scene-text data sets have them: few texts, many ignored ones, outlines that bend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ocrmaps.geometry import FloatArray, PolygonSet

Page = tuple[PolygonSet, PolygonSet]


def scenes(kind: str, number: int, seed: int = 0) -> list[Page]:
    """Truth and detections of pictures like those of ICDAR 2015 (quads) or Total-Text (bent outlines)."""
    rng = np.random.default_rng(seed)
    words, ignored, outline = KINDS[kind]
    return [_picture(rng, words, ignored, outline) for _ in range(number)]


def _picture(rng: np.random.Generator, words: float, ignored: float, outline: Callable[..., FloatArray]) -> Page:
    """Some words missed, some found in two pieces, some found where nothing is."""
    truth: list[FloatArray] = []
    found: list[FloatArray] = []
    texts: list[str] = []
    read: list[str] = []
    for _ in range(max(int(rng.poisson(words)), 1)):
        n, height = int(rng.integers(2, 12)), rng.uniform(12, 50)
        place = (rng.uniform([60, 60], [1220, 660]), 0.55 * height * n, height, rng.normal(0, 0.3), rng.normal(0, 0.2))
        truth.append(np.round(outline(rng, *place)))
        texts.append("".join(rng.choice(list("abcdefgh"), n)))
        chance = rng.random()
        if chance < 0.1:
            at, width, *rest = place
            for side in (-0.26, 0.26):
                found.append(outline(rng, at + [side * width, 0.0], 0.48 * width, *rest))
                read.append(texts[-1])
        elif chance < 0.85:
            found.append(outline(rng, *place) + rng.normal(0, 0.5, 2))
            read.append(texts[-1])
    for _ in range(rng.poisson(1)):
        found.append(outline(rng, rng.uniform([60, 60], [1220, 660]), 60.0, 20.0, 0.0, 0.0))
        read.append("x")
    flags = rng.random(len(truth)) < ignored
    return PolygonSet.of(truth, frame="raw", ignore=flags, texts=texts), PolygonSet.of(found, frame="raw", texts=read)


def _quad(
    rng: np.random.Generator, at: FloatArray, width: float, height: float, bend: float, turn: float
) -> FloatArray:
    return _ribbon(2, at, width, height, 0.0, turn) + rng.normal(0, 0.04 * height, (4, 2))


def _bent(
    rng: np.random.Generator, at: FloatArray, width: float, height: float, bend: float, turn: float
) -> FloatArray:
    out = _ribbon(int(rng.integers(3, 9)), at, width, height, bend, turn)
    return out + rng.normal(0, 0.02 * height, out.shape)


def _ribbon(points: int, at: FloatArray, width: float, height: float, bend: float, turn: float) -> FloatArray:
    """So many points along the top, as many back along the bottom."""
    along = np.linspace(-0.5, 0.5, points)
    x, y = along * width, bend * along * along * width
    line = np.concatenate([np.stack([x, y - height / 2], 1), np.stack([x, y + height / 2], 1)[::-1]])
    return line @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + at


KINDS: dict[str, tuple[float, float, Callable[..., FloatArray]]] = {
    "icdar15": (10.0, 0.5, _quad),
    "totaltext": (7.0, 0.15, _bent),
}
"""Words a picture, the share of ignored ones, and an outline."""
