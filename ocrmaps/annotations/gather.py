"""Turns what a reader parsed into samples, and everything that is wrong into problems: all of them, each with a place.

A sample with any problem is left out: half of a picture's outlines would teach that the rest is background.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from ocrmaps.annotations.crowds import crowd
from ocrmaps.annotations.discovery.pictures import PictureFolder, address_ends, clean_name, leaves
from ocrmaps.annotations.grammar import stream
from ocrmaps.annotations.grammar.contents import clipped, decode, parse_json, read_bytes, shown
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.errors import AnnotationError, Problem
from ocrmaps.files import open_regular
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.limits import MAX_BYTES, MAX_COORDINATE, MOST_POINTS

T = TypeVar("T")

_STEP = re.compile(r"[.\[:]")
_NUMBERS = {int, float}
_TEXTS = {str, type(None)}


@dataclass(slots=True)
class GatheredOutlines:
    """The outlines of one picture while its annotations are read, and the place of each."""

    points: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    ignore: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, place: str, points: Any, text: Any = None, *, ignore: Any = False) -> None:
        self.points.append(points)
        self.texts.append(text)
        self.ignore.append(ignore)
        self.places.append(place)


class Gather:
    """The samples, problems, notes and unused counts of one source while it is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.pictures = PictureFolder(source.pictures)
        self._begin()

    def _begin(self) -> None:
        self.samples: list[Sample] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.unused: Counter[str] = Counter()
        self._seen: dict[str, str] = {}
        self._twice: set[str] = set()
        self._doubled: list[str] = []

    def problem(self, loc: str, message: str, kind: str = "invalid") -> None:
        self.problems.append(Problem(loc=loc, message=clipped(message), kind=kind))

    def note(self, loc: str, message: str, kind: str) -> None:
        self.notes.append(Problem(loc=loc, message=clipped(message), kind=kind))

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A file that cannot be read at all becomes its problems; the other files are still read."""
        try:
            yield
        except AnnotationError as error:
            self.problems.extend(error.problems)

    @property
    def file(self) -> str:
        """How messages call the annotation file or folder."""
        return self.source.annotations.name or str(self.source.annotations)

    def text(self, path: Path, loc: str) -> str:
        return decode(read_bytes(path, loc), loc)

    def json(self, path: Path, loc: str, *, ids: str | None = None) -> Any:
        """The json value of a file. Values lost to a doubled key are problems, and so are the samples they touch."""
        return self.parse_json(self.text(path, loc), loc, ids=ids)

    def members(
        self,
        kind: type,
        what: str,
        *,
        member: str = "",
        inner: type = list,
        inner_what: str = "",
        optional: bool = False,
        ids: str | None = None,
    ) -> Iterator[tuple[str, str | int, Any]]:
        """("", key, value) of the root of the source's one json file, and (member, key, value) of one member of it.

        Read piece by piece, so that memory follows the samples. A file in which anything is unusual is read again as
        a whole, from nothing: whoever iterates keeps nothing but what this gather holds.
        """
        path, met = self.source.annotations, False
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size <= MAX_BYTES:
                    for name, key, value in stream.members(file, kind, member, inner):
                        met |= name == member
                        yield name, key, value
                    if met or not member or optional:
                        return
        except (OSError, ValueError, RecursionError):
            pass
        self._begin()
        root = self.json(path, self.file, ids=ids)
        if not self.expect(root, kind, self.file, what):
            return
        for key, value in _members(root):
            if not member or key != member:
                yield "", key, value
        if (
            member
            and (member in root or not optional)
            and self.expect(root.get(member), inner, f"{self.file}:{member}", inner_what)
        ):
            for key, value in _members(root[member]):
                yield member, key, value

    def parse_json(self, text: str, file: str, *, line: int = 0, ids: str | None = None) -> Any:
        return parse_json(text, file, self._doubled_key, line=line, ids=ids)

    def _doubled_key(self, loc: str, message: str, kind: str) -> None:
        self._doubled.append(loc)
        self.problem(loc, message, kind)

    def expect(self, value: object, kind: type[T], loc: str, what: str) -> TypeGuard[T]:
        """Whether the value has the JSON type that the format puts here; a problem otherwise."""
        if isinstance(value, kind):
            return True
        self.problem(loc, f"found {shown(value)}, expected {what}", "wrong-type")
        return False

    def picture(self, name: object, loc: str) -> str | None:
        """The id for a picture name that a file states, or a problem."""
        try:
            clean = clean_name(name)
        except ValueError as error:
            self.problem(loc, str(error), "unsafe-path" if isinstance(name, str) else "wrong-type")
            return None
        if self.pictures.escapes(clean):
            self.problem(loc, leaves(clean), "unsafe-path")
            return None
        return clean

    def addressed(self, name: object, loc: str) -> str | None:
        """The id for a path or address of which the picture folder may hold the end only; the longest that it holds."""
        if isinstance(name, str):
            try:
                ends = address_ends(name) or _path_ends(clean_name(name))
            except ValueError as error:
                self.problem(loc, str(error), "unsafe-path")
                return None
            plain = ends[0] if not address_ends(name) else next((end for end in ends if "/" not in end), ends[-1])
            name = next((end for end in ends if self.pictures.holds(end)), plain)
        return self.picture(name, loc)

    def size(self, height: object, width: object, loc: str) -> Size | None:
        """(height, width) as claimed; None where both are absent."""
        if height is None and width is None:
            return None
        sides = []
        for name, side in (("height", height), ("width", width)):
            if type(side) not in _NUMBERS or not 1 <= side <= MAX_COORDINATE or side != int(side):  # type: ignore[operator, call-overload]
                self.problem(loc, f"found {name} {shown(side)}, expected a whole number of pixels", "size")
            else:
                sides.append(int(side))  # type: ignore[call-overload]
        return (sides[0], sides[1]) if len(sides) == 2 else None

    def sample(
        self,
        id: str | None,
        *,
        loc: str,
        points: list[Any],
        where: Callable[[int], str],
        ignore: Sequence[Any] | None = None,
        texts: Sequence[Any] | None = None,
        size: Size | None = None,
        since: int | None = None,
    ) -> None:
        """Add one picture, unless a problem was reported for it: now, or since the count `since` was taken.

        `points`: for each outline a list of [x, y] or a flat list x, y, x, y; `where(i)`: the place of outline i.
        """
        before = len(self.problems) if since is None else since
        if id is not None:
            if id in self._seen:
                self.problem(loc, f"found picture {id!r} a second time, first at {self._seen[id]}", "duplicate-id")
                self._twice.add(id)
            self._seen.setdefault(id, loc)
        ignore = [False] * len(points) if ignore is None else ignore
        texts = [None] * len(points) if texts is None else texts
        flat = _fast(points, ignore, texts)
        if flat is None:
            for i, outline in enumerate(points):
                for kind, message in _faults(outline, ignore[i], texts[i]):
                    self.problem(where(i), message, kind)
        elif found := crowd(flat[0].reshape(-1, 2), flat[1]):
            kind, message = found
            self.problem(loc, message, kind)
        elif id is not None and len(self.problems) == before:
            xy, offsets = flat
            flags = np.array(ignore, dtype=np.bool_)
            outlines = PolygonSet(points=xy, offsets=offsets, ignore=flags, texts=tuple(texts), frame=self.source.frame)
            self.samples.append(Sample(id=id, polygons=outlines, loc=loc, size=size, folder=self.source.pictures))

    def page(self, id: str | None, loc: str, found: GatheredOutlines, *, size: Size | None = None, since: int) -> None:
        """Add one picture with these outlines, unless a problem was reported for it since the count was taken."""
        self.sample(
            id,
            loc=loc,
            points=found.points,
            ignore=found.ignore,
            texts=found.texts,
            where=found.places.__getitem__,
            size=size,
            since=since,
        )

    def reading(self) -> Reading:
        """What was gathered, without pictures annotated twice and those that lost a value to a doubled key."""
        touched = _Touched(self._doubled)
        whole = [s for s in self.samples if s.id not in self._twice and not (self._doubled and touched(s.loc))]
        return Reading(
            samples=tuple(whole),
            problems=tuple(self.problems),
            unused={name[:80]: self.unused[name] for name in sorted(self.unused) if self.unused[name]},
            notes=tuple(self.notes),
        )


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    return iter(value.items() if isinstance(value, dict) else enumerate(value))


def _path_ends(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))][:16]


class _Touched:
    """Whether a place lies in or around one of the given places."""

    def __init__(self, places: list[str]) -> None:
        self._sorted = sorted(places)
        self._places = set(places)

    def __call__(self, loc: str) -> bool:
        if loc in self._places or any(loc[: match.start()] in self._places for match in _STEP.finditer(loc)):
            return True
        for sign in ".[:":
            at = bisect_left(self._sorted, loc + sign)
            if at < len(self._sorted) and self._sorted[at].startswith(loc + sign):
                return True
        return False


def _fast(points: list[Any], ignore: Sequence[Any], texts: Sequence[Any]) -> tuple[Any, Any] | None:
    """All outlines of a picture as (points, offsets), or None if anything at all is wrong with any of them.

    Type checks run over sets of types: at half a million outlines a loop over numbers would take most of the time.
    """
    flat: list[list[Any]] = []
    try:
        for outline in points:
            if type(outline) is not list:
                return None
            if outline and type(outline[0]) is list:
                if set(map(len, outline)) != {2} or set(map(type, outline)) != {list}:
                    return None
                flat.append(list(chain.from_iterable(outline)))
            else:
                flat.append(outline)
        numbers = list(chain.from_iterable(flat))
        if not set(map(type, numbers)) <= _NUMBERS or not set(map(type, ignore)) <= {bool}:
            return None
        if not set(map(type, texts)) <= _TEXTS:
            return None
        "".join([text for text in texts if text is not None]).encode("utf-8")
        xy = np.array(numbers, dtype=np.float64)
    except (TypeError, OverflowError, UnicodeEncodeError):
        return None
    counts = np.array([len(outline) for outline in flat], dtype=np.int64)
    if (
        (counts % 2).any()
        or (counts < 6).any()
        or (counts > 2 * MOST_POINTS).any()
        or not (np.abs(xy) <= MAX_COORDINATE).all()
    ):
        return None
    return xy, np.concatenate([[0], np.cumsum(counts // 2)])


def _faults(outline: Any, ignore: Any, text: Any) -> Iterator[tuple[str, str]]:
    """(kind, message) for everything that `_fast` refuses about one outline."""
    if type(ignore) is not bool:
        yield "wrong-type", f"found ignore flag {shown(ignore)}, expected true or false"
    if type(text) not in _TEXTS:
        yield "wrong-type", f"found text {shown(text)}, expected a string"
    elif text is not None:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            yield "invalid", f"found half a surrogate pair in the text {shown(text)}"
    if type(outline) is not list:
        yield "wrong-type", f"found {shown(outline)}, expected a list of points"
        return
    numbers = outline
    if outline and type(outline[0]) is list:
        for i, pair in enumerate(outline):
            if type(pair) is not list or len(pair) != 2:
                yield "wrong-type", f"found point {i} {shown(pair)}, expected [x, y]"
                return
        numbers = [value for pair in outline for value in pair]
    for value in numbers:
        if type(value) not in _NUMBERS:
            yield "wrong-type", f"found {shown(value)}, expected a number"
            return
        if value != value or value in (float("inf"), float("-inf")):
            yield "not-finite", f"found {value}, expected a finite number"
            return
        if abs(value) > MAX_COORDINATE:
            yield "huge-number", f"found {shown(value)}, expected a coordinate below {MAX_COORDINATE:.0f}"
            return
    if len(numbers) % 2:
        yield "odd-count", f"found {len(numbers)} numbers, expected pairs of x and y"
    elif len(numbers) < 6:
        yield "too-few-points", f"found {len(numbers) // 2} points, expected at least 3"
    elif len(numbers) > 2 * MOST_POINTS:
        yield "too-many-points", f"found {len(numbers) // 2} points, expected at most {MOST_POINTS}"
