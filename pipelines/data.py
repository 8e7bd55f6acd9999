"""`ocrmaps data`: check sources, turn one format into another, and invent receipts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ocrmaps.annotations import (
    WRITERS,
    Source,
    Writer,
    WriteReport,
    find_pictures,
    open_source,
    picture_path,
    scan,
)
from ocrmaps.annotations.formats import labelstudio
from ocrmaps.annotations.records import Sample
from ocrmaps.annotations.synth.receipts import SynthSpec, save
from ocrmaps.errors import AnnotationError, PictureError, SpecError
from ocrmaps.files import refuse_existing
from ocrmaps.pictures import read_header
from ocrmaps.progress import Progress
from ocrmaps.text import counted, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A conversion and what it cost."""

    source: Source
    format: str
    report: WriteReport
    unused: dict[str, int]
    """What the reader understood but samples do not hold."""
    pictures: Path
    """Their folder, as readers of what was written count from it."""
    found_again: bool
    """Whether what was written finds the pictures by itself."""

    def as_json(self) -> dict[str, Any]:
        return {
            "written": str(self.report.path),
            "from": self.source.format,
            "to": self.format,
            "pictures": self.report.samples,
            "outlines": self.report.polygons,
            "frame": self.report.frame,
            "lost": dict(self.report.lost),
            "not_kept": self.unused,
            "pictures_found": self.found_again,
        }

    def sentence(self) -> str:
        lines = [
            f"wrote {self.report.path}: {counted(self.report.samples, 'picture')}, "
            f"{counted(self.report.polygons, 'outline')}, {self.source.format} to {self.format}, "
            f"in {self.report.frame or 'no'} coordinates (no format says which)"
        ]
        lines += [f"  {self.format} cannot say: {what} ({count})" for what, count in self.report.lost.items()]
        lines += [f"  not kept from {self.source.format}: {what} ({count})" for what, count in self.unused.items()]
        if not self.found_again:
            lines.append(f"  no pictures are near it: name their folder with --pictures {self.pictures}")
        return "\n".join(visible(line, 1000) for line in lines)


def convert(source: Source, out: Path, *, format: str, overwrite: bool = False, url_prefix: str = "") -> Converted:
    """Write a source in another format. What cannot be read is refused as a whole: half a data set is no conversion.

    `url_prefix` stands in front of every picture's path, for Label Studio alone.
    """
    writer = _writer(format, url_prefix)
    if out.exists() and not overwrite:
        refuse_existing(out, replace_existing=False)
    reading = scan(source)
    if reading.problems:
        raise AnnotationError(
            f"found {len(reading.problems)} problems in {source.annotations}, read as {source.format}",
            problems=reading.problems,
            hint="correct them first: ocrmaps data check",
        )
    report = writer(sized(source, reading.samples), out, overwrite=overwrite)
    pictures, found_again = _pictures_of(out, format, source.pictures)
    return Converted(
        source=source,
        format=format,
        report=report,
        unused=dict(reading.unused),
        pictures=pictures,
        found_again=found_again or not reading.samples,
    )


def _pictures_of(out: Path, format: str, pictures: Path) -> tuple[Path, bool]:
    """The folder of the pictures for what was written, and whether that is found without saying.

    Files for one picture each are written in the folders that the pictures are named with, and read from there.
    """
    try:
        opened = open_source(out, format=format)
    except AnnotationError:
        return pictures, False
    if opened.annotations.is_dir():
        pictures = pictures / opened.annotations.relative_to(out)
    return pictures, opened.pictures.resolve() == pictures.resolve()


def sized(source: Source, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with the sizes that their annotations lack, read from the pictures and in the source's frame.

    Pictures that are missing or cannot be read leave theirs unknown; writers count those.
    """
    absent = set(find_pictures(source, samples).missing)
    out = []
    for sample in samples:
        if sample.size is None and sample.id not in absent:
            with suppress(PictureError):
                header = read_header(picture_path(source, sample))
                sample = replace(sample, size=header.size if source.frame == "raw" else header.upright)
        out.append(sample)
    return out


def _writer(format: str, url_prefix: str = "") -> Writer:
    if format not in WRITERS:
        raise SpecError(f"found target format {format!r}, expected one of {', '.join(WRITERS)}")
    if not url_prefix:
        return WRITERS[format]
    if format != "labelstudio":
        raise SpecError(
            f"found an address for the pictures, but {format} names them by their path",
            hint="--url-prefix goes with --to labelstudio",
        )
    return partial(labelstudio.write, prefix=url_prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invented:
    """Generated receipts on disk."""

    source: Source
    report: WriteReport
    seed: int

    def as_json(self) -> dict[str, Any]:
        return {
            "annotations": str(self.source.annotations),
            "pictures_folder": str(self.source.pictures),
            "format": self.source.format,
            "frame": self.source.frame,
            "pictures": self.report.samples,
            "outlines": self.report.polygons,
            "lost": dict(self.report.lost),
            "seed": self.seed,
        }

    def sentence(self) -> str:
        lines = [
            f"wrote {counted(self.report.samples, 'picture')} with {counted(self.report.polygons, 'outline')} to "
            f"{self.source.annotations} "
            f"({self.source.format}, {self.source.frame} coordinates, seed {self.seed})"
        ]
        lines += [f"  {self.source.format} cannot say: {what} ({count})" for what, count in self.report.lost.items()]
        return "\n".join(visible(line, 1000) for line in lines)


def synth(out: Path, *, format: str, progress: Progress | None = None, **settings: Any) -> Invented:
    """Generate receipts into a new folder; the settings are those of `SynthSpec`."""
    spec = SynthSpec(**settings)
    saved = save(spec, out, format=format, progress=progress)
    return Invented(source=saved.source, report=saved.report, seed=spec.seed)
