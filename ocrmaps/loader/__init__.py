"""Batches of a committed version: `MapLoader` reads them in threads, `MapDataset` is a torch `Dataset`."""

from ocrmaps.loader.batch import Batch, Targets
from ocrmaps.loader.dataset import MapDataset
from ocrmaps.loader.loader import ARRAYS, MapLoader

__all__ = ["ARRAYS", "Batch", "MapDataset", "MapLoader", "Targets"]
