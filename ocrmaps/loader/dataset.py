"""A split of a version as a map-style torch `Dataset`, for `DataLoader`, samplers and loops of other projects.

    rows = MapDataset(version, split="train")
    loader = DataLoader(rows, batch_sampler=rows.batches(8, shuffle=True), num_workers=2)

`MapLoader` is faster and needs no worker processes; this is for code that expects a `Dataset`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ocrmaps.errors import StoreError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.loader.batch import Batch
from ocrmaps.loader.loader import ARRAYS, rows_of
from ocrmaps.loader.order import Order
from ocrmaps.loader.settings import check_settings
from ocrmaps.store.fast import FastReader
from ocrmaps.store.format.layout import row_shape
from ocrmaps.store.reader import Reader


class MapDataset(Dataset[Batch]):
    """The rows of one split: `dataset[i]` is one picture with its maps, as a `Batch` without the batch axis.

    Tensors are bytes as stored; what torch's default collation makes of several is a `Batch`. Every row is proven
    against its digest. It pickles, and each process opens the version for itself.
    """

    def __init__(self, version: str | os.PathLike[str], *, split: str = "train", check_digests: bool = True) -> None:
        self.split, self._check = split, check_digests
        self._folder = os.fspath(version)
        with Reader(self._folder) as reader:
            self._folder = str(reader.folder)
            self.root_digest = reader.root_digest
            """One digest over every byte of the version."""
            self.rows = rows_of(reader, split)
            """Place in the version of each item."""
            self.canvases: list[Size] = [reader.canvas(int(row)) for row in self.rows]
            """(height, width) of each item; the items of one batch must agree."""
        self._opened: tuple[int, Reader, FastReader] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        row = self._row(index)
        out = [np.empty(row_shape(array, self.canvases[index]), np.uint8) for array in ARRAYS]
        self._open()[2].read_into(row, out)
        image, probability, threshold, mask = (torch.from_numpy(array) for array in out)
        return Batch(image, probability, threshold, mask, torch.tensor(row, dtype=torch.int64))

    def id(self, index: int) -> str:
        """The sample's id."""
        return self._open()[1].id(self._row(index))

    def polygons(self, index: int) -> PolygonSet:
        """The annotation in pixels of the stored picture."""
        reader, row = self._open()[1], self._row(index)
        return reader.transform(row).apply(reader.polygon_set(row), "canonical")

    def batches(
        self, batch_size: int, *, shuffle: bool = False, seed: int = 0, drop_last: bool = False
    ) -> Sampler[list[int]]:
        """A `batch_sampler` for `DataLoader`: batches of one canvas each, in the order that `MapLoader` has.

        Shuffled, each pass over it shows the next epoch.
        """
        return _Batches(self, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)

    def close(self) -> None:
        """Give up files and the mark of being in use; the next item opens them again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __repr__(self) -> str:
        return f"MapDataset({self._folder!r}, split={self.split!r}): {len(self)} rows"

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return int(self.rows[index])

    def _open(self) -> tuple[int, Reader, FastReader]:
        # A forked worker must not share open files and locks with the process that it came from.
        if self._opened is None or self._opened[0] != os.getpid():
            reader = Reader(self._folder)
            if reader.root_digest != self.root_digest:
                reader.close()
                raise StoreError(
                    f"{self._folder}: found root digest {reader.root_digest[:16]}, expected {self.root_digest[:16]}: "
                    "the version was replaced since this dataset was made",
                    hint="make the dataset again",
                )
            self._opened = os.getpid(), reader, FastReader(reader, check_digests=self._check)
        return self._opened


class _Batches(Sampler[list[int]]):
    """Lists of items that share a canvas."""

    def __init__(self, dataset: MapDataset, batch_size: int, *, shuffle: bool, seed: int, drop_last: bool) -> None:
        check_settings(batch_size=batch_size, threads=1, ahead=1, world=1, rank=0, seed=seed)
        items: dict[Size, list[int]] = {}
        for item, canvas in enumerate(dataset.canvases):
            items.setdefault(canvas, []).append(item)
        self._order = Order(
            rows={canvas: np.array(of, dtype=np.int64) for canvas, of in items.items()},
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self.epoch = 0
        """The epoch that the next pass shows."""

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[list[int]]:
        # A generator: a DataLoader with workers makes two iterators and uses one, and only that one is an epoch.
        epoch, self.epoch = self.epoch, self.epoch + 1
        for batch in self._order.batches(epoch):
            yield batch.tolist()
