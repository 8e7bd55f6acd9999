"""Predictions from files, tied to the pictures they are scored on: names, frame, sizes and scale are checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample
from ocrmaps.annotations.checks.frames import check_frame, require_frame
from ocrmaps.errors import DataError, FrameError, Problem
from ocrmaps.evaluation.predictions import PredictedPicture, Scale, match_names, read_prediction_file
from ocrmaps.files import digest_of
from ocrmaps.geometry import FloatArray, Frame, PolygonSet, Size, upright_affine
from ocrmaps.pictures import Header

LISTED = 100
"""Names of pictures left out that a result lists."""
RELATIVE = 1.5
"""Coordinates that all lie below this are shares of the sides, on pictures that are larger than `TINY`."""
TINY = 16
ALIKE = 0.01
"""Sides that a file of relative coordinates states may differ by this share of their quotient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOptions:
    """What a person says about a file of predictions; all of it is found out where it is not said."""

    format: str | None = None
    frame: Frame | None = None
    layout: str | None = None
    """How lines of txt files are written."""
    scores: Scale = "probability"
    leave_out_unknown: bool = False
    """Score the expected pictures and list the others, instead of refusing them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a file of predictions says, by the ids of the pictures it was matched with."""

    pictures: Mapping[str, tuple[PolygonSet, FloatArray | None]]
    frame: Frame
    scored: bool
    """Whether every outline of the file has a score."""
    identity: Mapping[str, Any]

    def of(self, id: str, head: Header, frame: Frame) -> tuple[PolygonSet, FloatArray | None]:
        """Detections of a picture in a frame; of a picture that the file does not name, none."""
        found = self.pictures.get(id)
        if found is None:
            return PolygonSet.empty(frame), np.zeros(0) if self.scored else None
        polygons, scores = found
        if polygons.frame != frame:
            affine = upright_affine(head.orientation, head.size)
            polygons = polygons.transform(affine if frame == "upright" else affine.inverse(), frame)
        return polygons, scores


def read_predictions(
    path: Path,
    heads: Mapping[str, Header],
    *,
    truth_frame: Frame,
    options: PredictionOptions,
    images: Path | None = None,
    folder: Path | None = None,
) -> Predicted:
    """The predictions for the pictures `heads`, matched by name; they are in the frame of the truth unless told."""
    read = read_prediction_file(
        path,
        format=options.format,
        layout=options.layout,
        scale=options.scores,
        images=images,
        pictures=folder,
        leave_out_unknown=options.leave_out_unknown,
    )
    if read.frame is not None and options.frame is not None and read.frame != options.frame:
        raise FrameError(
            f"{path.name} says that its coordinates are {read.frame}, declared is {options.frame}",
            hint="leave the declaration out: the file knows what it holds",
        )
    frame = options.frame or read.frame or truth_frame
    names = [picture.name for picture in read.pictures]
    matched = match_names(names, list(heads), path.name, leave_out=options.leave_out_unknown)
    found = {
        id: replace(picture, polygons=replace(picture.polygons, frame=frame))
        for id, picture in zip(matched.ids, read.pictures, strict=True)
        if id is not None
    }
    found = _in_pixels(found, heads, frame, path.name)
    if not any(text for picture in found.values() for text in picture.polygons.texts):
        # Formats that must write a text write an empty one: nothing was read, which is not the same as badly read.
        found = {
            id: replace(p, polygons=replace(p.polygons, texts=(None,) * len(p.polygons))) for id, p in found.items()
        }
    samples = [Sample(id=id, polygons=p.polygons, loc=p.loc) for id, p in found.items()]
    require_frame(check_frame(samples, heads, frame), f"predictions {path.name}")
    _check_places(found, heads, frame, path.name)
    return Predicted(
        pictures={id: (picture.polygons, picture.scores) for id, picture in found.items()},
        frame=frame,
        scored=read.scored,
        identity={
            "path": str(path),
            "sha256": digest_of(path) if path.is_file() else None,
            "format": read.format,
            "layout": read.layout or None,
            "frame": frame,
            "pictures": len(found),
            "detections": sum(len(picture.polygons) for picture in found.values()),
            "scores": options.scores if read.scored else False,
            "left_out": {
                "unknown_pictures": len(matched.unknown),
                "further_pages": len(matched.pages),
                "names": [*matched.unknown, *matched.pages][:LISTED],
            },
        },
    )


def _size_in(head: Header, frame: Frame) -> Size:
    return head.size if frame == "raw" else head.upright


def _in_pixels(
    found: Mapping[str, PredictedPicture], heads: Mapping[str, Header], frame: Frame, where: str
) -> dict[str, PredictedPicture]:
    """Shares of the sides become pixels of the picture; a picture of other sides than the file states is refused."""
    out: dict[str, PredictedPicture] = {}
    problems: list[Problem] = []
    for id, picture in found.items():
        size, head = picture.size, heads[id]
        here = _size_in(head, frame)
        if picture.relative and size is None:
            sides = np.array([here[1], here[0]], dtype=np.float64)
            out[id] = replace(picture, polygons=replace(picture.polygons, points=picture.polygons.points * sides))
        elif size is None or (not picture.relative and size in (head.size, head.upright)):
            out[id] = picture
        elif picture.relative and abs(size[1] / size[0] / (here[1] / here[0]) - 1) <= ALIKE:
            factor = np.array([here[1] / size[1], here[0] / size[0]])
            out[id] = replace(picture, polygons=replace(picture.polygons, points=picture.polygons.points * factor))
        else:
            stated, real = f"{size[1]}x{size[0]}", f"{here[1]}x{here[0]}"
            problems.append(Problem(picture.loc, f"found a picture of {stated}, expected {real} of {id}", "size"))
    if problems:
        raise DataError(
            f"{where}: {len(problems)} of {len(found)} predictions were made on pictures of other sizes",
            problems=problems,
            hint="coordinates must count pixels of the source's pictures (width x height); --predictions-frame raw "
            "is right where only the sides are swapped",
        )
    return out


def _check_places(found: Mapping[str, PredictedPicture], heads: Mapping[str, Header], frame: Frame, where: str) -> None:
    """Refuse coordinates that count something else than pixels of these pictures."""
    outlines, outside, shares = 0, 0, True
    for id, picture in found.items():
        height, width = _size_in(heads[id], frame)
        if len(picture.polygons):
            bounds = picture.polygons.bounds()
            x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
            outside += int(((x < 0) | (y < 0) | (x > width) | (y > height)).sum())
            outlines += len(bounds)
            shares = shares and min(height, width) >= TINY and bool((np.abs(bounds) <= RELATIVE).all())
    if outlines and shares:
        raise DataError(
            f"{where}: all coordinates of {outlines} outlines lie within {RELATIVE:g}: they are no pixels",
            hint="shares of the sides have to be multiplied by width and height of each picture",
        )
    if 2 * outside > outlines:
        raise DataError(
            f"{where}: {outside} of {outlines} outlines have their middle outside of their picture",
            hint="were they made on larger pictures, or on others of the same names?",
        )


def left_out(identity: Mapping[str, Any]) -> Sequence[str]:
    """What was in the file of predictions and is in no score, in words."""
    aside = identity["left_out"]
    unknown, pages, names = aside["unknown_pictures"], aside["further_pages"], aside["names"]
    said = []
    if unknown:
        more = ", ..." if unknown > 5 else ""
        said.append(f"left out: {unknown} predicted pictures that are not expected: {', '.join(names[:5])}{more}")
    if pages:
        first = ", ".join(names[unknown : unknown + 3])
        said.append(f"left out: {pages} further pages ({first}): only first pages are annotated")
    return said
