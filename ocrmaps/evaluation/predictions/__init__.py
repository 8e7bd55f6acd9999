"""Predictions of any system: JSON, txt, csv, folders and archives as detections with scores, or refused with reasons.

    found = read_prediction_file(Path("submit.zip"))
    found.format, found.layout, [(picture.name, len(picture.polygons), picture.scores) for picture in found.pictures]

Formats are told by content. What no format here knows is read as annotations, which have no scores.
docs/how-to/score-predictions.md shows them all.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.annotations import READERS, open_source, scan
from ocrmaps.annotations.discovery.detect import UnknownAnnotationsError
from ocrmaps.errors import AnnotationError, DataError, SpecError
from ocrmaps.evaluation.predictions import (
    azure,
    coco,
    doctr,
    easyocr,
    google,
    hocr,
    icdar,
    mmocr,
    named,
    paddle,
    surya,
    table,
    tesseract,
    textract,
    ufo,
)
from ocrmaps.evaluation.predictions.contents import Leaf, read_leaves
from ocrmaps.evaluation.predictions.names import Matched, match_names
from ocrmaps.evaluation.predictions.records import SCALES, Found, PredictedPicture, PredictionFile, Scale

__all__ = [
    "FORMATS",
    "SCALES",
    "Matched",
    "PredictedPicture",
    "PredictionFile",
    "Scale",
    "match_names",
    "read_prediction_file",
]


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is told and read."""

    recognize: Callable[[Sequence[Leaf]], bool]
    read: Callable[..., None]


FORMATS: dict[str, Format] = {
    "ufo": Format(ufo.recognize, ufo.read),
    "coco": Format(coco.recognize, coco.read),
    "icdar": Format(icdar.recognize, icdar.read),
    "paddle": Format(paddle.recognize, paddle.read),
    "mmocr": Format(mmocr.recognize, mmocr.read),
    "doctr": Format(doctr.recognize, doctr.read),
    "named": Format(named.recognize, named.read),
    "submission": Format(table.recognize, table.read),
    "hocr-lines": Format(hocr.recognize, hocr.read_lines),
    "hocr-words": Format(hocr.recognize, hocr.read_words),
    "tesseract-lines": Format(tesseract.recognize, tesseract.read_lines),
    "tesseract-words": Format(tesseract.recognize, tesseract.read_words),
    "textract-lines": Format(textract.recognize, textract.read_lines),
    "textract-words": Format(textract.recognize, textract.read_words),
    "google-vision": Format(google.recognize_vision, google.read_vision),
    "document-ai-lines": Format(google.recognize_documents, google.read_lines),
    "document-ai-words": Format(google.recognize_documents, google.read_words),
    "azure-lines": Format(azure.recognize, azure.read_lines),
    "azure-words": Format(azure.recognize, azure.read_words),
    "easyocr": Format(easyocr.recognize, easyocr.read),
    "surya": Format(surya.recognize, surya.read),
}
"""Two levels of one format are two names: a file that has both is read as the one that is told."""


_TEXT = ("icdar", "paddle", "submission", "hocr-lines", "hocr-words", "tesseract-lines", "tesseract-words")
"""Formats that are no JSON."""


def read_prediction_file(
    path: Path,
    *,
    format: str | None = None,
    layout: str | None = None,
    scale: Scale = "probability",
    images: Path | None = None,
    pictures: Path | None = None,
    leave_out_unknown: bool = False,
) -> PredictionFile:
    """Everything that a file, folder or archive says, or an `AnnotationError` with all its problems.

    `layout` says how lines of txt files are written; `images` is the COCO file that says what picture ids mean;
    `pictures` is the folder that annotation formats look for their pictures in.
    """
    if format is not None and format not in FORMATS and format not in READERS:
        known = ", ".join(dict.fromkeys((*FORMATS, *READERS)))
        raise SpecError(f"found predictions format {format!r}, expected one of {known}")
    if scale not in SCALES:
        raise SpecError(f"found scores {scale!r}, expected one of {', '.join(SCALES)}")
    if not path.exists():
        raise AnnotationError(f"found no file or folder {path}", hint="check the path of the predictions")
    if format is not None and format not in FORMATS:
        return _as_annotations(path, format, layout, pictures)
    found = Found(path, scale=scale)
    resting = gc.isenabled()
    gc.disable()  # millions of small lists are born that all stay alive; looking through them doubles the time
    try:
        leaves = _leaves(found)
        told = format or (None if found.problems else _told(leaves, path, layout))
        if told is None and not found.problems:
            return _as_annotations(path, None, layout, pictures)
        if told is not None:
            if layout is not None and told != "icdar":
                raise SpecError(f"--predictions-layout is of txt files, found predictions of format {told}")
            more: dict[str, dict[str, Any]] = {
                "coco": {"images": images, "leave_out_unknown": leave_out_unknown},
                "icdar": {"layout": layout},
            }
            kind = [leaf for leaf in leaves if (leaf.text is not None) == (told in _TEXT)]
            if not kind and leaves:
                raise AnnotationError(f"found no {'text' if told in _TEXT else 'JSON'} in {path}, told was {told}")
            FORMATS[told].read(found, kind, **more.get(told, {}))
            del kind
        del leaves
        read, scored, problems = found.pictures_found()
    finally:
        if resting:
            gc.enable()
    if problems:
        raise AnnotationError(
            f"found {len(problems)} problems in {path}" + (f", read as predictions of format {told}" if told else ""),
            problems=problems,
            hint=_hint({problem.kind for problem in problems}),
        )
    assert told is not None
    _check_scores(read, scale, path)
    return PredictionFile(
        format=told, pictures=read, scored=scored, frame=found.frame, layout=found.layout, unused=dict(found.unused)
    )


