"""Invented receipts that look like photographs of receipts, with the outline of every line or word.

Picture number i depends on the settings and i alone: neither on how many are made, nor in which process or order.
The points of the outlines follow the ink through every turn and bend; a tag turns some pictures as cameras do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from PIL import ExifTags, Image

from ocrmaps.annotations import WRITERS, Sample, Source, WriteReport
from ocrmaps.annotations.synth.photo import Conditions, Pose, photograph
from ocrmaps.annotations.synth.press import MARGIN, POINTS, Printed, print_rows
from ocrmaps.annotations.synth.spec import SynthSpec
from ocrmaps.annotations.synth.text import write_rows
from ocrmaps.canonical import turn_upright
from ocrmaps.errors import SpecError
from ocrmaps.files import refuse_filled, writing
from ocrmaps.geometry import Affine, FloatArray, PolygonSet, Size, upright_affine
from ocrmaps.scratch import beside

PICTURES = "images"
"""The picture folder of a saved set."""
ANNOTATIONS: dict[str, str] = {
    "ufo": "annotations.json",
    "icdar": "annotations",
    "coco": "annotations.json",
    "mmocr": "annotations.json",
    "paddle": "annotations.txt",
    "yolo": "labels",
    "yolo-obb": "labels",
    "labelstudio": "annotations.json",
    "page-lines": "page",
    "alto-lines": "alto",
    "parquet": "annotations.parquet",
}
"""The annotation file or folder of a saved set, by format."""
_STEEPEST = 0.6
"""How steep the waves of a paper may be: clearly below 1, where outlines could no longer be found."""
_FLAT = 0.3
"""Pixels by which an outline may cut a corner when points are left out."""
_TURNED_BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""The orientation that undoes an orientation."""


class Photo(NamedTuple):
    """One invented picture with its annotation."""

    sample: Sample
    pixels: npt.NDArray[np.uint8]
    """(height, width, 3) RGB in the raw frame."""
    orientation: int
    """EXIF orientation of the raw pixels, 1 to 8."""


def photos(spec: SynthSpec) -> Iterator[Photo]:
    """All pictures of the settings, in order."""
    return (photo(spec, i) for i in range(spec.num))


def photo(spec: SynthSpec, index: int) -> Photo:
    """Picture number `index`."""
    rng = np.random.Generator(np.random.PCG64([spec.seed, index]))

    def chance(share: float) -> bool:
        return bool(rng.random() < share)

    wide, desk, curved, cut, empty = (chance(s) for s in (spec.wide, spec.desk, spec.curved, spec.cut, spec.empty))
    orientation = int(rng.integers(2, 9)) if chance(spec.turned) else 1
    height, width = (round(side * rng.uniform(1 - spec.spread, 1)) for side in spec.size)
    size = (min(height, width), max(height, width)) if wide else (height, width)

    flat = _flat(spec, rng)
    pose = _crumpled(spec, size, rng, flat, curved)
    room = _room(size, pose)
    # The square makes short receipts common and long ones rare, as they are.
    lines = spec.lines[0] + int(rng.random() ** 2 * (spec.lines[1] - spec.lines[0] + 1))
    rows = write_rows(rng, lines, wide=wide, distractors=spec.distractors)
    printed = print_rows(
        [row for row in rows if row.mark] if empty else rows,
        rng,
        room=room,
        capitals=spec.text_height,
        words=spec.level == "word",
        illegible=spec.illegible,
        arched=curved,
    )
    pose = _placed(pose, printed.ink.shape, size, rng, cut=cut)
    bare = empty and desk and chance(0.5)
    conditions = Conditions(
        desk=desk, shading=spec.shading, blur=spec.blur, noise=spec.noise, distractors=spec.distractors
    )
    upright = photograph(None if bare else printed.ink, pose, size, conditions, rng)
    raw = np.ascontiguousarray(turn_upright(upright, _TURNED_BACK[orientation]))

    polygons = _polygons(printed, pose, size)
    if spec.frame == "raw":
        polygons = polygons.transform(upright_affine(orientation, raw.shape[:2]).inverse(), "raw")
        polygons = replace(polygons, points=polygons.points.round(2))  # W - x in hundredths is not quite hundredths
    sample = Sample(
        id=f"receipt-{index:06d}.jpg",
        polygons=polygons,
        loc=f"synth:seed {spec.seed}, picture {index}",
        size=size if spec.frame == "upright" else raw.shape[:2],
    )
    return Photo(sample, raw, orientation)


