"""What is known about one source before it is judged: samples, pictures, outlines, sizes and where each would go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocrmaps.annotations.checks.findings import EXAMPLES, Example, Finding, Severity, about_coordinates
from ocrmaps.annotations.checks.frames import FrameTable, declared_sizes, frame_table
from ocrmaps.annotations.checks.outlines import OutlineTable
from ocrmaps.annotations.checks.survey import Look
from ocrmaps.annotations.discovery.pictures import Pictures
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.canonical import CanonicalSpec, CanonicalTransform, plan
from ocrmaps.geometry import BoolArray, FloatArray, IntArray
from ocrmaps.pictures import Header

COMMON = 0.01
"""A rule that touches more than this share of the pictures is shown by orientation."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """Arrays go with `samples` (n) or with the rows of `outlines` (k)."""

    source: Source
    reading: Reading
    pictures: Pictures
    looks: tuple[Look | None, ...]
    """(n): None where there is no picture."""
    headers: tuple[Header | None, ...]
    outlines: OutlineTable
    sizes: FloatArray
    """(n, 2): height and width in the declared frame, from the picture or else as claimed; nan if unknown."""
    claimed: FloatArray
    """(n, 2): height and width as the annotations claim them, nan where they do not."""
    spec: CanonicalSpec
    transforms: tuple[CanonicalTransform | None, ...]
    """(n): how each picture would be put on its canvas; None where its size is unknown."""
    scale: FloatArray
    """(n): canonical pixels per annotation pixel, nan if unknown."""
    frame: FrameTable

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.reading.samples

    @property
    def annotation_only(self) -> bool:
        """There is not one picture: sizes are as claimed, and damage, orientation and copies cannot be judged."""
        return self.pictures.found == 0 and not self.pictures.orphans

    @property
    def scored(self) -> BoolArray:
        """(k): sound outlines that are not ignored: what measures of text are taken over."""
        return self.outlines.sound & ~self.outlines.ignore

    @property
    def heights(self) -> FloatArray:
        """(k): text height in canonical pixels, nan where the picture's size is unknown."""
        return self.outlines.thickness * self.scale[self.outlines.sample]

    def per_sample(self, rows: BoolArray) -> IntArray:
        """(n): how many of these outlines each sample has."""
        return np.bincount(self.outlines.sample[rows], minlength=len(self.samples))

    def outline_finding(
        self,
        kind: str,
        severity: Severity,
        rows: BoolArray,
        message: str,
        detail: Callable[[int], str],
        *,
        rank: npt.NDArray[np.floating] | None = None,
        hint: str = "",
        of: int | None = None,
    ) -> list[Finding]:
        """At most one finding about outlines; the largest `rank` is the worst."""
        found = np.flatnonzero(rows)
        if not len(found):
            return []
        worst = found if rank is None else found[np.argsort(-rank[found], kind="stable")]
        owner, index = self.outlines.sample, self.outlines.index
        touched = np.unique(owner[found])
        return [
            Finding(
                kind=kind,
                severity=severity,
                count=len(found),
                of=len(self.outlines) if of is None else of,
                unit="outlines",
                message=message,
                hint=hint,
                pictures=len(touched),
                examples=tuple(
                    Example(sample=self.samples[owner[i]].id, polygon=int(index[i]), detail=detail(i))
                    for i in worst[:EXAMPLES].tolist()
                ),
                by_orientation=self._by_orientation(kind, touched),
            )
        ]

    def picture_finding(
        self, kind: str, severity: Severity, rows: BoolArray, message: str, detail: Callable[[int], str], hint: str = ""
    ) -> list[Finding]:
        """At most one finding about whole pictures."""
        found = np.flatnonzero(rows)
        if not len(found):
            return []
        return [
            Finding(
                kind=kind,
                severity=severity,
                count=len(found),
                of=len(self.samples),
                unit="pictures",
                message=message,
                hint=hint,
                pictures=len(found),
                examples=tuple(Example(sample=self.samples[i].id, detail=detail(i)) for i in found[:EXAMPLES].tolist()),
                by_orientation=self._by_orientation(kind, found),
            )
        ]

    def _by_orientation(self, kind: str, touched: IntArray) -> tuple[tuple[int, int, int], ...]:
        """A rule about coordinates by orientation, when it strikes more than `COMMON` of the pictures."""
        if not about_coordinates(kind) or len(touched) <= COMMON * len(self.samples):
            return ()
        orientation = np.array([h.orientation if h else 0 for h in self.headers], dtype=np.int64)
        struck, total = np.bincount(orientation[touched], minlength=9), np.bincount(orientation, minlength=9)
        return tuple((o, int(struck[o]), int(total[o])) for o in range(1, 9) if total[o])

    def size_text(self, i: int) -> str:
        return size_text(self.sizes[i])


def size_text(size: npt.ArrayLike) -> str:
    """Width x height, as people say it.

    >>> size_text((480, 640))
    '640 x 480 px'
    """
    height, width = np.asarray(size, dtype=np.float64).tolist()
    return "unknown size" if np.isnan(height + width) else f"{width:g} x {height:g} px"


def gather_facts(
    source: Source, reading: Reading, pictures: Pictures, looks: Sequence[Look | None], spec: CanonicalSpec
) -> Facts:
    """`looks` goes with the samples of the reading: None for a picture that is missing or was not looked at."""
    samples = reading.samples
    outlines = OutlineTable.of(samples)
    headers = tuple(look.header if look else None for look in looks)
    claimed = np.array([s.size or (np.nan, np.nan) for s in samples], dtype=np.float64).reshape(-1, 2)
    sizes = declared_sizes(headers, source.frame)
    sizes = np.where(np.isnan(sizes), claimed, sizes)
    transforms = _plan_all(headers, sizes, spec)
    return Facts(
        source=source,
        reading=reading,
        pictures=pictures,
        looks=tuple(looks),
        headers=headers,
        outlines=outlines,
        sizes=sizes,
        claimed=claimed,
        spec=spec,
        transforms=transforms,
        scale=np.array([np.sqrt(t.scale[0] * t.scale[1]) if t else np.nan for t in transforms], dtype=np.float64),
        frame=frame_table(outlines, [s.id for s in samples], headers, source.frame),
    )


def _plan_all(
    headers: Sequence[Header | None], sizes: FloatArray, spec: CanonicalSpec
) -> tuple[CanonicalTransform | None, ...]:
    """How each picture would be rendered; where only a claimed size is known, as if it had no orientation."""
    known: dict[tuple[int, int, int], CanonicalTransform] = {}
    out: list[CanonicalTransform | None] = []
    for header, (height, width) in zip(headers, sizes.tolist(), strict=True):
        if header is None and not (height >= 1 and width >= 1):
            out.append(None)
            continue
        key = (*header.size, header.orientation) if header else (int(height), int(width), 1)
        if key not in known:
            known[key] = plan(key[:2], key[2], spec)
        out.append(known[key])
    return tuple(out)
