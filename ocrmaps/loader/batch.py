"""What travels from the loader to the model: whole rows as they are stored, in bytes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, device


class Batch(NamedTuple):
    """Rows of one canvas, all bytes as stored; nothing is normalised or scaled before it is on the device.

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
    """int64 (B,): places in the version. Stays in host memory, so that seeding and naming samples never waits."""

    def on(self, where: device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch with its pixels on a device; `row` stays where it is."""
        image, probability, threshold, mask = (t.to(where, non_blocking=non_blocking) for t in self[:4])
        return Batch(image, probability, threshold, mask, self.row)
