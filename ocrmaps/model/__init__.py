"""Detectors from named parts: encoder, decoder, head and loss, each a key of a dict or one's own class.

>>> detector = build_detector(DetectorSpec(encoder="light"))
>>> describe(detector)["strides"]
[4, 8, 16, 32]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrmaps.doors import on_demand
from ocrmaps.model.spec import DetectorSpec

if TYPE_CHECKING:
    from ocrmaps.model.build import DECODERS, ENCODERS, HEADS, LOSSES, build_detector, build_loss, check_parts
    from ocrmaps.model.detector import Detector, describe
    from ocrmaps.model.head import Logits
    from ocrmaps.model.loss import DBLoss, LossTerms, Targets
else:
    __getattr__ = on_demand(
        __name__, "ocrmaps.model.head", "ocrmaps.model.loss", "ocrmaps.model.detector", "ocrmaps.model.build"
    )

__all__ = [
    "DECODERS",
    "ENCODERS",
    "HEADS",
    "LOSSES",
    "DBLoss",
    "Detector",
    "DetectorSpec",
    "Logits",
    "LossTerms",
    "Targets",
    "build_detector",
    "build_loss",
    "check_parts",
    "describe",
]
