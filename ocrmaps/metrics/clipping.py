"""Compiled float64 kernels over flat polygons: measures of each, and the areas that plain ones share.

Polygons are flat `points` (n, 2) with `offsets` (k + 1), as in `PolygonSet`. The kernels hold no interpreter
lock, allocate in proportion to their output and leave to the caller what they cannot do surely: a polygon that
neither is clearly convex nor clearly keeps away from itself is marked as such and never clipped here.
"""

from __future__ import annotations

import math

import numpy as np

from ocrmaps.compiled import compiled
from ocrmaps.geometry import BoolArray, FloatArray, IntArray

FARTHEST = 1e15
"""Past this, float64 no longer tells one pixel from the next, and a polygon is out of range."""
# Sine of the largest bend the wrong way that is taken for rounding of a straight vertex.
_STRAIGHT = 1e-12
# Area over squared perimeter below which nothing is clearly convex (a 1000 px line thinner than 1e-5 px).
_SLIVER = 1e-8
# Bent outlines of more corners than this, or thinner than this share of their squared perimeter, are left to shapely:
# signed triangles cost the product of the corners, and lose digits where they are larger than the outline itself.
_MOST_BENT, _THIN = 48, 1e-4
BENT = -2.0
"""In place of a shared area: the pair is left to `bent_overlaps`."""
VALID, TOO_FEW_POINTS, NO_AREA, CROSSING, OUT_OF_RANGE = range(5)
"""What a polygon can be."""
DOUBTFUL = -1
"""In place of a status: the geometry engine decides."""
# A quotient this near to a threshold is decided by the geometry engine that the reference evaluators use,
# because there the last bits decide: half of a box against the whole has IoU 0.5 "plus or minus nothing".
TIE = 1e-9


@compiled
def _signed_area(x: FloatArray, y: FloatArray, n: int) -> float:
    """Relative to the first vertex: far from the origin the plain formula loses digits."""
    total = 0.0
    for i in range(1, n - 1):
        total += (x[i] - x[0]) * (y[i + 1] - y[0]) - (x[i + 1] - x[0]) * (y[i] - y[0])
    return 0.5 * total


@compiled
def _clearly_convex(x: FloatArray, y: FloatArray, n: int, sign: float, area: float) -> bool:
    """Whether the outline turns one way only, once around; zero-length edges are passed over."""
    turn, perimeter = 0.0, 0.0
    last_x, last_y = 0.0, 0.0
    for i in range(n - 1, -1, -1):
        last_x, last_y = x[(i + 1) % n] - x[i], y[(i + 1) % n] - y[i]
        if last_x != 0.0 or last_y != 0.0:
            break
    for i in range(n):
        dx, dy = x[(i + 1) % n] - x[i], y[(i + 1) % n] - y[i]
        length = math.hypot(dx, dy)
        if length == 0.0:
            continue
        cross = sign * (last_x * dy - last_y * dx)
        along = last_x * dx + last_y * dy
        slack = _STRAIGHT * math.hypot(last_x, last_y) * length
        if cross <= slack and (cross < -slack or along <= 0.0):
            return False
        turn += math.atan2(cross, along)
        perimeter += length
        last_x, last_y = dx, dy
    return abs(turn - 2.0 * math.pi) < 1e-3 and area > _SLIVER * perimeter * perimeter


@compiled
def _clearly_simple(x: FloatArray, y: FloatArray, n: int, area: float) -> bool:
    """Whether no edge comes near another one but its neighbors, which do not fold back; no corner given twice."""
    perimeter = 0.0
    for i in range(n):
        perimeter += math.hypot(x[i] - x[i - 1], y[i] - y[i - 1])
    if not area > _THIN * perimeter * perimeter:
        return False
    slack = _STRAIGHT * perimeter * perimeter
    for i in range(n):
        ax, ay, bx, by = x[i - 1], y[i - 1], x[i], y[i]
        dx, dy = bx - ax, by - ay
        after = (i + 1) % n
        turn, along = dx * (y[after] - by) - dy * (x[after] - bx), dx * (x[after] - bx) + dy * (y[after] - by)
        if dx * dx + dy * dy <= slack or (abs(turn) <= slack and along <= slack):
            return False
        for j in range(i + 2, n - (i == 0)):
            cx, cy, ex, ey = x[j - 1], y[j - 1], x[j], y[j]
            if max(cx, ex) < min(ax, bx) or max(ax, bx) < min(cx, ex):
                continue
            if max(cy, ey) < min(ay, by) or max(ay, by) < min(cy, ey):
                continue
            first, second = dx * (cy - ay) - dy * (cx - ax), dx * (ey - ay) - dy * (ex - ax)
            if min(first, second) > slack or max(first, second) < -slack:
                continue
            third, fourth = (ex - cx) * (ay - cy) - (ey - cy) * (ax - cx), (ex - cx) * (by - cy) - (ey - cy) * (bx - cx)
            if not (min(third, fourth) > slack or max(third, fourth) < -slack):
                return False
    return True


