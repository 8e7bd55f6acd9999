"""Validation scores in the coordinates of the annotations: extraction and matching in threads beside the network.

A pass knows which rows it must see. One that saw others, or not all of them, has no score: it is partial.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrmaps.extract import ExtractSpec, extract
from ocrmaps.metrics.iou import IouCounts, match_iou
from ocrmaps.store.reader import Reader

THRESHOLDS = (0.5, 0.7)
Counts = dict[float, IouCounts]


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


class Scorer:
    """Scores probability maps of the rows of one split; `begin`, `add` as maps come, `finish`."""

    def __init__(
        self,
        reader: Reader,
        expected: Iterable[int],
        spec: ExtractSpec,
        *,
        thresholds: Sequence[float] = THRESHOLDS,
        threads: int | None = None,
    ) -> None:
        self.reader, self.spec, self.thresholds = reader, spec, tuple(thresholds)
        self.expected = frozenset(int(row) for row in expected)
        self._threads = threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
        self._pool: ThreadPoolExecutor | None = None
        self._work: dict[int, Future[Counts]] = {}

    def begin(self) -> None:
        """Forget what an earlier pass left."""
        self.close()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="score")

    def add(
        self,
        rows: Sequence[int],
        probability: npt.NDArray[np.float32],
        threshold: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Hand over the (B, H, W) maps of these rows; returns before they are scored."""
        assert self._pool is not None
        for i, row in enumerate(rows):
            # Loaders show rows again to give each rank as many batches; a row counts once.
            if row not in self._work:
                level = None if threshold is None else threshold[i]
                self._work[row] = self._pool.submit(self.judge, row, probability[i], level)

    def judge(
        self, row: int, probability: npt.NDArray[np.float32], threshold: npt.NDArray[np.float32] | None = None
    ) -> Counts:
        """One row's counts: polygons back in the frame of the annotation, matched there."""
        truth = self.reader.polygon_set(row)
        found = extract(probability, self.spec, threshold=threshold)
        detections = self.reader.transform(row).apply(found.polygons, truth.frame)
        match = match_iou(truth, detections, thresholds=self.thresholds)
        return {t: match.counts(t) for t in self.thresholds}

    def results(self) -> dict[int, Counts]:
        """Every row's counts, once all are there."""
        try:
            return {row: future.result() for row, future in sorted(self._work.items())}
        finally:
            self.close()

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

    def close(self) -> None:
        """End the threads; unscored maps are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._work = {}
