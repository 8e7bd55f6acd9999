"""How the lines of txt results are written: which numbers are coordinates, where the score is, where the text.

One layout holds for all lines of all files. Undecided, it is found by these rules, which know nothing of the pictures:

* Nothing but numbers: 4 are a box, an even number from 6 on is an outline. One number more is the score.
* Something else behind the numbers is a text. A number between coordinates and text, or behind the text, is the score
  if every line has one there, all are in 0 to 1 and not all are whole.
* Whatever fits in two ways that differ, or in none, is refused: `--predictions-layout` says what it is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import NUMBER
from ocrmaps.errors import AnnotationError, Problem, SpecError
from ocrmaps.evaluation.predictions.records import Scale

SHAPES = {"box": 4, "xywh": 4, "quad": 8, "polygon": 0}
"""Shape -> numbers; 0 where it is as many as there are."""
RESTS = ((), ("score",), ("text",), ("score", "text"), ("text", "score"))
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_MARKED = ('"', "####")
"""What a text begins with where its writer marked the beginning."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, taken apart at its separator."""

    loc: str
    fields: tuple[str, ...]
    """As written, blanks and all."""
    lead: int
    """Numbers in front; what a writer makes of a missing number (`nan`, `inf`) is one here, and refused later."""
    joint: str = ","


@dataclass(frozen=True, slots=True)
class LineLayout:
    """The shape of the coordinates and what follows them.

    >>> str(LineLayout.parse("quad,score,text")), LineLayout.parse("box").rest
    ('quad,score,text', ())
    """

    shape: str
    rest: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LineLayout:
        shape, *rest = [part.strip() for part in text.split(",")]
        if shape not in SHAPES or tuple(rest) not in RESTS:
            raise SpecError(
                f"found layout {text!r}, expected {', '.join(SHAPES)}, then any of score and text",
                hint="such as quad,score or polygon,text or box,score,text",
            )
        return cls(shape, tuple(rest))

    def __str__(self) -> str:
        return ",".join((self.shape, *self.rest))

    def coordinates(self, line: Line) -> int | None:
        """How many fields are coordinates; None if the line is not of this layout."""
        lead, count = line.lead, len(line.fields)
        k = SHAPES[self.shape]
        if not k:
            if "text" not in self.rest:
                k = count - len(self.rest)
            elif self.rest == ("score", "text"):
                k = lead - 1
            elif self.rest == ("text", "score") and lead == count:
                return None  # which of the numbers is the text cannot be told
            else:
                k = lead - lead % 2
        if k < 4 or k % 2 or lead < k or (self.shape == "polygon" and k < 6):
            return None
        least = {(): k, ("score",): k + 1, ("text",): k, ("score", "text"): k + 1, ("text", "score"): k + 2}[self.rest]
        exact = "text" not in self.rest
        return k if count == least or (not exact and count > least) else None

    def score(self, line: Line, k: int) -> str | None:
        """The field of the score."""
        if "score" not in self.rest:
            return None
        return (line.fields[-1] if self.rest[-1] == "score" else line.fields[k]).strip(" \t")

    def text(self, line: Line, k: int) -> str | None:
        """The text behind the coordinates, commas and all; None where the line ends before it."""
        if "text" not in self.rest:
            return None
        start = k + (self.rest[0] == "score")
        fields = line.fields[start : -1 if self.rest[-1] == "score" else None]
        return line.joint.join(fields).strip(" \t") if fields else None


def take_apart(lines: Sequence[tuple[str, str]]) -> list[Line]:
    """(place, line) pairs at their commas, or at their blanks where no line has a comma."""
    commas = any("," in text for _, text in lines)
    out = []
    for loc, text in lines:
        fields = text.split(",") if commas else text.split()
        lead = next((i for i, field in enumerate(fields) if not is_number(field)), len(fields))
        out.append(Line(loc, tuple(fields), lead, "," if commas else " "))
    return out


def is_number(field: str) -> bool:
    field = field.strip(" \t")
    return bool(NUMBER.fullmatch(field) or _NO_NUMBER.fullmatch(field))


