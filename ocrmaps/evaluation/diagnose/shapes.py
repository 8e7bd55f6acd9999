"""Outlines that are written or drawn wrongly: corners and sizes mixed up, points out of order, margins, box shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from ocrmaps.evaluation.diagnose.records import Cure, PageOutput, Pages, geometry_of, share
from ocrmaps.geometry import BoolArray, FloatArray, PolygonSet
from ocrmaps.metrics.clipping import CROSSING
from ocrmaps.metrics.matching import measured

UPRIGHT = 0.02
"""A side leans when it leaves its axis by more than this share of its length."""
LEAST_MARGIN = 0.02
"""Of the text height: a smaller margin is none."""
ALIGNED = 0.95
"""Share of outlines that have to be upright boxes for a set of upright boxes."""

_Corners = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
_READINGS: tuple[tuple[str, str, _Corners], ...] = (
    ("x, y, width, height are read as two corners", "say the layout xywh, or write x + width and y + height",
     lambda a, b: (a, a + b)),
    ("two corners are read as x, y, width, height", "say the layout box, or write width and height",
     lambda a, b: (a, b - a)),
    ("the center of each box is read as its corner", "subtract half of the width and height from the center",
     lambda a, b: (a - (b - a) / 2, b - (b - a) / 2)),
)  # fmt: skip


def corners(pages: Pages) -> Iterator[Cure]:
    """Boxes of which four numbers were read as others."""
    boxes = [_upright(page.found) for page in pages]
    if not sum(map(len, boxes)) or np.concatenate(boxes).mean() < ALIGNED:
        return
    for wrong, change, reading in _READINGS:
        yield Cure(
            kind="corner-format",
            wrong=wrong,
            change=change,
            pages=[_read_again(page, quads, reading) for page, quads in zip(pages, boxes, strict=True)],
        )


def _read_again(page: PageOutput, quads: BoolArray, reading: _Corners) -> PageOutput:
    points = page.found.points.copy()
    first = page.found.offsets[:-1][quads]
    if len(first):
        (x0, y0), (x1, y1) = (side.T for side in reading(points[first], points[first + 2]))
        # A box that runs backwards under this reading encloses nothing sensible; it stays flat and is not counted.
        x1, y1 = np.maximum(x0, x1), np.maximum(y0, y1)
        for step, (x, y) in enumerate(((x0, y0), (x1, y0), (x1, y1), (x0, y1))):
            points[first + step] = np.stack([x, y], axis=1)
    return page.moved(points)


def _upright(polygons: PolygonSet) -> BoolArray:
    """(k): four points with sides along the axes."""
    out = np.zeros(len(polygons), dtype=np.bool_)
    quads = np.flatnonzero(polygons.counts() == 4)
    if len(quads):
        points = polygons.points[polygons.offsets[:-1][quads][:, None] + np.arange(4)]
        sides = np.abs(np.roll(points, -1, axis=1) - points)
        out[quads] = (sides.min(axis=2) <= UPRIGHT * sides.max(axis=2)).all(axis=1)
    return out


def point_order(pages: Pages) -> Iterator[Cure]:
    """Outlines that cross themselves, ordered around their middle."""
    status = [measured(page.found).status == CROSSING for page in pages]
    crossing, total = sum(int(s.sum()) for s in status), sum(map(len, status))
    if not crossing:
        return
    yield Cure(
        kind="point-order",
        wrong=f"{crossing} of {total} outlines cross themselves and are not scored: their points are out of order",
        change="write the points around the outline: top left, top right, bottom right, bottom left",
        pages=[_around(page, crossed) for page, crossed in zip(pages, status, strict=True)],
        values={"crossing": crossing},
    )


def _around(page: PageOutput, crossed: BoolArray) -> PageOutput:
    points = page.found.points.copy()
    for i in np.flatnonzero(crossed).tolist():
        at = slice(page.found.offsets[i], page.found.offsets[i + 1])
        away = points[at] - points[at].mean(axis=0)
        points[at] = points[at][np.argsort(np.arctan2(away[:, 1], away[:, 0]), kind="stable")]
    return page.moved(points)


def margins(pages: Pages) -> Iterator[Cure]:
    """Outlines grown or shrunk by what pairs of annotation and detection differ by."""
    across, along = _differences(pages)
    if len(across) < 5:
        return
    a, b = float(np.median(across)), float(np.median(along))
    for margin in dict.fromkeys(round(float(np.clip(m, -0.4, 1.5)), 2) for m in (a, (a + b) / 2, b)):
        if abs(margin) < LEAST_MARGIN:
            continue
        tight = margin > 0
        yield Cure(
            kind="margin",
            wrong=f"outlines are too {'tight' if tight else 'loose'}: by {abs(margin):.2f} of the text height "
            f"on each side",
            change=f"{'grow' if tight else 'shrink'} every outline by {abs(margin):.2f} of its height "
            f"({'raise' if tight else 'lower'} the unclip ratio)",
            pages=[page.moved(grown(page.found, margin)) for page in pages],
            values={"margin": margin, "across": a, "along": b},
        )


def _differences(pages: Pages) -> tuple[FloatArray, FloatArray]:
    """What is missing on each side, in heights of the detection, across and along, of pairs that mean one text."""
    across, along = [], []
    for page in pages:
        geometry = geometry_of(page)
        if not len(geometry.overlap):
            continue
        rows, columns = geometry.truth_index, geometry.detection_index
        touch = np.maximum(geometry.share_of_truth(), geometry.share_of_detection()) > 0.3
        alone = (np.bincount(rows[touch], minlength=len(page.truth))[rows] == 1) & touch
        alone &= (np.bincount(columns[touch], minlength=len(page.found))[columns] == 1) & ~page.truth.ignore[rows]
        truth, found = page.truth.equivalent_sides()[rows[alone]], page.found.equivalent_sides()[columns[alone]]
        with np.errstate(divide="ignore", invalid="ignore"):
            missing = (truth - found) / 2 / found[:, :1]
        missing = missing[np.isfinite(missing).all(axis=1)]
        across.append(missing[:, 0])
        along.append(missing[:, 1])
    return (np.concatenate(across), np.concatenate(along)) if across else (np.zeros(0), np.zeros(0))


def grown(polygons: PolygonSet, margin: float) -> FloatArray:
    """The points of outlines whose sides have moved outward by a share of the text height.

    >>> box = PolygonSet.of([[(0, 0), (40, 0), (40, 10), (0, 10)]], frame="raw")
    >>> grown(box, 0.1).tolist()
    [[-1.0, -1.0], [41.0, -1.0], [41.0, 11.0], [-1.0, 11.0]]
    """
    counts = polygons.counts()
    reach = np.repeat(margin * polygons.equivalent_sides()[:, 0] * np.sign(polygons.signed_areas()), counts)
    after = polygons.next_points() - polygons.points
    before = np.zeros_like(after)
    for start, stop in zip(polygons.offsets[:-1], polygons.offsets[1:], strict=True):
        before[start:stop] = np.roll(after[start:stop], 1, axis=0)
    first, second = _normals(before), _normals(after)
    # A miter; sharp corners would shoot far away, so they are cut.
    turn = np.maximum(1 + (first * second).sum(axis=1), 0.4)
    return np.asarray(polygons.points + (reach / turn)[:, None] * (first + second))


def _normals(steps: FloatArray) -> FloatArray:
    length = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-12)
    return np.stack([steps[:, 1], -steps[:, 0]], axis=1) / length[:, None]


def box_shapes(pages: Pages) -> Iterator[Cure]:
    """Upright boxes on one side, rotated or curved outlines on the other."""
    truth, found = (
        np.concatenate([_upright(side) for side in sides]) if pages else np.zeros(0, dtype=np.bool_)
        for sides in ([page.truth for page in pages], [page.found for page in pages])
    )
    if not len(truth) or not len(found):
        return
    leaning = share(int((~truth).sum()), len(truth))
    if found.mean() >= ALIGNED and leaning > 0.1:
        yield Cure(
            kind="box-shape",
            wrong=f"detections are upright boxes, {leaning:.0%} of the annotated outlines are not",
            change="let the system write rotated boxes or polygons; the score is what upright annotations would give",
            pages=[replace(page, truth=_bounds(page.truth)) for page in pages],
            values={"leaning": leaning},
        )
    if truth.mean() >= ALIGNED and (~found).mean() > 0.1:
        yield Cure(
            kind="box-shape",
            wrong=f"annotations are upright boxes, {(~found).mean():.0%} of the detections are not",
            change="write the upright box around each detection for this data set",
            pages=[replace(page, found=_bounds(page.found)) for page in pages],
        )
    curved = np.concatenate([page.truth.counts() > 4 for page in pages]).mean()
    if curved > 0.1 and np.concatenate([page.found.counts() == 4 for page in pages]).mean() >= ALIGNED:
        yield Cure(
            kind="box-shape",
            wrong=f"detections are boxes, {curved:.0%} of the annotated outlines are polygons",
            change="let the system write polygons; the score is what the smallest boxes around the annotations give",
            pages=[replace(page, truth=_rectangles(page.truth)) for page in pages],
        )


def _bounds(polygons: PolygonSet) -> PolygonSet:
    boxes = [[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in polygons.bounds().tolist()]
    return PolygonSet.of(boxes, frame=polygons.frame, ignore=polygons.ignore, texts=polygons.texts)


def _rectangles(polygons: PolygonSet) -> PolygonSet:
    boxes = [rectangle(points) if len(points) > 4 else points for points in polygons]
    return PolygonSet.of(boxes, frame=polygons.frame, ignore=polygons.ignore, texts=polygons.texts)


def rectangle(points: FloatArray) -> FloatArray:
    """(4, 2): the smallest rectangle around points."""
    center = points.mean(axis=0)  # far from the origin float32 loses digits
    return np.asarray(cv2.boxPoints(cv2.minAreaRect((points - center).astype(np.float32))), dtype=np.float64) + center
