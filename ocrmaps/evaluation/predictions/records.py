"""What a file of predictions says, before anybody knows which pictures of a data set it speaks of.

A reader parses only. Names of pictures are compared and never opened, so any path is taken as a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.records import Source
from ocrmaps.errors import Problem
from ocrmaps.geometry import FloatArray, Frame, PolygonSet, Size

SCORE_KEYS = ("score", "confidence", "bbox_score")
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

    detecting = True

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

    def score(self, row: Mapping[str, Any]) -> Any:
        return next((row[key] for key in SCORE_KEYS if row.get(key) is not None), None)

    def beside(self, scores: Sequence[Any], outlines: int, loc: str) -> Sequence[Any]:
        """The list of scores that stands beside a list of outlines, if it has one for each."""
        if len(scores) == outlines:
            return scores
        if self.scale != "none":
            message = f"found {len(scores)} scores for {outlines} outlines, expected one for each, or none at all"
            self.problem(loc, message, "score")
        return [None] * outlines

    def page(
        self,
        id: str | None,
        loc: str,
        found: GatheredOutlines,
        *,
        size: Size | None = None,
        relative: bool = False,
        since: int,
    ) -> None:
        """Add one picture. `relative` without a size: the points are shares of the picture's sides."""
        scores, where = found.scores, found.where
        name = None if id is None else self.picture(id, loc)
        if self.scale != "none":
            for i, score in enumerate(scores):
                if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
                    self.problem(where(i), f"found the score {shown(score)}, expected a number", "score")
                elif score is not None and not abs(score) < 1e300:
                    self.problem(where(i), f"found the score {shown(score)}, expected a finite number", "score")
            given = sum(score is not None for score in scores)
            if given not in (0, len(scores)):
                message = f"found {given} scores for {len(scores)} outlines, expected one for each, or none at all"
                self.problem(loc, message, "score")
        if name is not None:
            self._ranks.setdefault(name, scores)
            if relative:
                self._relative.add(name)
        self.sample(name, loc=loc, points=found.points, texts=found.texts, where=where, size=size, since=since)

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
