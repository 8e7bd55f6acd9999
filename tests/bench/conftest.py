"""Quick measurements shared by the tests: each benchmark is run once, at its smallest, in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import pytest

from ocrmaps.annotations.synth import receipts
from ocrmaps.pipelines.bench import record as bench
from ocrmaps.pipelines.bench.ceilings import of_ceilings

_photo = lru_cache(maxsize=64)(receipts.photo)


@pytest.fixture(autouse=True, scope="module")
def _receipts_are_drawn_once() -> Iterator[None]:
    """Most benchmarks measure on the same invented receipts: picture 3 is the same however many there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receipts, "photo", lambda spec, index: _photo(replace(spec, num=1), index))
        yield


@cache
def _quick(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(bench.BENCHES[name](1, True))


@pytest.fixture(scope="session")
def measured() -> Any:
    """`measured(name)`: the quick figures of a benchmark, measured once a session."""
    return _quick


@pytest.fixture(scope="session")
def named() -> Callable[[Iterable[dict[str, Any]]], set[str]]:
    """`named(results)`: the names of whole figures, each name once."""

    def names(found: Iterable[dict[str, Any]]) -> set[str]:
        seen: set[str] = set()
        for result in found:
            assert {"name", "value", "unit", "reference", "spread"} <= set(result)
            assert math.isfinite(result["value"])
            assert math.isfinite(result["spread"])
            assert result["name"] not in seen
            seen.add(result["name"])
        return seen

    return names


@pytest.fixture(scope="session")
def record_from() -> Any:
    """`record_from(results)`: a whole record around figures."""

    def make(results: Any, **more: Any) -> dict[str, Any]:
        found = [dict(result) for result in results]
        return {
            "results": [*found, *of_ceilings(found)],
            "machine": {
                "processor": "a processor",
                "cores": 2,
                "gpu": None,
                "memory_gib": 8.0,
                "system": "Linux",
                "python": "3.11",
                "libraries": {"numpy": "2.0"},
            },
            "load": {"start": (0.1, 0.1, 0.1), "end": None, "seconds": 3.0, "busy": False, "note": "quiet"},
            "quick": True,
            "data": "invented",
            "command": "ocrmaps bench all",
            "commit": "0123456789ab",
            **more,
        }

    return make
