"""`ocrmaps diagnose`: why predictions score low on a source, and what to change first."""

from __future__ import annotations

from pathlib import Path

from ocrmaps.evaluation.diagnose.rank import diagnose
from ocrmaps.evaluation.diagnose.reading import read_outputs
from ocrmaps.evaluation.diagnose.records import Diagnosis
from ocrmaps.evaluation.submitted import PredictionOptions
from ocrmaps.files import refuse_existing, write_new
from ocrmaps.geometry import Frame
from ocrmaps.report.diagnose import diagnosis_page
from ocrmaps.store.far.source import open_source


def run(
    predictions: Path,
    source: Path,
    *,
    options: PredictionOptions,
    iou: float = 0.5,
    format: str | None = None,
    pictures: Path | None = None,
    frame: Frame = "upright",
    out: Path | None = None,
    overwrite: bool = False,
) -> Diagnosis:
    """The diagnosis; with `out`, its page is written."""
    if out is not None:
        refuse_existing(out, replace_existing=overwrite)
    opened = open_source(source, format=format, pictures=pictures, frame=frame)
    read = read_outputs(predictions, opened, options=options)
    found = diagnose(read.pages, iou=iou, named_otherwise=read.renamed, notes=read.notes)
    if out is not None:
        page = diagnosis_page(found, opened, read.samples, predictions=predictions.name)
        write_new(out, page.encode(), replace_existing=overwrite)
    return found
