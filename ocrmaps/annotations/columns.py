"""Outlines that wait for their pictures in few long columns: a quarter of the memory, and looked at all at once."""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Any

import numpy as np

from ocrmaps.geometry import Frame, IntArray, PolygonSet
from ocrmaps.limits import MAX_COORDINATE, MOST_POINTS

_NUMBERS = {int, float}


class Columns:
    """Row by row the numbers, text and flag of one outline, and where it stands.

    >>> columns = Columns()
    >>> columns.add([[0, 0], [9, 0], [9, 9]], "a", False, ".points")
    >>> columns.add("0 0 9 0", "b", False, ".points")
    >>> settled = Settled(columns)
    >>> settled.polygons(0, 1, "raw"), settled.polygons(0, 2, "raw"), columns.outline(1)
    (PolygonSet(1 polygons, raw), None, '0 0 9 0')
    """

    def __init__(self) -> None:
        self.numbers, self.ends = array("d"), array("q", [0])
        self.odd: dict[int, Any] = {}
        """What is no list of plain numbers, by its row."""
        self.texts, self.ignore, self.steps = list[Any](), list[Any](), list[str]()

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, outline: Any, text: Any, ignore: Any, step: str) -> None:
        flat = _packed(outline)
        if flat is None:
            self.odd[len(self.steps)] = outline
        else:
            self.numbers += flat
        self.ends.append(len(self.numbers))
        self.texts.append(text)
        self.ignore.append(ignore)
        self.steps.append(step)

    def outline(self, row: int) -> Any:
        """As it was added; plain numbers are flat."""
        return self.odd[row] if row in self.odd else self.numbers[self.ends[row] : self.ends[row + 1]]


class Settled:
    """The outlines of columns in the order of their pictures: sound ones become `PolygonSet`s without a second look."""

    def __init__(self, columns: Columns, order: IntArray | None = None) -> None:
        ends = np.array(columns.ends)
        numbers = np.frombuffer(columns.numbers) if len(columns.numbers) else np.zeros(0)
        rows = list(range(len(columns)))
        if order is not None and order.tolist() != rows:
            starts, sizes = ends[:-1][order], np.diff(ends)[order]
            ends = np.concatenate([[0], np.cumsum(sizes)])
            numbers = numbers[np.repeat(starts - ends[:-1], sizes) + np.arange(len(numbers))]
            rows = order.tolist()
        self.columns, self.rows, self._ends, self._numbers = columns, rows, ends, numbers
        self._texts = [columns.texts[row] for row in rows]
        ignore = [columns.ignore[row] for row in rows]
        self._ignore = np.array([flag is True for flag in ignore], dtype=np.bool_)
        sizes = np.diff(ends)
        # Not "beyond the limit", which nothing is that is no number.
        beyond = np.concatenate([[0], np.cumsum(~(np.abs(numbers) <= MAX_COORDINATE))])
        odd = (sizes < 6) | (sizes > 2 * MOST_POINTS) | (sizes % 2 > 0) | (beyond[ends[:-1]] < beyond[ends[1:]])
        said = [text is None or (type(text) is str and _is_sound(text)) for text in self._texts]
        flagged = [type(flag) is bool for flag in ignore]
        odd |= ~np.array([said, flagged], dtype=np.bool_).all(axis=0)
        self._odd = [0, *np.cumsum(odd).tolist()]

    def raw(self, start: int, stop: int) -> tuple[list[Any], list[Any], list[Any]]:
        """Outlines, flags and texts as they were added."""
        columns, rows = self.columns, self.rows[start:stop]
        return [columns.outline(row) for row in rows], [columns.ignore[row] for row in rows], self._texts[start:stop]

    def polygons(self, start: int, stop: int, frame: Frame) -> PolygonSet | None:
        """These outlines; None if one is not three or more points in bearable numbers with a text and a flag."""
        if self._odd[start] != self._odd[stop]:
            return None
        ends = self._ends[start : stop + 1]
        return PolygonSet.unchecked(
            points=self._numbers[ends[0] : ends[-1]].reshape(-1, 2).copy(),
            offsets=(ends - ends[0]) >> 1,
            ignore=self._ignore[start:stop].copy(),
            texts=tuple(self._texts[start:stop]),
            frame=frame,
        )


def _is_sound(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _packed(outline: Any) -> array[float] | None:
    """An outline of plain numbers, flat."""
    if type(outline) is array:
        return outline
    if type(outline) is list and outline and type(outline[0]) is list and all(map(_is_pair, outline)):
        outline = list(chain.from_iterable(outline))
    if type(outline) is not list or not set(map(type, outline)) <= _NUMBERS:
        return None
    try:
        return array("d", outline)
    except OverflowError:
        return None


def _is_pair(value: Any) -> bool:
    return type(value) is list and len(value) == 2
