"""What all annotation writers share: checked input, honest counts of what is lost, and files that appear complete.

Bytes are deterministic: the same samples give the same file on every machine.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ocrmaps.annotations.discovery.pictures import clean_name, is_picture
from ocrmaps.annotations.records import Sample
from ocrmaps.errors import AnnotationError, FrameError, Problem
from ocrmaps.files import writing
from ocrmaps.geometry import Size
from ocrmaps.scratch import beside

Number = int | float
Outline = tuple[list[Number], bool, str | None]
"""Flat x, y, x, y numbers, ignore flag, text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What was written, and by name how much of it the format could not say."""

    path: Path
    samples: int
    polygons: int
    frame: str
    """The frame of the points; no format states it, so the next reader must be told (empty if there are no samples)."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """What the target cannot express, with counts; empty when reading it back gives the same samples."""


class Writer(Protocol):
    """Writes samples in one format: atomically, never over an existing file unless told to."""

    def __call__(self, samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport: ...


class AnnotationDraft:
    """The checked samples of one writing, and the count of what gets lost."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        problems: list[Problem] = []
        seen: dict[str, str] = {}
        for sample in samples:
            try:
                if clean_name(sample.id) != sample.id:
                    raise ValueError(f"found id {sample.id!r}, expected the plain form {clean_name(sample.id)!r}")
            except ValueError as error:
                problems.append(Problem(loc=sample.loc, message=str(error), kind="unsafe-path"))
            if sample.id in seen:
                message = f"found picture {sample.id!r} a second time, first at {seen[sample.id]}"
                problems.append(Problem(loc=sample.loc, message=message, kind="duplicate-id"))
            seen.setdefault(sample.id, sample.loc)
        if problems:
            raise AnnotationError("these samples cannot be written", problems=problems)
        frames = {sample.polygons.frame for sample in samples}
        if len(frames) > 1 or "canonical" in frames:
            raise FrameError(
                f"found samples in {' and '.join(sorted(frames))} coordinates, expected all raw or all upright",
                hint="annotation files hold original coordinates of one frame; transform the polygons first",
            )
        self.samples = tuple(samples)
        self.frame = frames.pop() if frames else ""
        self.polygons = 0
        self._lost: Counter[str] = Counter()

    def lose(self, what: str, count: int = 1) -> None:
        self._lost[what] += count

    def outlines(self, sample: Sample) -> Iterator[Outline]:
        """The outlines that a file can hold: whole numbers as integers, all others exactly."""
        polygons = sample.polygons
        values: list[float] = polygons.points.ravel().tolist()
        ends: list[int] = polygons.offsets.tolist()
        for i, text in enumerate(polygons.texts):
            first, last = ends[i], ends[i + 1]
            if last - first < 3:
                self.lose("outlines of fewer than 3 points left out")
                continue
            self.polygons += 1
            yield [_plain(v) for v in values[2 * first : 2 * last]], bool(polygons.ignore[i]), text

    def report(self, path: Path) -> WriteReport:
        lost = {name: self._lost[name] for name in sorted(self._lost)}
        return WriteReport(path=path, samples=len(self.samples), polygons=self.polygons, frame=self.frame, lost=lost)


def _plain(value: float) -> Number:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def number_pairs(flat: list[Number]) -> list[list[Number]]:
    """[x, y, x, y] -> [[x, y], [x, y]]"""
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def compact(value: Any) -> str:
    """JSON on one line, letters unescaped."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_file(draft: AnnotationDraft, out: Path, text: str, *, overwrite: bool) -> WriteReport:
    """One text file, whole or not at all."""
    return write_bytes(draft, out, _utf8(text, out), overwrite=overwrite)


def write_bytes(draft: AnnotationDraft, out: Path, data: bytes, *, overwrite: bool) -> WriteReport:
    """One file, whole or not at all; source annotations are never replaced by accident."""
    if out.is_dir() or (out.exists() and not overwrite):
        raise AnnotationError(f"{out} exists already", hint="name another file, or ask for it to be replaced")

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    _appear(out, fill)
    return draft.report(out)


def write_folder(draft: AnnotationDraft, out: Path, files: Mapping[str, str]) -> WriteReport:
    """A folder of text files (relative name -> text), whole or not at all; an existing one must be empty."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise AnnotationError(f"{out} exists already and is not an empty folder", hint="name another folder")

    def fill(temporary: Path) -> None:
        for name in sorted(files):
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_utf8(files[name], path))
        temporary.mkdir(exist_ok=True)

    _appear(out, fill)
    return draft.report(out)


def write_pages(
    draft: AnnotationDraft,
    out: Path,
    ending: str,
    content: Callable[[Sample], str],
    *,
    beside: Mapping[str, str] | None = None,
    overwrite: bool,
) -> WriteReport:
    """One text file a picture, called as the picture, in a zip archive if `out` ends in .zip, else in a new folder."""
    files: dict[str, str] = {}
    owners: dict[str, str] = {}
    problems = []
    for sample in draft.samples:
        path = PurePosixPath(sample.id)
        name = str(path.with_name(f"{path.stem if is_picture(path.name) else path.name}{ending}"))
        if name in files or name in (beside or {}):
            message = f"found the file name of {owners.get(name, name)!r}, expected names that differ without ending"
            problems.append(Problem(loc=sample.id, message=message, kind="ambiguous-picture"))
        owners[name] = sample.id
        files[name] = content(sample)
    if problems:
        raise AnnotationError(f"these samples cannot be written as one {ending[1:]} file a picture", problems=problems)
    files |= beside or {}
    if out.suffix.lower() == ".zip":
        return write_bytes(draft, out, zipped(files, out), overwrite=overwrite)
    return write_folder(draft, out, files)


def sizes_of(draft: AnnotationDraft, format: str) -> dict[str, Size]:
    """The size of every picture; an error that names the pictures whose size nobody knows."""
    unknown = [s for s in draft.samples if s.size is None]
    if unknown:
        message = "found no size of the picture, expected its height and width"
        raise AnnotationError(
            f"these samples cannot be written as {format}, which needs the sides of every picture",
            problems=[Problem(loc=s.loc, message=f"{message}: {s.id}", kind="size") for s in unknown],
            hint="ocrmaps data convert reads them from the pictures where --pictures leads to them",
        )
    return {s.id: s.size for s in draft.samples if s.size is not None}


def zipped(files: Mapping[str, str], out: Path) -> bytes:
    """A zip archive with fixed dates, order and rights, uncompressed: its bytes depend on nothing but the content."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, _utf8(files[name], out))
    return buffer.getvalue()


def _utf8(text: str, path: Path) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"found half a surrogate pair in {text[max(0, error.start - 20) : error.start + 20]!r}"
        raise AnnotationError(f"{path} cannot be written: {found}") from None


def _appear(out: Path, fill: Callable[[Path], None]) -> None:
    """Fill a temporary neighbor, then rename it: nobody ever sees half a file or folder."""
    with writing(out), beside(out) as workplace:
        temporary = workplace / out.name
        fill(temporary)
        os.replace(temporary, out)