def _flat(spec: SynthSpec, rng: np.random.Generator) -> Affine:
    """Paper to picture up to its place: narrow or broad letters, shear, turn."""
    narrow = Affine.scaling(float(rng.uniform(0.75, 1.1)), 1.0)
    shear = Affine.of(1, math.tan(math.radians(spec.skew)) * float(rng.uniform(-1, 1)), 0, 0, 1, 0)
    return Affine.rotation(spec.rotation * float(rng.uniform(-1, 1))) @ shear @ narrow


def _crumpled(spec: SynthSpec, size: Size, rng: np.random.Generator, flat: Affine, curved: bool) -> Pose:
    """Five gentle waves in all directions and, for a curled paper, a long one along the lines of text."""
    turns = rng.uniform(0, 2 * np.pi, (2, 5))
    lengths = rng.uniform(0.12, 0.5, 5) * max(size)
    waves = 2 * np.pi / lengths[:, None] * np.stack([np.cos(turns[0]), np.sin(turns[0])], axis=1)
    strength = spec.crumple * float(rng.uniform(0.3, 1.0)) / 5
    amplitudes = strength * np.stack([np.cos(turns[1]), np.sin(turns[1])], axis=1)
    if curved:
        along = flat.matrix[:2, 0] / np.linalg.norm(flat.matrix[:2, 0])
        length = float(np.abs(along) @ (size[1], size[0]))
        waves = np.vstack([waves, along * 2 * np.pi / (length * rng.uniform(1.2, 2.2))])
        amplitudes = np.vstack([amplitudes, (0.0, length * rng.uniform(0.015, 0.045))])
    pose = Pose(affine=flat, waves=waves, phases=rng.uniform(0, 2 * np.pi, len(waves)), amplitudes=amplitudes)
    limit = min(1.0, _STEEPEST / max(pose.steepness(), 1e-9), 0.08 * min(size) / max(pose.reach(), 1e-9))
    return replace(pose, amplitudes=limit * amplitudes)


def _border(pose: Pose) -> float:
    """What must stay free between flat text and the edge of the picture, so that bent text is inside."""
    return pose.reach() + 2


def _room(size: Size, pose: Pose) -> Size:
    """(height, width) on the paper of the largest text block that fits: shaped like the picture, or less slender
    where a steep turn demands it.
    """
    reach = np.abs(pose.affine.matrix[:2, :2])
    free = np.array([size[1], size[0]]) - 2 * _border(pose)
    height, width = size
    shapes = (np.array(shape) for shape in ((width, height), (1, 1), (height, width)))
    blocks = [shape * (free / (reach @ shape)).min() for shape in shapes]
    best = max(blocks, key=lambda block: float(block.prod()))
    return int(best[1]) - 2 * MARGIN, int(best[0]) - 2 * MARGIN


def _placed(pose: Pose, ink: Size, size: Size, rng: np.random.Generator, *, cut: bool) -> Pose:
    """The paper somewhere inside the picture, or with a part beyond one edge."""
    corners = pose.affine.apply([(0, 0), (ink[1], 0), (0, ink[0]), (ink[1], ink[0])])
    low, high = corners.min(axis=0), corners.max(axis=0)
    free = np.array([size[1], size[0]]) - (high - low) - 2 * _border(pose)
    place = _border(pose) - low + rng.uniform(0.1, 0.9, 2) * free
    share, axis, forward = rng.uniform(0.1, 0.35), int(rng.integers(2)), bool(rng.integers(2))
    if cut:
        beyond = (size[1], size[0])[axis] - high[axis] if forward else -low[axis]
        place[axis] = beyond + (1 if forward else -1) * share * (high - low)[axis]
    return replace(pose, affine=Affine.translation(float(place[0]), float(place[1])) @ pose.affine)


