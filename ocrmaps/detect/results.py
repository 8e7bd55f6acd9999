"""Predictions as files of the formats that people hand on; each reads back with the project's own readers.

| name | file | scores |
|---|---|---|
| `json` | UFO's shape with a head that says detector, frame and settings; every digit | `confidence` |
| `ufo` | plain UFO json | `confidence` |
| `coco` | images and annotations | `score` |
| `paddle` | PaddleOCR label txt | `score` |
| `icdar-zip` | `res_NAME.txt` in a zip, whole numbers as the official scripts demand | none |
| `csv` | `filename,polygons`, polygons joined by a bar | none |

Pictures that could not be read are in no file but the head of `json`: a picture without text is something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.annotations.discovery.pictures import is_picture
from ocrmaps.annotations.formats import submission
from ocrmaps.annotations.formats.coco import outline_area
from ocrmaps.annotations.writing import AnnotationDraft, Number, WriteReport, compact, number_pairs, write_file, zipped
from ocrmaps.annotations.writing import write_bytes as write_whole
from ocrmaps.detect.predict import Prediction
from ocrmaps.errors import Problem, SpecError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Everything that one file of predictions says."""

    predictions: Sequence[Prediction]
    frame: str
    head: Mapping[str, Any]
    """What made the predictions; for formats that can say it."""
    raw_csv: bool = False
    """Names of pictures stand in a csv as they are, also where a spreadsheet would take them for formulas."""

    @property
    def read(self) -> list[Prediction]:
        return [p for p in self.predictions if p.error is None]

    def draft(self) -> tuple[AnnotationDraft, list[Sample]]:
        """The pictures that were read, checked for names that files cannot hold."""
        samples = [
            Sample(id=p.name, polygons=p.polygons, loc=str(p.path), size=_size(p, self.frame)) for p in self.read
        ]
        return AnnotationDraft(samples), samples


def _size(prediction: Prediction, frame: str) -> tuple[int, int] | None:
    transform = prediction.transform
    return None if transform is None else transform.size(frame)  # type: ignore[arg-type]  # raw or upright


def _scored(draft: AnnotationDraft, sample: Sample, prediction: Prediction) -> list[tuple[list[Number], float]]:
    """(flat points, score) of each outline; a score is written as short as reads back to the same float32."""
    outlines = [points for points, _, _ in draft.outlines(sample)]
    return [(points, float(str(score))) for points, score in zip(outlines, prediction.scores, strict=True)]


def _ufo_images(sheet: Sheet, draft: AnnotationDraft, samples: Sequence[Sample]) -> str:
    entries = []
    for sample, prediction in zip(samples, sheet.read, strict=True):
        assert sample.size is not None
        words = {
            f"{i:04d}": {"points": number_pairs(points), "confidence": score}
            for i, (points, score) in enumerate(_scored(draft, sample, prediction), start=1)
        }
        image: dict[str, Any] = {"img_h": sample.size[0], "img_w": sample.size[1], "words": words}
        entries.append(f"{compact(sample.id)}: {compact(image)}")
    return ",\n".join(entries)


