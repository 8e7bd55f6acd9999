"""Comma-separated numbers followed by a text: the grammar that the line formats share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from ocrmaps.geometry import Affine
from ocrmaps.limits import MOST_LINES

Point = tuple[float, float]
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A plain decimal number: no underscores, no `nan`, no other digits than 0 to 9 (`float` would take them all)."""

_QUOTED = re.compile(r'\s*"(.*)"\s*', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\])')
_BREAK = re.compile(r"\r\n|\n|\r")
_PIECE = 2**20


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of every line that is not blank. Only CR and LF end a line; form feeds may be text."""
    number, start = 1, 0
    while start <= len(text):  # in pieces: the lines of a long file take many times its length
        end = _BREAK.search(text, start + _PIECE) if len(text) - start > _PIECE else None
        piece = text[start : end.start()] if end else text[start:]
        piece = piece.removesuffix("\r") if end and end[0] == "\n" else piece  # half of a line break
        for line in _BREAK.split(piece):
            if line.strip(" \t"):
                yield number, line
            number += 1
        start = end.end() if end else len(text) + 1


def is_long(text: str) -> bool:
    """Whether a text has more lines than a file about one picture."""
    return text.count("\n") > MOST_LINES or text.count("\r") > MOST_LINES


def leading(fields: Sequence[str]) -> int:
    """How many fields at the beginning are numbers.

    In a line whose coordinates carry no blanks, a number with a blank in front is text already ("1,2,3,4,5,6, 7").

    >>> leading("1,2,3,4,5,6, 7,8".split(",")), leading("1,2, 3,4,5,6, 7,x".split(","))
    (6, 7)
    """
    spaced = _spaced(fields)
    count = 0
    for field in fields:
        if not NUMBER.fullmatch(field):
            bare = field.strip(" \t")
            if not NUMBER.fullmatch(bare) or (count > 1 and not spaced and field.startswith((" ", "\t"))):
                break
        count += 1
    return count


def _spaced(fields: Sequence[str]) -> bool:
    """Whether any coordinate of the first three points has a blank in front: some writers put it here and there."""
    return any(f.startswith((" ", "\t")) and NUMBER.fullmatch(f.strip(" \t")) for f in fields[1:6])


def tail(fields: Sequence[str], count: int) -> str | None:
    """The text behind `count` fields, commas and all; None if there is no further field."""
    if len(fields) <= count:
        return None
    text = ",".join(fields[count:])
    return text[1:] if _spaced(fields) and text.startswith(" ") else text


def unquoted(text: str) -> str:
    r"""The text inside double quotes, with \" and \\ resolved; any other text as it is.

    >>> unquoted('"say \\"hi\\", you"'), unquoted('6" pipe')
    ('say "hi", you', '6" pipe')
    """
    match = _QUOTED.fullmatch(text)
    return _ESCAPE.sub(r"\1", match.group(1)) if match else text


def quoted(text: str) -> str:
    """The inverse of `unquoted`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def numbers(fields: Sequence[str]) -> list[float]:
    return [float(field) for field in fields]


def box(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    """A box as a flat quad, clockwise on the screen from its first corner."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def turned_box(numbers: Sequence[float]) -> list[float]:
    """A box of center x, center y, width, height, turned clockwise on the screen by an angle in radians."""
    cx, cy, w, h, angle = numbers
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2))
    return [v for x, y in corners for v in (cx + x * cos - y * sin, cy + x * sin + y * cos)]


def turned_about_center(flat: list[float], degrees: float) -> list[float]:
    """The quad of `box`, turned clockwise on the screen about its center, as CVAT has it.

    >>> turned_about_center(box(0, 0, 4, 2), 360), [round(v, 9) for v in turned_about_center(box(0, 0, 4, 2), 90)]
    ([0, 0, 4, 0, 4, 2, 0, 2], [3.0, -1.0, 3.0, 3.0, 1.0, 3.0, 1.0, -1.0])
    """
    if degrees % 360 == 0 or not all(abs(v) < 1e12 for v in (*flat, degrees)):
        return flat  # what is beyond any picture is refused as it stands
    center = ((flat[0] + flat[4]) / 2, (flat[1] + flat[5]) / 2)
    return Affine.rotation(degrees, center).apply(flat).ravel().tolist()


def crosses_itself(flat: Sequence[float]) -> bool:
    """Whether two sides of an outline cross; sides that only touch do not.

    >>> crosses_itself(box(0, 0, 4, 2)), crosses_itself([0, 0, 4, 2, 4, 0, 0, 2])
    (False, True)
    """
    ends = list(zip(flat[::2], flat[1::2], strict=True))
    sides = list(zip(ends, ends[1:] + ends[:1], strict=True))
    return any(_cross(*a, *b) for i, a in enumerate(sides) for b in sides[i + 2 :])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 > _turn(c, d, a) * _turn(c, d, b)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def is_box_and_offsets(fields: Sequence[str]) -> bool:
    """Whether a line is CTW1500's x_min, y_min, x_max, y_max and 14 offsets that stay inside that box."""
    if not leading(fields) == len(fields) == 32:
        return False
    x0, y0, x1, y1, *offsets = numbers(fields)
    xs, ys = offsets[::2], offsets[1::2]
    return min(offsets) >= 0 and max(xs) <= x1 - x0 and max(ys) <= y1 - y0


def is_share_line(line: str) -> bool:
    """Whether a line is YOLO's: a class number, then 4 or an even number of shares of the picture's sides, from 6 on.

    >>> is_share_line("0 0.1 0.5 0.3 0.04"), is_share_line("10 20 30 40 50")
    (True, False)
    """
    number, *shares = line.split() or [""]  # a form feed is a line
    if not number.isascii() or not number.isdigit() or len(shares) < 4 or len(shares) % 2 or "." not in line:
        return False
    return all(NUMBER.fullmatch(share) and -1 <= float(share) <= 2 for share in shares)
