"""Coordinates as shares of a picture's sides, and the size that turns them into pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ocrmaps.annotations.gather import Gather
from ocrmaps.errors import OcrmapsError, reason
from ocrmaps.geometry import FloatArray, Size

DIGITS = 6
"""Pixels that come from shares are rounded to a millionth: what tools computed from whole pixels is whole again."""


def pixels(share: float, side: float) -> float:
    """A share of a side as a coordinate.

    >>> pixels(1 / 3, 999), pixels(0.1 + 0.2, 10)
    (333.0, 3.0)
    """
    return round(share * side, DIGITS)


def rounded(values: FloatArray) -> FloatArray:
    """Coordinates as `round` gives them one by one, many at once.

    >>> rounded(np.array([1.0000005, -2.5, 1e9 / 3])).tolist() == [round(v, DIGITS) for v in (1.0000005, -2.5, 1e9 / 3)]
    True
    """
    units = 10.0**DIGITS
    scaled = values * units
    whole = np.rint(scaled)
    out = whole / units
    # Near the middle between two, or where float64 does not count units any more, its decimals decide.
    for i in np.flatnonzero(~((np.abs(scaled - whole) < 0.499) & (np.abs(scaled) < 1e11))).tolist():
        out[i] = round(float(values[i]), DIGITS)
    return out


def picture_size(g: Gather, id: str | None, loc: str) -> Size | None:
    """(height, width) of the picture in the source's frame, from its header alone; a problem if it has none."""
    if id is None:
        return None
    from ocrmaps.pictures import read_header  # opening pictures is slow to import, and most formats need none

    try:
        header = read_header(g.source.pictures / id)
    except (OcrmapsError, OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error.args[0])
        found = f"found no size of the picture {id!r} ({why}), but coordinates are shares of its sides"
        g.problem(loc, f"{found}; --pictures names the folder of the pictures", "missing-picture")
        return None
    return header.size if g.source.frame == "raw" else header.upright


def is_whole(values: Iterable[float]) -> bool:
    """Whether pixels come back from shares as they are: they have no digits beyond the millionth.

    >>> is_whole([1, 2.25]), is_whole([1 / 3])
    (True, False)
    """
    return all(round(value, DIGITS) == value for value in values)
