"""Counts calls, lines, looks at files, requests and bytes of memory while something runs.

Calls are those that this project's own code makes, of functions in Python and in C; comprehensions, which newer Pythons
call no more, are left out. Files are counted whoever opens them by Python's own functions.
"""

from __future__ import annotations

import gc
import io
import itertools
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import ocrmaps
from ocrmaps.store.places.objects import ObjectPlace

HOME = os.path.dirname(ocrmaps.__file__) + os.sep
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>")
FILES: Mapping[Any, str] = {
    **dict.fromkeys((os.open, io.open), "opened"),
    **dict.fromkeys((os.stat, os.lstat, os.fstat), "examined"),
    **dict.fromkeys((os.fsync, os.fdatasync), "synced"),
}
"""What is counted of the system's own functions."""
KINDS = ("calls", "lines", "requests", *dict.fromkeys(FILES.values()))
REQUEST = ObjectPlace._again.__code__


class Tally:
    """Counts events of all threads; adding is one step of the interpreter, so that none is lost."""

    def __init__(self) -> None:
        self._counters = {kind: itertools.count() for kind in KINDS}
        self._own: dict[CodeType, bool] = {}
        self._files = {function: self._counters[kind] for function, kind in FILES.items()}

    def totals(self) -> dict[str, int]:
        """What was counted, by kind; may be asked once."""
        return {kind: next(counter) for kind, counter in self._counters.items()}

    def profile(self, frame: FrameType, event: str, what: Any) -> None:
        """For `sys.setprofile`: everything but lines."""
        if event == "call":
            if self._is_own(frame.f_code):
                next(self._counters["calls"])
                if frame.f_code is REQUEST:
                    next(self._counters["requests"])
        elif event == "c_call":
            if self._is_own(frame.f_code):
                next(self._counters["calls"])
            if what in self._files:
                next(self._files[what])
            elif what.__name__ == "stat" and isinstance(what.__self__, os.DirEntry):
                next(self._counters["examined"])

    def trace(self, frame: FrameType, event: str, what: Any) -> Any:
        """For `sys.settrace`: lines."""
        if event == "line":
            next(self._counters["lines"])
        return self.trace if self._is_own(frame.f_code) else None

    def _is_own(self, code: CodeType) -> bool:
        own = self._own.get(code)
        if own is None:
            own = code.co_filename.startswith(HOME) and code.co_filename != __file__
            own = self._own[code] = own and code.co_name not in COMPREHENSIONS
        return own


@contextmanager
def tallied(tally: Tally) -> Iterator[None]:
    """Count everything but lines in this thread and in those that it starts meanwhile."""
    before = sys.getprofile()
    with _no_garbage():
        threading.setprofile(tally.profile)
        sys.setprofile(tally.profile)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(None)


def counted(work: Callable[[], object]) -> dict[str, int]:
    """Calls, files and requests of one call of `work`."""
    tally = Tally()
    with tallied(tally):
        work()
    return tally.totals()


def lines(work: Callable[[], object]) -> int:
    """Lines of this project's code that one call of `work` runs through: what a loop in a loop shows first."""
    tally, before = Tally(), sys.gettrace()
    with _no_garbage():
        threading.settrace(tally.trace)
        sys.settrace(tally.trace)
        try:
            work()
        finally:
            sys.settrace(before)
            threading.settrace(None)
    return tally.totals()["lines"]


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that Python and NumPy hold while `work` runs, beyond what they held before."""
    with _no_garbage():
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            work()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()


@contextmanager
def _no_garbage() -> Iterator[None]:
    """What is found to be garbage runs code of its own, at any time."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