def decide(lines: Sequence[Line], scale: Scale) -> LineLayout:
    """The one layout that all lines have, by the rules of this module."""
    if all(line.lead == len(line.fields) for line in lines):
        return _of_numbers(lines, scale)
    shapes = ("box", "quad", "polygon")
    fitting = [
        layout
        for layout in (LineLayout(shape, rest) for shape in shapes for rest in RESTS if "text" in rest)
        if all(layout.coordinates(line) is not None for line in lines) and _scores_fit(layout, lines, scale)
    ]
    if any(layout.shape != "box" for layout in fitting):
        fitting = [layout for layout in fitting if layout.shape != "box"]
    scored = [layout for layout in fitting if "score" in layout.rest]
    fitting = scored or fitting
    if not fitting:
        raise _undecided("no layout fits all lines", lines)
    if len({layout.rest for layout in fitting}) > 1:
        raise _undecided(f"these lines can be {' or '.join(map(str, fitting))}", lines)
    if len(fitting) == 1:
        return fitting[0]
    quad, polygon = fitting
    longer = [line for line in lines if polygon.coordinates(line) != 8]
    if not longer:
        return quad
    if all(_marked(line) for line in longer):
        return polygon
    message = "numbers behind the eighth can be points of an outline or the beginning of the text"
    raise _undecided(message, longer, f"{polygon} or {quad}")


def _of_numbers(lines: Sequence[Line], scale: Scale) -> LineLayout:
    for layout in (
        LineLayout("box"),
        LineLayout("box", ("score",)),
        LineLayout("polygon"),
        LineLayout("polygon", ("score",)),
    ):
        counts = [layout.coordinates(line) for line in lines]
        if None in counts:
            continue
        wrong = [] if scale != "probability" else _outside(layout, lines)
        if wrong:
            what = f"the last number of every line would be a score, and {len(wrong)} are outside 0 to 1"
            raise _undecided(what, wrong, f"{layout}; --predictions-scores rank takes scores of any scale")
        if layout == LineLayout("polygon") and all(
            _share(line.fields[-1]) and _share(line.fields[-2]) for line in lines
        ):
            raise _undecided("the last two numbers of every line can be a point or two scores", lines, "polygon")
        return LineLayout("quad", layout.rest) if set(counts) == {8} else layout
    raise _undecided("no layout fits all lines", lines)


def _scores_fit(layout: LineLayout, lines: Sequence[Line], scale: Scale) -> bool:
    """Whether the place of the score holds one on every line, and not on all lines a whole number."""
    if "score" not in layout.rest:
        return True
    fields = [layout.score(line, layout.coordinates(line) or 0) or "" for line in lines]
    if not all(map(is_number, fields)) or (scale == "probability" and not all(map(_share, fields))):
        return False
    return any(not float(field).is_integer() for field in fields)


def _outside(layout: LineLayout, lines: Sequence[Line]) -> list[Line]:
    if "score" not in layout.rest:
        return []
    return [line for line in lines if not _share(line.fields[-1])]


def _share(field: str) -> bool:
    return is_number(field) and 0.0 <= float(field) <= 1.0


def _marked(line: Line) -> bool:
    return line.lead < len(line.fields) and line.fields[line.lead].lstrip(" \t").startswith(_MARKED)


def _undecided(message: str, lines: Sequence[Line], *layouts: str) -> AnnotationError:
    """An error that shows one line of each kind."""
    kinds: Counter[str] = Counter()
    first: dict[str, Line] = {}
    for line in lines:
        kind = f"{line.lead} numbers" + (", then text" if line.lead < len(line.fields) else "")
        kinds[kind] += 1
        first.setdefault(kind, line)
    problems = [
        Problem(first[kind].loc, f"{kind} ({number} lines): {shown(','.join(first[kind].fields))}", "ambiguous-line")
        for kind, number in kinds.most_common(8)
    ]
    said = layouts[0] if layouts else "quad,score or polygon,text"
    return AnnotationError(
        f"cannot tell how the lines are written: {message}",
        problems=problems,
        hint=f"say it with --predictions-layout, such as {said}",
    )


def finite(field: str) -> float:
    """The number of a field; ValueError names what is none."""
    value = float(field)
    if not math.isfinite(value):
        raise ValueError(f"found {field.strip()}, expected a finite number")
    return value