@compiled
def measure(
    points: FloatArray, offsets: IntArray, cut: bool
) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray, IntArray, int]:
    """Signed shoelace areas (k), bounds x0 y0 x1 y1 (k, 4), and of each polygon (k) what is surely so.

    Convex; simple, which all convex ones are; VALID where simple, OUT_OF_RANGE without an area where too far away, and
    DOUBTFUL elsewhere, with the number of these. With `cut` all of it is of the points cut to whole pixels.
    """
    k = len(offsets) - 1
    areas, bounds, status, doubtful = np.zeros(k), np.zeros((k, 4)), np.full(k, DOUBTFUL, dtype=np.int64), 0
    convex, simple = np.zeros(k, dtype=np.bool_), np.zeros(k, dtype=np.bool_)
    most = 0
    for i in range(k):
        most = max(most, offsets[i + 1] - offsets[i])
    room_x, room_y = np.empty(most), np.empty(most)
    for i in range(k):
        start, stop = offsets[i], offsets[i + 1]
        n = stop - start
        doubtful += 1
        if n == 0:
            continue
        x, y = room_x[:n], room_y[:n]
        for p in range(n):
            x[p], y[p] = points[start + p, 0], points[start + p, 1]
            if cut:
                x[p], y[p] = np.trunc(x[p]), np.trunc(y[p])
        x0, y0, x1, y1 = x[0], y[0], x[0], y[0]
        for p in range(1, n):
            x0, y0, x1, y1 = min(x0, x[p]), min(y0, y[p]), max(x1, x[p]), max(y1, y[p])
        bounds[i, 0], bounds[i, 1], bounds[i, 2], bounds[i, 3] = x0, y0, x1, y1
        if max(-x0, -y0, x1, y1) > FARTHEST:
            status[i] = OUT_OF_RANGE
            doubtful -= 1
            continue
        if n < 3:
            continue
        areas[i] = _signed_area(x, y, n)
        if areas[i] != 0.0 and math.isfinite(areas[i]):
            convex[i] = _clearly_convex(x, y, n, 1.0 if areas[i] > 0 else -1.0, abs(areas[i]))
            simple[i] = convex[i] or (n <= _MOST_BENT and _clearly_simple(x, y, n, abs(areas[i])))
        if simple[i]:
            status[i] = VALID
            doubtful -= 1
    return areas, bounds, convex, simple, status, doubtful


@compiled
def measure_whole(
    points: FloatArray, offsets: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray, BoolArray, IntArray, int, BoolArray, int]:
    """The points cut to whole pixels and their `measure`; which polygons (k) have three points or more, in range.

    Last, how many polygons are not VALID before cutting; -1 where some are DOUBTFUL.
    """
    _, _, _, _, status, doubtful = measure(points, offsets, False)
    invalid = -1 if doubtful else 0
    for i in range(len(status)):
        invalid += 0 if doubtful or status[i] == VALID else 1
    whole = np.empty(points.shape)
    for p in range(len(points)):
        for axis in range(2):
            whole[p, axis] = np.trunc(points[p, axis])
    areas, bounds, convex, simple, status, doubtful = measure(points, offsets, True)
    outlined = np.empty(len(status), dtype=np.bool_)
    for i in range(len(status)):
        outlined[i] = offsets[i + 1] - offsets[i] >= 3 and status[i] != OUT_OF_RANGE
    return whole, areas, bounds, convex, simple, status, doubtful, outlined, invalid


