"""The annotated pictures of a source: their headers, and which file and page each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocrmaps.annotations import Sample, Source, read
from ocrmaps.annotations.checks.frames import check_frame, require_frame
from ocrmaps.annotations.samples import headers
from ocrmaps.detect.pages import open_page
from ocrmaps.detect.predict import PictureFile
from ocrmaps.errors import AnnotationError, DataError, OcrmapsError, Problem
from ocrmaps.files import digest_of
from ocrmaps.pictures import Header
from ocrmaps.store.far.source import place_of
from ocrmaps.tiff import page_of


def samples_of(source: Source) -> tuple[Sequence[Sample], list[Header]]:
    """The samples of a source with the headers of their pictures; the frame it declares is checked."""
    samples = read(source)
    if not samples:
        raise AnnotationError(f"{source.annotations}: the source holds no samples: there is nothing to score")
    paged = [sample for sample in samples if file_of(source, sample).page != 1]
    if not paged:
        return samples, headers(source, samples)
    found = _page_headers(source, paged)
    first = [sample for sample in samples if sample.id not in found]
    found |= dict(zip((sample.id for sample in first), headers(source, first) if first else (), strict=True))
    return samples, [found[sample.id] for sample in samples]


def file_of(source: Source, sample: Sample) -> PictureFile:
    """The picture of a sample; `scan.tif#2` is the second page of `scan.tif`, unless a file has that very name."""
    file, page = page_of(sample.picture)
    if page == 1 or (source.pictures / sample.picture).exists():
        return PictureFile(name=sample.id, path=source.pictures / sample.picture, page=1)
    return PictureFile(name=file, path=source.pictures / file, page=page)


def _page_headers(source: Source, samples: Sequence[Sample]) -> dict[str, Header]:
    """The headers of further pages, which only decoding shows."""
    found: dict[str, Header] = {}
    problems = []
    for sample in samples:
        try:
            found[sample.id] = open_page(file_of(source, sample)).header
        except OcrmapsError as error:
            problems.append(Problem(loc=sample.loc, message=str(error), kind="picture"))
    if problems:
        raise DataError(f"{len(problems)} of {len(samples)} further pages cannot be read", problems=problems)
    require_frame(check_frame(samples, found, source.frame), source.name)
    return found


def source_identity(source: Source) -> Mapping[str, Any]:
    named = source.annotations
    return {
        "name": source.name or named.name,
        "annotations": place_of(named),
        "pictures": place_of(source.pictures),
        "format": source.format,
        "frame": source.frame,
        "annotations_sha256": digest_of(named) if named.is_file() else None,
    }
