"""Marks that say which values a field of a frozen record takes, and the check of a record against them.

    @dataclass(frozen=True, kw_only=True)
    class Spec:
        lr: Annotated[float, Range(gt=0)] = 1e-3

        def __post_init__(self) -> None:
            check(self, "spec")

The same check takes a value from a constructor and from a file, so both refuse the same values in the same words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ocrmaps.errors import Problem, SpecError

NO_SETTING = {"setting": False}
"""Metadata of a field that no file gives."""
_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which numbers a field takes.

    >>> Range(ge=0, lt=1, noun="share").told(float), Range(ge=1).told(int)
    ('a share from 0 to below 1', 'a whole number of 1 or more')
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    noun: str = ""
    """What such a number is; the type's own word when empty."""

    def holds(self, value: Any) -> bool:
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    @property
    def span(self) -> str:
        """The bounds in words."""
        ge, gt, le, lt = (_figure(v) for v in (self.ge, self.gt, self.le, self.lt))
        if ge is not None:
            return f"from {ge} to {le}" if le else f"from {ge} to below {lt}" if lt else f"of {ge} or more"
        if gt is not None:
            return f"above {gt} up to {le}" if le else f"above {gt} and below {lt}" if lt else f"above {gt}"
        return f"of at most {le}" if le else f"below {lt}"

    def told(self, kind: type) -> str:
        return f"a {self.noun or _NOUNS[kind]} {self.span}"


def _figure(bound: float | None) -> str | None:
    return None if bound is None else f"{bound:g}" if isinstance(bound, float) else str(bound)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be as a whole, in words and as far as a pattern, a least length or a test can say it."""

    says: str
    pattern: str = ""
    """Of all of a text; one that Python and JSON schemas read alike."""
    least: int = 0
    """Letters of a text, items of a list or keys of a table."""
    test: Callable[[Any], bool] | None = None
    """What no JSON schema can say."""

    def holds(self, value: Any) -> bool:
        return (
            (not self.pattern or re.fullmatch(self.pattern, value) is not None)
            and (not self.least or len(value) >= self.least)
            and (self.test is None or self.test(value))
        )


NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_SAYS = "letters, digits, '.', '_' and '-', at most 64"
Name = Annotated[str, Rule(NAME_SAYS, pattern=f"^{NAME_PATTERN}$")]
"""A plain folder name."""
NameOrNone = Annotated[str, Rule(NAME_SAYS, pattern=f"^({NAME_PATTERN})?$")]
"""A plain folder name, or empty."""
Share = Annotated[float, Range(ge=0, le=1)]
Positive = Annotated[float, Range(gt=0)]
AtLeast0 = Annotated[float, Range(ge=0)]
Whole0 = Annotated[int, Range(ge=0)]
Whole1 = Annotated[int, Range(ge=1)]
Byte = Annotated[int, Range(ge=0, le=255)]
Color = Annotated[tuple[Byte, Byte, Byte], Rule("three whole numbers (R, G, B) from 0 to 255")]
Side = Annotated[int, Range(ge=1, le=16_384)]
"""A side of a picture in pixels: 16 384 x 16 384 is already beyond any detector."""


def ascending(pair: tuple[float, float]) -> bool:
    """Whether the smaller value comes first."""
    return pair[0] <= pair[1]


def keys(record: Any) -> tuple[Field[Any], ...]:
    """The fields of a record that a file may give."""
    return tuple(f for f in fields(record) if f.metadata.get("setting", True))


@cache
def hints(record: Any) -> dict[str, Any]:
    """Field -> its type with its marks."""
    return get_type_hints(record, include_extras=True)


def check(record: Any, table: str, rules: Callable[[Any], Iterable[tuple[str, str]]] | None = None) -> None:
    """Put every field of a frozen record into its declared type, or refuse all that do not fit.

    `rules` gives (field, message) for settings that contradict each other; they are asked once every field fits.
    """
    problems: list[Problem] = []
    kind: Any = type(record)
    for key in keys(kind):
        value = take(hints(kind)[key.name], getattr(record, key.name), at(table, key.name), problems)
        object.__setattr__(record, key.name, value)
    if not problems and rules is not None:
        problems = [Problem(at(table, key), message) for key, message in rules(record)]
    if problems:
        raise SpecError(f"these {table + ' ' if table else ''}settings make no sense:", problems=problems)


def at(table: str, key: str) -> str:
    """Where a key is, as problems say it."""
    return f"{table}.{key}".strip(".")


def take(hint: Any, value: Any, loc: str, problems: list[Problem]) -> Any:
    """The value as its type holds it: lists as tuples, whole numbers as floats; what does not fit is told."""
    kind, marks = parted(hint)
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments[-1] is Ellipsis and _is_list(value):
        before = len(problems)
        taken: Any = tuple(take(arguments[0], item, f"{loc}[{i}]", problems) for i, item in enumerate(value))
        if len(problems) > before:
            return value
        fits = all(mark.holds(taken) for mark in marks)
    else:
        fits, taken = _fit(hint, value)
    if fits:
        return taken
    problems.append(Problem(loc, f"found {shown(value)}, expected {told(hint)}"))
    return value


def parted(hint: Any) -> tuple[Any, tuple[Range | Rule, ...]]:
    """A type without its marks, and the marks."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    kind, *marks = get_args(hint)
    return kind, tuple(mark for mark in marks if isinstance(mark, Range | Rule))