@compiled
def _clip(
    subject: FloatArray, clip: FloatArray, sign: float, ax: FloatArray, ay: FloatArray, bx: FloatArray, by: FloatArray
) -> float:
    """Area of a convex subject inside a convex clip polygon, or -1 if the buffers would not hold it."""
    n, turned = _cut(subject, clip, sign, ax, ay, bx, by)
    if n < 0:
        return -1.0
    if n == 0:
        return 0.0
    return abs(_signed_area(bx, by, n) if turned else _signed_area(ax, ay, n))


@compiled
def _cut(
    subject: FloatArray, clip: FloatArray, sign: float, ax: FloatArray, ay: FloatArray, bx: FloatArray, by: FloatArray
) -> tuple[int, bool]:
    """Corners of a convex subject inside a convex clip polygon, from its first corner, and whether they are in bx, by.

    0 where nothing is inside, -1 if the buffers would not hold it.
    """
    ox, oy = clip[0, 0], clip[0, 1]
    n, turned = len(subject), False
    for i in range(n):
        ax[i], ay[i] = subject[i, 0] - ox, subject[i, 1] - oy
    m = len(clip)
    for e in range(m):
        px, py = clip[e, 0] - ox, clip[e, 1] - oy
        ex, ey = clip[(e + 1) % m, 0] - ox - px, clip[(e + 1) % m, 1] - oy - py
        if ex == 0.0 and ey == 0.0:
            continue
        count = 0
        last = n - 1
        side_last = sign * (ex * (ay[last] - py) - ey * (ax[last] - px))
        for i in range(n):
            side = sign * (ex * (ay[i] - py) - ey * (ax[i] - px))
            if count + 2 > len(bx):
                return -1, turned
            if (side > 0.0 and side_last < 0.0) or (side < 0.0 and side_last > 0.0):
                t = side_last / (side_last - side)
                # Exact on level and upright edges, so that whole boxes have whole areas.
                bx[count] = px if ex == 0.0 else ax[last] + t * (ax[i] - ax[last])
                by[count] = py if ey == 0.0 else ay[last] + t * (ay[i] - ay[last])
                count += 1
            if side >= 0.0:
                bx[count], by[count] = ax[i], ay[i]
                count += 1
            last, side_last = i, side
        ax, ay, bx, by = bx, by, ax, ay
        turned = not turned
        n = count
        if n < 3:
            return 0, turned
    return n, turned


@compiled
def uncovered(
    points: FloatArray, offsets: IntArray, area: FloatArray, convex: BoolArray,
    found_points: FloatArray, found_offsets: IntArray, found_area: FloatArray, found_convex: BoolArray,
    row_index: IntArray, column_index: IntArray, starts: IntArray, covers: IntArray, cover: FloatArray,
) -> FloatArray:  # fmt: skip
    """(q): area that rows share with columns outside of covers[starts[q]:starts[q + 1]], rows too.

    `cover` is what each of these shares with the row. -1 where none shares anything; BENT where an outline is not
    surely convex, or where two covers share some of the area.
    """
    size = 2 * _room(offsets, found_offsets)
    ax, ay, bx, by = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    piece, part = np.empty((size, 2)), np.empty((size, 2))
    out = np.full(len(row_index), -1.0)
    for q in range(len(row_index)):
        i, j = row_index[q], column_index[q]
        some, plain = False, convex[i] and found_convex[j]
        for c in range(starts[q], starts[q + 1]):
            some |= cover[c] > 0
            plain &= cover[c] <= 0 or convex[covers[c]]
        if not some:
            continue
        out[q] = BENT
        if not plain:
            continue
        row, column = points[offsets[i] : offsets[i + 1]], found_points[found_offsets[j] : found_offsets[j + 1]]
        n = _kept(row, column, found_area[j], ax, ay, bx, by, piece)
        left = abs(_signed_area(piece[:, 0], piece[:, 1], n)) if n > 0 else 0.0
        for c in range(starts[q], starts[q + 1]):
            if n <= 0 or cover[c] <= 0:
                continue
            text = points[offsets[covers[c]] : offsets[covers[c] + 1]]
            k = _kept(piece[:n], text, area[covers[c]], ax, ay, bx, by, part)
            if k <= 0:
                n = -1 if k < 0 else n
                continue
            left -= abs(_signed_area(part[:, 0], part[:, 1], k))
            for other in range(starts[q], c):
                if cover[other] > 0 and n > 0:
                    again = points[offsets[covers[other]] : offsets[covers[other] + 1]]
                    if _clip(part[:k], again, 1.0 if area[covers[other]] > 0 else -1.0, ax, ay, bx, by) != 0.0:
                        n = -1
        if n >= 0:
            out[q] = max(left, 0.0)
    return out


