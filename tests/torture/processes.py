"""Work in a forked process that may be killed, and what it acknowledged before it died."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

CRASHED = 77
"""Exit status of a process that a fault stopped on purpose."""


def forked(work: Callable[[], None], *, log: Path, kill_after: float | None = None) -> int:
    """Run `work` in a fork; returns its exit status, or minus the signal that ended it.

    A fork starts with everything imported and compiled, so a thousand deaths take minutes. `log` gets its traceback.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            work()
            os._exit(0)
        except BaseException:
            log.write_text(traceback.format_exc())
            os._exit(1)
    if kill_after is not None:
        until = time.monotonic() + kill_after
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
