"""Processes for tests that are about what several processes do, and not about their start.

Each is forked from one process that has imported everything once; a fresh one spends five seconds on that, for steps
of milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FROM = multiprocessing.get_context("forkserver")
_FROM.set_forkserver_preload(["tests.imported"])


class Fork:
    """A process that runs one function; to be asked like the `subprocess.Popen` in whose place it stands.

    What it prints is in the file `said`; Ctrl-C of a terminal does not reach it.
    """

    def __init__(self, said: Path, function: Callable[..., Any], *words: Any) -> None:
        self._process = _FROM.Process(target=_run, args=(said, function, words))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _run(said: Path, function: Callable[..., Any], words: tuple[Any, ...]) -> None:
    os.setsid()
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    raise SystemExit(function(*words))


def fork_rank(file: Path, rank: int) -> Fork:
    """In place of `ocrmaps.training.ranks._start`."""
    from ocrmaps.pipelines import rank as beside

    return Fork(file.parent / f"said-{rank}", beside.main, file, rank)
