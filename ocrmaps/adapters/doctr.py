"""docTR's detection training: its loop and its loss, on targets that are drawn already.

model = accept_drawn(db_mobilenet_v3_large(pretrained=False))
for images, targets in DoctrLoader(MapLoader(version, split="train", batch_size=4, shuffle=True)):
    loss = model(batch_transforms(images), targets)["loss"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ocrmaps.adapters.plain import plain
from ocrmaps.loader.batch import Batch

Array = npt.NDArray[Any]
Drawn = tuple[Array, Array, Array, Array]
Model = TypeVar("Model")


def doctr_targets(batch: Batch) -> Drawn:
    """(seg_target, seg_mask, thresh_target, thresh_mask) as `build_target` gives them: (B, 1, H, W), float or bool.

    As there, a picture without any text teaches nothing: its mask is False throughout.
    """
    found = plain(batch)
    target, mask, threshold, threshold_mask = (
        t.cpu().numpy()[:, None]
        for t in (found.probability, found.probability_mask, found.threshold, found.threshold_mask)
    )
    some = (target > 0).any(axis=(2, 3), keepdims=True) | (mask == 0).any(axis=(2, 3), keepdims=True)
    return target, (mask > 0) & some, threshold.astype(np.float32), threshold_mask > 0


def accept_drawn(model: Model) -> Model:
    """The same model, whose loss takes the targets of `DoctrLoader` instead of drawing some from boxes."""
    model.build_target = lambda target, shape: target  # type: ignore[attr-defined]
    return model


class DoctrLoader:
    """(images, targets) of each batch of a loader: pictures (B, 3, H, W) in 0 to 1, before `batch_transforms`."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]  # MapLoader and DataLoader have a length

    def __iter__(self) -> Iterator[tuple[Tensor, Drawn]]:
        for batch in self.batches:
            yield plain(batch).image, doctr_targets(batch)