def _leaves(found: Found) -> list[Leaf]:
    """The files that formats here are told by; none in a folder of other files, such as xml."""
    try:
        return read_leaves(found)
    except AnnotationError as error:
        if found.source.annotations.is_dir() and {p.kind for p in error.problems} == {"missing-file"}:
            return []
        raise


def _told(leaves: Sequence[Leaf], path: Path, layout: str | None) -> str | None:
    text = sum(leaf.text is not None for leaf in leaves)
    if 0 < text < len(leaves):
        raise AnnotationError(
            f"found {text} text files and {len(leaves) - text} JSON files in {path}, expected one kind",
            hint="name the file, or say which are meant with --predictions-format",
        )
    fitting = [name for name, format in FORMATS.items() if format.recognize(leaves)]
    if not fitting and layout is not None and leaves and all(leaf.text is not None for leaf in leaves):
        return "icdar"
    if len(fitting) > 1:
        raise AnnotationError(
            f"{path} could hold predictions of several formats: {', '.join(fitting)}",
            hint="say which with --predictions-format",
        )
    return fitting[0] if fitting else None


def _as_annotations(path: Path, format: str | None, layout: str | None, pictures: Path | None) -> PredictionFile:
    """What annotation tools write, as detections without scores."""
    try:
        source = open_source(path, format=format, pictures=pictures)
    except UnknownAnnotationsError as error:
        if format is not None:
            raise
        hint = f"formats with scores are {', '.join(FORMATS)}: say which with --predictions-format"
        raise AnnotationError(
            f"no known predictions in {path}: found {error.seen}", hint=error.hint if error.named else hint
        ) from None
    if layout is not None:
        raise SpecError(f"--predictions-layout is of txt results, found {source.format}")
    reading = scan(source)
    if reading.problems:
        raise AnnotationError(
            f"found {len(reading.problems)} problems in {path}, read as {source.format}",
            problems=reading.problems,
            hint="correct the file, or say another format with --predictions-format",
        )
    read = tuple(
        PredictedPicture(name=s.id, polygons=s.polygons, scores=None, loc=s.loc, size=s.size) for s in reading.samples
    )
    outlines = any(len(picture.polygons) for picture in read)
    return PredictionFile(format=source.format, pictures=read, scored=not outlines, unused=reading.unused)


def _check_scores(pictures: Sequence[PredictedPicture], scale: Scale, path: Path) -> None:
    """Scores that are no probabilities would make the curves over them wrong."""
    if scale != "probability":
        return
    with_scores = [p for p in pictures if p.scores is not None and len(p.scores)]
    least = min((float(p.scores.min()) for p in with_scores if p.scores is not None), default=0.0)
    most = max((float(p.scores.max()) for p in with_scores if p.scores is not None), default=1.0)
    if least >= 0.0 and most <= 1.0 + 1e-6:
        return
    where = next(p.loc for p in with_scores if p.scores is not None and (p.scores.min() < 0 or p.scores.max() > 1))
    what = "per cent" if least >= 0 and 50 < most <= 100 else "logits" if least < 0 else "another scale"
    raise DataError(
        f"{path.name}: found scores from {least:g} to {most:g}, expected 0 to 1: {what}? First: {where}",
        hint="--predictions-scores rank uses their order alone, none leaves them out",
    )


def _hint(kinds: set[str]) -> str:
    if "rle-mask" in kinds:
        return "write the outline of each mask as polygons, or leave segmentation out: then bbox is used"
    if "unnamed-picture" in kinds:
        return "write img_path into each object, or save a file a picture that has the picture's name"
    if "score" in kinds:
        return "--predictions-scores none leaves all scores out"
    if "unknown-picture" in kinds:
        return "evaluate against the COCO file whose ids these are (--source), or write file_name beside each image_id"
    return "correct the file, or say another format with --predictions-format"
