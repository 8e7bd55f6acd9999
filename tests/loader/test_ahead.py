"""Rows that are not in memory are asked for before their turn; what comes out is the same."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Semaphore

import numpy as np
import pytest

from ocrmaps.loader import MapLoader
from ocrmaps.store import ahead as ahead_module
from ocrmaps.store import fast
from ocrmaps.store.ahead import ReadAhead
from ocrmaps.store.reader import Reader

SETTINGS = {"split": "train", "batch_size": 3, "shuffle": True, "seed": 5, "threads": 2}
INDEX = 16 * 3 + 4
"""Bytes of the index of three rows."""
LONG = 60.0
"""Seconds that no test waits for unless it fails."""


class Asked:
    """What a read-ahead asked for, in order."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.more = Semaphore(0)

    def __call__(self, row: int) -> int:
        self.rows.append(row)
        self.more.release()
        return 10

    def wait(self, rows: int) -> None:
        for _ in range(rows):
            assert self.more.acquire(timeout=LONG)


def test_nothing_is_asked_for_while_all_is_in_memory():
    asked = Asked()
    reading = ReadAhead(range(100), asked, most_rows=16)
    for row in range(100):
        reading.used(row)
    reading.stop()
    assert asked.rows == []


def test_so_many_rows_are_asked_for_before_their_turn():
    asked = Asked()
    reading = ReadAhead(range(100), asked, most_rows=16)
    reading.used(0)
    reading.found_cold()
    asked.wait(16)
    for row in range(1, 8):
        reading.used(row)
    asked.wait(7)
    reading.stop()
    assert sorted(asked.rows) == list(range(1, 24))


def test_bytes_bound_what_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead_module, "AHEAD", 50)
    asked = Asked()
    reading = ReadAhead(range(100), asked, most_rows=16)
    reading.found_cold()
    asked.wait(5)
    reading.stop()
    assert 5 <= len(asked.rows) <= 6


@pytest.mark.parametrize("kind", ["absent", "partly", "unknown"])
def test_what_is_not_in_memory_is_read_and_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    """The system's answers are those of a cold page cache: nothing there, the beginning only, or cannot say."""
    with MapLoader(folder, **SETTINGS) as loader:
        expected = list(loader)
    advised: set[tuple[int, int]] = set()
    preadv = os.preadv

    def cold(handle: int, into: list[memoryview], offset: int, flags: int = 0) -> int:
        if not flags:
            return preadv(handle, into, offset)
        if kind == "absent":
            raise BlockingIOError
        if kind == "unknown":
            raise OSError("operation not supported")
        return preadv(handle, [into[0][: len(into[0]) // 2]], offset)

    monkeypatch.setattr(fast, "_IN_MEMORY", 1)
    monkeypatch.setattr(os, "preadv", cold)
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, offset, nbytes, advice: advised.add((offset, nbytes)))
    with MapLoader(folder, **SETTINGS) as loader:
        found = list(loader)
        rows = np.stack([loader._reader.rows["chunk_offset"], loader._reader.rows["chunk_nbytes"]], -1).reshape(-1, 2)
        indexes = loader._reader.shards["nbytes"].ravel() - INDEX
    for one, other in zip(expected, found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert advised <= {*map(tuple, rows.tolist()), *((start, INDEX) for start in indexes.tolist())}


def test_a_row_is_asked_for_by_its_four_places_and_once_the_four_indexes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    advised: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, offset, nbytes, advice: advised.append((offset, nbytes)))
    with Reader(folder) as reader:
        rows = fast.FastReader(reader)
        assert rows._advise(3) == int(reader.rows["chunk_nbytes"][3].sum())
        places = list(
            zip(reader.rows["chunk_offset"][3].tolist(), reader.rows["chunk_nbytes"][3].tolist(), strict=True)
        )
        lengths = reader.shards["nbytes"][reader.shard_number(reader.shard_of(3))].tolist()
        assert advised == [(length - INDEX, INDEX) for length in lengths] + places
        advised.clear()
        rows._advise(3)
        assert advised == places
        rows.close()
