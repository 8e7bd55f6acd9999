"""A probability map becomes polygons with scores: the inverse of drawing target maps (`maps.py`).

What is above the binarize threshold falls into regions (pixels that touch, corners included); a region's outline is
fitted by a rotated rectangle or a polygon, scored, and grown back by as much as drawing had shrunk it. Coordinates
are canonical pixels, (x, y) float64 with pixel centers at +0.5, never rounded, and not clipped to the map: a box may
reach beyond the picture as its text does. To bring them to another frame is the task of `CanonicalTransform`.

    >>> import numpy as np
    >>> map = np.zeros((40, 60), dtype=np.float32)
    >>> map[18:22, 15:45] = 1  # the kernel of 30 x 4 pixels that r = 0.6 leaves of a text of 34.3 x 8.3
    >>> extract(map, ExtractSpec(shrink_ratio=0.6)).polygons[0].round(1).tolist()
    [[12.9, 15.9], [47.1, 15.9], [47.1, 24.1], [12.9, 24.1]]

Two conventions of the maps matter and are part of the spec. In `exact` maps a pixel belongs to a kernel when its
center does, so the kernel's outline runs half a pixel outside its outermost pixel centers. In `official` maps the
outline itself is drawn, so it runs through the centers of the outermost pixels.

Order: by the top of the polygon, then its left end, then the higher score. Holes are no texts, but a text inside the
hole of another region is one. Nothing is changed in the maps that are given, and nothing is kept between calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrmaps.doors import on_demand
from ocrmaps.extract.spec import ExtractSpec

if TYPE_CHECKING:
    from ocrmaps.extract.reading import extract
    from ocrmaps.extract.records import Extraction, Outcomes
else:
    __getattr__ = on_demand(__name__, "ocrmaps.extract.records", "ocrmaps.extract.reading")

__all__ = ["ExtractSpec", "Extraction", "Outcomes", "extract"]
