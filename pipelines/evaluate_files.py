"""Predictions from files: any annotation format that can be read, with scores where the format has a place for them."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ocrmaps.annotations import Sample, Source, open_source, read
from ocrmaps.annotations.files import decode, read_bytes
from ocrmaps.annotations.frames import check_frame, require_frame
from ocrmaps.annotations.picture_files import clean_name
from ocrmaps.errors import DataError, FrameError, Problem
from ocrmaps.geometry import FloatArray, Frame, PolygonSet, upright_affine
from ocrmaps.pictures import Header

Ranks = dict[str, list[Any]]
"""Picture as the file names it -> what it says as the score of each outline, None where it says nothing."""
SCORE_KEYS = ("score", "confidence")
"""What an outline's score may be called; the first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a file of predictions says, by the ids of the source it was matched with."""

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
    source: Source,
    heads: Mapping[str, Header],
    *,
    format: str | None = None,
    frame: Frame | None = None,
) -> Predicted:
    """The predictions for the pictures `heads` of a source, matched by name; a picture that it lacks is refused."""
    said = _own_frame(path)
    if said is not None and frame is not None and said != frame:
        raise FrameError(
            f"{path.name} says that its coordinates are {said}, declared is {frame}",
            hint="leave the declaration out: the file knows what it holds",
        )
    frame = frame or said or source.frame
    samples, ranks, format = _read(path, source, format, frame)
    names = match_names([sample.id for sample in samples], list(heads), path.name)
    if not any(text for sample in samples for text in sample.polygons.texts):
        # Formats that must write a text write an empty one: nothing was read, which is not the same as badly read.
        samples = [replace(s, polygons=replace(s.polygons, texts=(None,) * len(s.polygons))) for s in samples]
    renamed = [replace(sample, id=name) for name, sample in zip(names, samples, strict=True)]
    require_frame(check_frame(renamed, heads, frame), f"predictions {path.name}")
    scores = None if ranks is None else [_scores(path, sample, ranks.get(sample.id, [])) for sample in samples]
    return Predicted(
        pictures={
            name: (sample.polygons, None if scores is None else scores[i])
            for i, (name, sample) in enumerate(zip(names, samples, strict=True))
        },
        frame=frame,
        scored=scores is not None,
        identity={
            "path": str(path),
            "sha256": digest_of(path) if path.is_file() else None,
            "format": format,
            "frame": frame,
            "pictures": len(samples),
            "detections": sum(len(sample.polygons) for sample in samples),
            "scores": scores is not None,
        },
    )


def _read(path: Path, source: Source, format: str | None, frame: Frame) -> tuple[list[Sample], Ranks | None, str]:
    """The samples of the file, the scores beside them, and what format it was read as."""
    opened = open_source(path, format=format, pictures=source.pictures, frame=frame)
    samples = list(read(opened))
    ranks = RANKS[opened.format](opened.annotations) if opened.format in RANKS else None
    if ranks is not None and all(score is None for scores in ranks.values() for score in scores):
        # No outline has one. A file without any outline may be of a system that gives scores: nothing is lost.
        ranks = ranks if not any(len(sample.polygons) for sample in samples) else None
    return samples, ranks, opened.format


