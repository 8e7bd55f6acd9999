"""Regions of a map become texts: outlined, fitted, scored, capped and grown, all candidates of a step at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.extract.contours import Contours, enclosed_means, locked, polygon_means, trace_above, trace_outlines
from ocrmaps.extract.polygons import fit_polygons
from ocrmaps.extract.records import Found, Outcomes, Rings
from ocrmaps.extract.rectangles import UX, UY, A, B, fit_rectangles, rectangle_corners
from ocrmaps.extract.spec import ExtractSpec
from ocrmaps.extract.split import split_regions
from ocrmaps.extract.unclip import grow_polygons, rectangle_growth
from ocrmaps.geometry import FloatArray

FloatMap = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
THINNEST = 0.5
"""Pixels: a kernel that marked a pixel is taken to be at least this thick, else nothing could be grown from it."""


def find_texts(
    values: FloatMap, level: float | FloatMap, spec: ExtractSpec, marked: npt.NDArray[np.uint8] | None = None
) -> Found:
    """Rings in canonical pixels, their scores, and what became of all regions above the level.

    `marked` is what `mark_above` has made of them, if it has.
    """
    subpixel = spec.contour == "subpixel"
    if spec.split is None:
        return _fit_and_grow(values, spec, trace_above(values, level, subpixel=subpixel, marked=marked), parts=0)
    cells, before = split_regions(values > level, spec.split)
    outlines = trace_outlines(cells, values if subpixel else None, level)
    return _fit_and_grow(values, spec, outlines, parts=len(outlines) - before)


def _fit_and_grow(values: FloatMap, spec: ExtractSpec, outlines: Contours, *, parts: int) -> Found:
    keep: Array = np.arange(len(outlines))
    scores: Array = np.zeros(len(outlines))
    low_score = 0
    if spec.score == "slow":
        scores = enclosed_means(locked(values), outlines.cracks, outlines.offsets)
        keep = np.flatnonzero(scores >= spec.score_min)
        low_score = len(outlines) - len(keep)
        scores = scores[keep]
    rectangles: Array = fit_rectangles(outlines.points, outlines.cracks, outlines.offsets, keep)
    rectangles[:, A:] = np.maximum(rectangles[:, A:], THINNEST)
    inset: Array = _inset(rectangles, spec)

    large = rectangles[:, B] - 2 * inset >= spec.min_kernel_side
    small_kernel = len(large) - int(np.count_nonzero(large))
    if small_kernel:
        keep, scores, rectangles, inset = (x[large] for x in (keep, scores, rectangles, inset))
    points, offsets = np.zeros((0, 2)), np.zeros(1, np.int64)
    if spec.shape == "polygons":
        corners = rectangle_corners(rectangles, np.zeros(len(keep)))
        points, offsets = fit_polygons(outlines.points, outlines.offsets, keep, rectangles, corners, spec.simplify)
    elif spec.score == "fast":
        points, offsets = rectangle_corners(rectangles, -inset).reshape(-1, 2), 4 * np.arange(len(keep) + 1)
    if spec.score == "fast":
        scores = polygon_means(locked(values), points, offsets)
    chosen = scores >= spec.score_min
    low_score += len(chosen) - int(np.count_nonzero(chosen))
    over_cap = 0
    if spec.max_candidates is not None and np.count_nonzero(chosen) > spec.max_candidates:
        ranking = np.argsort(np.where(chosen, -scores, np.inf), kind="stable")
        over_cap = int(chosen.sum()) - spec.max_candidates
        chosen[ranking[spec.max_candidates :]] = False
    picked = np.flatnonzero(chosen)
    if len(picked) < len(chosen):
        rectangles, inset, scores = rectangles[picked], inset[picked], scores[picked]

    long, short = rectangles[:, A] - 2 * inset, rectangles[:, B] - 2 * inset
    rings: Rings
    if spec.shape == "boxes":
        growth = rectangle_growth(long, short, q=spec.q, ratio=spec.growth_ratio)
        reach = growth + spec.margin * (short + 2 * growth)
        rings = rectangle_corners(rectangles, reach - inset)
    else:
        selected = [points[offsets[i] : offsets[i + 1]] for i in picked]
        flat = np.concatenate(selected) if selected else np.zeros((0, 2))
        ends = np.cumsum([0, *(len(ring) for ring in selected)])
        rings, growth = grow_polygons(flat, ends, inset, q=spec.q, ratio=spec.growth_ratio, margin=spec.margin)
    fit = short + 2 * growth >= spec.min_side
    outcomes = Outcomes(
        found=len(outlines),
        kept=int(np.count_nonzero(fit)),
        small_kernel=small_kernel,
        low_score=low_score,
        over_cap=over_cap,
        small=len(fit) - int(np.count_nonzero(fit)),
        holes=outlines.holes,
        parts=parts,
    )
    if outcomes.small:
        rings = rings[fit] if isinstance(rings, np.ndarray) else [rings[i] for i in np.flatnonzero(fit)]
        scores = scores[fit]
    return rings, scores, outcomes


def _inset(rectangles: FloatArray, spec: ExtractSpec) -> FloatArray:
    """(k): how far the drawn kernel's outline lies inside the outline of its pixels."""
    if spec.kernel == "exact":
        return np.zeros(len(rectangles))
    # The outline itself was drawn: along a line of any slope the pixels nearest to it, half a pixel away at most
    # in the steeper direction.
    half = 0.5 * np.maximum(np.abs(rectangles[:, UX]), np.abs(rectangles[:, UY]))
    return np.clip((rectangles[:, B] - THINNEST) / 2, 0.0, half)
