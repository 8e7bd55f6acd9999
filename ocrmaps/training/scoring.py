"""Validation scores in the coordinates of the annotations: extraction and matching in threads beside the network.

A pass knows which rows it must see. One that saw others, or not all of them, has no score: it is partial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ocrmaps.evaluation.judging import FloatMap, Judging, found_in
from ocrmaps.extract import ExtractSpec
from ocrmaps.metrics.iou import IouCounts, match_iou
from ocrmaps.store.several import Stored

THRESHOLDS = (0.5, 0.7)
Counts = dict[float, IouCounts]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScore:
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


class Scorer(Judging[Counts]):
    """Scores probability maps of the rows of one split; `begin`, `add` as maps come, `results`, `total`."""

    def __init__(
        self,
        reader: Stored,
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
        truth, detections, _ = found_in(self.reader, row, self.spec, probability, threshold, texts=False)
        match = match_iou(truth, detections, thresholds=self.thresholds)
        return {t: match.counts(t) for t in self.thresholds}

    def total(self, results: Mapping[int, Counts]) -> ValidationScore:
        """The sum over exactly the rows that were expected."""
        unknown = sorted(set(results) - self.expected)
        if unknown:
            names = ", ".join(self.reader.name(row) for row in unknown[:5])
            raise ValueError(f"{len(unknown)} rows were scored that are not of this split: {names}")
        missing = sorted(self.expected - set(results))
        totals = {t: sum((counts[t] for counts in results.values()), IouCounts()) for t in self.thresholds}
        return ValidationScore(
            totals=totals,
            seen=len(results),
            expected=len(self.expected),
            missing=tuple(self.reader.name(row) for row in missing),
        )
