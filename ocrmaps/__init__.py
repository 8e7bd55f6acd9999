"""ocrmaps: prepared data that can be trusted, for training text detectors.

Reading order: `geometry` (frames, polygons) -> `pictures` and `canonical` (one decoder, one transform) ->
`annotations` (every common format) -> `maps` and `extract` (two inverse functions) -> `store` (content-hashed
versions) -> `loader`, `augment`, `model`, `training` -> `metrics`, `report`. Importing this package loads none of it.
"""

__version__ = "0.1.0"
