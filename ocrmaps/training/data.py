"""The loaders of a run as Lightning wants them: the right epoch, this rank's share, and a place to resume from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch

from ocrmaps.loader import MapLoader
from ocrmaps.loader.batch import Batch
from ocrmaps.store.several import Where
from ocrmaps.training.stores import Weights


class Epochs:
    """A training loader that shows the epoch the trainer is in, whenever it is first asked for a batch.

    Lightning makes its first iterator before it knows the epoch it resumes in, so nothing is started before the
    first `next`.
    """

    def __init__(self, loader: MapLoader, epoch: Callable[[], int]) -> None:
        self.loader, self._epoch = loader, epoch

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        self.loader.set_epoch(self._epoch())
        yield from self.loader


class MapData(pl.LightningDataModule):
    """The train and val split of one version or of several; loaders live from the start of a fit to its end."""

    def __init__(
        self,
        where: Where,
        *,
        train: str,
        val: str,
        batch_size: int,
        seed: int,
        drop_last: bool = False,
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        self.where, self.train_split, self.val_split, self.weights = where, train, val, weights
        self.batch_size, self.seed, self.drop_last = batch_size, seed, drop_last
        self.train_loader: MapLoader | None = None
        self.val_loader: MapLoader | None = None

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        assert trainer is not None
        shared: dict[str, Any] = {
            "batch_size": self.batch_size,
            "rank": trainer.global_rank,
            "world": trainer.world_size,
            "device": _device(trainer.strategy.root_device),
        }
        self.train_loader = MapLoader(
            self.where, split=self.train_split, shuffle=True, seed=self.seed, drop_last=self.drop_last,
            weights=self.weights, **shared,
        )  # fmt: skip
        self.val_loader = MapLoader(self.where, split=self.val_split, shuffle=False, **shared)

    def train_dataloader(self) -> Epochs:
        assert self.train_loader is not None and self.trainer is not None
        trainer = self.trainer
        return Epochs(self.train_loader, lambda: trainer.current_epoch)

    def val_dataloader(self) -> MapLoader:
        assert self.val_loader is not None
        return self.val_loader

    def state_dict(self) -> dict[str, Any]:
        """Where the last step was taken, whatever was read ahead.

        Kept here: Lightning restores what its loaders say of themselves only if nobody asked for the number of steps
        before, which a schedule has to.
        """
        return {} if self.train_loader is None else self.train_loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert self.train_loader is not None
        self.train_loader.load_state_dict(state_dict)

    def teardown(self, stage: str) -> None:
        for loader in (self.train_loader, self.val_loader):
            if loader is not None:
                loader.close()


def _device(device: torch.device) -> torch.device | None:
    return device if device.type == "cuda" else None
