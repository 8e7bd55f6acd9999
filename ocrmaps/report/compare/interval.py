"""Is a difference of two scores more than another draw of pictures would give? A paired bootstrap says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 2000
_SEED = 20_201


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A difference of two scores over the same pictures, and the range that drawing the pictures again gives."""

    metric: str
    a: float
    b: float
    low: float
    high: float
    """2.5 and 97.5 % of b - a over `DRAWS` paired draws."""
    pictures: int

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def beyond_sampling(self) -> bool:
        """Zero is outside of the range."""
        return not self.low <= 0.0 <= self.high

    @property
    def sentence(self) -> str:
        said = (
            f"{self.metric}: {self.a:.4f} and {self.b:.4f} on the same {self.pictures} pictures, difference "
            f"{self.difference:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"
        )
        verdict = (
            "more than drawing other pictures explains"
            if self.beyond_sampling
            else "no more than drawing other pictures explains: these pictures do not tell the runs apart"
        )
        return f"{said}: {verdict}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "a": self.a,
            "b": self.b,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "pictures": self.pictures,
            "draws": DRAWS,
            "beyond_sampling": self.beyond_sampling,
        }


def paired_interval(a: Any, b: Any, metric: str) -> Interval:
    """The difference of two hmeans, and its range over paired draws of the pictures; the same every time.

    `a` and `b` are (pictures, 3): matched, scored texts, scored detections, in the same order of pictures.

    >>> same = np.array([[3.0, 4.0, 4.0], [1.0, 5.0, 2.0]])
    >>> paired_interval(same, same, "hmean").beyond_sampling
    False
    """
    pictures = len(a)
    rng = np.random.default_rng(_SEED)
    drawn = []
    # A hundred draws at a time, so that memory does not follow the number of pictures times draws.
    for _ in range(DRAWS // 100):
        times = rng.multinomial(pictures, np.full(pictures, 1.0 / pictures), size=100).astype(np.float64)
        drawn.append(_hmean(times @ b) - _hmean(times @ a))
    low, high = np.percentile(np.concatenate(drawn), (2.5, 97.5)).tolist()
    return Interval(
        metric=metric,
        a=float(_hmean(a.sum(axis=0)[None])[0]),
        b=float(_hmean(b.sum(axis=0)[None])[0]),
        low=low,
        high=high,
        pictures=pictures,
    )


def _hmean(sums: Any) -> Any:
    """(n): of (n, 3) sums; 1 where nothing was to be found and nothing was."""
    matched, texts, found = sums.T
    both = texts + found
    return np.where(both > 0, 2 * matched / np.where(both > 0, both, 1.0), 1.0)
