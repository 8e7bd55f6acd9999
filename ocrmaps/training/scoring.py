"""Validation scores in the coordinates of the annotations: extraction and matching in threads beside the network.

A pass knows which rows it must see. One that saw others, or not all of them, has no score: it is partial.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ocrmaps.extract import Extraction, ExtractSpec, extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.metrics.iou import IouCounts, match_iou
from ocrmaps.store.reader import Reader

THRESHOLDS = (0.5, 0.7)
Counts = dict[float, IouCounts]
FloatMap = npt.NDArray[np.float32]
Verdict = TypeVar("Verdict")
WAITING = 512 << 20
"""Bytes of maps that may wait to be judged. The network only waits when the threads are this far behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one validation pass found."""

    totals: Mapping[float, IouCounts]
    seen: int
    expected: int
    missing: tuple[str, ...]
    """Names of rows that were expected and not seen."""

    @property
    def complete(self) -> bool:
        return not self.missing and self.seen == self.expected

    def hmean(self, threshold: float = 0.5) -> float:
        return self.totals[threshold].hmean

    @property
    def state(self) -> str:
        """`complete`, or how much of it there is."""
        return "complete" if self.complete else f"partial {self.seen}/{self.expected}"


class Judging(Generic[Verdict]):
    """Judges maps of rows in threads beside whatever makes the maps: `begin`, `add` as maps come, `results`."""

    def __init__(
        self, judge: Callable[[int, FloatMap, FloatMap | None], Verdict], *, threads: int | None = None
    ) -> None:
        self.judge = judge
        self._threads = threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
        self._pool: ThreadPoolExecutor | None = None
        self._work: dict[int, Future[Verdict]] = {}
        self._waiting: deque[tuple[Future[Verdict], int]] = deque()
        self._bytes = 0

    def begin(self) -> None:
        """Forget what an earlier pass left."""
        self.close()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="score")

    def add(self, rows: Sequence[int], probability: FloatMap, threshold: FloatMap | None = None) -> None:
        """Hand over the (B, H, W) maps of these rows; returns before they are judged."""
        assert self._pool is not None
        for i, row in enumerate(rows):
            # Loaders show rows again to give each rank as many batches; a row counts once.
            if row not in self._work:
                level = None if threshold is None else threshold[i]
                future = self._work[row] = self._pool.submit(self.judge, row, probability[i], level)
                self._wait_for_room(future, probability[i].nbytes + (0 if level is None else level.nbytes))

    def _wait_for_room(self, future: Future[Verdict], nbytes: int) -> None:
        self._waiting.append((future, nbytes))
        self._bytes += nbytes
        while self._bytes > WAITING:
            oldest, freed = self._waiting.popleft()
            wait([oldest])
            self._bytes -= freed

    def results(self) -> dict[int, Verdict]:
        """Every row's verdict, once all are there."""
        try:
            return {row: future.result() for row, future in sorted(self._work.items())}
        finally:
            self.close()

    def close(self) -> None:
        """End the threads; maps that nobody judged are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._work = {}
        self._waiting.clear()
        self._bytes = 0


def found_in(
    reader: Reader, row: int, spec: ExtractSpec, probability: FloatMap, threshold: FloatMap | None = None
) -> tuple[PolygonSet, PolygonSet, Extraction]:
    """(truth, detections, extraction) of a stored row: both polygon sets in the frame of the annotation."""
    truth = reader.polygon_set(row)
    found = extract(probability, spec, threshold=threshold)
    return truth, reader.transform(row).apply(found.polygons, truth.frame), found


class Scorer(Judging[Counts]):
    """Scores probability maps of the rows of one split; `begin`, `add` as maps come, `results`, `total`."""

    def __init__(
        self,
        reader: Reader,
        expected: Iterable[int],
        spec: ExtractSpec,
        *,
        thresholds: Sequence[float] = THRESHOLDS,
        threads: int | None = None,
    ) -> None:
        super().__init__(self._count, threads=threads)
        self.reader, self.spec, self.thresholds = reader, spec, tuple(thresholds)
        self.expected = frozenset(int(row) for row in expected)

    def _count(self, row: int, probability: FloatMap, threshold: FloatMap | None) -> Counts:
        truth, detections, _ = found_in(self.reader, row, self.spec, probability, threshold)
        match = match_iou(truth, detections, thresholds=self.thresholds)
        return {t: match.counts(t) for t in self.thresholds}

    def total(self, results: Mapping[int, Counts]) -> Score:
        """The sum over exactly the rows that were expected."""
        unknown = sorted(set(results) - self.expected)
        if unknown:
            names = ", ".join(self.reader.name(row) for row in unknown[:5])
            raise ValueError(f"{len(unknown)} rows were scored that are not of this split: {names}")
        missing = sorted(self.expected - set(results))
        totals = {t: sum((counts[t] for counts in results.values()), IouCounts()) for t in self.thresholds}
        return Score(
            totals=totals,
            seen=len(results),
            expected=len(self.expected),
            missing=tuple(self.reader.name(row) for row in missing),
        )
