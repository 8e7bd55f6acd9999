"""The doctor on pictures: file, decoded, canonical."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ocrmaps.annotations.checks.frames import FrameTable, explain
from ocrmaps.canonical import plan, render, turn_upright
from ocrmaps.debug.doctor import ink as doctor_ink
from ocrmaps.debug.doctor.records import Case, Specs, Stage
from ocrmaps.errors import PictureError, StoreError
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit.pictures import Canvas, overlay
from ocrmaps.pictures import decode
from ocrmaps.store.far.version import mending
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.retrace import find_picture
from ocrmaps.tiff import read_picture

STRAY = 0.25
"""A picture's outlines do not fit if a larger share of them reaches beyond it."""
DRIFT = 2.0
"""Mean difference of pixel values up to which two JPEG decoders may disagree."""
ROUND_TRIP = 0.01
"""Pixels that a point may move by going to the canonical picture and back."""


def look_at_files(cases: Sequence[Case], stage: Stage, reader: Reader | None) -> None:
    """Each picture file is there; for a store, with the bytes that were drawn."""
    away = 0
    for case in cases:
        if reader is not None and case.row is not None:
            case.path, fault = find_picture(reader, case.row)
            if fault.startswith("is no longer"):
                stage.problem(f"{case.path.name} {fault}", "ocrmaps build RECIPE draws what changed", case.name)
                case.path = None
            elif fault:
                away += 1
                case.path = None
        elif case.path is not None and not case.path.is_file():
            stage.problem(f"{case.path.name} is not there", "--pictures names another folder", case.name)
            case.path = None
    if away:
        stage.note(
            f"{away} of {len(cases)} picture files are not where they were drawn from; the store needs none of them"
        )
    here = sum(case.path is not None for case in cases)
    bytes_hold = " with the bytes that were drawn" if reader is not None else ""
    stage.said = f"{here} of {len(cases)} files are there{bytes_hold}"
    stage.numbers = {"files": here, "cases": len(cases)}


def look_at_pixels(cases: Sequence[Case], stage: Stage, frames: FrameTable | None) -> None:
    """Pictures decode to what their headers say, and the outlines lie on the text in them."""
    decoded = 0
    for case in cases:
        if case.path is None:
            continue
        try:
            case.picture = decode(read_picture(case.path), name=case.name)
        except (PictureError, OSError) as error:
            stage.problem(str(error), "ocrmaps data check finds every damaged picture", case.name)
            continue
        decoded += 1
        _check_pixels(case, stage)
        if not stage.breaks:
            _check_bounds(case, stage)
    if frames is not None and frames.verdict in ("contradicted", "mixed"):
        lines = [line.strip() for line in explain(frames)]
        if frames.verdict == "contradicted":
            stage.problem(lines[0], f"declare it: --frame {frames.other}, or frame = {frames.other!r} of the source")
        else:
            stage.note(lines[0], "ocrmaps data check lists these pictures")
    with_outlines = [(c.picture, c.transform, c.polygons) for c in cases if c.picture is not None and len(c.polygons)]
    scores = doctor_ink.judge([(p, t, q) for p, t, q in with_outlines if p is not None])
    if scores:
        declared = scores[doctor_ink.DECLARED].reading
        stage.numbers["contrast"] = {name: round(s.reading, 3) for name, s in scores.items()}
        stage.said = f"{decoded} decoded; {declared:.2f} deviations more writing inside the outlines than beside them"
        found = doctor_ink.mistake(scores)
        if found is not None:
            s = scores[found]
            stage.problem(
                f"the outlines fit the pixels better if they are {found}: contrast {s.reading:.2f} instead of "
                f"{s.declared:.2f} on {s.pictures} pictures",
                _remedy(found),
            )
        elif declared < 0.1:
            stage.note(
                f"the outlines do not lie on what looks like writing (contrast {declared:.2f}), and no common mistake "
                "explains it",
                "ocrmaps data show SOURCE SAMPLE draws them",
            )
    else:
        stage.said = f"{decoded} decoded; no outlines among them to compare"
    if not decoded:
        stage.said, stage.skipped = "", "no picture file is here"
    for case in cases:
        _draw_decoded(case)


def _remedy(found: str) -> str:
    if "other frame" in found:
        return "declare the frame that the annotations are in: --frame, or frame = ... of the source, then build again"
    if "copy of" in found or "canonical" in found:
        return "scale the annotations to the size of the picture files, then build again"
    return "correct the annotations (ocrmaps data show SOURCE SAMPLE draws them), then build again"


