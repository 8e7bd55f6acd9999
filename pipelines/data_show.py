"""`ocrmaps data show`: one sample drawn in one frame, through the one transform that training uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.annotations import Reading, Sample, Source, picture_path, scan
from ocrmaps.canonical import CanonicalSpec, CanonicalTransform
from ocrmaps.errors import AnnotationError, SpecError
from ocrmaps.geometry import Frame
from ocrmaps.pagekit.pictures import Label, Pixels, overlay, png, see
from ocrmaps.pictures import decode
from ocrmaps.text import visible


def find_sample(source: Source, reading: Reading, wanted: str) -> Sample:
    """The sample with this id, else the only one whose file name is this, else the one at this position."""
    samples = reading.samples
    exact = [s for s in samples if s.id == wanted]
    named = exact or [s for s in samples if wanted in (Path(s.id).name, Path(s.id).stem)]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        some = ", ".join(s.id for s in named[:5])
        raise SpecError(f"found {len(named)} samples called {wanted!r}: {some}", hint="say the whole id")
    if re.fullmatch(r"\d{1,9}", wanted) and int(wanted) < len(samples):
        return samples[int(wanted)]
    near = ", ".join(s.id for s in samples[:3])
    raise SpecError(
        f"found no sample {wanted!r} in {source.name}: {len(samples)} samples, such as {near or 'none'}",
        hint="say an id, a file name, or a position from 0",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Showing:
    """One sample drawn in one frame."""

    sample: Sample
    pixels: Pixels
    frame: Frame
    transform: CanonicalTransform

    def png(self) -> bytes:
        return png(self.pixels)

    def as_json(self, path: Path) -> dict[str, Any]:
        polygons = self.sample.polygons
        return {
            "written": str(path),
            "sample": self.sample.id,
            "loc": self.sample.loc,
            "frame": self.frame,
            "outlines": len(polygons),
            "ignored": int(polygons.ignore.sum()),
            "transform": self.transform.as_dict(),
        }

    def sentence(self, path: Path) -> str:
        polygons, (height, width) = self.sample.polygons, self.pixels.shape[:2]
        counts = f"{len(polygons)} outlines, {int(polygons.ignore.sum())} ignored"
        turned = f", EXIF orientation {self.transform.orientation}" if self.transform.orientation != 1 else ""
        return visible(f"wrote {path}: {self.sample.id}, {self.frame} {width} x {height} px{turned}, {counts}", 1000)


def show(source: Source, wanted: str, *, frame: Frame, spec: CanonicalSpec, label: Label = "number") -> Showing:
    """Draw one sample's outlines on its picture in any frame, through the one transform that training uses."""
    reading = scan(source)
    if not reading.samples and reading.problems:
        raise AnnotationError(f"no sample could be read from {source.annotations}", problems=reading.problems)
    sample = find_sample(source, reading, wanted)
    picture = decode(picture_path(source, sample), name=sample.id)
    canvas = see(picture, frame, spec)
    polygons = canvas.transform.apply(sample.polygons, frame)
    return Showing(
        sample=sample, pixels=overlay(canvas, polygons, label=label), frame=frame, transform=canvas.transform
    )
