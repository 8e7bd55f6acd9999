"""Figures from repeats: the median with its spread, and what single times were beside their middle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def figure(name: str, values: Sequence[float], unit: str, reference: str, **extra: Any) -> dict[str, Any]:
    """One entry of a record: the median of the repeats; the spread is the largest less the smallest.

    >>> figure("disk/rate", [1.0, 4.0, 2.0], "GB/s", "a file")["value"]
    2.0
    """
    return {
        "name": name,
        "value": float(statistics.median(values)),
        "unit": unit,
        "reference": reference,
        "spread": float(max(values) - min(values)),
        **extra,
    }


def distribution(ms: Sequence[float]) -> dict[str, float]:
    """How single times are spread: `{"times": distribution(ms)}` beside a figure puts it into the note's table.

    >>> distribution([1.0, 2.0, 3.0, 10.0])["median_ms"]
    2.5
    """
    median, p95, p99 = np.percentile(ms, (50, 95, 99)).tolist()
    return {
        "count": len(ms),
        "mean_ms": float(np.mean(ms)),
        "median_ms": median,
        "p95_ms": p95,
        "p99_ms": p99,
        "std_ms": float(np.std(ms)),
    }


def seconds(work: Callable[[], object]) -> float:
    """Seconds by the clock of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of processor time of one call, all threads of this process together."""
    start = time.process_time()
    work()
    return time.process_time() - start