def _own_frame(path: Path) -> Frame | None:
    """The frame that a file of `ocrmaps predict --format json` states; None of any other file."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(400)
    if b'"ocrmaps-predictions"' not in head:
        return None
    content = json.loads(_text(path))
    if content.get("version") != 1 or content.get("frame") not in ("raw", "upright"):
        found = f"version {content.get('version')!r}, frame {content.get('frame')!r}"
        raise DataError(f"{path.name}: found predictions of {found}, expected version 1, frame raw or upright")
    return content["frame"]


def match_names(names: Sequence[str], expected: Sequence[str], where: str) -> list[str]:
    """The expected id that each name means: itself, or the only one of the same file name, or of the same stem.

    >>> match_names(["b.png", "res_c.jpg"], ["x/a.png", "x/b.png", "x/c.tif"], "found.json")
    ['x/b.png', 'x/c.tif']
    """
    exact = set(expected)
    by_last: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for id in expected:
        by_last[PurePosixPath(id).name].append(id)
        by_stem[PurePosixPath(id).stem].append(id)
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    out: list[str] = []
    for name in names:
        last, stem = PurePosixPath(name).name, PurePosixPath(name).stem
        # Result archives of the ICDAR competitions put `res_` before the picture's name.
        fitting = [name] if name in exact else by_last.get(last) or by_stem.get(stem) or by_stem.get(last)
        fitting = fitting or by_stem.get(stem.removeprefix("res_")) or by_stem.get(last.removeprefix("res_")) or []
        if len(fitting) != 1:
            found = f"{len(fitting)} pictures that it could mean: {', '.join(fitting[:5])}" if fitting else "none"
            message = f"found {found}, expected the name of one picture of the source"
            problems.append(Problem(loc=f"{where}: {name}", message=message, kind="unknown-picture"))
        elif fitting[0] in taken:
            message = f"found predictions for {fitting[0]} a second time, first as {taken[fitting[0]]}"
            problems.append(Problem(loc=f"{where}: {name}", message=message, kind="duplicate-id"))
        else:
            taken[fitting[0]] = name
            out.append(fitting[0])
    if problems:
        raise DataError(
            f"{where}: {len(problems)} of {len(names)} predicted pictures do not belong to the source "
            f"({len(expected)} pictures)",
            problems=problems,
            hint="predictions are matched by picture name: were they made on these pictures?",
        )
    return out


def _scores(path: Path, sample: Sample, ranks: Sequence[Any]) -> FloatArray:
    """(k) finite scores of one picture, or a refusal that names what is wrong with them."""
    expected, where = len(sample.polygons), f"{path.name}: {sample.id}"
    given = [score for score in ranks if score is not None]
    if len(given) != expected or len(ranks) != expected:
        raise DataError(
            f"{where}: found {len(given)} scores for {expected} outlines, expected one for each",
            hint="give every outline a score, or none in the whole file",
        )
    bad = [s for s in ranks if isinstance(s, bool) or not isinstance(s, int | float) or not abs(s) < float("inf")]
    if bad:
        raise DataError(f"{where}: found the score {bad[0]!r} ({len(bad)} such in all), expected a finite number")
    return np.array(ranks, dtype=np.float64)


def _coco_ranks(path: Path) -> Ranks:
    root = json.loads(_text(path))
    short = "imgs" in root or "anns" in root
    images, annotations = (_rows(root.get(n)) for n in (("imgs", "anns") if short else ("images", "annotations")))
    names = {row["id"]: clean_name(row["file_name"]) for row in images}
    out: Ranks = {name: [] for name in names.values()}
    for row in annotations:
        outlines = row.get("segmentation")
        parts = len(outlines) if isinstance(outlines, list) and outlines and isinstance(outlines[0], list) else 1
        if parts > 1 and all(len(pair) == 2 for pair in outlines):
            parts = 1  # one outline of [x, y] points
        out[names[row["image_id"]]] += [_rank(row)] * parts
    return out


def _ufo_ranks(path: Path) -> Ranks:
    images = json.loads(_text(path))["images"]
    return {clean_name(name): [_rank(w) for w in (image.get("words") or {}).values()] for name, image in images.items()}


def _paddle_ranks(path: Path) -> Ranks:
    lines = [line.split("\t", 1) for line in _text(path).splitlines() if line.strip()]
    return {clean_name(name): [_rank(word) for word in json.loads(words)] for name, words in lines}


def _mmocr_ranks(path: Path) -> Ranks:
    entries = json.loads(_text(path))["data_list"]
    return {clean_name(e["img_path"]): [_rank(i) for i in e.get("instances") or ()] for e in entries}


RANKS: Mapping[str, Callable[[Path], Ranks]] = {
    "coco": _coco_ranks,
    "ufo": _ufo_ranks,
    "paddle": _paddle_ranks,
    "mmocr": _mmocr_ranks,
}
"""Formats whose outlines may carry a score. They run on files that the format's reader has accepted."""


def _rank(row: Mapping[str, Any]) -> Any:
    return next((row[key] for key in SCORE_KEYS if row.get(key) is not None), None)


def _rows(table: Any) -> list[Any]:
    return list(table.values()) if isinstance(table, dict) else table


def _text(path: Path) -> str:
    return decode(read_bytes(path, path.name), path.name)


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
