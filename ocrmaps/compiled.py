"""Numeric functions as machine code: no lock held, IEEE arithmetic in the order written, kept on disk where possible.

Numba notices a change only in the file of the function it compiles. So a compiled function calls compiled functions of
its own file only; otherwise an edit elsewhere would leave stale machine code behind. A test holds this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache, NullCache

from ocrmaps.progress import listener

SECONDS_A_BYTE = 5e-4
"""About what compiling takes for a byte of Python's own code, on one core of a server."""

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
    """Numba's files of compiled code, which end no command where they cannot be written or are damaged."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file that was cut can fail its reader in any way
            with suppress(OSError):
                self.flush()
        if found is None:
            _tell(self._py_func.__module__, "for this machine")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)
