"""Numeric functions as machine code: no lock held, IEEE arithmetic in the order written, kept on disk where possible.

Numba notices a change only in the file of the function it compiles. So a compiled function calls compiled functions of
its own file only; otherwise an edit elsewhere would leave stale machine code behind. A test holds this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

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
    return dispatcher


class _Kept(FunctionCache):
    """Numba's files of compiled code, which end no command where they cannot be written or are damaged."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a file that was cut can fail its reader in any way
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)
