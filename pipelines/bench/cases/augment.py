"""Times our augmentation beside kornia's on one batch: `python -m ocrmaps.pipelines.bench.cases.augment`.

kornia is no dependency; where it is not installed this says so. Both move the picture and three maps by one matrix a
sample and change colors. Kornia is given the easier task: its result stays float and its maps are not made bytes
again, and text that it cuts is not masked.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ocrmaps.augment import AugmentSpec, Outlines, augment
from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader.batch import Batch
from ocrmaps.machine import commit, machine
from ocrmaps.pipelines.bench.record import Result

BATCH, SIDES = 8, (320, 320)
SPEC = AugmentSpec(flip=0.5, rotate=5, scale=(0.8, 1.25), brightness=0.2, contrast=0.2, saturation=0.2)


def bench_augment(repeats: int = 7) -> list[Result]:
    """Milliseconds of processor time a batch of both, and their ratio (above 1: ours is faster)."""
    batch, outlines = _batch()
    epochs = iter(range(10**6))
    ours = _times(lambda: augment(batch, SPEC, seed=0, epoch=next(epochs), outlines=outlines), repeats)
    theirs = _times(_kornia(batch), repeats)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    what = f"{BATCH} pictures of {SIDES[0]}x{SIDES[1]} with three maps, {torch.get_num_threads()} threads"
    rows = (
        ("augment/ms", ours, "ms", what),
        ("augment/kornia_ms", theirs, "ms", what),
        ("augment/vs_kornia", ratios, "x", "kornia's time over ours, round by round"),
    )
    return [
        {"name": name, "value": float(np.median(v)), "unit": unit, "reference": said, "spread": float(np.ptp(v))}
        for name, v, unit, said in rows
    ]


def _batch() -> tuple[Batch, Outlines]:
    rng = np.random.default_rng(0)
    height, width = SIDES
    image = torch.from_numpy(rng.integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8))
    probability, threshold, mask = (
        torch.from_numpy(rng.integers(0, top, (BATCH, height, width), dtype=np.uint8)) for top in (2, 255, 4)
    )
    lines = [[(20.0, y), (width - 20.0, y), (width - 20.0, y + 14.0), (20.0, y + 14.0)] for y in range(10, 290, 28)]
    texts = PolygonSet.of(lines, frame="canonical")
    rows = torch.arange(BATCH)
    outlines = Outlines.of([(row, texts) for row in rows.tolist()], shrink_ratio=0.6)
    return Batch(image, probability, threshold, mask, rows), outlines


def _kornia(batch: Batch) -> Callable[[], Any]:
    try:
        k: Any = importlib.import_module("kornia.augmentation")
        keys: Any = importlib.import_module("kornia.constants").DataKey
    except ImportError as error:
        raise SpecError(
            f"kornia is not installed here ({error})", hint="pip install kornia, in an environment of its own"
        ) from error
    low, high = SPEC.scale
    chain = k.AugmentationSequential(
        k.RandomHorizontalFlip(p=0.5),
        k.RandomAffine(degrees=5.0, scale=(low, high), p=1.0),
        k.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, p=1.0),
        data_keys=[keys.INPUT, keys.MASK],
        extra_args={keys.MASK: {"resample": "bilinear", "align_corners": False}},
    )

    def go() -> Any:
        image = batch.image.permute(0, 3, 1, 2).float() / 255
        maps = torch.stack(batch[1:4], dim=1).float()
        return chain(image, maps)

    return go


def _times(work: Callable[[], Any], repeats: int) -> list[float]:
    work()
    out = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        out.append(1e3 * (time.process_time() - start))
    return out


if __name__ == "__main__":
    found = {"results": bench_augment(), "machine": machine(), "commit": commit()}
    print(json.dumps(found | {"command": "python -m ocrmaps.pipelines.bench.cases.augment"}, indent=2))
