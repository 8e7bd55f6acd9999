"""A version read the usual way: zarr-python, one item at a time, collated by torch's `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import zarr
from torch.utils.data import DataLoader, Dataset

ARRAYS = ("image", "probability", "threshold", "mask")
Item = tuple[npt.NDArray[np.uint8], ...]


class ZarrRows(Dataset[Item]):
    """Item i is the i-th of `positions` in the arrays of one canvas."""

    def __init__(self, canvas_folder: Path, positions: Sequence[int]) -> None:
        self._folder, self._positions = canvas_folder, list(positions)
        self._arrays: list[zarr.Array] | None = None

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Item:
        if self._arrays is None:  # opened by the process that reads: what zarr holds does not survive a fork
            self._arrays = [zarr.open_array(self._folder / array, mode="r") for array in ARRAYS]
        return tuple(np.asarray(array[self._positions[index]]) for array in self._arrays)


def zarr_batches(
    canvas_folder: Path, positions: Sequence[int], *, batch_size: int, workers: int
) -> Iterable[list[torch.Tensor]]:
    """Batches of the four arrays; with workers, those are started afresh and kept for the next epoch."""
    return DataLoader(
        ZarrRows(canvas_folder, positions),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="forkserver" if workers > 0 else None,
    )
