"""A source's declared frame against its pictures: where the outlines fit, by EXIF orientation. Never guessed.

Bounds can only decide for pictures that orientation turns by a quarter (5 to 8) and whose sides differ. With
orientation 1 both frames are one; 2 to 4 mirror or turn by half, so everything fits both and only eyes can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ocrmaps.annotations.checks.outlines import Extents
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import FrameError
from ocrmaps.geometry import BoolArray, Frame, upright_size
from ocrmaps.pictures import Header

TOLERANCE = 3.0
"""Outlines may stick out by this many pixels, or by `TOLERANCE_SHARE` of the longer side: sloppy is not turned."""
TOLERANCE_SHARE = 0.01
STRAYS = 0.05
"""A picture still fits a frame when at most this share of its outlines sticks out: one wrong label is no evidence."""
MIXED = 0.01
"""More than this share of the decided pictures against the declaration: the source mixes two frames."""
HANDFUL = 5
"""Up to this many pictures against the declaration are not refused unless they are most of those that could tell."""

Verdict = Literal["confirmed", "undecided", "mixed", "contradicted"]
Fit = Literal["raw", "upright", "both", "neither", "sideways"]
FITS: tuple[Fit, ...] = ("raw", "upright", "both", "neither", "sideways")
_HEADS = ("fits raw only", "fits upright only", "fits both", "fits neither", "fits sideways")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTable:
    """How many pictures fit which frame, by orientation.

    >>> table = FrameTable(declared="raw", rows={6: {"upright": 867, "both": 8}}, against=("a.jpg",))
    >>> table.verdict, table.other
    ('contradicted', 'upright')
    """

    declared: Frame
    rows: Mapping[int, Mapping[Fit, int]]
    """Orientation -> fit -> pictures. `sideways`: neither, but it would fit with the picture's sides swapped
    although no orientation says so (the tag was lost, or the picture was turned after labelling)."""
    against: tuple[str, ...]
    """Ids of the pictures that fit only the other frame."""
    sideways: tuple[str, ...] = ()
    """Ids of the pictures that fit only with their sides swapped."""

    @property
    def other(self) -> Frame:
        return "raw" if self.declared == "upright" else "upright"

    def total(self, fit: Fit) -> int:
        return sum(row.get(fit, 0) for row in self.rows.values())

    @property
    def verdict(self) -> Verdict:
        """Decided by majority over the whole source, so that a few sloppy labels never turn it."""
        supports, contradicts = self.total(_fit(self.declared)), self.total(_fit(self.other))
        both = sum(row.get("both", 0) for orientation, row in self.rows.items() if orientation >= 5)
        if contradicts > supports and (contradicts > HANDFUL or contradicts > supports + both):
            return "contradicted"
        if contradicts > MIXED * (supports + contradicts):
            return "mixed"
        return "confirmed" if supports else "undecided"

    def cells(self) -> list[list[str]]:
        """The joint table: a head, then one row an orientation."""
        rows = [[str(o), *(str(row.get(fit, 0)) for fit in FITS)] for o, row in sorted(self.rows.items())]
        return [["EXIF", *_HEADS], *rows]

    def lines(self) -> list[str]:
        """The joint table as aligned text."""
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]

    def as_dict(self) -> dict[str, object]:
        return {
            "declared": self.declared,
            "verdict": self.verdict,
            "tolerance_px": TOLERANCE,
            "tolerance_share": TOLERANCE_SHARE,
            "by_orientation": {str(o): {fit: row.get(fit, 0) for fit in FITS} for o, row in sorted(self.rows.items())},
            "against": list(self.against[:100]),
            "sideways": list(self.sideways[:100]),
        }


def frame_table(outlines: Extents, ids: Sequence[str], headers: Sequence[Header | None], declared: Frame) -> FrameTable:
    """Judge every picture that has a header and outlines. `ids` and `headers` go with the samples of `outlines`."""
    known = np.array([header is not None for header in headers], dtype=np.bool_)
    raw = np.array([h.size if h is not None else (np.nan, np.nan) for h in headers], dtype=np.float64).reshape(-1, 2)
    orientation = np.array([h.orientation if h is not None else 0 for h in headers], dtype=np.int64)
    turned = orientation >= 5
    upright = np.where(turned[:, None], raw[:, ::-1], raw)
    fits_raw, fits_upright, fits_swapped = (_fits(outlines, size) for size in (raw, upright, raw[:, ::-1]))
    judged = known & (np.bincount(outlines.sample[~outlines.absurd], minlength=len(ids)) > 0)
    classes: dict[Fit, BoolArray] = {
        "raw": fits_raw & ~fits_upright,
        "upright": fits_upright & ~fits_raw,
        "both": fits_raw & fits_upright,
        "sideways": ~turned & ~fits_raw & fits_swapped,
    }
    classes["neither"] = ~(classes["raw"] | classes["upright"] | classes["both"] | classes["sideways"])
    rows: dict[int, dict[Fit, int]] = {}
    for o in np.unique(orientation[judged]).tolist():
        here = judged & (orientation == o)
        rows[o] = {fit: int((classes[fit] & here).sum()) for fit in FITS}
    table = FrameTable(declared=declared, rows=rows, against=())
    return FrameTable(
        declared=declared,
        rows=rows,
        against=tuple(ids[i] for i in np.flatnonzero(judged & classes[_fit(table.other)]).tolist()),
        sideways=tuple(ids[i] for i in np.flatnonzero(judged & classes["sideways"]).tolist()),
    )


def check_frame(samples: Sequence[Sample], headers: Mapping[str, Header], declared: Frame) -> FrameTable:
    """The table for samples and the headers of their pictures by sample id; missing headers are left out."""
    ids = [sample.id for sample in samples]
    return frame_table(Extents.of(samples), ids, [headers.get(i) for i in ids], declared)


def require_frame(table: FrameTable, name: str = "") -> None:
    """Refuse a declaration that most of the pictures contradict; mixed sources are for the caller to report."""
    if table.verdict == "contradicted":
        raise FrameError("\n".join(explain(table, name)), hint=f"declare it: --frame {table.other}")


def explain(table: FrameTable, name: str = "") -> Iterable[str]:
    """What the verdict rests on, in sentences and the joint table."""
    supports, contradicts = table.total(_fit(table.declared)), table.total(_fit(table.other))
    where = f"{name}: " if name else ""
    if table.verdict in ("contradicted", "mixed"):
        found = f"{where}coordinates are declared {table.declared}, but {contradicts} pictures fit only {table.other}"
        yield f"{found} and {supports} fit only {table.declared}"
    elif table.verdict == "confirmed":
        yield f"{where}coordinates are declared {table.declared}; {supports} pictures fit only that frame"
    else:
        yield f"{where}coordinates are declared {table.declared}; no picture's bounds can tell raw from upright"
    yield from (f"  {line}" for line in table.lines())
    yield (
        f"  (fits: at most {STRAYS:.0%} of a picture's outlines reach beyond it by more than {TOLERANCE:g} px or "
        f"{TOLERANCE_SHARE:.0%} of its longer side; bounds cannot decide orientations 2 to 4)"
    )


def declared_sizes(headers: Sequence[Header | None], declared: Frame) -> np.ndarray:
    """(n, 2) height and width of each picture in the declared frame, nan where there is no header."""
    sizes = [
        (np.nan, np.nan) if h is None else h.size if declared == "raw" else upright_size(h.orientation, h.size)
        for h in headers
    ]
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def _fit(frame: Frame) -> Fit:
    return "raw" if frame == "raw" else "upright"


def _fits(outlines: Extents, sizes: np.ndarray) -> BoolArray:
    """(samples): few enough outlines reach beyond these sizes. Nonsense coordinates have no say."""
    limit = np.maximum(TOLERANCE, TOLERANCE_SHARE * np.nan_to_num(sizes).max(axis=1, initial=0))
    sane = ~outlines.absurd
    strays = sane & (np.nan_to_num(outlines.excess(sizes)) > limit[outlines.sample])
    number = np.bincount(outlines.sample[strays], minlength=outlines.samples)
    return number <= STRAYS * np.bincount(outlines.sample[sane], minlength=outlines.samples)
