"""What a file of predictions says, before anybody knows which pictures of a data set it speaks of.

A reader parses only. Names of pictures are compared and never opened, so any path is taken as a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.records import Source
from ocrmaps.errors import Problem
from ocrmaps.geometry import FloatArray, Frame, PolygonSet, Size

SCORE_KEYS = ("score", "confidence")
"""What an outline's score may be called; the first that is there counts."""
Scale = Literal["probability", "rank", "none"]
"""probability: scores lie in 0 to 1; rank: any finite numbers, of which only the order counts; none: left out."""
SCALES: tuple[Scale, ...] = ("probability", "rank", "none")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictedPicture:
    """The detections of one picture, as written."""

    name: str
    """What the file calls the picture: a path, a file name, or a name without ending."""
    polygons: PolygonSet
    scores: FloatArray | None
    """(k), None where nobody gave any."""
    loc: str
    size: Size | None = None
    """(height, width) of the picture that the coordinates count, where the file says it."""
    relative: bool = False
    """Coordinates were shares of the sides; `polygons` has them in pixels of `size`, or as shares where it is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFile:
    """Everything that was found at one path."""

    format: str
    pictures: tuple[PredictedPicture, ...]
    scored: bool
    """Whether the outlines have scores; true as well where there is no outline at all."""
    frame: Frame | None = None
    """What the file itself says; None where it does not."""
    layout: str = ""
    """How lines of txt files were read."""
    unused: Mapping[str, int] = field(default_factory=dict)


class Found(Gather):
    """The detections and problems of one path while it is read."""

    def __init__(self, path: Path, *, scale: Scale = "probability") -> None:
        super().__init__(Source(annotations=path, pictures=path.parent, format="predictions"))
        self.scale = scale
        self.frame: Frame | None = None
        self.layout = ""
        self._ranks: dict[str, list[Any]] = {}
        self._relative: set[str] = set()

    def picture(self, name: object, loc: str) -> str | None:
        """A name that is only ever compared."""
        try:
            return plain_name(name)
        except ValueError as error:
            self.problem(loc, str(error), "wrong-type")
            return None

    def detections(
        self,
        name: object,
        *,
        loc: str,
        points: list[Any],
        scores: Sequence[Any],
        where: Callable[[int], str],
        texts: Sequence[Any] | None = None,
        size: Size | None = None,
        relative: bool = False,
        since: int | None = None,
    ) -> None:
        """Add one picture. `scores` has an entry for each outline, None where the file gives none."""
        before = len(self.problems) if since is None else since
        id = self.picture(name, loc)
        if self.scale != "none":
            for i, score in enumerate(scores):
                if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
                    self.problem(where(i), f"found the score {shown(score)}, expected a number", "score")
                elif score is not None and not abs(score) < 1e300:
                    self.problem(where(i), f"found the score {shown(score)}, expected a finite number", "score")
            given = sum(score is not None for score in scores)
            if len(scores) != len(points) or given not in (0, len(points)):
                message = f"found {given} scores for {len(points)} outlines, expected one for each, or none at all"
                self.problem(loc, message, "score")
        if id is not None:
            self._ranks.setdefault(id, list(scores))
            if relative:
                self._relative.add(id)
        self.sample(id, loc=loc, points=points, texts=texts, where=where, size=size, since=before)

    def pictures_found(self) -> tuple[tuple[PredictedPicture, ...], bool, tuple[Problem, ...]]:
        """(pictures, whether they are scored, problems)"""
        reading = self.reading()
        ranks = {s.id: [r for r in self._ranks[s.id] if r is not None] for s in reading.samples}
        counts = [(len(ranks[s.id]), len(s.polygons), s) for s in reading.samples if len(s.polygons)]
        without = [sample for given, _, sample in counts if not given]
        scored = self.scale != "none" and len(without) < max(len(counts), 1)
        problems = list(reading.problems)
        if scored:
            problems += [
                Problem(s.loc, f"found no scores for {len(s.polygons)} outlines, other pictures have some", "score")
                for s in without
            ]
        pictures = tuple(
            PredictedPicture(
                name=s.id,
                polygons=s.polygons,
                scores=np.array(ranks[s.id], dtype=np.float64) if scored else None,
                loc=s.loc,
                size=s.size,
                relative=s.id in self._relative,
            )
            for s in reading.samples
        )
        return pictures, scored, tuple(problems)


def plain_name(name: object) -> str:
    """The part of a path that can be compared: forward slashes, without drive, root and what `..` cuts off.

    >>> plain_name("/data/in/a.jpg"), plain_name("C:\\\\in\\\\a.jpg"), plain_name("../in/a.jpg")
    ('data/in/a.jpg', 'in/a.jpg', 'in/a.jpg')
    """
    if not isinstance(name, str):
        raise ValueError(f"found {shown(name)}, expected the name of a picture")
    if "\0" in name:
        raise ValueError("found a NUL character in the name of a picture")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"found half a surrogate pair in the name {shown(name)}") from None
    parts = [part for part in _DRIVE.sub("", name.replace("\\", "/"), count=1).split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = parts[len(parts) - parts[::-1].index("..") :]
    if not parts:
        raise ValueError(f"found {shown(name)}, expected the name of a picture")
    return "/".join(parts)


def rank_of(row: Mapping[str, Any]) -> Any:
    """What an object says as its score, None where it says nothing."""
    return next((row[key] for key in SCORE_KEYS if row.get(key) is not None), None)
