"""The reading of one map: what is given is checked, one of two arithmetics reads it, and texts come in their order."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import SpecError
from ocrmaps.extract.records import ONE_AS_BITS, Extraction, Rings
from ocrmaps.extract.spec import ExtractSpec
from ocrmaps.geometry import PolygonSet, read_only

FloatMap = npt.NDArray[np.float32]


def extract(
    probability: npt.ArrayLike, spec: ExtractSpec | None = None, *, threshold: npt.ArrayLike | None = None
) -> Extraction:
    """The polygons of an (H, W) probability map, for `binarize="learned"` against a threshold map of the same scale.

    Float maps hold 0 to 1; uint8 maps 0 to 255, which means 0 to 1; bool maps are 0 or 1.
    """
    spec = ExtractSpec() if spec is None else spec
    marked = None if spec.binarize == "learned" or spec.split is not None else _marked(probability, spec)
    values: FloatMap = _read_map(probability, "probability") if marked is None else np.asarray(probability)
    level = _read_level(values, spec, threshold)
    # Imported here: who only names this function needs no compiler and no geometry engine.
    if spec.arithmetic == "published":
        from ocrmaps.extract.published import published_boxes, published_polygons

        rings, scores, outcomes = (published_boxes if spec.shape == "boxes" else published_polygons)(values, spec)
    else:
        from ocrmaps.extract.regions import find_texts

        rings, scores, outcomes = find_texts(values, level, spec, marked)
    polygons, ordered = _in_order(rings, scores)
    return Extraction(polygons=polygons, scores=ordered, outcomes=outcomes)


def _marked(probability: npt.ArrayLike, spec: ExtractSpec) -> npt.NDArray[np.uint8] | None:
    """What is text in a sound map that is as networks give it; reads it once, to check and to mark it."""
    if spec.arithmetic == "published" or not isinstance(probability, np.ndarray):
        return None
    if probability.dtype != np.float32 or probability.ndim != 2 or 0 in probability.shape:
        return None
    if not probability.flags.c_contiguous:
        return None
    from ocrmaps.extract.contours import mark_above

    return mark_above(probability, float(spec.binarize))


def _in_order(rings: Rings, scores: npt.NDArray[np.float64]) -> tuple[PolygonSet, npt.NDArray[np.float32]]:
    """Top to bottom, then left to right, then the higher score first."""
    if not len(rings):
        return PolygonSet.empty("canonical"), read_only([], np.float32)
    if isinstance(rings, np.ndarray):
        lefts, tops = rings.min(axis=1).T
        order = np.lexsort((-scores, lefts, tops))
        points, offsets = rings[order].reshape(-1, 2), rings.shape[1] * np.arange(len(rings) + 1)
    else:
        ends = np.cumsum([0, *(len(ring) for ring in rings)])
        flat = np.concatenate(rings)
        tops = np.minimum.reduceat(flat[:, 1], ends[:-1])
        lefts = np.minimum.reduceat(flat[:, 0], ends[:-1])
        order = np.lexsort((-scores, lefts, tops))
        starts, counts = ends[:-1][order], np.diff(ends)[order]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        points = flat[np.arange(len(flat)) + np.repeat(starts - offsets[:-1], counts)]
    polygons = PolygonSet.unchecked(
        points=points,
        offsets=offsets,
        ignore=np.zeros(len(order), dtype=np.bool_),
        texts=(None,) * len(order),
        frame="canonical",
    )
    return polygons, read_only(scores[order], np.float32)


def _read_map(map: npt.ArrayLike, name: str) -> FloatMap:
    """The map as a contiguous float32 array, or a refusal that names what is wrong with it."""
    array = np.asarray(map)
    if array.ndim != 2 or 0 in array.shape:
        hint = f"pass one map at a time: {name}[0, 0] of a batch" if array.ndim > 2 else ""
        raise SpecError(f"{name}: found an array of shape {array.shape}, expected (height, width)", hint=hint)
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array, dtype=np.float32)
    if array.dtype == np.uint8:
        if array.max() == 1:
            raise SpecError(
                f"{name}: found a uint8 map of zeros and ones; in uint8 maps 255 means 1, so nothing would be text",
                hint=f"pass {name}.astype(bool) if its ones mean text",
            )
        return np.divide(array, np.float32(255), dtype=np.float32, order="C")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise SpecError(f"{name}: found numbers of type {array.dtype}, expected a float, uint8 or bool map")
    if array.dtype == np.float32 and array.flags.c_contiguous and array.view(np.uint32).max() <= ONE_AS_BITS:
        return array
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = ~np.isfinite(array)
        y, x = (int(i) for i in np.unravel_index(bad.argmax(), array.shape))
        raise SpecError(f"{name}: found {array[y, x]} at (x={x}, y={y}) and {int(bad.sum())} such values in all")
    if low < 0 or high > 1:
        raise SpecError(
            f"{name}: found values from {low:g} to {high:g}, expected 0 to 1",
            hint="logits go through a sigmoid first; resampled maps are clipped",
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def _read_level(values: FloatMap, spec: ExtractSpec, threshold: npt.ArrayLike | None) -> float | FloatMap:
    if spec.binarize != "learned":
        if threshold is not None:
            found = f"a threshold map was given but binarize is {spec.binarize:g}"
            raise SpecError(found, hint='binarize="learned" uses it')
        # As the map's own type sees it, so that comparing and interpolating agree.
        return float(np.float32(spec.binarize))
    if threshold is None:
        raise SpecError('binarize is "learned" but no threshold map was given', hint="extract(..., threshold=map)")
    kind = np.asarray(threshold).dtype
    if kind.kind != "f":
        raise SpecError(f"threshold: found numbers of type {kind}, expected a float map on the probability map's scale")
    level = _read_map(threshold, "threshold")
    if level.shape != values.shape:
        raise SpecError(f"threshold: found shape {level.shape}, expected {values.shape} as the probability map has")
    return level
