"""A small language to ask bundles' entries with: `loss>10 and level=error`, `message~"out of memory" or not kind=note`.

    query   = and {"or" and}
    and     = term {"and" term}
    term    = "not" term | "(" query ")" | field [op value]
    op      = "=" | "!=" | ">" | ">=" | "<" | "<=" | "~" | "!~"
    value   = number | word | "text" | 'text'

A field is `level`, `kind`, `message`, `time`, `bundle`, `run`, `reason`, or a name in an entry's data: its whole path
(`now.loss`, `train/loss`) or the last part of it (`loss`); where several values have the name, one that fits is
enough. A field alone asks whether it is there. `~` finds a piece of text, capitals or not. Levels are ordered.
A comparison with a value of another kind, or with a field that is not there, does not hold - also `!=`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ocrmaps.debug.entries import LEVELS
from ocrmaps.errors import SpecError

Test = Callable[[Mapping[str, list[Any]]], bool]
"""Whether an entry, as `fields_of` gives it, is meant."""
HEAD = ("level", "kind", "message", "time", "bundle", "run", "reason")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<op>!=|!~|>=|<=|=|>|<|~)|(?P<bracket>[()])|(?P<text>"[^"]*"|'[^']*')|(?P<word>[^\s()=!<>~"']+))"""
)
_FIELD = re.compile(r"[A-Za-z_][\w./@-]*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a query and the column (from 1) at which it begins."""

    kind: str
    text: str
    column: int


def parse_query(text: str) -> Query:
    """The query of a text, or a SpecError that points at the column where it stops making sense.

    >>> parse_query("loss>10 and level=error").matches({"level": "error", "data": {"loss": 12.5}})
    True
    >>> parse_query("loss >> 10")
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: query, column 7: found '>', expected a number, a word or a quoted text
      loss >> 10
            ^
    """
    parser = _Parser(text)
    test = parser.either()
    if parser.next is not None:
        parser.refuse("'and', 'or' or the end")
    return Query(text=text, test=test, fields=tuple(dict.fromkeys(parser.fields)))


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query."""

    text: str
    test: Test
    fields: tuple[str, ...]
    """Every field it asks for."""

    def matches(self, entry: Mapping[str, Any], **head: str) -> bool:
        """Whether an entry is meant; `head` are `bundle`, `run` and `reason`, which entries do not repeat."""
        return self.test(fields_of({**entry, **head}))


def fields_of(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every name under which a query finds a value of this entry."""
    out: dict[str, list[Any]] = {name: [entry[name]] for name in HEAD if entry.get(name) is not None}
    for path, value in _flat(entry.get("data") or {}):
        names = dict.fromkeys((path, re.split(r"[./]", path)[-1]))
        for name in names:
            if name not in HEAD:
                out.setdefault(name, []).append(value)
    return out


def _flat(data: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield from ((f"{above}{key}", item) for item in value if not isinstance(item, Mapping | list))
        else:
            yield f"{above}{key}", value


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.fields = text, list[str]()
        self._tokens = self._split(text)
        self._at = 0

    @property
    def next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _split(self, text: str) -> list[Token]:
        tokens, place = [], 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None:
                column = place + len(text[place:]) - len(text[place:].lstrip()) + 1
                found = text[column - 1]
                self._fail(column, found, "the closing quote" if found in "\"'" else "a field, an operator or a value")
            assert match is not None and match.lastgroup is not None
            tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1))
            place = match.end()
        return tokens

    def take(self) -> Token:
        token = self.next
        assert token is not None
        self._at += 1
        return token

    def said(self, word: str) -> bool:
        """Whether this word comes next; it is taken if so."""
        token = self.next
        if token is not None and token.kind in ("word", "bracket") and token.text.lower() == word:
            self._at += 1
            return True
        return False

    def refuse(self, expected: str) -> None:
        token = self.next
        self._fail(
            len(self.text.rstrip()) + 1 if token is None else token.column,
            None if token is None else token.text,
            expected,
        )

    def _fail(self, column: int, found: str | None, expected: str) -> None:
        what = f"{found!r}" if found else "the end"
        shown = self.text.replace("\n", " ").replace("\t", " ")
        raise SpecError(
            f"query, column {column}: found {what}, expected {expected}\n  {shown}\n  {' ' * (column - 1)}^",
            hint="for example: loss>10 and level=error",
        )

    def either(self) -> Test:
        tests = [self.both()]
        while self.said("or"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda entry: any(test(entry) for test in tests)

    def both(self) -> Test:
        tests = [self.term()]
        while self.said("and"):
            tests.append(self.term())
        return tests[0] if len(tests) == 1 else lambda entry: all(test(entry) for test in tests)

    def term(self) -> Test:
        if self.said("not"):
            inner = self.term()
            return lambda entry: not inner(entry)
        if self.said("("):
            inside = self.either()
            if not self.said(")"):
                self.refuse("')'")
            return inside
        return self.comparison()

    def comparison(self) -> Test:
        token = self.next
        if token is None or token.kind != "word" or token.text.lower() in ("and", "or"):
            self.refuse("a field, 'not' or '('")
        elif not _FIELD.fullmatch(token.text):
            self.refuse("a field: letters, digits and _ . / @ -, beginning with a letter")
        field = self.take().text
        self.fields.append(field)
        following = self.next
        if following is None or following.kind != "op":
            return lambda entry: any(v not in (None, "") for v in entry.get(field, ()))
        sign = self.take().text
        value = self.next
        if value is None or value.kind not in ("text", "word") or value.text.lower() in ("and", "or"):
            self.refuse("a number, a word or a quoted text")
        taken = self.take()
        wanted = taken.text[1:-1] if taken.kind == "text" else taken.text
        if sign in ("~", "!~"):
            return _piece(field, wanted, there=sign == "~")
        if field == "level":
            return _level(sign, wanted, taken, self)
        return _compared(field, sign, wanted, quoted=taken.kind == "text")


def _piece(field: str, wanted: str, *, there: bool) -> Test:
    needle = wanted.casefold()
    return lambda entry: field in entry and any(needle in str(value).casefold() for value in entry[field]) is there


def _level(sign: str, wanted: str, token: Token, parser: _Parser) -> Test:
    if wanted not in LEVELS:
        parser._fail(token.column, wanted, f"one of {', '.join(LEVELS)}")
    compare, rank = OPERATORS[sign], LEVELS.index(wanted)
    return lambda entry: any(v in LEVELS and compare(LEVELS.index(v), rank) for v in entry.get("level", ()))


def _compared(field: str, sign: str, wanted: str, *, quoted: bool) -> Test:
    compare = OPERATORS[sign]
    number = None if quoted else _as_number(wanted)
    if number is None:
        return lambda entry: any((isinstance(v, str) and compare(v, wanted)) or _truth(v, wanted, compare)
                                 for v in entry.get(field, ()))  # fmt: skip
    if math.isnan(number):
        # Nothing equals a number that is none, which is not what somebody means who asks for it.
        same = sign == "="
        return lambda entry: (
            sign in ("=", "!=")
            and any((n := _as_number(v)) is not None and math.isnan(n) is same for v in entry.get(field, ()))
        )
    return lambda entry: any((n := _as_number(v)) is not None and compare(n, number) for v in entry.get(field, ()))


def _truth(value: Any, wanted: str, compare: Callable[[Any, Any], bool]) -> bool:
    return isinstance(value, bool) and compare in (operator.eq, operator.ne) and compare(str(value).lower(), wanted)


def _as_number(value: Any) -> float | None:
    """A number, or the words that entries use for those that JSON cannot say."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
