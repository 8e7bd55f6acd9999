"""Who else used the cores while figures were measured: a ratio survives company, a ceiling does not."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

BUSY = 0.1
"""Cores that others may use before a record says that the machine was busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The company that a measurement had.

    >>> Load(start=(0.5, 0.4, 0.3), end=(2.1, 1.0, 0.5), seconds=60.0, cores=2, others=0.9).note
    'busy: other processes used 0.9 of 2 cores on average; rates and ceilings are too low, ratios less so'
    """

    start: tuple[float, float, float] | None
    """Load averages of 1, 5 and 15 minutes; None where the system keeps none."""
    end: tuple[float, float, float] | None
    seconds: float
    cores: int
    others: float
    """Cores that other processes, or the host of a virtual machine, used on average."""

    @property
    def busy(self) -> bool:
        return self.others > BUSY

    @property
    def note(self) -> str:
        if not self.busy:
            return f"quiet: other processes used {self.others:.2g} of {self.cores} cores on average"
        return (
            f"busy: other processes used {self.others:.1f} of {self.cores} cores on average; "
            "rates and ceilings are too low, ratios less so"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "seconds": round(self.seconds, 1),
            "others_cores": round(self.others, 2),
            "busy": self.busy,
            "note": self.note,
        }


class Watch:
    """Counts from its making to `finish`; child processes count as ours once they have been waited for."""

    def __init__(self) -> None:
        self._start, self._clock = _averages(), time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def finish(self) -> Load:
        """What the load was since the beginning."""
        seconds = time.perf_counter() - self._clock
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return Load(
            start=self._start,
            end=_averages(),
            seconds=seconds,
            cores=len(_cores()),
            others=max(0.0, others / seconds) if seconds > 0 else 0.0,
        )


def _averages() -> tuple[float, float, float] | None:
    try:
        one, five, fifteen = os.getloadavg()
    except (AttributeError, OSError):  # not every system keeps them
        return None
    return round(one, 2), round(five, 2), round(fifteen, 2)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _busy_seconds() -> float:
    """Seconds that the cores we may use were not idle, whoever used them."""
    import psutil

    each = psutil.cpu_times(percpu=True)
    mine = [each[core] for core in _cores() if core < len(each)]
    # Time of guests is counted in `user` already.
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(value for times in mine for name, value in times._asdict().items() if name not in idle)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
