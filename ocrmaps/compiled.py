"""Numeric functions as machine code: no lock held, IEEE arithmetic in the order written, kept on disk where possible.

Numba notices a change only in the file of the function it compiles. So a compiled function calls compiled functions of
its own file only; otherwise an edit elsewhere would leave stale machine code behind. A test holds this.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.core.runtime import rtsys

from ocrmaps.progress import listener

SECONDS_A_BYTE = 5e-4
"""About what compiling takes for a byte of Python's own code, on one core of a server."""
PATIENCE = 60.0
"""Seconds that a process waits for what another is compiling before it does so itself."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled on its first call for the types it is given (decorate with `@compiled`).

    Never with fastmath: that would let the compiler reorder and fuse, and results would depend on the processor.
    The code is kept in NUMBA_CACHE_DIR, beside the source or in the user's cache folder, whichever can be written
    first. Where none can, or the disk is full, it is compiled once a process: that costs seconds and changes no result.
    """
    dispatcher: Any = numba.njit(nogil=True)(function)
    try:
        dispatcher._cache = _Kept(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        dispatcher._cache = _NotKept(function)
    _bytes[function.__module__] = _bytes.get(function.__module__, 0) + len(function.__code__.co_code)
    return dispatcher


_bytes: dict[str, int] = {}
"""How much there is to compile in each module."""
_told: set[str] = set()
"""Modules of which the wait has been told."""


def _tell(module: str, where: str) -> None:
    """Say once that the functions of a module are compiled, and about how long that takes."""
    if module not in _told:
        _told.add(module)
        seconds = max(1, round(SECONDS_A_BYTE * _bytes[module]))
        say = listener()
        if say is not None:
            say(f"compiling once {where}: {module} (about {seconds} s)")


class _NotKept(NullCache):
    """No files at all: every process compiles."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._module = function.__module__

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        _tell(self._module, "a process, for want of a folder to keep it in")


class _Kept(FunctionCache):
    """Numba's files of compiled code, which end no command where they cannot be written or are damaged.

    Of several processes that need a function at once, one compiles it and the others wait for its file.
    """

    _turn: _Turn | None = None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._load(sig, target_context)
        if found is None:
            _tell(self._py_func.__module__, "for this machine")
            turn = _Turn(self.cache_path)
            found = self._load(sig, target_context)
            if found is None:
                self._turn = turn
            else:
                turn.end()
        return found

    def _load(self, sig: Any, target_context: Any) -> Any:
        try:
            # Not numba's own `load_overload`: that first makes ready to compile, which kept code does not need, and
            # which takes longer than reading it. Whatever is compiled after all makes itself ready.
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)
        except Exception:  # a file that was cut can fail its reader in any way
            with suppress(OSError):
                self.flush()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)
        if self._turn is not None:
            self._turn.end()
            self._turn = None


class _Turn:
    """The turn to compile what a folder will keep: of one process at a time, while others wait up to `PATIENCE`.

    Functions that are compiled for another one's sake, in the same process, take none. One that cannot be compiled
    keeps its turn until its process ends.
    """

    _taken: _Turn | None = None

    def __init__(self, folder: str) -> None:
        self._handle: int | None = None
        if _Turn._taken is not None:
            return
        with suppress(OSError):  # a folder that knows no locks: everybody compiles
            self._handle = os.open(folder, os.O_RDONLY)
            _Turn._taken = self
            end = time.monotonic() + PATIENCE
            while not _is_locked(self._handle) and time.monotonic() < end:
                time.sleep(0.05)

    def end(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle, _Turn._taken = None, None


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
