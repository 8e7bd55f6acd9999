"""Prepared data that can be trusted, for training text detectors: the names below are the front door.

A tour, from annotated pictures to a detector. Open a folder of annotations in any common format and look at it:

    import ocrmaps
    source = ocrmaps.open_source("receipts/train")
    samples = ocrmaps.read_samples(source)          # a notebook shows a sample as its picture with outlines
    ocrmaps.oracle(source, longest=640).hmean       # what a faultless network could reach at this size

Maps and extraction are inverse functions:

    maps = ocrmaps.draw_maps(samples[0])
    ocrmaps.extract_polygons(maps).polygons

Build a store once; every byte that is read from it later is proven. Train on it, and use what was learnt:

    ocrmaps.build("receipts.toml")
    report = ocrmaps.train("receipts-run.toml", out="runs/first")
    ocrmaps.evaluate(report.last, "receipts")       # scores in original coordinates, with their reasons
    ocrmaps.predict(report.last, "scans/*.jpg")

Or write the training loop yourself:

    version = ocrmaps.open_version("receipts")
    detector, loss = ocrmaps.new_detector("resnet18"), ocrmaps.new_loss()
    for batch in ocrmaps.MapLoader(version, split="train", batch_size=8, shuffle=True):
        loss(detector(batch.image), batch.targets).total.backward()

`MapDataset` gives the same rows to torch's `DataLoader`. `Recipe` and `Run` are what recipe and run files hold.

Importing this package loads nothing but itself: each name is imported when it is first used. Below the door, read
`geometry` (frames, polygons), `pictures` and `canonical` (one decoder, one transform), `annotations`, `maps` and
`extract`, `store`, `loader`, `augment`, `model`, `training`, `metrics` and `report`, in this order.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrmaps.api import (
        build,
        draw_maps,
        evaluate,
        extract_polygons,
        load_detector,
        new_detector,
        new_loss,
        open_source,
        open_version,
        oracle,
        predict,
        read_samples,
        train,
    )
    from ocrmaps.loader import MapDataset, MapLoader
    from ocrmaps.recipe import Recipe
    from ocrmaps.training.spec import RunSpec as Run

__version__ = "0.1.0"

# In the order of the tour, which is the order of the reference page.
__all__ = [  # noqa: RUF022
    "open_source", "read_samples", "oracle", "draw_maps", "extract_polygons", "Recipe", "build", "open_version",
    "MapLoader", "MapDataset", "new_detector", "new_loss", "Run", "train", "load_detector", "predict", "evaluate",
]  # fmt: skip
_ELSEWHERE = {
    "MapDataset": ("ocrmaps.loader", "MapDataset"),
    "MapLoader": ("ocrmaps.loader", "MapLoader"),
    "Recipe": ("ocrmaps.recipe", "Recipe"),
    "Run": ("ocrmaps.training.spec", "RunSpec"),
}
"""Names that are not functions of `ocrmaps.api`: module and name there."""


if not TYPE_CHECKING:  # with it, type checkers would take any name at all

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'ocrmaps' has no attribute {name!r}; it offers {', '.join(__all__)}")
        module, there = _ELSEWHERE.get(name, ("ocrmaps.api", name))
        value = globals()[name] = getattr(import_module(module), there)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
