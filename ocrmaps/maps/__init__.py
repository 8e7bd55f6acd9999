"""Polygons in canonical pixels become the four target maps a DB network learns from, and every polygon gets an outcome.

The rule of style `exact`, which extraction inverts. The pixel in row i and column j stands for its center
c = (j + 0.5, i + 0.5). For a polygon with area A and perimeter L, both of the whole polygon even where it leaves the
canvas, D = A (1 - r^2) / L, and `dist` is the Euclidean distance from c to the nearest border segment:

    probability       1 where c is inside and dist > D (a tie is not in the kernel)
    threshold         1 - dist / D where dist <= D, on both sides of the border; 0 elsewhere; the largest over polygons
    threshold_mask    1 where c is inside a drawn polygon or dist <= D; 0 in ignored regions
    probability_mask  1 everywhere but in ignored regions

An ignored region is the closed inside of a polygon that is not drawn (ignored by its annotation, too small, without a
kernel pixel, broken). Nothing is taught there, whatever else it overlaps, and it draws nothing itself.
Maps of style `official` are what the original DB implementation draws, pixel for pixel: see `ocrmaps.maps.official`.
"""

from __future__ import annotations

import operator

from ocrmaps.errors import FrameError, SpecError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps.records import ALGORITHMS, DRAWN, STYLES, Maps, MapSpec, Outcome, Style

__all__ = ["ALGORITHMS", "DRAWN", "STYLES", "MapSpec", "Maps", "Outcome", "Style", "draw_maps"]


def draw_maps(polygons: PolygonSet, spec: MapSpec, size: Size) -> Maps:
    """The maps of polygons in canonical pixels on a canvas of `size` (height, width); never drops one silently.

    >>> line = PolygonSet.of([[(2, 2), (18, 2), (18, 8), (2, 8)]], frame="canonical")
    >>> maps = draw_maps(line, MapSpec(shrink_ratio=0.6), (10, 20))
    >>> maps.probability.sum(axis=1).tolist(), str(maps.outcomes[0])
    ([0, 0, 0, 14, 14, 14, 14, 0, 0, 0], 'drawn')
    """
    if polygons.frame != "canonical":
        raise FrameError(
            f"found polygons in frame {polygons.frame!r}, expected 'canonical'",
            hint="map them with the sample's CanonicalTransform first",
        )
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError) as error:
        raise SpecError(f"found canvas size {size!r}, expected (height, width) in whole pixels") from error
    if min(height, width) < 1:
        raise SpecError(f"found canvas size {size!r}, expected at least one pixel each way")
    # Imported here: a spec must be cheap to import, compilers and geometry engines are not.
    if spec.style == "official":
        from ocrmaps.maps.official import draw_official

        return draw_official(polygons, spec, (height, width))
    from ocrmaps.maps.exact import draw_exact

    return draw_exact(polygons, spec, (height, width))
