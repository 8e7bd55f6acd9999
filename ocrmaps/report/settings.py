"""Nested settings as rows of a table, told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dotted(data: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as one row each.

    >>> dotted({"a": {"b": 1, "c": [2, 3]}, "d": None})
    {'a.b': '1', 'a.c': '2, 3', 'd': 'none'}
    """
    out: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            out |= dotted(value, f"{above}{key}.")
        else:
            out[f"{above}{key}"] = plain(value)
    return out


def plain(value: Any) -> str:
    """A setting for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(v, (list, tuple)) for v in value):
            return ", ".join("x".join(map(str, v)) for v in value)
        return ", ".join(map(plain, value)) or "none"
    return str(value)