def _json(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    draft, samples = sheet.draft()
    head = {
        "format": "ocrmaps-predictions",
        "version": FORMAT,
        "frame": sheet.frame,
        **sheet.head,
        "failed": {p.name: p.error for p in sheet.predictions if p.error is not None},
        "notes": {p.name: p.note for p in sheet.predictions if p.note},
    }
    lines = [f"{json.dumps(key)}: {compact(value)}" for key, value in head.items()]
    lines.append(f'"images": {{\n{_ufo_images(sheet, draft, samples)}\n}}')
    return write_file(draft, out, "{" + ",\n".join(lines) + "}\n", overwrite=overwrite)


def _ufo(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    draft, samples = sheet.draft()
    return write_file(draft, out, f'{{"images": {{\n{_ufo_images(sheet, draft, samples)}\n}}}}\n', overwrite=overwrite)


def _coco(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    draft, samples = sheet.draft()
    images: list[str] = []
    annotations: list[str] = []
    for i, (sample, prediction) in enumerate(zip(samples, sheet.read, strict=True), start=1):
        assert sample.size is not None
        images.append(compact({"id": i, "file_name": sample.id, "height": sample.size[0], "width": sample.size[1]}))
        for points, score in _scored(draft, sample, prediction):
            xs, ys = points[::2], points[1::2]
            row = {
                "id": len(annotations) + 1,
                "image_id": i,
                "category_id": 1,
                "segmentation": [points],
                "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
                "area": outline_area(xs, ys),
                "iscrowd": 0,
                "score": score,
            }
            annotations.append(compact(row))
    category = compact([{"id": 1, "name": "text", "supercategory": "text"}])
    tables = '"images": [\n{}\n],\n"annotations": [\n{}\n]'.format(",\n".join(images), ",\n".join(annotations))
    return write_file(draft, out, f'{{"categories": {category},\n{tables}}}\n', overwrite=overwrite)


def _paddle(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    draft, samples = sheet.draft()
    lines = []
    for sample, prediction in zip(samples, sheet.read, strict=True):
        words = [
            {"transcription": "", "points": number_pairs(points), "score": score}
            for points, score in _scored(draft, sample, prediction)
        ]
        lines.append(f"{sample.id}\t{compact(words)}\n")
    return write_file(draft, out, "".join(lines), overwrite=overwrite)


def _icdar_zip(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    draft, samples = sheet.draft()
    files = {}
    for sample in samples:
        rows = [",".join(str(int(v)) for v in np.rint(points)) for points, _, _ in draft.outlines(sample)]
        files[result_name(sample.id)] = "".join(f"{row}\n" for row in rows)
    return write_whole(draft, out, zipped(files, out), overwrite=overwrite)


def _csv(sheet: Sheet, out: Path, *, overwrite: bool) -> WriteReport:
    _, samples = sheet.draft()
    return submission.write(samples, out, overwrite=overwrite, raw_csv=sheet.raw_csv)


FORMATS: dict[str, tuple[str, Callable[..., WriteReport]]] = {
    "json": ("predictions.json", _json),
    "ufo": ("predictions.ufo.json", _ufo),
    "icdar-zip": ("predictions.zip", _icdar_zip),
    "coco": ("predictions.coco.json", _coco),
    "paddle": ("predictions.txt", _paddle),
    "csv": ("predictions.csv", _csv),
}
"""name -> (file name in a folder, writer)"""


def result_name(name: str) -> str:
    """The file in an ICDAR archive that speaks of a picture.

    >>> result_name("a/img_1.jpg"), result_name("scan.tif#2")
    ('a/res_img_1.txt', 'res_scan.tif#2.txt')
    """
    path = PurePosixPath(name)
    return str(path.with_name(f"res_{path.stem if is_picture(path.name) else path.name}.txt"))


def file_for(out: Path, format: str) -> Path:
    """The file to write: `out` itself, or a file in it if it is a folder or has no ending."""
    if format not in FORMATS:
        raise SpecError(f"found format {format!r}, expected one of {', '.join(FORMATS)}")
    return out / FORMATS[format][0] if out.is_dir() or not out.suffix else out


def check_names(names: Sequence[str], format: str) -> None:
    """Say before any work what the format cannot tell apart or write down."""
    problems = []
    if format == "icdar-zip":
        owners: dict[str, str] = {}
        for name in names:
            other = owners.setdefault(result_name(name), name)
            if other != name:
                problems.append(Problem(loc=name, message=f"would share {result_name(name)} with {other}"))
    if format == "paddle":
        problems = [
            Problem(loc=name, message="holds a tab or line break, or begins with a bracket")
            for name in names
            if any(letter in name for letter in "\t\n\r") or name.startswith("[")
        ]
    if problems:
        raise SpecError(
            f"format {format} cannot hold these names", problems=problems, hint="--format json keeps full names"
        )


def write_predictions(sheet: Sheet, out: Path, format: str, *, overwrite: bool = False) -> WriteReport:
    """One file, whole or not at all, never over another unless told to."""
    file = file_for(out, format)
    return FORMATS[format][1](sheet, file, overwrite=overwrite)
