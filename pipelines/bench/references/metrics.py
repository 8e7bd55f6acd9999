"""The three protocols one pair and one character at a time: what the fast code is timed and checked against.

Written for reading, from the definitions: shapely polygons are made anew for every pair, matrices are dense, and
nothing is shared between steps. Truth and detections are polygon sets in one frame, as for the fast code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from shapely import Polygon

from ocrmaps.geometry import FloatArray, PolygonSet


def plain_iou(truth: PolygonSet, detections: PolygonSet, threshold: float = 0.5) -> dict[str, Any]:
    """ICDAR rule at one threshold: pairs and counts."""
    truths = [i for i in range(len(truth)) if _simple(truth[i])]
    found = [j for j in range(len(detections)) if _simple(detections[j])]
    scored = [i for i in truths if not truth.ignore[i]]
    dropped = []
    for j in found:
        for i in truths:
            if truth.ignore[i] and _overlap(truth[i], detections[j]) / Polygon(detections[j]).area > 0.5:
                dropped.append(j)
                break
    iou = np.zeros((len(truth), len(detections)))
    for i in truths:
        for j in found:
            iou[i, j] = _overlap(detections[j], truth[i]) / Polygon(detections[j]).union(Polygon(truth[i])).area
    pairs: list[list[int]] = []
    for i in scored:
        for j in found:
            if j not in dropped and j not in [pair[1] for pair in pairs] and iou[i, j] > threshold:
                pairs.append([i, j])
                break
    return {"pairs": pairs, "truth_care": len(scored), "detection_care": len(found) - len(dropped), "iou": iou}


def plain_deteval(truth: PolygonSet, detections: PolygonSet) -> dict[str, float]:
    """Credits of DetEval as the DB repository's evaluator gives them: step after step over all truths and detections.

    Area recall 0.8 (tr), area precision 0.4 (tp), one to one 1, one to many 0.8, many to one 1.
    """
    truths = [i for i in range(len(truth)) if _simple(truth[i])]
    found = [j for j in range(len(detections)) if _simple(detections[j])]
    recall = {(i, j): _overlap(truth[i], detections[j]) / Polygon(truth[i]).area for i in truths for j in found}
    precision = {(i, j): _overlap(truth[i], detections[j]) / Polygon(detections[j]).area for i in truths for j in found}
    ignored = [i for i in truths if truth.ignore[i]]
    on_ignored = [j for j in found if any(precision[i, j] > 0.4 for i in ignored)]
    truth_care, found_care = [i for i in truths if i not in ignored], [j for j in found if j not in on_ignored]
    truth_done: set[int] = set()
    found_done: set[int] = set()
    recall_sum = precision_sum = 0.0

    def strong(i: int, j: int) -> bool:
        return recall[i, j] >= 0.8 and precision[i, j] >= 0.4

    def touched_detections(i: int) -> int:
        return sum(recall[i, j] > 0 for j in found_care)

    def touched_truths(j: int) -> int:
        return sum(recall[i, j] > 0 for i in truth_care)

    for i in truth_care:
        for j in found_care:
            if i in truth_done or j in found_done or not strong(i, j):
                continue
            only = sum(strong(i, other) for other in found) == 1 and sum(strong(other, j) for other in truths) == 1
            apart = math.dist(truth[i].mean(axis=0), detections[j].mean(axis=0))
            near = 2 * apart / (_diagonal(truth[i]) + _diagonal(detections[j])) < 1
            if only and touched_detections(i) == 1 and touched_truths(j) == 1 and near:
                truth_done.add(i)
                found_done.add(j)
                recall_sum, precision_sum = recall_sum + 1, precision_sum + 1
    for i in truth_care:
        pieces = [j for j in found_care if i not in truth_done and j not in found_done and precision[i, j] >= 0.4]
        if round(sum(recall[i, j] for j in pieces), 4) >= 0.8 and touched_detections(i) >= 2:
            truth_done.add(i)
            found_done.update(pieces)
            credit = 1.0 if len(pieces) == 1 else 0.8
            recall_sum, precision_sum = recall_sum + credit, precision_sum + credit * len(pieces)
    for j in found_care:
        parts = [i for i in truth_care if j not in found_done and i not in truth_done and recall[i, j] >= 0.8]
        if round(sum(precision[i, j] for i in parts), 4) >= 0.4 and touched_truths(j) >= 2:
            found_done.add(j)
            truth_done.update(parts)
            recall_sum, precision_sum = recall_sum + len(parts), precision_sum + 1
    return {
        "recall_sum": recall_sum,
        "precision_sum": precision_sum,
        "truth_care": len(truth_care),
        "detection_care": len(found_care),
    }


def plain_cleval(truth: PolygonSet, detections: PolygonSet) -> dict[str, float]:
    """Sums and counts of CLEval for quads with texts."""
    n, m = len(truth), len(detections)
    cut, found = [np.trunc(q) for q in truth], [np.trunc(q) for q in detections]
    length = [
        _guessed(truth[i]) if truth.ignore[i] or truth.texts[i] is None else len(truth.texts[i] or "") for i in range(n)
    ]
    middles = [_middles(truth[i], length[i]) for i in range(n)]
    inside = [[[_within(c, found[j]) for c in middles[i]] for j in range(m)] for i in range(n)]
    holds = [[any(inside[i][j]) for j in range(m)] for i in range(n)]
    share = np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            area = _shoelace(found[j])
            share[i, j] = _filled(cut[i]).intersection(_filled(found[j])).area / area if area else 0.0
    care = [i for i in range(n) if not truth.ignore[i]]
    scored = []
    for j in range(m):
        text = shapely.union_all([_filled(cut[i]) for i in care])
        lost = {
            i: _filled(cut[i]).difference(text).intersection(_filled(found[j])).area / (_shoelace(found[j]) or math.inf)
            for i in range(n)
            if truth.ignore[i]
        }
        if not (max(lost.values(), default=0) >= 0.3 or sum(v for i, v in lost.items() if holds[i][j]) >= 0.3):
            scored.append(j)
    strong = [[holds[i][j] and share[i, j] >= 0.3 and i in care for j in range(m)] for i in range(n)]
    pairs = set()
    for i in care:
        pieces = [j for j in scored if strong[i][j]]
        alone = sum(strong[i]) == 1 and all(sum(row[j] for row in strong) == 1 for j in pieces)
        pairs |= {(i, j) for j in pieces if len(pieces) >= 2 or alone}
    for j in scored:
        parts = [i for i in care if holds[i][j]]
        if len(parts) >= 2 and sum(share[i, j] for i in parts) >= 0.3:
            pairs |= {(i, j) for i in parts}

    times = [[sum(inside[i][j][k] for j in range(m) if (i, j) in pairs) for k in range(length[i])] for i in range(n)]
    pieces_of = [[j for j in range(m) if (i, j) in pairs] for i in range(n)]
    truths_of = [[i for i in range(n) if (i, j) in pairs] for j in range(m)]
    split_price, merge_price = sum(max(len(p) - 1, 0) for p in pieces_of), sum(max(len(p) - 1, 0) for p in truths_of)
    correct = sum(1 / times[i][k] for i, j in pairs for k in range(length[i]) if inside[i][j][k])
    held = sum(sum(inside[i][j]) for i, j in pairs)
    alarms = sum(_alarm(detections[j]) for j in scored if not truths_of[j])
    out = {
        "recall_sum": sum(t > 0 for row in times for t in row) - split_price,
        "recall_total": sum(length[i] for i in care),
        "precision_sum": correct - merge_price,
        "precision_total": held + alarms,
        "splits": sum(len(p) >= 2 for p in pieces_of),
        "merges": sum(len(p) >= 2 for p in truths_of),
        "overlaps": sum(max(t - 1, 0) for row in times for t in row),
    }
    if all(truth.texts[i] is not None for i in care) and all(detections.texts[j] is not None for j in scored):
        read_as = zip(detections, detections.texts, strict=True)
        written = ["#" * _guessed(quad) if text == "###" else text or "" for quad, text in read_as]
        left = [list(text) for text in written]
        read = 0
        for i in care:
            order: list[int] = []
            for k in range(length[i]):
                order += [j for j in pieces_of[i] if inside[i][j][k] and j not in order][:1]
            order += [j for j in pieces_of[i] if j not in order][:1]
            for c in _common(truth.texts[i] or "", "".join(c for j in order for c in left[j])):
                left[next(j for j in order if c in left[j])].remove(c)
                read += 1
        out |= {
            "read_recall_sum": read - split_price,
            "read_precision_sum": read - merge_price,
            "read_precision_total": sum(len(written[j]) for j in scored),
        }
    return out


def _simple(points: FloatArray) -> bool:
    return len(points) >= 3 and Polygon(points).is_valid


def _overlap(a: FloatArray, b: FloatArray) -> float:
    return float(Polygon(a).intersection(Polygon(b)).area)


def _filled(points: FloatArray) -> shapely.Geometry:
    polygon = Polygon(points)
    return polygon if polygon.is_valid else _areas(shapely.make_valid(polygon))


def _areas(shape: shapely.Geometry) -> shapely.Geometry:
    """The parts that have an area."""
    if hasattr(shape, "geoms"):
        return shapely.union_all([_areas(part) for part in shape.geoms])
    return shape if shape.area else Polygon()


def _shoelace(points: FloatArray) -> float:
    x, y = (points - points[0]).T
    return abs(float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)) / 2


def _diagonal(points: FloatArray) -> float:
    """Of the upright rectangle around the points."""
    return math.dist(points.min(axis=0), points.max(axis=0))


def _aspect(quad: FloatArray) -> float:
    a, b, c, d = (math.dist(quad[i], quad[(i + 1) % 4]) for i in range(4))
    return ((a + c) / 2 + 1e-5) / ((b + d) / 2 + 1e-5)


def _guessed(quad: FloatArray) -> int:
    aspect = _aspect(quad)
    return min(round(0.5 + max(aspect, 1 / aspect)), 10)


def _alarm(quad: FloatArray) -> int:
    return min(round(0.5 + 1 / (_aspect(quad) + 1e-5)), 10)


def _middles(quad: FloatArray, length: int) -> list[FloatArray]:
    a, b, c, d = quad
    start, end = ((d + c) / 2, (a + b) / 2) if _aspect(quad) < 0.5 else ((a + d) / 2, (b + c) / 2)
    return [start + (end - start) / (2 * length) + k * ((end - start) / length) for k in range(length)]


def _within(point: FloatArray, outline: FloatArray) -> bool:
    (x, y), odd = point, False
    for i in range(len(outline)):
        (x1, y1), (x2, y2) = outline[i], outline[i - 1]
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def _common(a: str, b: str) -> str:
    """A longest common subsequence."""
    best = [[""] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            best[i + 1][j + 1] = best[i][j] + x if x == y else max(best[i + 1][j], best[i][j + 1], key=len)
    return best[-1][-1]
