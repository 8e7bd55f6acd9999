"""Style `exact`: the rule in `ocrmaps.maps`, all pixels of a picture in one call that holds no lock."""

from __future__ import annotations

import numpy as np

from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.maps import kernels
from ocrmaps.maps.records import Maps, MapSpec, Outcome
from ocrmaps.maps.rings import settle_rings

_ANSWERS = {
    kernels.DRAWN: Outcome.DRAWN,
    kernels.TOO_SMALL: Outcome.TOO_SMALL,
    kernels.NO_KERNEL: Outcome.NO_KERNEL,
    kernels.DEGENERATE: Outcome.DEGENERATE,
}


def draw_exact(polygons: PolygonSet, spec: MapSpec, size: Size) -> Maps:
    """The maps of polygons in canonical pixels; memory is that of the canvas, whatever the polygons are."""
    k = len(polygons)
    rings = settle_rings(polygons, size)
    answer = np.full(k, kernels.DRAWN, dtype=np.int8)
    answer[list(rings.known)] = kernels.MASK
    distances = np.zeros(k)
    probability = np.zeros(size, dtype=np.uint8)
    threshold = np.zeros(size, dtype=np.float32)
    probability_mask = np.ones(size, dtype=np.uint8)
    threshold_mask = np.zeros(size, dtype=np.uint8)
    kernels.draw_polygons(
        rings.points, rings.offsets, rings.whole, spec.shrink_ratio, spec.min_side,
        answer, distances, probability, threshold, probability_mask, threshold_mask,
    )  # fmt: skip
    outcomes = [Outcome.DRAWN] * k
    for i in np.flatnonzero((answer != kernels.DRAWN) | rings.repaired).tolist():  # of most pictures none
        outcome = rings.known[i] if i in rings.known else _ANSWERS[answer.item(i)]
        if outcome is Outcome.DRAWN:
            outcome = Outcome.REPAIRED
        elif outcome is Outcome.NO_KERNEL and rings.leaves[i]:
            outcome = Outcome.CUT_OFF
        outcomes[i] = outcome
    return Maps(
        probability=probability,
        threshold=threshold,
        probability_mask=probability_mask,
        threshold_mask=threshold_mask,
        outcomes=tuple(outcomes),
        distances=distances,
    )
