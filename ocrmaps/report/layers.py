"""The layers that pages share: the picture, and target maps as the channels of one picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ocrmaps.maps.records import PROBABILITY_COUNTS, THRESHOLD_COUNTS
from ocrmaps.pagekit.explorer import Layer
from ocrmaps.pagekit.pictures import Pixels
from ocrmaps.report.samples import maps

PICTURE = Layer(key="picture", name="picture", letter="i", kind="picture", medium="image", on=True)
MAPS = (
    Layer(key="probability", name="probability", letter="p", kind="map", medium="maps", channel=0, color="#3b9dff"),
    Layer(key="threshold", name="threshold", letter="t", kind="map", medium="maps", channel=1, color="#2fd08c"),
    Layer(key="mask", name="masks", letter="m", kind="map", medium="maps", channel=2, color="#ff9f2e"),
)
MASKS = "Masks are full where the probability map is not learnt, faint where the threshold map is."


def map_picture(arrays: Mapping[str, Pixels], side: int) -> tuple[bytes, str]:
    """The three target maps as channels: probability of 0 and 1, threshold of 0 to 254, both bits of the mask."""
    mask = arrays["mask"]
    masks = np.where(mask & THRESHOLD_COUNTS, 90, 0).astype(np.uint8)
    masks[(mask & PROBABILITY_COUNTS) == 0] = 255
    return maps((_scaled(arrays["probability"]), arrays["threshold"], masks), side)


def _scaled(probability: Pixels) -> Pixels:
    """Stored as 0 and 1; seen as 0 and 255."""
    return np.asarray(np.minimum(probability, 1) * 255, dtype=np.uint8)
