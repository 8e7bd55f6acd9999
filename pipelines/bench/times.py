"""Figures from repeats: the median with its spread, and what single times were beside their middle."""

from __future__ import annotations

import math
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


def ratio(
    name: str, above: Sequence[float], below: Sequence[float], reference: str, *, unit: str = "x", **extra: Any
) -> dict[str, Any]:
    """One entry of a record: what the first takes over what the second takes, repeat by repeat.

    >>> ratio("maps/vs", [4.0, 6.0], [2.0, 2.0], "plain")["value"]
    2.5
    """
    return figure(name, [a / b for a, b in zip(above, below, strict=True)], unit, reference, **extra)


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


class Laps:
    """Milliseconds of named steps, in processor time of all threads: each `lap` ends the step that the last began."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {}
        self._last = time.process_time()

    def start(self) -> None:
        """What went before belongs to no step."""
        self._last = time.process_time()

    def __call__(self, step: str) -> None:
        now = time.process_time()
        self.ms.setdefault(step, []).append((now - self._last) * 1e3)
        self._last = time.process_time()

    def figures(self, name: str, what: str) -> list[dict[str, Any]]:
        """One figure a step, in the order of the steps, with its share of the time of all of them.

        `name` has a place for the step: `validation/{}_ms`.
        """
        total = sum(sum(ms) for ms in self.ms.values()) or 1.0
        out = []
        for place, (step, ms) in enumerate(self.ms.items(), start=1):
            share = sum(ms) / total
            where = f"step {place} of {len(self.ms)}, {share:.0%} of the time; {what}"
            out.append(figure(name.format(step), ms, "ms", where, share=share, times=distribution(ms)))
        return out


def spelled(value: float | None, digits: int = 4) -> str:
    """A figure with so many digits, and all those before the point: never in powers of ten, nothing for none.

    >>> spelled(1404.3, 3), spelled(110.2, 2), spelled(0.12345), spelled(0.0000337, 2), spelled(None)
    ('1404', '110', '0.1235', '0.000034', '')
    """
    if value is None:
        return ""
    if not math.isfinite(value) or abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return str(np.format_float_positional(value, precision=digits, unique=False, fractional=False, trim="-"))


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
