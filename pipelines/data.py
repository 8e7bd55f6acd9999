"""`ocrmaps data`: check sources, turn one format into another, and invent receipts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrmaps.annotations import (
    WRITERS,
    Pictures,
    Source,
    Writer,
    WriteReport,
    find_pictures,
    open_source,
    picture_path,
    scan,
)
from ocrmaps.annotations.checks import Health, add_copies, check_source, shown_pictures
from ocrmaps.annotations.leakage import Copies, Shown, find_copies
from ocrmaps.annotations.records import Sample
from ocrmaps.annotations.survey import Look, survey
from ocrmaps.annotations.synth import SynthSpec, save
from ocrmaps.canonical import CanonicalSpec
from ocrmaps.errors import AnnotationError, DataError, PictureError, SpecError
from ocrmaps.geometry import Frame
from ocrmaps.pictures import read_header
from ocrmaps.report.text import visible

Progress = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for a named stage."""
SPLITS = ("train", "val", "test")


def _silent(what: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkup:
    """Everything that `data check` found."""

    healths: tuple[Health, ...]
    shown: tuple[Shown, ...]
    """The readable pictures of all sources."""
    copies: Copies
    pixels: bool
    """Whether pictures were decoded: damage and likeness are only known then."""

    @property
    def ok(self) -> bool:
        return not any(health.problems for health in self.healths)


def cores() -> int:
    """How many threads may run at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_sources(
    named: Sequence[str], *, format: str | None = None, pictures: Path | None = None, frame: Frame = "upright"
) -> list[Source]:
    """The sources that the command line names, each a path or `train=PATH`, `val=PATH`, `test=PATH`."""
    if pictures is not None and len(named) > 1:
        raise SpecError("--pictures names one folder, but there are several sources", hint="check them one at a time")
    sources = []
    for text in named:
        split, path = "", Path(text)
        match = re.fullmatch(r"(\w+)=(.+)", text, re.DOTALL)
        if match and not path.exists():
            split, path = match[1], Path(match[2])
            if split not in SPLITS:
                raise SpecError(f"found split {split!r} in {text!r}, expected one of {', '.join(SPLITS)}")
        sources.append(open_source(path, format=format, pictures=pictures, frame=frame, split=split))
    names = [(source.split, source.name) for source in sources]
    # Reports tell sources apart by name: those that share one are called by their path.
    return [
        replace(source, name=str(source.annotations)) if names.count(name) > 1 else source
        for source, name in zip(sources, names, strict=True)
    ]


def check(
    sources: Sequence[Source],
    *,
    spec: CanonicalSpec,
    pixels: bool = True,
    workers: int | None = None,
    stage: Stage = _silent,
) -> Checkup:
    """Look at everything in these sources and between them."""
    workers = workers or cores()
    healths = []
    for source in sources:
        reading = scan(source)
        pictures = find_pictures(source, reading.samples)
        looks = _look(source, reading.samples, pictures, pixels=pixels, workers=workers, stage=stage)
        healths.append(check_source(source, reading, pictures, looks, spec))
    shown = shown_pictures(healths)
    with stage("comparing look-alikes") as progress:
        copies = find_copies(shown, workers=workers, progress=progress)
    return Checkup(healths=tuple(add_copies(healths, shown, copies)), shown=tuple(shown), copies=copies, pixels=pixels)


def _look(
    source: Source, samples: Sequence[Sample], pictures: Pictures, *, pixels: bool, workers: int, stage: Stage
) -> list[Look | None]:
    """A look at each picture that is there and lies inside the picture folder."""
    refused = {problem.loc for problem in pictures.problems if problem.kind == "unsafe-path"}
    missing = set(pictures.missing)
    there = [i for i, sample in enumerate(samples) if sample.id not in missing and sample.loc not in refused]
    files = [source.pictures / samples[i].picture for i in there]
    looks: list[Look | None] = [None] * len(samples)
    with stage(f"reading pictures of {source.split or source.name}") as progress:
        for i, found in zip(there, survey(files, pixels=pixels, workers=workers, progress=progress), strict=True):
            looks[i] = found
    return looks


def refuse_existing(out: Path, *, replace_existing: bool) -> None:
    """Say before any work is done that a result would have nowhere to go."""
    if out.is_dir():
        raise SpecError(f"{out} is a folder", hint="name a file in it")
    if out.exists() and not replace_existing:
        raise SpecError(f"{out} exists already", hint="name another file, or add --yes to replace it")


def write_new(out: Path, data: bytes, *, replace_existing: bool) -> None:
    """Write a result file, whole or not at all; one that exists stays unless it was agreed to replace it."""
    refuse_existing(out, replace_existing=replace_existing)
    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(out)
    except OSError as error:
        with suppress(OSError):  # half a file takes the space that is missing
            part.unlink()
        raise DataError(f"{out} cannot be written: {error.strerror}", hint="check the folder and its rights") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A conversion and what it cost."""

    source: Source
    format: str
    report: WriteReport
    unused: dict[str, int]
    """What the reader understood but samples do not hold."""

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
        }

    def sentence(self) -> str:
        lines = [
            f"wrote {self.report.path}: {self.report.samples} pictures, {self.report.polygons} outlines, "
            f"{self.source.format} to {self.format}, in {self.report.frame or 'no'} coordinates (no format says which)"
        ]
        lines += [f"  {self.format} cannot say: {what} ({count})" for what, count in self.report.lost.items()]
        lines += [f"  not kept from {self.source.format}: {what} ({count})" for what, count in self.unused.items()]
        return "\n".join(visible(line, 1000) for line in lines)


def convert(source: Source, out: Path, *, format: str, overwrite: bool = False) -> Converted:
    """Write a source in another format. What cannot be read is refused as a whole: half a data set is no conversion."""
    writer = _writer(format)
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
    return Converted(source=source, format=format, report=report, unused=dict(reading.unused))


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


def _writer(format: str) -> Writer:
    if format not in WRITERS:
        raise SpecError(f"found target format {format!r}, expected one of {', '.join(WRITERS)}")
    return WRITERS[format]


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
            f"wrote {self.report.samples} pictures with {self.report.polygons} outlines to {self.source.annotations} "
            f"({self.source.format}, {self.source.frame} coordinates, seed {self.seed})"
        ]
        lines += [f"  {self.source.format} cannot say: {what} ({count})" for what, count in self.report.lost.items()]
        return "\n".join(visible(line, 1000) for line in lines)


def synth(out: Path, *, format: str, progress: Progress | None = None, **settings: Any) -> Invented:
    """Generate receipts into a new folder; the settings are those of `SynthSpec`."""
    spec = SynthSpec(**settings)
    saved = save(spec, out, format=format, progress=progress)
    return Invented(source=saved.source, report=saved.report, seed=spec.seed)
