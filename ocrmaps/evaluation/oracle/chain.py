"""Everything between an annotation and its score: the canonical picture, its maps, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from ocrmaps.annotations import Sample
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.extract import ExtractSpec
from ocrmaps.extract.spec import Shape
from ocrmaps.geometry import PolygonSet
from ocrmaps.maps import MapSpec

BENT = 0.8
"""An outline of over four points that fills less of its smallest rectangle is bent: no box comes nearer than this."""
BENT_SHARE = 0.05
"""Over this share of bent outlines a source is read with polygons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """How pictures are prepared, maps drawn and polygons extracted."""

    canonical: CanonicalSpec
    maps: MapSpec
    extract: ExtractSpec

    @classmethod
    def longest(cls, side: int, *, shape: Shape = "boxes", **settings: Any) -> Chain:
        """The project's defaults at this longest side; `settings` are those of `MapSpec`."""
        return cls.of(CanonicalSpec.longest(side), MapSpec(**settings), shape)

    @classmethod
    def of(cls, canonical: CanonicalSpec, maps: MapSpec, shape: Shape = "boxes") -> Chain:
        """Maps with the extraction that inverts them."""
        return cls(
            canonical=canonical,
            maps=maps,
            extract=ExtractSpec(shape=shape, unclip="inverse", shrink_ratio=maps.shrink_ratio, kernel=maps.style),
        )

    @classmethod
    def published(cls, side: int, shape: Shape = "boxes") -> Chain:
        """The original implementation's maps (r = 0.4) and its own extraction, on a square canvas."""
        return cls(
            canonical=CanonicalSpec(canvases=((side, side),), scale="longest", side=side),
            maps=MapSpec(style="official", shrink_ratio=0.4),
            extract=ExtractSpec.peers(shape),
        )

    def with_shape(self, shape: Shape) -> Chain:
        """The same chain with rotated boxes or with polygons."""
        if self.extract.arithmetic == "published":
            return replace(self, extract=ExtractSpec.peers(shape))
        return replace(self, extract=replace(self.extract, shape=shape))


def bent_share(sets: Iterable[PolygonSet]) -> float:
    """Share of the scored outlines that are bent. Quads never are: who draws them expects boxes."""
    scored = bent = 0
    for polygons in sets:
        rows = np.flatnonzero(~polygons.ignore).tolist()
        scored += len(rows)
        rings = [shapely.Polygon(polygons[i]) for i in rows if len(polygons[i]) > 4]
        shapes = np.array([ring for ring in rings if ring.is_valid and ring.area > 0], dtype=object)
        bent += int((shapely.area(shapes) < BENT * shapely.area(shapely.oriented_envelope(shapes))).sum())
    return bent / max(scored, 1)


def fitting_shape(samples: Iterable[Sample]) -> Shape:
    """What these annotations need: polygons where over `BENT_SHARE` of the scored outlines are bent, else boxes."""
    return "polygons" if bent_share(sample.polygons for sample in samples) > BENT_SHARE else "boxes"
