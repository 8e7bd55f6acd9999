"""`ocrmaps predict`: a checkpoint or an exported file on pictures, to one result file and perhaps overlays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps import __version__
from ocrmaps.canonical import turn_upright
from ocrmaps.detect.inputs import find_inputs
from ocrmaps.detect.load import device_for, load_any
from ocrmaps.detect.pages import PictureFile, open_page
from ocrmaps.detect.predict import Prediction, predict_pictures, with_score
from ocrmaps.detect.results import Sheet, check_names, file_for, write_predictions
from ocrmaps.detect.view import PageView
from ocrmaps.errors import DataError, SpecError
from ocrmaps.files import refuse_existing, write_new
from ocrmaps.machine import threads_within
from ocrmaps.pagekit.pictures import Canvas, overlay, png
from ocrmaps.progress import Progress
from ocrmaps.store.far.source import bring_all
from ocrmaps.text import counted, visible_lines
from ocrmaps.trust import NOTHING, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictReport:
    """What one command wrote."""

    out: Path
    format: str
    frame: str
    pictures: int
    """Pages that were read."""
    polygons: int
    failed: tuple[tuple[str, str], ...]
    """(name, why)"""
    notes: tuple[tuple[str, str], ...]
    overlays: Path | None
    detector: str

    def as_json(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "format": self.format,
            "frame": self.frame,
            "detector": self.detector,
            "pictures": self.pictures,
            "polygons": self.polygons,
            "failed": [{"name": name, "error": why} for name, why in self.failed],
            "notes": [{"name": name, "note": note} for name, note in self.notes],
            "overlays": None if self.overlays is None else str(self.overlays),
        }

    def sentence(self) -> str:
        what = f"{counted(self.polygons, 'polygon')} in {counted(self.pictures, 'picture')}, {self.frame} coordinates"
        return f"wrote {self.out} ({self.format}): {what}; {self.detector}"

    def complaints(self) -> list[str]:
        """What a person must see, for stderr."""
        lines = [f"note: {name}: {note}" for name, note in self.notes]
        if self.failed:
            lines.append(f"{counted(len(self.failed), 'picture')} could not be read:")
            lines += [f"  {name}: {why.removeprefix(f'{name}: ')}" for name, why in self.failed]
        return [visible_lines(line) for line in lines]


def run(
    checkpoint: Path,
    pictures: Sequence[str],
    *,
    out: Path,
    format: str = "json",
    frame: str = "upright",
    raw_csv: bool = False,
    recursive: bool = False,
    overlays: Path | None = None,
    batch: int = 8,
    threads: int | None = None,
    min_score: float | None = None,
    goal: str | None = None,
    device: str = "auto",
    strict: bool = False,
    view: PageView | None = None,
    overwrite: bool = False,
    trusted: Trusted = NOTHING,
    progress: Progress | None = None,
) -> PredictReport:
    """Predict and write; unreadable pictures are reported at the end, or stop at the first with `strict`."""
    file = file_for(out, format)
    refuse_existing(file, replace_existing=overwrite)
    if overlays is not None and overlays.exists() and not overwrite and not (overlays.is_dir() and _empty(overlays)):
        raise SpecError(f"{overlays} exists and is not an empty folder", hint="name another, or add --yes")
    inputs = find_inputs(bring_all(pictures), recursive=recursive)
    if strict and inputs.refused:
        raise DataError(": ".join(inputs.refused[0]))
    check_names([f.name for f in inputs.files], format)
    trained = load_any(checkpoint, trusted=trusted, threads=threads).reading(goal)
    device = device_for(trained, device, checkpoint)
    spec = with_score(trained.extract, min_score)
    found: list[Prediction] = []
    done: set[Path] = set()
    coming = predict_pictures(
        trained,
        inputs.files,
        batch=batch,
        threads=threads,
        device=device,
        extract=spec,
        frame=frame,
        on_error="raise" if strict else "report",
        view=view,
    )
    with threads_within(threads):
        for prediction in coming:
            # Without its map: what stays is as small as the result file.
            found.append(replace(prediction, probability=None))
            if overlays is not None and prediction.error is None:
                _draw(prediction, overlays, overwrite=overwrite)
            done.add(prediction.path)
            if progress is not None:
                progress(len(done), len(inputs.files))
    head = {
        "ocrmaps": __version__,
        "detector": {"file": checkpoint.name, "identity": trained.identity, "store": dict(trained.card["store"])},
        "extract": asdict(spec),
        "canonical": asdict(trained.canonical),
        "view": None if view is None or view.plain else asdict(view),
    }
    sheet = Sheet(predictions=found, frame=frame, head=head, raw_csv=raw_csv)
    write_predictions(sheet, file, format, overwrite=overwrite)
    failed = [(p.name, p.error) for p in found if p.error is not None]
    return PredictReport(
        out=file,
        format=format,
        frame=frame,
        pictures=len(sheet.read),
        polygons=sum(len(p.polygons) for p in sheet.read),
        failed=(*inputs.refused, *failed),
        notes=tuple((p.name, p.note) for p in found if p.note),
        overlays=overlays,
        detector=trained.identity,
    )


def _empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def draw(prediction: Prediction) -> bytes:
    """The picture in the frame of its polygons with their outlines on top, as PNG."""
    assert prediction.transform is not None
    frame = prediction.polygons.frame
    picture = open_page(PictureFile(name=prediction.name, path=prediction.path, page=prediction.page))
    pixels = picture.pixels
    if frame == "upright":
        pixels = np.ascontiguousarray(turn_upright(pixels, picture.header.orientation))
    canvas = Canvas(pixels=pixels, frame=frame, transform=prediction.transform)
    return png(overlay(canvas, prediction.polygons, label="score", scores=prediction.scores))


def _draw(prediction: Prediction, folder: Path, *, overwrite: bool) -> None:
    path = folder / f"{prediction.name}.png"
    write_new(path, draw(prediction), replace_existing=overwrite)
