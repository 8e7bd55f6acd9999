"""Threads that help each other: whoever runs out of work of its own takes over parts of what others have begun."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Team:
    """At most `workers` threads at work at a time; those that only wait for a disk do not count."""

    def __init__(self, workers: int = 1) -> None:
        self.room = threading.Semaphore(workers)
        """Held by a thread while it works."""
        self._begun: list[_Parts] = []

    def share(self, parts: Iterable[Any], do: Callable[[Any], None]) -> None:
        """Do all parts, with the help of threads that have nothing else to do; raises what went wrong in any."""
        begun = _Parts(parts, do)
        self._begun.append(begun)
        try:
            begun.work()
        finally:
            self._begun.remove(begun)
        begun.wait()

    def help(self) -> None:
        """Take over parts of whatever others have begun, until there are none left."""
        for begun in list(self._begun):
            begun.work()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another thread work in the meantime."""
        self.room.release()
        try:
            yield
        finally:
            self.room.acquire()


class _Parts:
    """What several threads do together."""

    def __init__(self, parts: Iterable[Any], do: Callable[[Any], None]) -> None:
        # A deque, because its pops are atomic.
        self._todo, self._do = deque(parts), do
        self._left = len(self._todo)
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def work(self) -> None:
        while True:
            try:
                part = self._todo.popleft()
            except IndexError:
                return
            error = None
            try:
                self._do(part)
            except BaseException as failed:  # its owner raises it, whichever thread it came up in
                error = failed
                self._todo.clear()
            with self._changed:
                self._left -= 1
                self._error = self._error or error
                self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._left == 0 or self._error is not None)
        if self._error is not None:
            raise self._error
