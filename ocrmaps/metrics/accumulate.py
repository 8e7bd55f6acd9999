"""A score over exactly the pictures it was asked for: complete, or no number at all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from ocrmaps.errors import DataError, Problem, RunError, SpecError
from ocrmaps.geometry import PolygonSet

Status = Literal["complete", "partial", "empty"]
"""empty: all expected pictures were seen, and none of them holds anything to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One protocol: how a picture is scored, and how pictures become one score."""

    name: str
    picture: Callable[[PolygonSet, PolygonSet, npt.ArrayLike | None], Any]
    """Truth, detections and their scores, if any -> the picture's result, which can be pickled."""
    total: Callable[[Sequence[Any]], tuple[Mapping[str, float], Mapping[str, int]]]
    """Results of all pictures -> named values, none of them where nothing was to be found, and named counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a pass over the data is worth."""

    metric: str
    status: Status
    values: Mapping[str, float]
    """Empty unless the status is `complete`."""
    counts: Mapping[str, int]
    """Over the pictures seen, whatever the status."""
    expected: int
    seen: int
    missing: tuple[str, ...]
    """Expected ids that were not seen."""
    unpredicted: int
    """Of those seen, pictures nobody gave a prediction for; their truths count as missed."""

    def __getitem__(self, name: str) -> float:
        """A value by name, refused where there is none to be trusted."""
        if self.status == "partial":
            few = ", ".join(self.missing[:5])
            raise RunError(
                f"{self.metric} is partial: {self.seen} of {self.expected} pictures were scored, missing {few}",
                hint="score the missing pictures, or call add_unpredicted if they have no predictions",
            )
        if self.status == "empty":
            raise RunError(f"{self.metric} is empty: {self.seen} pictures hold no text that is scored")
        if name not in self.values:
            raise SpecError(f"{self.metric} has no value {name!r}, expected one of {', '.join(self.values)}")
        return self.values[name]


class Accumulator:
    """Collects results of the expected pictures, once each, from any thread.

    >>> from ocrmaps.metrics import METRICS
    >>> line = PolygonSet.of([[(0, 0), (9, 0), (9, 2), (0, 2)]], frame="raw")
    >>> seen = Accumulator(METRICS["iou"](), ["a", "b"])
    >>> _ = seen.add("a", line, line)
    >>> seen.compute().status, seen.compute().missing, dict(seen.compute().values)
    ('partial', ('b',), {})
    >>> seen.add_unpredicted({"b": line})
    1
    >>> seen.compute()["recall@0.5"]
    0.5
    """

    def __init__(self, metric: Metric, expected: Iterable[str]) -> None:
        self.metric = metric
        if isinstance(expected, str):
            raise SpecError(f"expected ids are several names, found the text {expected!r}")
        times = Counter(list(expected))
        repeated = [name for name, count in times.items() if count > 1]
        if repeated:
            raise SpecError(f"expected ids must differ, found {len(repeated)} repeated: {', '.join(repeated[:5])}")
        self._expected = tuple(times)
        self._known = frozenset(times)
        self._results: dict[str, Any] = {}
        self._unpredicted: set[str] = set()
        self._lock = threading.Lock()

    def add(self, name: str, truth: PolygonSet, detections: PolygonSet, scores: npt.ArrayLike | None = None) -> Any:
        """Score one picture and keep its result."""
        self._check([name])
        result = self.metric.picture(truth, detections, scores)
        self.merge({name: result})
        return result

    def add_unpredicted(self, truths: Mapping[str, PolygonSet]) -> int:
        """Score the given pictures that have no result yet as if nothing had been detected; how many there were."""
        absent = [name for name in truths if name not in self._results]
        for name in absent:
            self.add(name, truths[name], PolygonSet.empty(truths[name].frame), ())
        self._unpredicted.update(absent)
        return len(absent)

    def results(self) -> dict[str, Any]:
        """Results by id, in the expected order: what a process sends to another."""
        return {name: self._results[name] for name in self._expected if name in self._results}

    def merge(self, results: Mapping[str, Any]) -> None:
        """Take results computed elsewhere; nothing is taken where one of them is unexpected or already here."""
        with self._lock:
            self._check(results)
            self._results.update(results)

    def compute(self) -> Score:
        """The score; its values are there only if every expected picture was seen."""
        results = self.results()
        missing = tuple(name for name in self._expected if name not in results)
        values, counts = self.metric.total(list(results.values()))
        status: Status = "partial" if missing else "complete" if values else "empty"
        return Score(
            metric=self.metric.name,
            status=status,
            values={} if missing else dict(values),
            counts=dict(counts),
            expected=len(self._expected),
            seen=len(results),
            missing=missing,
            unpredicted=len(self._unpredicted),
        )

    def _check(self, names: Iterable[str]) -> None:
        problems = [
            Problem(loc=str(name), message=message, kind=kind)
            for name in names
            for wrong, message, kind in (
                (name not in self._known, "not among the expected pictures", "unexpected-id"),
                (name in self._results, "already scored: counted twice, it would weigh twice", "duplicate-id"),
            )
            if wrong
        ]
        if problems:
            raise DataError(
                f"{self.metric.name}: {len(problems)} results refused ({len(self._expected)} pictures expected)",
                hint="give the accumulator the ids of this pass, and gather each id from one process only",
                problems=problems,
            )
