"""Annotations of every common format: recognized with a stated reason, read strictly, written with honest counts.

`open_source` finds format and pictures; `read` gives the samples or raises with all problems; `scan` gives both.
Points come out as the file states them, in the frame that the source declares.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from ocrmaps.annotations.discovery.detect import Detection, detect_in
from ocrmaps.annotations.discovery.pictures import Pictures, find_pictures, picture_path
from ocrmaps.annotations.discovery.signs import Sign
from ocrmaps.annotations.formats import (
    alto,
    coco,
    cord,
    ctw1500,
    cvat,
    doctr,
    dota,
    funsd,
    hiertext,
    icdar,
    icdar2013,
    imagefolder,
    labelme,
    labelstudio,
    lsvt,
    mmocr,
    paddle,
    page,
    parquet,
    rects,
    sroie,
    submission,
    td500,
    totaltext,
    totaltext_mat,
    ufo,
    via,
    voc,
    webdataset,
    wildreceipt,
    yolo,
)
from ocrmaps.annotations.records import Reader, Reading, Sample, Source
from ocrmaps.annotations.writing import Writer, WriteReport
from ocrmaps.errors import AnnotationError, Problem, SpecError
from ocrmaps.geometry import Frame

__all__ = [
    "READERS",
    "SIGNS",
    "WRITERS",
    "Detection",
    "Pictures",
    "Problem",
    "Reader",
    "Reading",
    "Sample",
    "Source",
    "WriteReport",
    "Writer",
    "detect",
    "find_pictures",
    "open_source",
    "picture_path",
    "read",
    "scan",
]

READERS: dict[str, Reader] = {
    "ufo": ufo.read,
    "icdar": icdar.read,
    "icdar2013": icdar2013.read,
    "coco": coco.read,
    "mmocr": mmocr.read,
    "paddle": paddle.read,
    "doctr": doctr.read,
    "labelme": labelme.read,
    "totaltext": totaltext.read,
    "ctw1500": ctw1500.read,
    "sroie": sroie.read,
    "cvat": cvat.read,
    "yolo": yolo.read,
    "yolo-obb": yolo.read,
    "dota": dota.read,
    "labelstudio": labelstudio.read,
    "page-lines": page.read_lines,
    "page-words": page.read_words,
    "alto-lines": alto.read_lines,
    "alto-words": alto.read_words,
    "voc": voc.read,
    "via": via.read,
    "lsvt": lsvt.read,
    "rects": rects.read,
    "hiertext-lines": hiertext.read_lines,
    "hiertext-words": hiertext.read_words,
    "funsd": funsd.read,
    "cord": cord.read,
    "wildreceipt": wildreceipt.read,
    "td500": td500.read,
    "submission": submission.read,
    "totaltext-mat": totaltext_mat.read,
    "parquet": parquet.read,
    "webdataset": webdataset.read,
    "imagefolder": imagefolder.read,
}

WRITERS: dict[str, Writer] = {
    "ufo": ufo.write,
    "icdar": icdar.write,
    "coco": coco.write,
    "mmocr": mmocr.write,
    "paddle": paddle.write,
    "yolo": yolo.write,
    "yolo-obb": yolo.write_corners,
    "labelstudio": labelstudio.write,
    "page-lines": page.write,
    "alto-lines": alto.write,
    "parquet": parquet.write,
}

SIGNS: dict[str, Sign] = {
    "ufo": Sign(recognize=ufo.recognize),
    "icdar": Sign(recognize=icdar.recognize, per_picture=icdar.SUFFIXES),
    "icdar2013": Sign(recognize=icdar2013.recognize, per_picture=icdar2013.SUFFIXES),
    "coco": Sign(recognize=coco.recognize),
    "mmocr": Sign(recognize=mmocr.recognize),
    "paddle": Sign(recognize=paddle.recognize),
    "doctr": Sign(recognize=doctr.recognize),
    "labelme": Sign(recognize=labelme.recognize, per_picture=labelme.SUFFIXES),
    "totaltext": Sign(recognize=totaltext.recognize, per_picture=totaltext.SUFFIXES),
    "ctw1500": Sign(recognize=ctw1500.recognize, per_picture=ctw1500.SUFFIXES),
    "sroie": Sign(recognize=sroie.recognize, per_picture=sroie.SUFFIXES),
    "cvat": Sign(recognize=cvat.recognize),
    "yolo": Sign(recognize=yolo.recognize, per_picture=yolo.SUFFIXES, looks_at_pictures=True),
    "yolo-obb": Sign(recognize=yolo.recognize_corners, per_picture=yolo.SUFFIXES, looks_at_pictures=True),
    "dota": Sign(recognize=dota.recognize, per_picture=dota.SUFFIXES),
    "labelstudio": Sign(recognize=labelstudio.recognize, looks_at_pictures=True),
    "page-lines": Sign(recognize=page.recognize_lines, per_picture=page.SUFFIXES),
    "page-words": Sign(recognize=page.recognize_words, per_picture=page.SUFFIXES),
    "alto-lines": Sign(recognize=alto.recognize_lines, per_picture=alto.SUFFIXES, looks_at_pictures=True),
    "alto-words": Sign(recognize=alto.recognize_words, per_picture=alto.SUFFIXES, looks_at_pictures=True),
    "voc": Sign(recognize=voc.recognize, per_picture=voc.SUFFIXES),
    "via": Sign(recognize=via.recognize, looks_at_pictures=True),
    "lsvt": Sign(recognize=lsvt.recognize, looks_at_pictures=True),
    "rects": Sign(recognize=rects.recognize, per_picture=rects.SUFFIXES),
    "hiertext-lines": Sign(recognize=hiertext.recognize_lines, looks_at_pictures=True),
    "hiertext-words": Sign(recognize=hiertext.recognize_words, looks_at_pictures=True),
    "funsd": Sign(recognize=funsd.recognize, per_picture=funsd.SUFFIXES),
    "cord": Sign(recognize=cord.recognize, per_picture=cord.SUFFIXES),
    "wildreceipt": Sign(recognize=wildreceipt.recognize),
    "td500": Sign(recognize=td500.recognize, per_picture=td500.SUFFIXES),
    "submission": Sign(recognize=submission.recognize),
    "totaltext-mat": Sign(recognize=totaltext_mat.recognize, per_picture=totaltext_mat.SUFFIXES),
    "parquet": Sign(recognize=parquet.recognize, per_picture=parquet.SUFFIXES, stated=parquet.stated),
    "webdataset": Sign(recognize=webdataset.recognize, per_picture=webdataset.SUFFIXES, stated=webdataset.stated),
    "imagefolder": Sign(recognize=imagefolder.recognize, stated=imagefolder.stated),
}

_DECLARABLE: tuple[str, ...] = tuple(frame for frame in get_args(Frame) if frame != "canonical")


def detect(path: str | Path) -> Detection:
    """The format and pictures of a dataset folder, annotation folder or annotation file, with the reason.

    Raises `AnnotationError` naming every candidate if more than one fits, or what was seen if none does.
    """
    return detect_in(Path(path), SIGNS)


def open_source(
    path: str | Path,
    *,
    format: str | None = None,
    pictures: str | Path | None = None,
    frame: Frame = "upright",
    split: str = "",
) -> Source:
    """The source that a path means. `format` and `pictures` overrule what would be detected; the frame is declared."""
    if format is not None and format not in READERS:
        raise SpecError(f"found format {format!r}, expected one of {', '.join(READERS)}")
    if frame not in _DECLARABLE:
        raise SpecError(f"found frame {frame!r}, expected one of {', '.join(_DECLARABLE)}")
    folder = None if pictures is None else Path(pictures)
    found = detect_in(Path(path), SIGNS, format=format, pictures=folder)
    return Source(
        annotations=found.annotations,
        pictures=found.pictures,
        format=found.format,
        frame=frame,
        split=split,
        name=Path(path).name,
    )


def scan(source: Source) -> Reading:
    """Everything in a source: the samples that parse and a problem for each thing that does not. Never raises for
    what a file holds.
    """
    if source.format not in READERS:
        raise SpecError(f"found format {source.format!r}, expected one of {', '.join(READERS)}")
    with _collector_resting():
        return READERS[source.format](source)


@contextmanager
def _collector_resting() -> Iterator[None]:
    """No garbage collection while millions of small lists are born that all stay alive.

    Reading 10 000 pictures with 50 outlines each took twice as long with it: every pass walks all of them again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read(source: Source) -> tuple[Sample, ...]:
    """The samples of a source, or an `AnnotationError` that carries every problem of it."""
    reading = scan(source)
    if reading.problems:
        raise AnnotationError(
            f"found {len(reading.problems)} problems in {source.annotations}, read as {source.format}",
            problems=reading.problems,
            hint="correct the file, or say another format with --format",
        )
    return reading.samples