def choices(hint: Any) -> list[Any]:
    """The types that a union is of; a type alone is the only one. None is left out."""
    kind, _ = parted(hint)
    if get_origin(kind) in (Union, UnionType):
        return [part for part in get_args(kind) if part is not NoneType]
    return [hint]


def shown(value: Any) -> str:
    """A value as a problem quotes it: no more of it than fits a line."""
    text = "none" if isinstance(value, tuple | list | Mapping) and not value else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


_NOUNS: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}


def told(hint: Any) -> str:
    """What fits a type, in words.

    >>> told(Annotated[float, Range(ge=0, lt=1)] | Literal["learned"])
    'a number from 0 to below 1, or "learned"'
    >>> told(tuple[Side, Side]), told(Literal["raw", ""])
    ('two whole numbers from 1 to 16384', 'one of raw, ""')
    """
    kind, marks = parted(hint)
    origin, arguments = get_origin(kind), get_args(kind)
    for mark in marks:
        return mark.says if isinstance(mark, Rule) else mark.told(kind)
    if origin in (Union, UnionType):
        parts = choices(kind)
        words = [told(p) if get_origin(p) is not Literal else " or ".join(map(json.dumps, get_args(p))) for p in parts]
        return words[0] if len(words) == 1 and get_origin(parts[0]) is not Literal else ", or ".join(words)
    if origin is Literal:
        return f"one of {', '.join(str(word) or json.dumps(word) for word in arguments)}"
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list, each {told(arguments[0])}"
    if origin is tuple:
        noun, _, span = told(arguments[0]).removeprefix("a ").partition("number")
        return f"{_COUNTS[len(arguments)]} {noun}numbers{span}"
    if is_dataclass(kind) or _is_mapping(kind):
        return "a table"
    return "true or false" if kind is bool else f"{'' if kind is str else 'a '}{_NOUNS[kind]}"


def _fit(hint: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value fits, and what it is then."""
    kind, marks = parted(hint)
    fits, taken = _fit_kind(kind, value)
    return (fits and all(mark.holds(taken) for mark in marks)), taken


def _fit_kind(kind: Any, value: Any) -> tuple[bool, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return next((found for part in arguments if (found := _fit(part, value))[0]), (False, value))
    if origin is Literal:
        return next(((True, word) for word in arguments if isinstance(value, type(word)) and value == word), (False, 0))
    if origin is tuple:
        items = list(value) if _is_list(value) else []
        wanted = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else arguments
        each = [_fit(part, item) for part, item in zip(wanted, items, strict=False)]
        fits = _is_list(value) and len(items) == len(wanted) and all(good for good, _ in each)
        return fits, tuple(item for _, item in each)
    if _is_mapping(kind):
        inner = arguments[1] if arguments else Any
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return False, value
        return inner is Any or all(_fit(inner, item)[0] for item in value.values()), dict(value)
    if kind is int:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole, int(value) if whole else value
    if kind is float:
        return _fit_float(value)
    if kind is Path:
        return (True, Path(value)) if isinstance(value, str | Path) else (False, value)
    return isinstance(value, NoneType if kind is None else kind), value


def _fit_float(value: Any) -> tuple[bool, Any]:
    """Finite numbers only; a truth value is none: True is not a threshold of 1."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False, value
    try:
        number = float(value)
    except OverflowError:
        return False, value
    return math.isfinite(number), number


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping)
