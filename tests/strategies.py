"""Hypothesis strategies for original-coordinate polygons and samples.

Points may lie anywhere and outlines may cross themselves: what files hold, not what is drawable. `simple_outlines`
gives polygons that enclose an area without crossing, for geometry that needs that.
"""

from __future__ import annotations

import math

from hypothesis import strategies as st

from ocrmaps.annotations.records import Sample
from ocrmaps.geometry import Frame, PolygonSet

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Any text that UTF-8 can hold, line breaks, quotes and NUL included."""

LINE_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12)
"""A text that fits on one line of a text file."""


def coordinates(limit: float = 1e4) -> st.SearchStrategy[float]:
    """Whole numbers, as most annotation tools write, and any finite float."""
    whole = st.integers(-int(limit), int(limit)).map(float)
    return whole | st.floats(-limit, limit, allow_nan=False)


def outlines(
    min_points: int = 3, max_points: int = 9, limit: float = 1e4
) -> st.SearchStrategy[list[tuple[float, float]]]:
    """Points without any promise about their shape."""
    value = coordinates(limit)
    return st.lists(st.tuples(value, value), min_size=min_points, max_size=max_points)


@st.composite
def simple_outlines(
    draw: st.DrawFn, width: float = 640, height: float = 640, max_points: int = 9
) -> list[tuple[float, float]]:
    """A star-shaped polygon inside the given size, clockwise on the screen, with sides that do not cross."""
    n = draw(st.integers(3, max_points))
    reach = min(width, height) / 2
    radii = draw(st.lists(st.floats(0.2, 1), min_size=n, max_size=n))
    size = draw(st.floats(0.05, 0.9)) * reach
    cx, cy = draw(st.floats(size, width - size)), draw(st.floats(size, height - size))
    turn = draw(st.floats(0, 2 * math.pi))
    return [
        (cx + size * r * math.cos(turn + 2 * math.pi * i / n), cy + size * r * math.sin(turn + 2 * math.pi * i / n))
        for i, r in enumerate(radii)
    ]


@st.composite
def polygon_sets(
    draw: st.DrawFn,
    frame: Frame = "upright",
    max_size: int = 4,
    outline: st.SearchStrategy[list[tuple[float, float]]] | None = None,
    text: st.SearchStrategy[str] = TEXT,
) -> PolygonSet:
    """Polygons with ignore flags and texts, empty sets included."""
    polygons = draw(st.lists(outline if outline is not None else outlines(), max_size=max_size))
    n = len(polygons)
    ignore = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    texts = draw(st.lists(st.none() | text, min_size=n, max_size=n))
    return PolygonSet.of(polygons, frame=frame, ignore=ignore, texts=texts)


@st.composite
def sample_lists(
    draw: st.DrawFn, frame: Frame = "upright", min_size: int = 1, max_size: int = 3, text: st.SearchStrategy[str] = TEXT
) -> list[Sample]:
    """Samples of one source: distinct ids, some in subfolders, sizes known or not."""
    stem = st.text(st.sampled_from("abcxyz019_- é"), min_size=1, max_size=6)
    folder = st.sampled_from(["", "", "scans/", "a/b/"])
    names = draw(st.lists(st.tuples(folder, stem), min_size=min_size, max_size=max_size, unique=True))
    ending = draw(st.sampled_from([".jpg", ".PNG", ".jpeg"]))
    side = st.integers(1, 5000)
    return [
        Sample(
            id=f"{folder}{stem}{ending}",
            polygons=draw(polygon_sets(frame=frame, text=text)),
            loc=f"generated:{i}",
            size=draw(st.none() | st.tuples(side, side)),
        )
        for i, (folder, stem) in enumerate(names)
    ]
