"""Has the system read rows from the disk before their turn, once one was found that is not in memory.

Reading at random waits for the disk at each row. Where the order is known, the system can be told what comes next
(`posix_fadvise`): it then has many reads under way, and a disk gives as much as for reading from front to back. Telling
it costs about 10 µs a row, so nothing is told while all rows are in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import count

from ocrmaps.errors import OcrmapsError

AHEAD = 64 * 2**20
"""Bytes that are asked for before their turn."""
THREADS = 4
"""Asking takes the system's time (it finds memory for every page) and may wait for room in the disk's queue."""


class ReadAhead:
    """Advises on the rows of one pass; `found_cold` starts its threads."""

    def __init__(self, order: Iterable[int], advise: Callable[[int], int], *, most_rows: int) -> None:
        """`advise` asks for a row and gives its bytes; at most `most_rows` are asked for before their turn."""
        self._turns, self._advise, self._most = enumerate(order), advise, most_rows
        self._counter = count(1)  # its steps are atomic
        self._done = 0
        self._nbytes, self._asked = 1, 0
        self._changed = threading.Condition()
        self._cold = self._stopped = False
        self._threads: list[threading.Thread] = []

    def used(self, row: int) -> None:
        """One more row has had its turn."""
        self._done = next(self._counter)
        if self._cold and self._done % 8 == 0:
            with self._changed:
                self._changed.notify_all()

    def found_cold(self) -> None:
        """A row had to be waited for."""
        if not self._cold:
            with self._changed:
                if not (self._cold or self._stopped):
                    self._cold = True
                    for number in range(THREADS):
                        thread = threading.Thread(target=self._run, name=f"ocrmaps-loader-ahead-{number}", daemon=True)
                        self._threads.append(thread)
                        thread.start()

    def stop(self) -> None:
        """End; what was asked for may still be read."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (row := self._next()) is not None:
            try:
                nbytes = self._advise(row)
            except (OcrmapsError, OSError):
                return  # whoever reads the row finds out what is wrong and says it
            with self._changed:
                self._nbytes += nbytes
                self._asked += 1

    def _next(self) -> int | None:
        """The next row to ask for, once there is room; None at the end."""
        with self._changed:
            for turn, row in self._turns:
                if turn >= self._done:
                    while not self._stopped and turn - self._done >= self._room():
                        self._changed.wait()
                    return None if self._stopped else row
            return None

    def _room(self) -> int:
        """Rows that may be asked for before their turn; rows are about equally long, so their mean says how many."""
        return min(self._most, AHEAD * (self._asked or 1) // self._nbytes + 1)