def _check_pixels(case: Case, stage: Stage) -> None:
    assert case.picture is not None
    pixels, header = case.picture.pixels, case.picture.header
    if pixels.dtype != np.uint8 or pixels.shape != (*header.size, 3):
        stage.problem(f"decoded to {pixels.dtype} {pixels.shape}, its header says {header.size}", "", case.name)
    t = case.transform
    if (header.size, header.orientation) != (t.raw_size, t.orientation):
        stage.problem(
            f"the file has size {header.size} and orientation {header.orientation}, its row was planned for "
            f"{t.raw_size} and {t.orientation}",
            "ocrmaps build RECIPE --rehash",
            case.name,
        )
    if len(case.polygons) and float(pixels.std()) < 2:
        stage.problem("the picture is of one color, yet has outlines", "look at the file", case.name)


def _check_bounds(case: Case, stage: Stage) -> None:
    """In the frame that is declared, outlines lie on the picture."""
    if not len(case.polygons):
        return
    height, width = case.transform.size(case.polygons.frame)
    room = max(4.0, 0.01 * max(height, width))
    b = case.polygons.bounds()
    outside = (b[:, 0] < -room) | (b[:, 1] < -room) | (b[:, 2] > width + room) | (b[:, 3] > height + room)
    share = float(outside.mean())
    if share > STRAY:
        stage.problem(
            f"{share:.0%} of its outlines reach beyond the {case.polygons.frame} picture of {width}x{height}",
            "the annotations are in another frame or of another size; ocrmaps data check shows which",
            case.name,
        )


def _draw_decoded(case: Case) -> None:
    if case.picture is None:
        return
    upright = np.ascontiguousarray(turn_upright(case.picture.pixels, case.picture.header.orientation))
    if upright.shape[:2] == case.transform.upright_size:
        canvas = Canvas(pixels=upright, frame="upright", transform=case.transform)
        case.seen["decoded"] = partial(overlay, canvas, case.transform.apply(case.polygons, "upright"))


def look_at_canonical(cases: Sequence[Case], stage: Stage, specs: Specs, reader: Reader | None) -> None:
    """The stored picture is the one that rendering gives, and points go there and back."""
    if not any(case.picture is not None or case.row is not None for case in cases):
        stage.skipped = "no sample could be followed so far"
        return
    equal, worst = 0, 0.0
    for case in cases:
        t = case.transform
        corner = PolygonSet.of([case.polygons.points], frame=case.polygons.frame) if len(case.polygons.points) else None
        if corner is not None:
            back = t.apply(t.apply(corner, "canonical"), corner.frame)
            worst = max(worst, float(np.abs(back.points - corner.points).max()))
        if plan(t.raw_size, t.orientation, specs.canonical) != t:
            stage.problem(
                "its transform is not what its recipe plans for such a picture", "ocrmaps build again", case.name
            )
        if reader is not None and case.row is not None:
            try:
                case.image = reader.read_row(case.row, ("image",))["image"]
            except StoreError as error:
                damaged(error, case, stage, reader)
                continue
        drawn = None
        if case.picture is not None:
            drawn = render(case.picture, t, specs.canonical)
            case.image = drawn if case.image is None else case.image
        if case.image is None:
            continue
        equal += _check_canonical(case, stage, specs, drawn)
        canvas = Canvas(pixels=case.image, frame="canonical", transform=t)
        case.seen["canonical"] = partial(overlay, canvas, t.apply(case.polygons, "canonical"))
    if worst > ROUND_TRIP:
        stage.problem(f"points move by {worst:.3g} px on the way to the canonical picture and back", "report this")
    stage.said = f"{equal} of {len(cases)} pictures as they must be; points there and back within {worst:.1e} px"
    stage.numbers = {"equal": equal, "round_trip_px": worst}


def damaged(error: StoreError, case: Case, stage: Stage, reader: Reader) -> None:
    """A stored row that does not read: told, and not followed further."""
    stage.problem(str(error).splitlines()[0], mending(reader.folder, yes=True), case.name)
    case.lost = stage.name


def _check_canonical(case: Case, stage: Stage, specs: Specs, drawn: Any) -> bool:
    image, t = case.image, case.transform
    assert image is not None
    sound = True
    outside = np.ones(t.canvas, dtype=bool)
    (x, y), (h, w) = t.offset, t.resized
    outside[y : y + h, x : x + w] = False
    stained = int((image[outside] != np.array(specs.canonical.fill)).any(axis=1).sum()) if outside.any() else 0
    if stained:
        stage.problem(f"{stained} pixels of the padding are not the fill color {specs.canonical.fill}", "", case.name)
        sound = False
    if drawn is not None and not np.array_equal(drawn, image):
        mean = float(np.abs(drawn.astype(np.int16) - image).mean())
        if mean > DRIFT:
            stage.problem(
                f"the stored picture is not what its file gives: values differ by {mean:.1f} on average",
                "ocrmaps verify STORE --level rebuild, then ocrmaps repair",
                case.name,
            )
            sound = False
        else:
            stage.note(f"decoded slightly otherwise than when it was built ({mean:.2f} on average)", "", case.name)
    return sound
