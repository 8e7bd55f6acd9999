"""Compares the settings of two runs, and knows which of them do not decide weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OPERATIONAL = ("name", "watch", "keep", "device", "data.cache", "data.store")
"""Settings, or tables of them, that do not decide weights or scores; a store is compared by its root digest."""


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
        left, right = a.get(key), b.get(key)
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
    """
    return any(key == known or key.startswith(f"{known}.") for known in OPERATIONAL)
