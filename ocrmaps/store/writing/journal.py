"""The journal of a build: one line a receipt, each with its own digest, appended and synced as shards are proven.

A crash can tear the last line only; it is cut off before anything is appended. A damaged line in the middle costs its
own shard, which is then built again. Receipts stay in the file: memory holds where each is, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreCorrupt
from ocrmaps.store.format.identity import canonical_json, file_digest
from ocrmaps.store.places import posix as disk

Span = tuple[int, int]
"""Where a line begins, and its length."""


class Journal:
    """An append-only file of receipts; only the client that holds the build's lock writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clean = False
        self._end = 0

    def append(self, receipts: Sequence[Any]) -> list[Span]:
        """Durable when this returns; where each receipt is."""
        if not self._clean:
            self._cut_torn_tail()
        lines = [file_digest(body).hex().encode() + b" " + body + b"\n" for body in map(canonical_json, receipts)]
        self._clean = False  # until the lines are whole, a failed append leaves a tail to cut
        disk.append(self._path, b"".join(lines))
        self._clean = True
        spans = []
        for line in lines:
            spans.append((self._end, len(line)))
            self._end += len(line)
        return spans

    def replay(self) -> Iterator[tuple[Span, Any]]:
        """All receipts whose lines are whole, in order, each with its place."""
        at = 0
        for line in disk.lines(self._path):
            receipt = _parsed(line)
            if receipt is not None:
                yield (at, len(line)), receipt
            at += len(line)

    def receipt(self, span: Span) -> Any:
        """The receipt at a place."""
        receipt = _parsed(disk.read_at(self._path, *span))
        if receipt is None:
            raise StoreCorrupt(
                f"{self._path}: the receipt at byte {span[0]} is no longer what was written",
                hint="run the build again: it resumes with the receipts that prove true",
            )
        return receipt

    def _cut_torn_tail(self) -> None:
        self._end = length = 0
        for line in disk.lines(self._path):
            length += len(line)
            if line.endswith(b"\n"):
                self._end = length
        if length != self._end:
            disk.truncate(self._path, self._end)
        self._clean = True


class Receipts(Mapping[str, Any]):
    """Receipts of a journal by shard, read when they are asked for."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._spans: dict[str, Span] = {}

    def add(self, shard: str, span: Span) -> None:
        """Say where the receipt of a shard is."""
        self._spans[shard] = span

    def __getitem__(self, shard: str) -> Any:
        return self._journal.receipt(self._spans[shard])

    def __contains__(self, shard: object) -> bool:
        return shard in self._spans

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)


def _parsed(line: bytes) -> Any:
    """The receipt of a line, None where it is not whole."""
    digest, _, body = line.removesuffix(b"\n").partition(b" ")
    if body and file_digest(body).hex().encode() == digest:
        return json.loads(body)
    return None
