"""Batches of a committed version, read by threads of this process: `MapLoader` is the door."""

from ocrmaps.loader.loader import ARRAYS, MapLoader

__all__ = ["ARRAYS", "MapLoader"]