def _polygons(printed: Printed, pose: Pose, size: Size) -> PolygonSet:
    """The outlines in the picture, clockwise from the upper left, with as few points as their bends allow."""
    edges = pose.picture(printed.outlines.reshape(-1, 2)).reshape(printed.outlines.shape)
    polygons = [np.concatenate([upper, lower[::-1]]).round(2) for upper, lower in _thinned(edges)]
    ignore = [text is None for text in printed.texts]
    shown = _visible(polygons, size)
    kept = [i for i, share in enumerate(shown) if share > 0]
    return PolygonSet.of(
        [polygons[i] for i in kept],
        frame="upright",
        ignore=[ignore[i] or shown[i] < 0.5 for i in kept],
        texts=[printed.texts[i] for i in kept],
    )


def _thinned(edges: FloatArray) -> list[FloatArray]:
    """(2, 2 to POINTS, 2) for each pair of edges: every point left out lies within 0.3 px of those kept."""
    thin: list[FloatArray] = list(edges)
    for kept in (9, 5, 3, 2):
        step = (POINTS - 1) // (kept - 1)
        # Row i holds the weights of the kept points in the chord's point i.
        chord = np.stack([np.interp(np.arange(POINTS) / step, np.arange(kept), unit) for unit in np.eye(kept)], axis=1)
        off = np.abs(chord @ edges[:, :, ::step] - edges).max(axis=(1, 2, 3), initial=0.0)
        for i in np.flatnonzero(off < _FLAT):
            thin[i] = edges[i, :, ::step]
    return thin


def _visible(polygons: Sequence[FloatArray], size: Size) -> list[float]:
    """Share of each area that lies inside the picture; 1 without computing where all points do."""
    limit = np.array([size[1], size[0]])
    window = shapely.box(0, 0, *limit.tolist())
    return [
        1.0 if (points >= 0).all() and (points <= limit).all()
        else shapely.Polygon(points).intersection(window).area / shapely.Polygon(points).area
        for points in polygons
    ]  # fmt: skip


def encode(shot: Photo) -> bytes:
    """JPEG of quality 90, with the orientation as an EXIF tag where it is not 1."""
    exif = Image.Exif()
    if shot.orientation != 1:
        exif[ExifTags.Base.Orientation] = shot.orientation
    buffer = BytesIO()
    Image.fromarray(shot.pixels).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


class Saved(NamedTuple):
    """A set of invented receipts on disk."""

    source: Source
    report: WriteReport


def save(
    spec: SynthSpec, out: Path, *, format: str = "ufo", progress: Callable[[int, int], None] | None = None
) -> Saved:
    """Write all pictures to `out/images` and their annotations beside it; `out` appears when it is complete.

    `progress(done, total)` is called after each picture.
    """
    if format not in WRITERS:
        raise SpecError(f"format: found {format!r}, expected one of {', '.join(WRITERS)}")
    refuse_filled(out)
    with writing(out), beside(out) as workplace:
        draft = workplace / out.name
        (draft / PICTURES).mkdir(parents=True)
        samples = []
        for done, shot in enumerate(photos(spec), start=1):
            (draft / PICTURES / shot.sample.id).write_bytes(encode(shot))
            samples.append(shot.sample)
            if progress:
                progress(done, spec.num)
        report = WRITERS[format](samples, draft / ANNOTATIONS[format])
        os.replace(draft, out)
    annotations = out / ANNOTATIONS[format]
    source = Source(annotations=annotations, pictures=out / PICTURES, format=format, frame=spec.frame, name=out.name)
    return Saved(source, replace(report, path=annotations))