@compiled
def _kept(
    subject: FloatArray, clip: FloatArray, clip_area: float,
    ax: FloatArray, ay: FloatArray, bx: FloatArray, by: FloatArray, out: FloatArray,
) -> int:  # fmt: skip
    """Put the corners of a convex subject inside a convex clip polygon in `out`: how many, or -1 without room."""
    n, turned = _cut(subject, clip, 1.0 if clip_area > 0 else -1.0, ax, ay, bx, by)
    for p in range(n):
        out[p, 0] = (bx[p] if turned else ax[p]) + clip[0, 0]
        out[p, 1] = (by[p] if turned else ay[p]) + clip[0, 1]
    return n


@compiled
def _bent(
    row: FloatArray, row_convex: bool, row_sign: float, column: FloatArray, column_convex: bool, column_sign: float,
    ax: FloatArray, ay: FloatArray, bx: FloatArray, by: FloatArray,
) -> float:  # fmt: skip
    """Area shared by two simple polygons, or -1 where rounding leaves nothing that is sure.

    A simple polygon is the sum of the signed triangles that its first corner makes with its edges; a convex one is
    taken whole. Shared areas are sums of products, so all pairs of parts add up to the shared area.
    """
    one, two = np.empty((3, 2)), np.empty((3, 2))
    total, parts = 0.0, 0
    for i in range(1, 2 if row_convex else len(row) - 1):
        subject, first = row, 1.0
        if not row_convex:
            # By element: assigning rows compiles numba's message about unequal shapes, which takes two seconds.
            for axis in range(2):
                one[0, axis], one[1, axis], one[2, axis] = row[0, axis], row[i, axis], row[i + 1, axis]
            subject = one
            first = row_sign * _signed_area(one[:, 0], one[:, 1], 3)
        if first == 0.0:
            continue
        x0, y0, x1, y1 = subject[0, 0], subject[0, 1], subject[0, 0], subject[0, 1]
        for p in range(1, len(subject)):
            x0, y0 = min(x0, subject[p, 0]), min(y0, subject[p, 1])
            x1, y1 = max(x1, subject[p, 0]), max(y1, subject[p, 1])
        for j in range(1, 2 if column_convex else len(column) - 1):
            clip, second, sign = column, 1.0, column_sign
            if not column_convex:
                u, v, w = column[0], column[j], column[j + 1]
                if (
                    max(u[0], v[0], w[0]) <= x0 or min(u[0], v[0], w[0]) >= x1
                    or max(u[1], v[1], w[1]) <= y0 or min(u[1], v[1], w[1]) >= y1
                ):  # fmt: skip
                    continue
                for axis in range(2):
                    two[0, axis], two[1, axis], two[2, axis] = u[axis], v[axis], w[axis]
                clip = two
                turn = _signed_area(two[:, 0], two[:, 1], 3)
                second, sign = column_sign * turn, 1.0 if turn > 0 else -1.0
            if second == 0.0:
                continue
            area = _clip(subject, clip, sign, ax, ay, bx, by)
            if area < 0.0:
                return -1.0
            parts += area > 0.0
            total += area if (first > 0) == (second > 0) else -area
    return total if total > 0.0 or not parts else -1.0


