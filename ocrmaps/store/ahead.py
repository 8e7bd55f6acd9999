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


class ReadAhead:
    """Advises on the rows of one pass; `found_cold` starts its thread."""

    def __init__(self, order: Iterable[int], advise: Callable[[int], int], *, most_rows: int) -> None:
        """`advise` asks for a row and gives its bytes; at most `most_rows` are asked for before their turn."""
        self._order, self._advise, self._most = order, advise, most_rows
        self._counter = count(1)  # its steps are atomic
        self._done = 0
        self._changed = threading.Condition()
        self._cold = self._stopped = False
        self._thread: threading.Thread | None = None

    def used(self, row: int) -> None:
        """One more row has had its turn."""
        self._done = next(self._counter)
        if self._cold and self._done % 8 == 0:
            with self._changed:
                self._changed.notify()

    def found_cold(self) -> None:
        """A row had to be waited for."""
        if not self._cold:
            with self._changed:
                if not (self._cold or self._stopped):
                    self._cold = True
                    self._thread = threading.Thread(target=self._run, name="ocrmaps-loader-ahead", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """End; what was asked for may still be read."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        nbytes, asked = 1, 0
        for turn, row in enumerate(self._order):
            if turn < self._done:
                continue
            with self._changed:
                # Rows are about equally long: their mean says how many of them are too many.
                while not self._stopped and turn - self._done >= min(self._most, AHEAD * (asked or 1) // nbytes + 1):
                    self._changed.wait()
                if self._stopped:
                    return
            try:
                nbytes += self._advise(row)
            except (OcrmapsError, OSError):
                return  # whoever reads the row finds out what is wrong and says it
            asked += 1
