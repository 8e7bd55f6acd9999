"""Predictions from files as they are written: what evaluation would refuse is what a diagnosis is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ocrmaps.annotations import Sample, Source
from ocrmaps.errors import DataError
from ocrmaps.evaluation.diagnose.records import Cure, PageOutput
from ocrmaps.evaluation.predictions import PredictedPicture, match_names, read_prediction_file
from ocrmaps.evaluation.sources import samples_of
from ocrmaps.evaluation.submitted import PredictionOptions
from ocrmaps.geometry import FloatArray, PolygonSet, Size, upright_affine

SHOWN = 3
"""Names that a sentence shows."""
ROUNDED = 32
"""Pixels by which rounding to what a network takes may change a side."""
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """All pictures of a source with what a file says about them."""

    pages: tuple[PageOutput, ...]
    renamed: tuple[Cure, ...]
    """What the pages would be if names were taken less strictly."""
    notes: tuple[str, ...]
    samples: Mapping[str, Sample]


def read_outputs(predictions: Path, source: Source, *, options: PredictionOptions) -> Outputs:
    """Every picture of the source with its predictions, in the frame that is declared and nothing refused."""
    samples, heads = samples_of(source)
    read = read_prediction_file(
        predictions,
        format=options.format,
        layout=options.layout,
        scale=options.scores,
        images=source.annotations if source.format == "coco" else None,
        pictures=source.pictures,
        leave_out_unknown=True,
    )
    frame = options.frame or read.frame or source.frame
    expected = [sample.id for sample in samples]
    names = [picture.name for picture in read.pictures]
    try:
        ids: Sequence[str | None] = match_names(names, expected, predictions.name, leave_out=True).ids
    except DataError as error:
        if any(p.kind == "duplicate-id" for p in error.problems):
            raise
        ids = [None] * len(names)
    blank = [
        PageOutput(
            id=sample.id,
            size=head.size if sample.polygons.frame == "raw" else head.upright,
            orientation=head.orientation,
            truth=sample.polygons,
            found=PolygonSet.empty(sample.polygons.frame),
            scores=np.zeros(0) if read.scored else None,
            named=False,
        )
        for sample, head in zip(samples, heads, strict=True)
    ]

    def filled(of: Mapping[str, PredictedPicture]) -> tuple[PageOutput, ...]:
        out = []
        for page, head in zip(blank, heads, strict=True):
            picture = of.get(page.id)
            if picture is None:
                out.append(page)
                continue
            found = replace(picture.polygons, frame=frame)
            if picture.relative:
                sides = head.size if frame == "raw" else head.upright
                found = replace(found, points=found.points * _stretch(sides, picture.size or (1, 1)))
            if frame != page.truth.frame:
                affine = upright_affine(head.orientation, head.size)
                found = found.transform(affine if frame == "raw" else affine.inverse(), page.truth.frame)
            out.append(replace(page, found=found, scores=picture.scores, named=True))
        return tuple(out)

    found = {id: picture for id, picture in zip(ids, read.pictures, strict=True) if id is not None}
    unknown = [name for name, id in zip(names, ids, strict=True) if id is None]
    return Outputs(
        pages=filled(found),
        renamed=tuple(
            Cure(
                kind="names",
                wrong=f"{len(unknown)} of {len(names)} predicted pictures have names that the source does not know "
                f"({_few(unknown)}); it has {_few(expected)}",
                change=f"write the names of the pictures; the score is with names compared {how}",
                pages=filled(found | more),
                values={"unknown": unknown[:100], "compared": how},
            )
            for how, more in _renamed(unknown, [id for id in expected if id not in found], read.pictures)
        ),
        notes=(*_notes(unknown, expected, found, read.scored), *_of_others(blank, found)),
        samples={sample.id: sample for sample in samples},
    )


def _stretch(to: Size, of: Size) -> FloatArray:
    return np.array([to[1] / of[1], to[0] / of[0]])


def _renamed(
    unknown: Sequence[str], free: Sequence[str], pictures: Sequence[PredictedPicture]
) -> list[tuple[str, dict[str, PredictedPicture]]]:
    """Pictures by looser readings of their names, where these tell one from the other."""
    by_name = {picture.name: picture for picture in pictures}
    out = []
    for how, key in (
        ("without case and ending", lambda name: PurePosixPath(name).stem.lower()),
        ("by the numbers in them", lambda name: tuple(int(n) for n in _NUMBER.findall(PurePosixPath(name).stem))),
        ("by their last number", lambda name: tuple(int(n) for n in _NUMBER.findall(PurePosixPath(name).stem)[-1:])),
    ):
        mine = {key(name): name for name in unknown if key(name)}
        theirs = {key(id): id for id in free if key(id)}
        if len(mine) == len(unknown) and len(theirs) == len(free) and (both := mine.keys() & theirs.keys()):
            out.append((how, {theirs[k]: by_name[mine[k]] for k in both}))
    if len(unknown) == len(free) > 0:
        out.append(("by their order", {id: by_name[name] for name, id in zip(unknown, free, strict=True)}))
    return out


def _notes(unknown: Sequence[str], expected: Sequence[str], found: Mapping[str, object], scored: bool) -> list[str]:
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} predicted pictures are not in the source: {_few(unknown)}")
    if len(found) < len(expected):
        without = [id for id in expected if id not in found]
        notes.append(f"{len(without)} of {len(expected)} pictures are not named in the predictions: {_few(without)}")
    if not scored:
        notes.append("the predictions have no scores: whether a threshold is wrong cannot be seen")
    return notes


def _of_others(pages: Sequence[PageOutput], found: Mapping[str, PredictedPicture]) -> list[str]:
    """Whether predictions state sizes that no resizing, turn or square canvas makes of their pictures."""
    sizes = [(page.id, page.size, found[page.id].size) for page in pages if page.id in found]
    other = [
        f"{id} {of[1]} x {of[0]}, the picture {to[1]} x {to[0]}"
        for id, to, of in sizes
        if of is not None
        and of[0] != of[1]
        and not np.isclose(max(of) / min(of), max(to) / min(to), rtol=ROUNDED / min(of))
    ]
    if len(other) * 2 <= len(found):
        return []
    return [
        f"{len(other)} of {len(found)} predictions state a size unlike that of their picture ({_few(other)}): "
        "they may be of other pictures of the same names"
    ]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
