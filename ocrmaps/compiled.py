"""Numeric functions as machine code: no lock held, IEEE arithmetic in the order written, kept on disk where possible.

Numba notices a change only in the file of the function it compiles. So a compiled function calls compiled functions of
its own file only; otherwise an edit elsewhere would leave stale machine code behind. A test holds this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled on its first call for the types it is given (decorate with `@compiled`).

    Never with fastmath: that would let the compiler reorder and fuse, and results would depend on the processor.
    The code is kept in NUMBA_CACHE_DIR, beside the source or in the user's cache folder, whichever can be written
    first. Where none can, it is compiled once a process, which costs seconds and changes no result.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[return-value]
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(nogil=True)(function)  # type: ignore[return-value]
