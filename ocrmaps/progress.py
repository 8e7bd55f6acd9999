"""How long work tells of itself: a callback for steps done, and a display opened for each named stage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for a named stage."""

ONCE: list[Callable[[str], None]] = []
"""Who is told, in a line, of what takes seconds without progress: work that a machine does once, a server that does not
answer. The command line adds itself."""


def silent(what: str) -> AbstractContextManager[Progress]:
    """A stage that shows nothing."""
    return nullcontext(lambda done, total: None)
