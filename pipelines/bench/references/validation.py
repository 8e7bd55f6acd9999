"""A validation picture the usual way: decode, resize, draw the published maps, box each contour, compare all pairs.

What evaluation loops of published detectors do for every picture of every epoch, one after the other in one thread.
The drawn map takes the place of the network's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ocrmaps.canonical import CanonicalSpec, plan, render
from ocrmaps.geometry import PolygonSet
from ocrmaps.pictures import decode
from ocrmaps.pipelines.bench.references.extract import plain_boxes
from ocrmaps.pipelines.bench.references.maps import PlainMaps, draw_plain
from ocrmaps.pipelines.bench.references.metrics import plain_iou


def plain_validation(
    path: Path, truth: PolygonSet, spec: CanonicalSpec, lap: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """`plain_iou` of one picture whose annotation is upright; its canvas has the picture in the top left corner.

    `lap` is told the name of each step when it ends.
    """
    picture = decode(path.read_bytes(), name=path.name)
    lap("decode")
    transform = plan(picture.header.size, picture.header.orientation, spec)
    pixels = render(picture, transform, spec)
    lap("resize")
    placed = transform.apply(truth, "canonical")
    maps: PlainMaps = draw_plain(list(placed), placed.ignore, transform.canvas)
    lap("draw")
    height, width = transform.resized
    quads, _ = plain_boxes(maps.probability[:height, :width], transform.upright_size)
    lap("box")
    found = plain_iou(truth, PolygonSet.of(quads, frame=truth.frame))
    lap("match")
    return {**found, "pixels": pixels, "detections": len(quads)}
