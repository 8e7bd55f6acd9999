"""What travels from the loader to the model: whole rows as they are stored, in bytes."""

from __future__ import annotations

from typing import NamedTuple

from numpy import array, uint8
from torch import Tensor, device

from ocrmaps import inline
from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS

SHOWN = 4
"""Pictures of a batch that a notebook shows."""
TINT = array([15, 55, 117], dtype=uint8)


class Targets(NamedTuple):
    """The four maps of a batch, all (B, H, W)."""

    probability: Tensor
    """uint8 or bool: non-zero in a kernel."""
    threshold: Tensor
    """uint8: 0 to 254 for 0 to 1."""
    probability_mask: Tensor
    """bool: where the probability counts."""
    threshold_mask: Tensor
    """bool: where the threshold counts."""

    @classmethod
    def unpack(cls, probability: Tensor, threshold: Tensor, mask: Tensor) -> Targets:
        """From stored arrays; bits of the mask say where the probability and where the threshold counts."""
        return cls(probability, threshold, (mask & PROBABILITY_COUNTS).bool(), (mask & THRESHOLD_COUNTS).bool())


class Batch(NamedTuple):
    """Rows of one canvas, all bytes as stored; nothing is normalized or scaled before it is on the device.

    `image` with its channels last is what the codec gives and, permuted, what convolutions like best.
    """

    image: Tensor
    """uint8 (B, H, W, 3): RGB."""
    probability: Tensor
    """uint8 (B, H, W): 1 in a kernel, else 0."""
    threshold: Tensor
    """uint8 (B, H, W): 0 to 254 for 0 to 1."""
    mask: Tensor
    """uint8 (B, H, W): bits PROBABILITY_COUNTS and THRESHOLD_COUNTS."""
    row: Tensor
    """int64 (B,): places in the version, or in several as `MapLoader` counts them. Stays in host memory, so that
    seeding and naming samples never waits."""

    def on(self, where: device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch with its pixels on a device; `row` stays where it is."""
        image, probability, threshold, mask = (t.to(where, non_blocking=non_blocking) for t in self[:4])
        return Batch(image, probability, threshold, mask, self.row)

    @property
    def targets(self) -> Targets:
        """What a loss is computed against: `loss(detector(batch.image), batch.targets)`."""
        return Targets.unpack(self.probability, self.threshold, self.mask)

    def __repr__(self) -> str:
        height, width = self.image.shape[-3:-1]
        rows = self.row.reshape(-1).tolist()
        shown = ", ".join(map(str, rows[:6])) + (", ..." if len(rows) > 6 else "")
        return f"Batch({len(rows)} of {height}x{width} on {self.image.device}; rows {shown})"

    def _repr_html_(self) -> str:
        """The first pictures, kernels tinted, for notebooks."""
        pictures = self.image.reshape(-1, *self.image.shape[-3:])[:SHOWN].cpu().numpy().copy()
        kernels = self.probability.reshape(-1, *self.probability.shape[-2:])[:SHOWN].cpu().numpy() > 0
        pictures[kernels] = pictures[kernels] // 2 + TINT
        shown = "".join(f'<img alt="" src="{inline.picture_uri(p, 240)}" style="margin:2px"/>' for p in pictures)
        return f"<div>{inline.safe(self)}<br/>{shown}</div>"
