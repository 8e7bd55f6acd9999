"""The journal of a build: one line a receipt, each with its own digest, appended and synced as shards are proven.

A crash can tear the last line only; it is cut off before anything is appended. A damaged line in the middle costs its
own shard, which is then built again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.store.format.identity import canonical_json, file_digest
from ocrmaps.store.places import posix as disk


class Journal:
    """An append-only file of receipts; only the client that holds the build's lock writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clean = False

    def append(self, receipts: Sequence[Any]) -> None:
        """Durable when this returns."""
        if not self._clean:
            self._cut_torn_tail()
        bodies = [canonical_json(receipt) for receipt in receipts]
        self._clean = False  # until the lines are whole, a failed append leaves a tail to cut
        disk.append(self._path, b"".join(file_digest(b).hex().encode() + b" " + b + b"\n" for b in bodies))
        self._clean = True

    def replay(self) -> Iterator[Any]:
        """All receipts whose lines are whole, in order."""
        if not self._path.exists():
            return
        for line in disk.read(self._path).split(b"\n"):
            digest, _, body = line.partition(b" ")
            if body and file_digest(body).hex().encode() == digest:
                yield json.loads(body)

    def _cut_torn_tail(self) -> None:
        if self._path.exists():
            data = disk.read(self._path)
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                disk.truncate(self._path, whole)
        self._clean = True
