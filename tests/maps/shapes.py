"""Polygons to draw maps of: what text looks like, and what nobody expects."""

from __future__ import annotations

import math

import numpy as np
import shapely
from hypothesis import assume
from hypothesis import strategies as st

from ocrmaps.geometry import FloatArray, PolygonSet, Size

FINE = 2.0**-20
"""Multiples of this many pixels survive flips and shifts without rounding."""


def canonical(polygons: list, ignore: list[bool] | None = None) -> PolygonSet:
    return PolygonSet.of(polygons, frame="canonical", ignore=ignore)


def on_grid(points: object, grid: float = FINE) -> FloatArray:
    return np.round(np.asarray(points, dtype=float) / grid) * grid


def rectangle(x: float, y: float, width: float, height: float, degrees: float = 0.0) -> FloatArray:
    """Clockwise on the screen from the corner (x, y), then turned about that corner."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    return np.array([(x + c * u - s * v, y + s * u + c * v) for u, v in corners])


def ribbon(x: float, y: float, radius: float, height: float, points: int = 20) -> FloatArray:
    """Curved text: an arc of three quarters of a turn with `points` vertices on either side."""
    turn = np.linspace(0, 1.5 * math.pi, points)
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([arc * radius, arc[::-1] * (radius + height)]) + (x, y)


def star(n: int, x: float, y: float, radius: float, jag: float = 0.3) -> FloatArray:
    """A simple polygon of n points whose radius swings between `radius` and (1 + jag) times that."""
    turn = np.arange(n) * 2 * math.pi / n
    swing = radius * (1 + jag * (np.arange(n) * 7919 % n) / n)
    return np.stack([x + swing * np.cos(turn), y + swing * np.sin(turn)], axis=1)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def simple_polygons(draw: st.DrawFn, size: Size, inside: bool = False) -> FloatArray:
    """A rectangle, ribbon, star or any simple polygon of 3 to 9 points, tiny to ten times the canvas."""
    height, width = size
    kind = draw(st.sampled_from(["rectangle", "ribbon", "star", "any"]))
    far = 0.0 if inside else 0.5 * max(height, width)
    x, y = draw(st.floats(-far, width + far)), draw(st.floats(-far, height + far))
    if kind == "any":
        near = st.floats(-2.0 * max(size), 3.0 * max(size))
        points = np.array(draw(st.lists(st.tuples(near, near), min_size=3, max_size=9)))
        points = points if not inside else np.mod(points, (width, height))
    else:
        scale = draw(st.floats(0.01, 1.0)) * max(size) * draw(st.sampled_from([0.3, 1.0, 10.0]))
        if kind == "rectangle":
            points = rectangle(x, y, scale, draw(st.floats(0.02, 1)) * scale, draw(st.floats(0, 360)))
        elif kind == "ribbon":
            points = ribbon(x, y, scale, draw(st.floats(0.05, 1)) * scale, draw(st.integers(3, 20)))
        else:
            points = star(draw(st.integers(3, 60)), x, y, scale, draw(st.floats(0, 1)))
        if inside:
            points = np.clip(points, 0, (width, height))
    points = on_grid(points)
    assume(shapely.Polygon(points).is_valid and shapely.Polygon(points).area > 1e-3)
    return points
