"""Turns what a reader parsed into samples, and everything that is wrong into problems: all of them, each with a place.

A sample with any problem is left out: half of a picture's outlines would teach that the rest is background.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from ocrmaps.annotations.columns import Settled
from ocrmaps.annotations.crowds import crowd
from ocrmaps.annotations.discovery.pictures import PictureFolder, address_ends, clean_name, is_picture, leaves
from ocrmaps.annotations.grammar import stream
from ocrmaps.annotations.grammar.contents import clipped, decode, parse_json, read_bytes, shown
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.errors import AnnotationError, Problem
from ocrmaps.files import open_regular
from ocrmaps.geometry import FloatArray, PolygonSet, Size
from ocrmaps.limits import MAX_BYTES, MAX_COORDINATE, MOST_POINTS, MOST_PROBLEMS

T = TypeVar("T")

_STEP = re.compile(r"[.\[:]")
_NUMBERS = {int, float}
_TEXTS = {str, type(None)}
_FLAGS = {bool}


@dataclass(slots=True)
class GatheredOutlines:
    """The outlines of one picture while its annotations are read, and the place of each."""

    points: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    ignore: list[Any] = field(default_factory=list)
    scores: list[Any] = field(default_factory=list)
    """Of detections; None where there is none."""
    places: list[str] = field(default_factory=list)
    spelled: Callable[[str], str] = str
    """Makes a place of what an outline was added with: only problems need it."""

    def where(self, i: int) -> str:
        return self.spelled(self.places[i])

    def add(self, place: str, points: Any, text: Any = None, *, ignore: Any = False, score: Any = None) -> None:
        self.points.append(points)
        self.texts.append(text)
        self.ignore.append(ignore)
        self.scores.append(score)
        self.places.append(place)


@dataclass(frozen=True, slots=True)
class JsonTable:
    """A member of a json file's root that holds many values: it is read value by value."""

    name: str
    what: str
    """What is expected, for messages."""
    kinds: stream.Kinds = (list,)
    optional: bool = False


class _HopelessError(AnnotationError):
    """A source has more problems than anybody reads."""


