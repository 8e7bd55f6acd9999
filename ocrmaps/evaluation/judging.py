"""Judges maps of stored rows in threads, beside the network that makes the maps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ocrmaps.extract import Extraction, ExtractSpec, extract
from ocrmaps.geometry import PolygonSet
from ocrmaps.machine import cores
from ocrmaps.store.several import Stored

FloatMap = npt.NDArray[np.float32]
Verdict = TypeVar("Verdict")
WAITING = 128 << 20
"""Bytes of maps that may wait to be judged. The network only waits when the threads are this far behind.

Enough for 80 maps of 640 x 640; with more, each batch of maps would lie in fresh memory, which costs more than filling
it.
"""


class Judging(Generic[Verdict]):
    """Judges maps of rows in threads beside whatever makes the maps: `begin`, `add` as maps come, `results`."""

    def __init__(
        self, judge: Callable[[int, FloatMap, FloatMap | None], Verdict], *, threads: int | None = None
    ) -> None:
        self.judge = judge
        self._threads = threads or cores(most=8)
        self._pool: ThreadPoolExecutor | None = None
        self._work: dict[int, Future[Verdict]] = {}
        self._waiting: deque[tuple[Future[Verdict], int]] = deque()
        self._bytes = 0

    def begin(self) -> None:
        """Forget what an earlier pass left."""
        self.close()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="score")

    def add(self, rows: Sequence[int], probability: FloatMap, threshold: FloatMap | None = None) -> None:
        """Hand over the (B, H, W) maps of these rows; returns before they are judged."""
        assert self._pool is not None
        for i, row in enumerate(rows):
            # Loaders show rows again to give each rank as many batches; a row counts once.
            if row not in self._work:
                level = None if threshold is None else threshold[i]
                future = self._work[row] = self._pool.submit(self.judge, row, probability[i], level)
                self._wait_for_room(future, probability[i].nbytes + (0 if level is None else level.nbytes))

    def _wait_for_room(self, future: Future[Verdict], nbytes: int) -> None:
        self._waiting.append((future, nbytes))
        self._bytes += nbytes
        while self._bytes > WAITING:
            oldest, freed = self._waiting.popleft()
            wait([oldest])
            self._bytes -= freed

    def results(self) -> dict[int, Verdict]:
        """Every row's verdict, once all are there."""
        try:
            return {row: future.result() for row, future in sorted(self._work.items())}
        finally:
            self.close()

    def close(self) -> None:
        """End the threads; maps that nobody judged are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._work = {}
        self._waiting.clear()
        self._bytes = 0


def found_in(
    reader: Stored,
    row: int,
    spec: ExtractSpec,
    probability: FloatMap,
    threshold: FloatMap | None = None,
    *,
    texts: bool = True,
) -> tuple[PolygonSet, PolygonSet, Extraction]:
    """(truth, detections, extraction) of a stored row: both polygon sets in the frame of the annotation.

    `texts` is for who reads the truth's texts.
    """
    truth = reader.polygon_set(row, texts=texts)
    found = extract(probability, spec, threshold=threshold)
    return truth, reader.transform(row).apply(found.polygons, truth.frame), found
