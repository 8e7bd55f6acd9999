"""Whether two detectors agree: their maps, at several sizes and batches, and the boxes read from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shapely import polygons as as_polygons

from ocrmaps.annotations.synth.receipts import SynthSpec, encode, photos
from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.trained import Trained
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.scratch import scratch

MAP_BOUND = 1e-4
"""Largest difference of a probability: measured are 1.6e-6 between torch and onnxruntime, 0 between torch's own."""
LEAST_IOU = 0.99
RECEIPTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far two detectors differ, and what of it is too far."""

    pictures: int
    generated: bool
    """Whether the pictures were invented receipts."""
    maps: float
    """Largest difference of a probability."""
    shapes: tuple[tuple[int, int, int], ...]
    """(batch, height, width) of the noise that was compared."""
    canvases: tuple[Size, ...]
    """Canvases of the pictures that were compared."""
    boxes: int
    """Boxes of the checkpoint on the pictures."""
    least_iou: float | None
    """Of the pairs of boxes; None where there are none."""
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "generated": self.generated,
            "map_difference": self.maps,
            "map_bound": MAP_BOUND,
            "noise_shapes": [list(shape) for shape in self.shapes],
            "canvases": [list(canvas) for canvas in self.canvases],
            "boxes": self.boxes,
            "least_iou": self.least_iou,
            "iou_bound": LEAST_IOU,
        }

    def sentence(self) -> str:
        kind = "generated receipts" if self.generated else "pictures"
        maps = f"maps differ by {self.maps:.1e} at most (bound {MAP_BOUND:g}) over {len(self.shapes)} shapes of noise"
        if not self.boxes:
            return f"{maps}; NO BOXES on {self.pictures} {kind}, so boxes were not compared: name some with --check-on"
        return f"{maps}; {self.boxes} boxes on {self.pictures} {kind} agree, least IoU {self.least_iou:.5f}"


def compare(
    mine: Trained, other: Trained, *, size: Size | None, multiple: int, pictures: Sequence[Path] = ()
) -> Parity:
    """The second detector judged by the first, on these pictures or on generated receipts."""
    shapes: set[tuple[int, int, int]] = set()
    canvases: set[Size] = set()
    faults: list[str] = []
    worst, boxes, least = 0.0, 0, None
    for shape in _noise_shapes(mine, size, multiple):
        shapes.add(shape)
        worst = max(worst, _noise_difference(mine, other, shape))
    with _pictures(pictures) as paths:
        pairs = zip(
            predict_pictures(mine, paths, batch=2, keep_maps=True),
            predict_pictures(other, paths, batch=2, keep_maps=True),
            strict=True,
        )
        number = 0
        for a, b in pairs:
            assert a.probability is not None and b.probability is not None
            number += 1
            canvases.add(tuple(a.probability.shape))
            difference = _largest(a.probability, b.probability)
            worst = max(worst, difference)
            boxes += len(a.polygons)
            if len(a.polygons) != len(b.polygons):
                faults.append(f"{a.name}: {len(a.polygons)} boxes, {len(b.polygons)} by the exported file")
            elif len(a.polygons):
                iou = least_iou(a.polygons, b.polygons)
                least = iou if least is None else min(least, iou)
    if not worst <= MAP_BOUND:
        faults.append(f"maps differ by {worst:.2e}, allowed are {MAP_BOUND:g}")
    if least is not None and least < LEAST_IOU:
        faults.append(f"two boxes overlap by IoU {least:.4f} only, expected {LEAST_IOU:g}")
    return Parity(
        pictures=number,
        generated=not pictures,
        maps=worst,
        shapes=tuple(sorted(shapes)),
        canvases=tuple(sorted(canvases)),
        boxes=boxes,
        least_iou=least,
        faults=tuple(faults),
    )


def _noise_shapes(trained: Trained, size: Size | None, multiple: int) -> list[tuple[int, int, int]]:
    """One and three pictures on the canvases that pictures will come on, and on sides nobody planned for."""
    canvases = sorted(trained.canonical.canvases, key=lambda canvas: canvas[0] * canvas[1])
    chosen = [canvases[0], canvases[-1]] if size is None else [size]
    odd = [] if size is not None else [(2 * multiple, 2 * multiple), (3 * multiple, 17 * multiple)]
    return sorted({(n, *canvas) for n, canvas in zip((1, 3, 1, 3), (*chosen, *odd), strict=False)})


def _noise_difference(mine: Trained, other: Trained, shape: tuple[int, int, int]) -> float:
    image = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    learned = mine.extract.binarize == "learned"
    pairs = zip(*(t.maps(image, threshold=learned) for t in (mine, other)), strict=True)
    return max(_largest(x, y) for x, y in pairs if x is not None)


def _largest(a: Any, b: Any) -> float:
    """nan where either holds one, so that it fails the bound."""
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def least_iou(a: PolygonSet, b: PolygonSet) -> float:
    """The worst overlap when every polygon is paired with its best; 0 if two want the same one."""
    from shapely import STRtree, area, intersection

    left, right = (np.array([as_polygons(p) for p in s], dtype=object) for s in (a, b))
    mine, theirs = STRtree(right).query(left)  # all pairs of a thousand polygons would be a million
    shared = area(intersection(left[mine], right[theirs]))
    iou = shared / np.maximum(area(left)[mine] + area(right)[theirs] - shared, 1e-12)
    order = np.lexsort((-theirs, iou, mine))
    last = order[np.flatnonzero(np.diff(mine[order], append=-1))]  # of each polygon the pair with the most
    if len(last) < len(left) or len(np.unique(theirs[last])) < len(last):
        return 0.0
    return float(iou[last].min())


@contextmanager
def _pictures(given: Sequence[Path]) -> Iterator[list[Path]]:
    if given:
        yield list(given)
        return
    with scratch("export") as folder:
        paths = []
        for i, photo in enumerate(photos(SynthSpec(num=RECEIPTS, seed=20))):
            path = folder / f"receipt-{i}.jpg"
            path.write_bytes(encode(photo))
            paths.append(path)
        yield paths