@compiled
def overlaps(
    row_points: FloatArray,
    row_offsets: IntArray,
    row_area: FloatArray,
    row_convex: BoolArray,
    row_simple: BoolArray,
    column_points: FloatArray,
    column_offsets: IntArray,
    column_area: FloatArray,
    column_convex: BoolArray,
    column_simple: BoolArray,
    row_index: IntArray,
    column_index: IntArray,
) -> tuple[FloatArray, int]:
    """Shared areas (p) of the index pairs, by half-plane clipping, and how many of them are BENT.

    BENT where both are surely simple but not both convex, which `bent_overlaps` computes: it takes seconds to compile,
    and boxes never need it. -1 where either is not surely simple.
    """
    bent = 0
    size = _room(row_offsets, column_offsets)
    ax, ay, bx, by = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    out = np.full(len(row_index), -1.0)
    for p in range(len(row_index)):
        i, j = row_index[p], column_index[p]
        if row_simple[i] and column_simple[j]:
            subject = row_points[row_offsets[i] : row_offsets[i + 1]]
            clip = column_points[column_offsets[j] : column_offsets[j + 1]]
            if row_convex[i] and column_convex[j]:
                area = _clip(subject, clip, 1.0 if column_area[j] > 0 else -1.0, ax, ay, bx, by)
                out[p] = min(area, abs(row_area[i]), abs(column_area[j]))
            else:
                out[p] = BENT
                bent += 1
    return out, bent


@compiled
def bent_overlaps(
    row_points: FloatArray,
    row_offsets: IntArray,
    row_area: FloatArray,
    row_convex: BoolArray,
    column_points: FloatArray,
    column_offsets: IntArray,
    column_area: FloatArray,
    column_convex: BoolArray,
    row_index: IntArray,
    column_index: IntArray,
    out: FloatArray,
) -> None:
    """Fill in the shared areas of pairs that `overlaps` left BENT; -1 where rounding leaves nothing that is sure."""
    size = _room(row_offsets, column_offsets)
    ax, ay, bx, by = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    for p in range(len(row_index)):
        if out[p] == BENT:
            i, j = row_index[p], column_index[p]
            row = row_points[row_offsets[i] : row_offsets[i + 1]]
            column = column_points[column_offsets[j] : column_offsets[j + 1]]
            one, two = 1.0 if row_area[i] > 0 else -1.0, 1.0 if column_area[j] > 0 else -1.0
            area = _bent(row, row_convex[i], one, column, column_convex[j], two, ax, ay, bx, by)
            out[p] = min(area, abs(row_area[i]), abs(column_area[j]))


@compiled
def unsure(
    overlap: FloatArray, row_area: FloatArray, column_area: FloatArray, row_index: IntArray, column_index: IntArray
) -> IntArray:
    """Pairs whose shared area is not known, or so slight that rounding may have made it.

    Whether neighbors touch at all is asked by DetEval, and rounding must not answer.
    """
    out, count = np.empty(len(overlap), dtype=np.int64), 0
    for p in range(len(overlap)):
        if overlap[p] < TIE * min(row_area[row_index[p]], column_area[column_index[p]]) and overlap[p] != 0.0:
            out[count] = p
            count += 1
    return out[:count]


@compiled
def quotients(
    overlap: FloatArray,
    row_area: FloatArray,
    column_area: FloatArray,
    row_index: IntArray,
    column_index: IntArray,
    over: int,
    levels: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """(p): shared area over that of the row (0), of the column (1) or of both together (2), and who is near a level."""
    value, near, count = np.empty(len(overlap)), np.empty(len(overlap), dtype=np.int64), 0
    for p in range(len(overlap)):
        row, column = row_area[row_index[p]], column_area[column_index[p]]
        whole = row + column - overlap[p]
        if over < 2:
            whole = column if over else row
        value[p] = min(overlap[p] / whole, 1.0) if whole > 0.0 else 1.0
        for t in range(len(levels)):
            if abs(value[p] - levels[t]) < TIE:
                near[count] = p
                count += 1
                break
    return value, near[:count]


@compiled
def _room(row_offsets: IntArray, column_offsets: IntArray) -> int:
    """Corners that clipping one polygon by another can take."""
    size = 16
    for i in range(len(row_offsets) - 1):
        size = max(size, row_offsets[i + 1] - row_offsets[i])
    widest = size
    for j in range(len(column_offsets) - 1):
        widest = max(widest, column_offsets[j + 1] - column_offsets[j])
    return size + widest + 16
