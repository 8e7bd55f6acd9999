"""Compares the settings of two runs, and knows which of them do not decide weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OPERATIONAL = ("name", "watch", "keep", "device", "data.cache", "data.store", "data.stores.*.store",
               "data.sampling.*.texts")  # fmt: skip
"""Settings, or tables of them, that do not decide weights or scores; a store is compared by its root digest, and rows
chosen by a file by the weights they came to. `*` is the number of a table among several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that the runs do not share."""

    key: str
    a: Any
    b: Any

    def as_dict(self) -> dict[str, Any]:
        return {"key": self.key, "a": self.a, "b": self.b}


def differences(a: Mapping[str, Any], b: Mapping[str, Any], above: str = "") -> Iterator[Difference]:
    """What two nested settings do not share, by dotted key; a key that one lacks is None there.

    >>> list(differences({"x": {"y": 1, "z": 2}}, {"x": {"y": 1, "z": 3}}))
    [Difference(key='x.z', a=2, b=3)]
    """
    for key in sorted({*a, *b}):
        left, right = _numbered(a.get(key)), _numbered(b.get(key))
        if isinstance(left, Mapping) or isinstance(right, Mapping):
            left = left if isinstance(left, Mapping) else {} if left is None else {"": left}
            right = right if isinstance(right, Mapping) else {} if right is None else {"": right}
            yield from differences(left, right, f"{above}{key}.")
        elif left != right:
            yield Difference(key=f"{above}{key}".rstrip("."), a=left, b=right)


def is_operational(key: str) -> bool:
    """Whether runs that differ in this dotted key are still the same run.

    >>> is_operational("watch.pictures"), is_operational("watchful"), is_operational("data.train")
    (True, False, False)
    >>> is_operational("data.stores.0.store"), is_operational("data.stores.0.weight")
    (True, False)
    """
    plain = re.sub(r"\.\d+\.", ".*.", key)
    return any(plain == known or plain.startswith(f"{known}.") for known in OPERATIONAL)


def _numbered(value: Any) -> Any:
    """Tables of which there are several, by their number; several of none are nothing."""
    if isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        return {str(number): item for number, item in enumerate(value)} or None
    return value
