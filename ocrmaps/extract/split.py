"""Regions parted at their necks: two texts whose kernels grew together over a thin bridge.

The distance d of a pixel from the outside gives the thickness 2 d - 1 there (1 for a bridge of one pixel). Pixels are
taken from the thickest down; where two parts meet, the meeting pixel's thickness is the neck's. The parts stay apart
if the neck is thinner than `ratio` times the thickness of the thinner part, else they become one. Of a part with necks
only what is covered by discs thicker than its thickest neck remains, so that no text keeps the bridge as a tail.
A region without such a neck is left as it was.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ocrmaps.compiled import compiled

Array = npt.NDArray[Any]


def split_regions(cells: npt.NDArray[np.bool_], ratio: float) -> tuple[npt.NDArray[Any], int]:
    """(H, W) int32 labels from 1, unequal for parts, and how many regions there were before.

    >>> bar = np.zeros((7, 24), dtype=bool)
    >>> bar[1:6, 1:9] = bar[1:6, 15:23] = bar[3, 9:15] = True
    >>> labels, before = split_regions(bar, 0.5)
    >>> before, int(labels.max()), labels[3].tolist()
    (1, 2, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0])
    """
    # A frame of outside pixels: the border of the map is no support for a region.
    padded = np.pad(cells, 1).astype(np.uint8)
    count, _ = cv2.connectedComponents(padded, connectivity=8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    labels, necks = _watershed(distance, ratio)
    if necks.any():
        _open(labels, necks, distance)
    return np.ascontiguousarray(labels[1:-1, 1:-1]), count - 1


def _open(labels: Array, necks: Array, distance: Array) -> None:
    """Take from parts with necks, in place, what no disc thicker than the neck covers."""
    core = 2 * distance - 1 > necks[labels]
    core &= labels > 0
    reach, nearest = cv2.distanceTransformWithLabels(
        (~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    center = np.zeros(int(nearest.max()) + 1, np.int64)
    center[nearest[core]] = np.flatnonzero(core)
    middle = center[nearest]
    covered = (labels.ravel()[middle] == labels) & (reach <= distance.ravel()[middle])
    labels[(necks[labels] > 0) & ~covered] = 0


@compiled
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def _watershed(distance: Array, ratio: float) -> tuple[Array, Array]:
    """Labels from 1 in reading order, and for each label (0 too) the thickness of its thickest neck, 0 for none."""
    height, width = distance.shape
    flat = distance.ravel()
    inside = np.flatnonzero(flat > 0)
    order = inside[np.argsort(-flat[inside], kind="mergesort")]
    part = np.zeros(height * width, np.int32)  # basin of each pixel seen, from 1
    parent = np.arange(len(inside) + 1)
    peak = np.zeros(len(inside) + 1)
    neck = np.zeros(len(inside) + 1)
    basins = 0
    around = np.array([-width, -1, 1, width, -width - 1, -width + 1, width - 1, width + 1])  # sides before corners
    roots = np.zeros(8, np.int64)
    for j in range(len(order)):
        p = order[j]
        thickness = 2.0 * flat[p] - 1.0
        # A pixel belongs where the thickest pixel beside it does: so rims stay with their own middle.
        found = 0
        uphill = 0.0
        own = 0
        for step in around:
            if part[p + step] == 0:
                continue
            root = _root(parent, part[p + step])
            if flat[p + step] > uphill or (flat[p + step] == uphill and peak[root] > peak[own]):
                uphill = flat[p + step]
                own = root
            roots[found] = root
            found += 1
        if found == 0:
            basins += 1
            peak[basins] = thickness
            part[p] = basins
            continue
        part[p] = own
        # Where parts meet, each thinner one joins the thickest unless this pixel is a neck of it.
        top = roots[0]
        for m in range(1, found):
            if peak[roots[m]] > peak[top]:
                top = roots[m]
        for m in range(found):
            other = _root(parent, roots[m])
            if other == top:
                continue
            if thickness >= ratio * peak[other]:
                parent[other] = top
                neck[top] = max(neck[top], neck[other])
            else:
                neck[top] = max(neck[top], thickness)
                neck[other] = max(neck[other], thickness)
    names = np.zeros(basins + 1, np.int32)
    labels = np.zeros(height * width, np.int32)
    necks = np.zeros(basins + 1)
    named = 0
    for p in inside:
        basin = _root(parent, part[p])
        if names[basin] == 0:
            named += 1
            names[basin] = named
            necks[named] = neck[basin]
        labels[p] = names[basin]
    return labels.reshape(height, width), necks[: named + 1]
