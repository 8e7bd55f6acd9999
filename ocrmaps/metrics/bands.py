"""Outlines of text lines as data sets of curved text write them: one long side, then the other one backwards.

CLEval reads characters along the middle between the halves of an outline. An outline that does not begin at an end of
its text, or whose sides have unequal numbers of points, has its middle elsewhere, and text found exactly would lose.
Such outlines are written anew: their ends are the two edges that leave the sides nearest to each other.
"""

from __future__ import annotations

import math

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import FloatArray, IntArray, PolygonSet

_STEPS = 16
"""Points on each side of an outline that is written anew."""
_MOST = 32
"""Corners of an outline whose ends are looked for; of more, so many points on it: all pairs of edges are tried."""


def as_bands(polygons: PolygonSet) -> PolygonSet:
    """The set with outlines of five corners and more as bands; those that are bands, and all others, stay as given.

    >>> arrow = [(0, 0), (80, 0), (80, 20), (40, 20), (0, 20), (0, 0)]  # its first corner is given twice
    >>> as_bands(PolygonSet.of([arrow], frame="raw"))[0][[0, 15, 16, 31]].round(6).tolist()
    [[0.0, 0.0], [80.0, 0.0], [80.0, 20.0], [0.0, 20.0]]
    """
    if not (np.diff(polygons.offsets) > 4).any():
        return polygons
    points, offsets = _banded(polygons.points, polygons.offsets)
    points.setflags(write=False)
    offsets.setflags(write=False)
    return PolygonSet.unchecked(
        points=points, offsets=offsets, ignore=polygons.ignore, texts=polygons.texts, frame=polygons.frame
    )


@compiled
def _banded(points: FloatArray, offsets: IntArray) -> tuple[FloatArray, IntArray]:
    k = len(offsets) - 1
    out, ends = np.empty((len(points) + 2 * _STEPS * k, 2)), np.zeros(k + 1, dtype=np.int64)
    at = 0
    for i in range(k):
        outline = points[offsets[i] : offsets[i + 1]]
        n = len(outline)
        if n > 4:
            while n > 3 and outline[n - 1, 0] == outline[0, 0] and outline[n - 1, 1] == outline[0, 1]:
                n -= 1
            outline = outline[:n]
        if n > 4:
            stray = _stray(outline, outline) if n % 2 == 0 else 1.0
            if stray > 0.0:
                band, found = _band(outline)
                if found and (n % 2 == 1 or _stray(band, outline) < stray):
                    outline = band
        for p in range(len(outline)):
            out[at, 0], out[at, 1] = outline[p, 0], outline[p, 1]
            at += 1
        ends[i + 1] = at
    return out[:at].copy(), ends


@compiled
def _stray(band: FloatArray, outline: FloatArray) -> float:
    """The share of the middle between a band's halves that lies outside an outline; asked between its two ends."""
    half, last, outside = len(band) // 2, len(band) - 1, 0
    for step in range(1, 2 * half - 2):
        p, q = step // 2, (step + 1) // 2
        x = (band[p, 0] + band[last - p, 0] + band[q, 0] + band[last - q, 0]) / 4
        y = (band[p, 1] + band[last - p, 1] + band[q, 1] + band[last - q, 1]) / 4
        inside = False
        for i in range(len(outline)):
            x1, y1, x2, y2 = outline[i - 1, 0], outline[i - 1, 1], outline[i, 0], outline[i, 1]
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
        outside += not inside
    return outside / max(2 * half - 3, 1)


@compiled
def _band(outline: FloatArray) -> tuple[FloatArray, bool]:
    """An outline from end to end and back, left to right or else from the bottom up; and whether it has such ends."""
    ring = outline if len(outline) <= _MOST else _around(outline, _lengths(outline), 0.0, math.inf, _MOST)
    lengths = _lengths(ring)
    n, whole = len(ring), lengths[len(ring)]
    best, nearest, found = np.empty((0, 2)), math.inf, False
    for a in range(n):
        for b in range(a + 1, n):
            # One side from the end of edge a to the start of edge b, the other from its end around to the start of a.
            there = _around(ring, lengths, lengths[a + 1], lengths[b], _STEPS)
            back = _around(ring, lengths, lengths[b + 1], whole + lengths[a], _STEPS)
            apart = 0.0
            for s in range(_STEPS):
                apart += math.hypot(there[s, 0] - back[-1 - s, 0], there[s, 1] - back[-1 - s, 1])
            if apart < nearest:
                best, nearest, found = np.concatenate((there, back)), apart, True
    if found:
        x = best[_STEPS - 1, 0] + best[_STEPS, 0] - best[0, 0] - best[-1, 0]
        y = best[_STEPS - 1, 1] + best[_STEPS, 1] - best[0, 1] - best[-1, 1]
        if x < 0.0 if abs(x) >= abs(y) else y > 0.0:
            best = np.concatenate((best[_STEPS:], best[:_STEPS]))
    return best, found


@compiled
def _lengths(ring: FloatArray) -> FloatArray:
    """(n + 1): how far along an outline each of its points lies, the first one at the end again."""
    out = np.zeros(len(ring) + 1)
    for i in range(len(ring)):
        j = (i + 1) % len(ring)
        out[i + 1] = out[i] + math.hypot(ring[j, 0] - ring[i, 0], ring[j, 1] - ring[i, 1])
    return out


@compiled
def _around(ring: FloatArray, lengths: FloatArray, start: float, stop: float, count: int) -> FloatArray:
    """(count, 2): points at even steps between two lengths along an outline; all around it if the second is endless."""
    n, out = len(ring), np.empty((count, 2))
    whole, i = lengths[n], 0
    step = (stop - start) / (count - 1) if stop < math.inf else whole / count
    for s in range(count):
        aim = start + step * s
        aim -= whole if aim >= whole else 0.0
        if aim < lengths[i]:
            i = 0
        while i < n - 1 and lengths[i + 1] <= aim:
            i += 1
        edge = lengths[i + 1] - lengths[i]
        part = min(max((aim - lengths[i]) / edge, 0.0), 1.0) if edge > 0.0 else 0.0
        j = (i + 1) % n
        out[s, 0] = ring[i, 0] + part * (ring[j, 0] - ring[i, 0])
        out[s, 1] = ring[i, 1] + part * (ring[j, 1] - ring[i, 1])
    return out
