"""Which samples the doctor follows: damaged ones, then extremes, then an even spread; the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ocrmaps.geometry import PolygonSet, Size

Facts = Mapping[str, float]
"""What is known of a sample before it is opened."""
EXTREMES: dict[str, tuple[str, Callable[[Sequence[Facts]], list[int]]]] = {
    "smallest": ("smallest text", lambda all: _by(all, "height", -1)),
    "turned": (
        "turned by its orientation",
        lambda all: [i for i in _by(all, "orientation", 1) if all[i]["orientation"] > 1],
    ),
    "most": ("most outlines", lambda all: _by(all, "outlines", 1)),
    "elongated": ("most elongated picture", lambda all: _by(all, "aspect", 1)),
    "empty": ("no outlines", lambda all: [i for i, f in enumerate(all) if f["outlines"] == 0]),
    "largest": ("largest picture", lambda all: _by(all, "pixels", 1)),
}  # fmt: skip


def _by(all: Sequence[Facts], name: str, sign: int) -> list[int]:
    """Indices by a fact, the most extreme first; those without it are left out."""
    known = [i for i, facts in enumerate(all) if np.isfinite(facts.get(name, np.nan))]
    return sorted(known, key=lambda i: (-sign * all[i][name], i))


def choose(all: Sequence[Facts], number: int, *, first: Sequence[int] = ()) -> list[tuple[int, str]]:
    """(index, why) of at most `number` samples; `first` ones are in any case.

    >>> facts = [{"height": h, "orientation": 1, "outlines": 3, "aspect": 1.0, "pixels": 9.0} for h in (5, 2, 9)]
    >>> choose(facts, 2)
    [(1, 'smallest text'), (0, 'most outlines')]
    """
    chosen = dict.fromkeys(list(first)[:number], "damaged")
    for why, ranked in EXTREMES.values():
        if len(chosen) >= number:
            break
        for index in ranked(all):
            if index not in chosen:
                chosen[index] = why
                break
    rest = [i for i in range(len(all)) if i not in chosen]
    wanted = min(number - len(chosen), len(rest))
    for place in np.linspace(0, len(rest) - 1, wanted).round().astype(int).tolist() if wanted > 0 else []:
        chosen.setdefault(rest[place], "even spread")
    return list(chosen.items())


def facts_of(polygons: PolygonSet | None, outlines: int, orientation: int, size: Size) -> Facts:
    """What choosing looks at; heights only where the polygons were read."""
    height = float("nan")
    if polygons is not None and len(polygons):
        sides = polygons.equivalent_sides()[:, 0]
        sides = sides[(sides > 0) & ~polygons.ignore]
        # The tenth part: one sloppy outline must not decide.
        height = float(np.quantile(sides, 0.1)) if len(sides) else float("nan")
    h, w = size
    return {
        "height": height, "outlines": float(outlines), "orientation": float(orientation),
        "aspect": max(h, w) / min(h, w), "pixels": float(h * w),
    }  # fmt: skip
