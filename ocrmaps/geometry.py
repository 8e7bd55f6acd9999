"""Points that know their frame: affine maps, the eight picture orientations and sets of polygons.

Pixel convention, everywhere: coordinates are continuous, x right and y down; pixel (0, 0) covers
[0, 1) x [0, 1) and its center is (0.5, 0.5). A flip is x -> W - x and a resize is a pure scale.
Points are (x, y) float64; sizes are (height, width).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import isfinite
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ocrmaps.errors import FrameError

Frame = Literal["raw", "upright", "canonical"]
"""raw: pixels as stored in the file; upright: EXIF orientation applied; canonical: the picture the model sees."""
FRAMES: tuple[str, ...] = get_args(Frame)

Size = tuple[int, int]
"""(height, width) in pixels."""
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def read_only(array: npt.ArrayLike, dtype: Any) -> npt.NDArray[Any]:
    """A contiguous read-only copy: records are shared between threads, so nobody may change them."""
    out = np.array(array, dtype=dtype, order="C", copy=True)
    out.flags.writeable = False
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """An invertible affine map of the plane, composed by `@` (right-hand side first).

    >>> (Affine.translation(1, 0) @ Affine.scaling(2, 2)).apply([[3, 4]]).tolist()
    [[7.0, 8.0]]
    """

    matrix: FloatArray
    """3x3, last row 0 0 1."""

    def __post_init__(self) -> None:
        matrix = read_only(self.matrix, np.float64)
        rows = matrix.tolist()
        if matrix.shape != (3, 3) or not all(map(isfinite, (*rows[0], *rows[1]))) or rows[2] != [0, 0, 1]:
            raise FrameError(f"an affine map is a finite 3x3 matrix with last row 0 0 1, found {rows}")
        if rows[0][0] * rows[1][1] == rows[0][1] * rows[1][0]:
            raise FrameError(f"this affine map cannot be inverted: {matrix.tolist()}")
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def of(cls, a: float, b: float, c: float, d: float, e: float, f: float) -> Affine:
        """x' = a x + b y + c and y' = d x + e y + f."""
        return cls(np.array([[a, b, c], [d, e, f], [0, 0, 1]], dtype=np.float64))

    @classmethod
    def identity(cls) -> Affine:
        return cls.of(1, 0, 0, 0, 1, 0)

    @classmethod
    def translation(cls, dx: float, dy: float) -> Affine:
        return cls.of(1, 0, dx, 0, 1, dy)

    @classmethod
    def scaling(cls, sx: float, sy: float) -> Affine:
        return cls.of(sx, 0, 0, 0, sy, 0)

    @classmethod
    def rotation(cls, degrees: float, center: tuple[float, float] = (0.0, 0.0)) -> Affine:
        """Clockwise on the screen (y points down) about a center."""
        c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
        x, y = center
        return cls.of(c, -s, x - c * x + s * y, s, c, y - s * x - c * y)

    def __matmul__(self, other: Affine) -> Affine:
        return Affine(self.matrix @ other.matrix)

    def inverse(self) -> Affine:
        """Closed form, so that flips and translations invert without rounding."""
        (a, b, c), (d, e, f), _ = self.matrix.tolist()
        det = a * e - b * d
        return Affine.of(e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det)

    def apply(self, points: npt.ArrayLike) -> FloatArray:
        """Map (n, 2) points; the input is not changed."""
        xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        (a, b, c), (d, e, f), _ = self.matrix.tolist()
        out = np.empty(xy.shape)
        out[:, 0] = a * xy[:, 0] + b * xy[:, 1] + c
        out[:, 1] = d * xy[:, 0] + e * xy[:, 1] + f
        return out

    def isclose(self, other: Affine, tolerance: float = 1e-9) -> bool:
        return bool(np.allclose(self.matrix, other.matrix, rtol=0, atol=tolerance))


# EXIF orientation -> which way a raw picture is turned for display, as rows (a, b, c, d, e, f) in units of
# the raw width (c, f: "w") and height ("h"). Only the forward table is written down: inverses are computed,
# because hand-written inverses of the two transposing flips are a classic mistake.
_ORIENTATIONS: dict[int, tuple[int, int, str, int, int, str]] = {
    1: (1, 0, "", 0, 1, ""),
    2: (-1, 0, "w", 0, 1, ""),
    3: (-1, 0, "w", 0, -1, "h"),
    4: (1, 0, "", 0, -1, "h"),
    5: (0, 1, "", 1, 0, ""),
    6: (0, -1, "h", 1, 0, ""),
    7: (0, -1, "h", -1, 0, "w"),
    8: (0, 1, "", -1, 0, "w"),
}
ORIENTATIONS: tuple[int, ...] = tuple(_ORIENTATIONS)


def upright_size(orientation: int, raw_size: Size) -> Size:
    """(height, width) after the orientation is applied: 5 to 8 swap the sides."""
    height, width = raw_size
    return (width, height) if orientation >= 5 else (height, width)


def upright_affine(orientation: int, raw_size: Size) -> Affine:
    """The map raw -> upright for EXIF orientation 1 to 8.

    >>> upright_affine(6, (20, 30)).apply([[0.5, 0.5]]).tolist()  # the first pixel goes to the top right
    [[19.5, 0.5]]
    """
    if orientation not in _ORIENTATIONS:
        raise FrameError(f"found orientation {orientation!r}, expected 1 to 8")
    height, width = raw_size
    side = {"": 0, "w": width, "h": height}
    a, b, c, d, e, f = _ORIENTATIONS[orientation]
    return Affine.of(a, b, side[c], d, e, side[f])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PolygonSet:
    """All polygons of one picture in one frame, as flat read-only arrays.

    >>> s = PolygonSet.of([[(0, 0), (4, 0), (4, 2), (0, 2)]], frame="raw", texts=["a"])
    >>> len(s), s.areas().tolist(), s.perimeters().tolist()
    (1, [8.0], [12.0])
    """

    points: FloatArray
    """(n, 2) x, y of all vertices, polygon after polygon; not closed (the last vertex differs from the first)."""
    offsets: IntArray
    """(k + 1): polygon i has the points offsets[i] to offsets[i + 1]."""
    ignore: BoolArray
    """(k): not scored, not learnt."""
    texts: tuple[str | None, ...]
    """(k): the transcription, None where nobody gave one."""
    frame: Frame

    def __post_init__(self) -> None:
        points = read_only(np.asarray(self.points, dtype=np.float64).reshape(-1, 2), np.float64)
        offsets = read_only(self.offsets, np.int64)
        ignore = read_only(self.ignore, np.bool_)
        texts = tuple(self.texts)
        k = len(offsets) - 1
        if self.frame not in FRAMES:
            raise FrameError(f"found frame {self.frame!r}, expected one of {', '.join(FRAMES)}")
        falls = offsets.ndim != 1 or k < 0 or (offsets[1:] < offsets[:-1]).any()
        if falls or offsets[0] != 0 or offsets[-1] != len(points):
            raise ValueError(f"offsets must rise from 0 to the {len(points)} points, found {offsets.tolist()[:12]}")
        if len(ignore) != k or len(texts) != k:
            raise ValueError(f"{k} polygons with {len(ignore)} ignore flags and {len(texts)} texts")
        if not np.isfinite(points).all():
            raise ValueError("polygon points must be finite numbers")
        for name, value in (("points", points), ("offsets", offsets), ("ignore", ignore), ("texts", texts)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls,
        polygons: Iterable[npt.ArrayLike],
        *,
        frame: Frame,
        ignore: Sequence[bool] | BoolArray | None = None,
        texts: Sequence[str | None] | None = None,
    ) -> PolygonSet:
        """From a list of (n, 2) point lists: the one constructor that readers and extraction use."""
        arrays = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
        for i, array in enumerate(arrays):
            if array.ndim != 2 or array.shape[1] != 2:
                raise ValueError(f"polygon {i} has shape {array.shape}, expected (n, 2)")
        k = len(arrays)
        return cls(
            points=np.concatenate(arrays) if k else np.zeros((0, 2)),
            offsets=np.cumsum([0, *(len(a) for a in arrays)]),
            ignore=np.zeros(k, dtype=np.bool_) if ignore is None else np.asarray(ignore, dtype=np.bool_),
            texts=(None,) * k if texts is None else tuple(texts),
            frame=frame,
        )

    @classmethod
    def unchecked(
        cls,
        *,
        points: FloatArray,
        offsets: IntArray,
        ignore: BoolArray,
        texts: tuple[str | None, ...],
        frame: Frame,
    ) -> PolygonSet:
        """From arrays that the caller has made for it and knows to be sound: neither copied nor looked at, only locked.

        Readers of many thousand pictures, who look at every number anyway, would spend half of their time on checks.
        """
        out = object.__new__(cls)
        for array in (points, offsets, ignore):
            array.flags.writeable = False
        for name, value in zip(cls.__slots__, (points, offsets, ignore, texts, frame), strict=True):
            object.__setattr__(out, name, value)
        return out

    @classmethod
    def empty(cls, frame: Frame) -> PolygonSet:
        return cls.of([], frame=frame)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> FloatArray:
        """The (n, 2) points of one polygon, read-only."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"polygon {index} of {len(self)}")
        index %= len(self)
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[FloatArray]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolygonSet) and (
            self.frame == other.frame
            and self.texts == other.texts
            and np.array_equal(self.points, other.points)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.ignore, other.ignore)
        )

    def __repr__(self) -> str:
        ignored = int(self.ignore.sum())
        return f"PolygonSet({len(self)} polygons{f', {ignored} ignored' if ignored else ''}, {self.frame})"

    def counts(self) -> IntArray:
        """(k): vertices of each polygon."""
        return np.diff(self.offsets)

    def select(self, keep: npt.ArrayLike) -> PolygonSet:
        """The polygons with these indices or under this boolean mask, in that order."""
        index = np.asarray(keep)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        return PolygonSet.of(
            [self[int(i)] for i in index],
            frame=self.frame,
            ignore=self.ignore[index],
            texts=[self.texts[int(i)] for i in index],
        )

    def split(self, counts: Sequence[int]) -> list[PolygonSet]:
        """Sets of so many polygons each, one after the other.

        >>> both = PolygonSet.of([[(0, 0), (4, 0), (4, 2)], [(1, 1), (2, 1), (2, 2)]], frame="raw")
        >>> [part.points.tolist() for part in both.split([0, 2])] == [[], both.points.tolist()]
        True
        """
        bounds = [0, *accumulate(counts)]
        if bounds[-1] != len(self):
            raise ValueError(f"found {bounds[-1]} polygons to split into, expected {len(self)}")
        starts, out = self.offsets[bounds].tolist(), []
        for a, b, start, end in zip(bounds, bounds[1:], starts, starts[1:], strict=False):
            offsets = self.offsets[a : b + 1] - start
            offsets.flags.writeable = False
            # Parts of what was checked are not checked again: data sets have a hundred thousand.
            part = object.__new__(PolygonSet)
            for name, value in (
                ("points", self.points[start:end]), ("offsets", offsets), ("ignore", self.ignore[a:b]),
                ("texts", self.texts[a:b]), ("frame", self.frame),
            ):  # fmt: skip
                object.__setattr__(part, name, value)
            out.append(part)
        return out

    def with_ignore(self, ignore: npt.ArrayLike) -> PolygonSet:
        return replace(self, ignore=np.asarray(ignore, dtype=np.bool_))

    def transform(self, affine: Affine, to: Frame) -> PolygonSet:
        """The same polygons seen in another frame. Prefer `CanonicalTransform.apply`, which checks the frames."""
        points = affine.apply(self.points)
        if to not in FRAMES or not np.isfinite(points).all():
            return replace(self, points=points, frame=to)  # which says what is wrong
        return PolygonSet.unchecked(points=points, offsets=self.offsets, ignore=self.ignore, texts=self.texts, frame=to)

    def next_points(self) -> FloatArray:
        """(n, 2): the vertex that follows each one around its own outline."""
        start, stop = self.offsets[:-1], self.offsets[1:]
        following = np.arange(1, len(self.points) + 1)
        following[stop[stop > start] - 1] = start[stop > start]
        return self.points[following]

    def sums(self, values: FloatArray) -> FloatArray:
        """(k, ...): the sum over each polygon's vertices of values (n, ...) at all vertices; 0 without vertices."""
        out = np.zeros((len(self), *values.shape[1:]))
        some = self.counts() > 0
        if some.any():
            out[some] = np.add.reduceat(values, self.offsets[:-1][some])
        return out

    def signed_areas(self) -> FloatArray:
        """(k): shoelace areas, positive when the vertices run clockwise on the screen (y down)."""
        counts = self.counts()
        # Relative to the first vertex: far from the origin the plain formula loses digits.
        first = np.repeat(self.points[self.offsets[:-1][counts > 0]], counts[counts > 0], axis=0)
        (x, y), (next_x, next_y) = (self.points - first).T, (self.next_points() - first).T
        return 0.5 * (self.sums(x * next_y) - self.sums(next_x * y))

    def areas(self) -> FloatArray:
        """(k): absolute shoelace areas."""
        return np.abs(self.signed_areas())

    def perimeters(self) -> FloatArray:
        """(k): lengths of the closed outlines."""
        return self.sums(np.hypot(*(self.next_points() - self.points).T))

    def equivalent_sides(self) -> FloatArray:
        """(k, 2): short and long side of the rectangle with the same area and perimeter: text height and length.

        For a curved line this is its thickness and the length along the curve.

        >>> PolygonSet.of([[(0, 0), (9, 0), (9, 2), (0, 2)]], frame="raw").equivalent_sides().round(6).tolist()
        [[2.0, 9.0]]
        """
        area, half = self.areas(), self.perimeters() / 2
        # Rounder than a square (or nothing at all): the sides are those of the square with the same area.
        root = np.sqrt(np.maximum(half * half - 4 * area, 0))
        square = half * half < 4 * area
        side = np.sqrt(area)
        long = np.where(square, side, (half + root) / 2)
        return np.stack([np.where(square, side, half - long), long], axis=1)

    def bounds(self) -> FloatArray:
        """(k, 4): x0, y0, x1, y1 of each polygon; zeros for a polygon without points."""
        out = np.zeros((len(self), 4))
        for i, p in enumerate(self):
            if len(p):
                out[i] = (*p.min(axis=0), *p.max(axis=0))
        return out
