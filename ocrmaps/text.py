"""Names and texts from user files made safe to show: nothing in them can steer a terminal or a page."""

from __future__ import annotations

import shlex
import unicodedata

from ocrmaps.errors import SpecError

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories without a glyph of their own: control, direction marks, lone surrogates, private, unassigned."""


def visible(value: object, limit: int = 200) -> str:
    """The text on one line, invisible characters spelled out, cut in the middle beyond `limit` characters.

    >>> visible("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\x0ab'
    """
    text = str(value)
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def visible_lines(text: str) -> str:
    """The text as it is, but for invisible characters other than line breaks, which are spelled out.

    >>> visible_lines("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\nb'
    """
    return "\n".join(visible(line, len(line)) for line in text.split("\n"))


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def number(value: float | int | None, digits: int = 3) -> str:
    r"""A figure for people: whole numbers with thousands apart, others with some significant digits, `–` for none.

    >>> number(12345), number(0.12345), number(1234.5), number(None)
    ('12\xa0345', '0.123', '1\xa0234', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")
    return f"{value:.{digits}g}"


def typed(*words: object) -> str:
    """A command as a person types it: what a shell would take apart is quoted.

    >>> typed("ocrmaps", "report", "runs/my first")
    "`ocrmaps report 'runs/my first'`"
    """
    return f"`{shlex.join(map(str, words))}`"


def counted(count: int, noun: str) -> str:
    """So many of something.

    >>> counted(1, "picture"), counted(0, "outline")
    ('1 picture', '0 outlines')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(value: float | None) -> str:
    r"""A share of 1 as a percentage; what is more than nothing never reads as 0 %.

    >>> percent(0.5), percent(0.00001), percent(0.0), percent(None)
    ('50.0\xa0%', '<\xa00.1\xa0%', '0\xa0%', '–')
    """
    if value is None:
        return "–"
    if value in (0.0, 1.0):
        return f"{value:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    if value < 0.001:
        return "<\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"
    if value > 0.999:
        return ">\N{NO-BREAK SPACE}99.9\N{NO-BREAK SPACE}%"
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`0.5,0.7` as numbers.

    >>> numbers("0.5, 0.7", "--iou")
    (0.5, 0.7)
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise SpecError(f"{option}: found {text!r}, expected numbers parted by commas, such as 0.5,0.7") from None
