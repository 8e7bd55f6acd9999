"""PaddleOCR's and OpenOCR's DB: batches in the order of `KeepKeys`, for their `DBLoss`.

for batch in PaddleLoader(MapLoader(version, split="train", batch_size=8, shuffle=True)):
    loss = DBLoss()(model(batch[0]), batch)          # OpenOCR, PyTorch
    batch = [paddle.to_tensor(part.numpy()) for part in batch]      # PaddleOCR
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from ocrmaps.adapters.plain import normalized, plain
from ocrmaps.loader.batch import Batch

KEYS = ("image", "threshold_map", "threshold_mask", "shrink_map", "shrink_mask")
"""What the parts of a batch are, in the order in which `DBLoss` expects them."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""As their configurations have it: in this order, though their pictures are BGR."""


def paddle_batch(batch: Batch) -> list[Tensor]:
    """The parts `KEYS` of a batch in float32: the picture (B, 3, H, W), BGR and normalized, the others (B, H, W)."""
    found = plain(batch)
    image = normalized(found.image.flip(-3), MEAN, STD)
    return [image, found.threshold, found.threshold_mask, found.probability, found.probability_mask]


class PaddleLoader:
    """The batches of a loader as lists, which their training loops index."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]  # MapLoader and DataLoader have a length

    def __iter__(self) -> Iterator[list[Tensor]]:
        return map(paddle_batch, self.batches)
