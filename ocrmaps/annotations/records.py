"""What every annotation reader takes and gives: sources, samples and readings.

A reader parses only: no pixels, no clipping, no repair. Points come out exactly as the file states them
(an integer-only format aside), in the frame that the source declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ocrmaps import inline
from ocrmaps.errors import Problem
from ocrmaps.geometry import Frame, PolygonSet, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Annotation files in one format, where their pictures are, and what they claim."""

    annotations: Path
    """The annotation file, or the folder that holds one file per picture."""
    pictures: Path
    """The folder that picture names are relative to; nothing outside it is ever read."""
    format: str
    """A key of `READERS`."""
    frame: Frame = "upright"
    """Whether coordinates count stored pixels (`raw`) or what a viewer shows (`upright`): declared, never guessed."""
    split: str = ""
    """`train`, `val`, `test`, or empty."""
    name: str = ""
    """How reports call this source; the file or folder name if empty."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sample:
    """One picture as annotated, untouched."""

    id: str
    """Unique within the source: the picture's path relative to the picture folder, with forward slashes."""
    polygons: PolygonSet
    """In the frame of the source."""
    loc: str
    """Where it was written: `file:line`, `file:json.path` or the per-picture file."""
    size: Size | None = None
    """(height, width) as the annotation file claims, None where it does not say."""

    folder: Path | None = field(default=None, compare=False)
    """The picture folder of its source: for looking at the sample, no part of what was annotated."""

    @property
    def picture(self) -> str:
        """Path of the picture relative to the source's picture folder."""
        return self.id

    def __repr__(self) -> str:
        return f"Sample({self.id!r}, {self.polygons!r})"

    def _repr_html_(self) -> str:
        """The picture under its outlines, for notebooks."""
        path = None if self.folder is None else self.folder / self.id
        return inline.over_file(path, self.polygons, self.size, f"{self.id}: {self.polygons!r}, from {self.loc}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything found in a source: the samples that parse and a problem for each thing that does not."""

    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = ()
    unused: Mapping[str, int] = field(default_factory=dict)
    """Things understood but not kept (`tags`, `language`, ...), with counts."""
    notes: tuple[Problem, ...] = ()
    """Readings that a person should know of but that are not refused, such as a file read as latin-1; same shape."""


Reader = Callable[[Source], Reading]
