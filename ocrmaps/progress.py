"""How long work tells of itself: a callback for steps done, and a display opened for each named stage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for a named stage."""
Say = Callable[[str], None]
"""Takes one line for people."""
_listener: Say | None = None


def listen(say: Say | None) -> None:
    """Give lines about long waits to `say` from now on; None to nobody, as at the start."""
    global _listener
    _listener = say


def listener() -> Say | None:
    """Who hears lines about long waits."""
    return _listener


def silent(what: str) -> AbstractContextManager[Progress]:
    """A stage that shows nothing."""
    return nullcontext(lambda done, total: None)