class Gather:
    """The samples, problems, notes and unused counts of one source while it is read."""

    detecting = False
    """Whether outlines are detections: they may have scores, and no text means that they are ignored."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.file = source.annotations.name or str(source.annotations)
        """How messages call the annotation file or folder."""
        self.pictures = PictureFolder(source.pictures)
        self._attempts = 0
        self._begin()

    def _begin(self) -> None:
        self._told = 0
        self.samples: list[Sample] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.unused: Counter[str] = Counter()
        self._seen: dict[str, str] = {}
        self._twice: set[str] = set()
        self._doubled: list[str] = []

    def problem(self, loc: str, message: str, kind: str = "invalid") -> None:
        self._told += 1
        if self._told > MOST_PROBLEMS:
            most = Problem(self.file, f"found over {MOST_PROBLEMS} problems, read no further", "too-many-problems")
            raise _HopelessError(f"cannot read {self.file}", problems=[most])
        self.problems.append(Problem(loc=loc, message=clipped(message), kind=kind))

    def note(self, loc: str, message: str, kind: str) -> None:
        self.notes.append(Problem(loc=loc, message=clipped(message), kind=kind))

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A file that cannot be read at all becomes its problems; the other files are still read."""
        self._attempts += 1
        try:
            yield
        except AnnotationError as error:
            if isinstance(error, _HopelessError) and self._attempts > 1:
                raise
            self.problems.extend(error.problems)
        finally:
            self._attempts -= 1

    def text(self, path: Path, loc: str) -> str:
        return decode(read_bytes(path, loc), loc)

    def json(self, path: Path, loc: str, *, ids: str | None = None) -> Any:
        """The json value of a file. Values lost to a doubled key are problems, and so are the samples they touch."""
        return self.parse_json(self.text(path, loc), loc, ids=ids)

    def members(
        self,
        kind: type,
        what: str,
        *choices: Sequence[JsonTable],
        ids: str | None = None,
        begin: Callable[[], None] = lambda: None,
        repetitive: bool = False,
    ) -> Iterator[tuple[str, str | int, Any]]:
        """("", key, value) of the root of the source's one json file, and (name, key, value) of the tables in it.

        `choices` are the sets of tables that a file may have: the first of which it has any, else the last.
        Read piece by piece, so that memory follows the samples. A file in which anything is unusual is read again as
        a whole, from nothing: `begin` says so to whoever keeps more than this gather holds. `repetitive`: one value
        states the same fractions several times.
        """
        path, tables = self.source.annotations, {table.name: table.kinds for choice in choices for table in choice}
        met: set[str] = set()
        begin()
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size <= MAX_BYTES:
                    for name, key, value in stream.members(file, kind, tables, repetitive=repetitive):
                        met.add(name)
                        yield name, key, value
                    if not choices or any(_is_whole(met - {""}, choice) for choice in choices):
                        return
        except (OSError, ValueError, RecursionError):
            pass
        self._begin()
        begin()
        root = self.json(path, self.file, ids=ids)
        if self.expect(root, kind, self.file, what):
            having = (choice for choice in choices if any(table.name in root for table in choice))
            yield from self._whole(root, next(having, choices[-1] if choices else ()))

    def _whole(self, root: Any, choice: Sequence[JsonTable]) -> Iterator[tuple[str, str | int, Any]]:
        wanted = {table.name: table for table in choice}
        absent = [(table.name, None) for table in choice if table.name not in root and not table.optional]
        for key, value in chain(_members(root), absent):
            table = wanted.get(key) if isinstance(key, str) else None
            if table is None:
                yield "", key, value
            elif self.expect(value, table.kinds, f"{self.file}:{key}", table.what):
                for inner, one in _members(value):
                    yield table.name, inner, one

    def parse_json(self, text: str, file: str, *, line: int = 0, ids: str | None = None) -> Any:
        return parse_json(text, file, self._doubled_key, line=line, ids=ids)

    def _doubled_key(self, loc: str, message: str, kind: str) -> None:
        self._doubled.append(loc)
        self.problem(loc, message, kind)

    def expect(self, value: object, kind: type[T] | tuple[type[T], ...], loc: str, what: str) -> TypeGuard[T]:
        """Whether the value has the JSON type that the format puts here; a problem otherwise."""
        if isinstance(value, kind):
            return True
        self.problem(loc, f"found {shown(value)}, expected {what}", "wrong-type")
        return False

    def rows(
        self, items: object, loc: str, what: str = "an object", *, of: str = "a list"
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(place, object) of everything in a list of objects; what is none is a problem."""
        if self.expect(items, list, loc, of):
            for i, item in enumerate(items):
                place = f"{loc}[{i}]"
                if self.expect(item, dict, place, what):
                    yield place, item

    def score(self, row: Mapping[str, Any]) -> Any:
        """The score that an object states, where outlines are detections."""
        return None

    def picture(self, name: object, loc: str) -> str | None:
        """The id for a picture name that a file states, or a problem."""
        try:
            clean = clean_name(name)
        except ValueError as error:
            self.problem(loc, str(error), "unsafe-path" if isinstance(name, str) else "wrong-type")
            return None
        return self._inside(clean, loc)

    def _inside(self, clean: str, loc: str) -> str | None:
        if self.pictures.escapes(clean):
            self.problem(loc, leaves(clean), "unsafe-path")
            return None
        return clean

    def addressed(self, name: object, loc: str) -> str | None:
        """The id for a path or address of which the picture folder may hold the end only; the longest that it holds.

        A name without ending means the one picture of that name.
        """
        if isinstance(name, str):
            try:
                address = address_ends(name)
                clean = "" if address else clean_name(name)
                if clean and not is_picture(clean) and not self.pictures.holds(clean):
                    named = self.pictures.with_stem(clean)
                    clean = named[0] if len(named) == 1 else clean
                if clean and "/" not in clean:
                    return self._inside(clean, loc)
                ends = address or _path_ends(clean)
            except ValueError as error:
                self.problem(loc, str(error), "unsafe-path")
                return None
            plain = next((end for end in ends if "/" not in end), ends[-1]) if address else ends[0]
            name = next((end for end in ends if self.pictures.holds(end)), plain) if len(ends) > 1 else plain
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
        self._meet(id, loc)
        ignore = [False] * len(points) if ignore is None else ignore
        texts = [None] * len(points) if texts is None else texts
        flat = _fast(points, ignore, texts)
        if flat is None:
            for i, outline in enumerate(points):
                for kind, message in _faults(outline, ignore[i], texts[i]):
                    self.problem(where(i), message, kind)
            return
        polygons = PolygonSet.unchecked(
            points=flat[0],
            offsets=np.array(flat[1], dtype=np.int64),
            ignore=np.array(ignore, dtype=np.bool_),
            texts=tuple(texts),
            frame=self.source.frame,
        )
        self._keep(id, loc, polygons, size, before)

    def settled(
        self,
        id: str | None,
        settled: Settled,
        start: int,
        stop: int,
        *,
        loc: str,
        where: Callable[[int], str],
        size: Size | None,
        since: int,
    ) -> None:
        """`sample` with outlines that were looked at in columns; `where(i)`: the place of their row i."""
        polygons = settled.polygons(start, stop, self.source.frame)
        if polygons is None:
            points, ignore, texts = settled.raw(start, stop)
            self.sample(
                id,
                loc=loc,
                points=points,
                where=lambda i: where(settled.rows[start + i]),
                ignore=ignore,
                texts=texts,
                size=size,
                since=since,
            )
        else:
            self._meet(id, loc)
            self._keep(id, loc, polygons, size, since)

    def _meet(self, id: str | None, loc: str) -> None:
        if id is not None:
            if id in self._seen:
                self.problem(loc, f"found picture {id!r} a second time, first at {self._seen[id]}", "duplicate-id")
                self._twice.add(id)
            self._seen.setdefault(id, loc)

    def _keep(self, id: str | None, loc: str, polygons: PolygonSet, size: Size | None, since: int) -> None:
        if found := crowd(polygons.points, polygons.offsets):
            kind, message = found
            self.problem(loc, message, kind)
        elif id is not None and len(self.problems) == since:
            self.samples.append(Sample(id=id, polygons=polygons, loc=loc, size=size, folder=self.source.pictures))

    def page(self, id: str | None, loc: str, found: GatheredOutlines, *, size: Size | None = None, since: int) -> None:
        """Add one picture with these outlines, unless a problem was reported for it since the count was taken."""
        self.sample(
            id,
            loc=loc,
            points=found.points,
            ignore=found.ignore,
            texts=found.texts,
            where=found.where,
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


def _is_whole(met: set[str], choice: Sequence[JsonTable]) -> bool:
    """Whether these are the tables of this choice and no others; an empty table is met as little as an absent one."""
    names = {table.name for table in choice}
    return met <= names and all(table.optional or table.name in met for table in choice)


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


def _fast(points: list[Any], ignore: Sequence[Any], texts: Sequence[Any]) -> tuple[FloatArray, list[int]] | None:
    """All outlines of a picture as (points, offsets), or None if anything at all is wrong with any of them.

    Type checks run over sets of types: at half a million outlines a loop over numbers would take most of the time.
    """
    try:
        found = _numbers(points)
        if found is None:
            return None
        numbers, counts = found
        if counts and not 3 <= min(counts) <= max(counts) <= MOST_POINTS:
            return None
        if not set(map(type, numbers)) <= _NUMBERS or not set(map(type, ignore)) <= _FLAGS:
            return None
        if not set(map(type, texts)) <= _TEXTS:
            return None
        "".join([text for text in texts if text is not None]).encode("utf-8")
        xy = np.array(numbers, dtype=np.float64).reshape(-1, 2)
        if not np.abs(xy).max(initial=0.0) <= MAX_COORDINATE:  # nor is one that is no number
            return None
    except (TypeError, OverflowError, UnicodeEncodeError):
        return None
    return xy, list(accumulate(counts, initial=0))


def _numbers(points: list[Any]) -> tuple[list[Any], list[int]] | None:
    """What stands in the outlines of a picture, one after the other, and how many pairs in each."""
    if set(map(type, points)) == {list}:
        pairs = list(chain.from_iterable(points))
        if set(map(type, pairs)) == {list}:  # as most formats have it: no step for each outline
            return (list(chain.from_iterable(pairs)), list(map(len, points))) if set(map(len, pairs)) == {2} else None
    numbers: list[Any] = []
    counts = []
    for outline in points:
        if type(outline) is list:
            if outline and type(outline[0]) is list:
                if set(map(len, outline)) != {2} or set(map(type, outline)) != {list}:
                    return None
                outline = list(chain.from_iterable(outline))
        elif type(outline) is not array:
            return None
        if len(outline) % 2:
            return None
        numbers += outline
        counts.append(len(outline) // 2)
    return numbers, counts


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
    outline = list(outline) if type(outline) is array else outline
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
