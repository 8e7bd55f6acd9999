"""Random changes of training batches on the device: images and maps move together, and everything is repeatable.

Image and maps are resampled by one matrix a sample, which is lawful because maps drawn by the exact rule are as
well defined on a turned or rescaled picture: D grows with the text, so thresholds keep their values. What cannot be
learnt any more is masked: everything outside the canvas, text that a crop cuts, text whose kernel a reduction
leaves without a pixel. docs/explanation/augmentation.md has the definitions and the measured bounds.

The same (seed, epoch, row) meets the same fate in any batch and order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrmaps.augment.spec import AugmentSpec
from ocrmaps.doors import on_demand

if TYPE_CHECKING:
    from ocrmaps.augment.batches import apply_plan, augment
    from ocrmaps.augment.outlines import Outlines
    from ocrmaps.augment.plan import AugmentPlan, draw_plan
else:
    __getattr__ = on_demand(__name__, "ocrmaps.augment.plan", "ocrmaps.augment.outlines", "ocrmaps.augment.batches")

__all__ = ["AugmentPlan", "AugmentSpec", "Outlines", "apply_plan", "augment", "draw_plan"]
