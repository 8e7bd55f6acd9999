"""The detections of one page while an engine's answer is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ocrmaps.evaluation.predictions.records import Found
from ocrmaps.geometry import Size


@dataclass(slots=True)
class Detected:
    """Outlines, scores and texts of one page, and the place of each."""

    points: list[Any] = field(default_factory=list)
    scores: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, place: str, points: Any, score: Any = None, text: Any = None) -> None:
        self.points.append(points)
        self.scores.append(score)
        self.texts.append(text)
        self.places.append(place)

    def to(
        self, found: Found, name: object, loc: str, *, since: int, size: Size | None = None, relative: bool = False
    ) -> None:
        """Add the page to what was found. `relative` without a size: the points are shares of the picture's sides."""
        found.detections(
            name,
            loc=loc,
            points=self.points,
            scores=self.scores,
            texts=self.texts,
            where=self.places.__getitem__,
            size=size,
            relative=relative,
            since=since,
        )


def listed(found: Found, items: Any, loc: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of everything in a list of objects; what is none is a problem."""
    if found.expect(items, list, loc, "a list"):
        for i, item in enumerate(items):
            if found.expect(item, dict, f"{loc}[{i}]", "an object"):
                yield f"{loc}[{i}]", item


def page_name(stem: str, number: int) -> str:
    """The name of a page of a file, counted from 0: the first is the file itself."""
    return f"{stem}#{number + 1}" if number else stem


def corners(items: Any, names: tuple[str, str], missing: float | None = None) -> Any:
    """[{"x": 1, "y": 2}, ...] as flat numbers; what is none of that comes back as it is and is refused as an outline.

    `missing`: what a member stands for that is left out, as protocol buffers leave out zeros.
    """
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return items
    return [item.get(name, missing) for item in items for name in names]


def shares(outline: Any, width: Any, height: Any) -> Any:
    """Flat numbers in any unit as shares of the page's sides in that unit."""
    numbers: list[Any] = [width, height, *outline] if isinstance(outline, list) else [None]
    if not all(type(v) in (int, float) and abs(v) < 1e300 for v in numbers) or min(numbers[:2]) <= 0:
        return outline
    return [v / (height if i % 2 else width) for i, v in enumerate(outline)]
