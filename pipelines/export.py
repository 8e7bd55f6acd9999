"""`ocrmaps export`: a checkpoint as one file that other programs run, and the proof that it gives the same boxes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrmaps.annotations import Source, open_source
from ocrmaps.annotations.samples import subset
from ocrmaps.detect.export import FORMATS, Graph, as_openvino, check_size, description, quiet, require, written_by
from ocrmaps.detect.int8 import LEAST_AGREEMENT, PICTURES, PIXELS, Int8Agreement, agreement, round_to_int8
from ocrmaps.detect.load import EXTRA, PROGRAMS, SUFFIXES, kind_of, load_any
from ocrmaps.detect.pages import prepare
from ocrmaps.detect.parity import Parity, compare
from ocrmaps.detect.trained import Trained, load_detector
from ocrmaps.errors import RunError, SpecError
from ocrmaps.evaluation import EvaluationSpec
from ocrmaps.evaluation.detectors import evaluate_checkpoint
from ocrmaps.evaluation.rows import check_prepared_alike, rows_of
from ocrmaps.evaluation.sources import file_of, samples_of
from ocrmaps.files import digest_of, refuse_existing, writing
from ocrmaps.geometry import Size
from ocrmaps.kinds import is_version
from ocrmaps.maps.records import U8Array
from ocrmaps.scratch import beside
from ocrmaps.store.reader import Reader
from ocrmaps.trust import NOTHING, Trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """What rounding to int8 cost and brought."""

    calibrated_on: str
    agreement: Int8Agreement
    scored_on: str
    before: Mapping[str, float]
    """Scores of the checkpoint, by name."""
    after: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        return {
            "calibrated_on": self.calibrated_on,
            "agreement": self.agreement.as_json(),
            "scored_on": self.scored_on,
            "before": dict(self.before),
            "after": dict(self.after),
        }

    def sentence(self) -> str:
        scores = ", ".join(f"{name} {self.before[name]:.4f} to {self.after[name]:.4f}" for name in self.before)
        return f"{self.agreement.sentence()}; scores on {self.scored_on}: {scores}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and how well it agrees."""

    path: Path
    format: str
    size: Size | None
    """(height, width), or None for any."""
    bytes: int
    sha256: str
    """What `--trust-code` takes, where the file is a program."""
    parity: Parity
    """Of the graph before any rounding."""
    int8: Rounded | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "out": str(self.path),
            "format": self.format,
            "size": "dynamic" if self.size is None else list(self.size),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "parity": self.parity.as_json(),
            "int8": None if self.int8 is None else self.int8.as_json(),
        }

    def sentence(self) -> str:
        size = "any size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        trust = "" if self.format not in PROGRAMS else f"; ocrmaps predict runs it with --trust-code {self.sha256}"
        rounded = "" if self.int8 is None else f"; as int8 {self.int8.sentence()}"
        return (
            f"wrote {self.path} ({self.format}, {size}, {self.bytes / 1e6:.1f} MB): "
            f"{self.parity.sentence()}{rounded}{trust}"
        )


def export(
    checkpoint: Path,
    out: Path,
    *,
    format: str = "onnx",
    size: Size | None = None,
    pictures: Sequence[Path] = (),
    int8: Path | None = None,
    score_on: Path | None = None,
    overwrite: bool = False,
    trusted: Trusted = NOTHING,
) -> Exported:
    """Write the file, load it back, compare it with the checkpoint; a file that differs never gets its name.

    `int8` is a source, or the folder of a version, whose pictures rounding is calibrated on (of a version those of
    train). Scores before and after are measured on the source `score_on`, or else on the source that calibrated, or the
    version's val.
    """
    if format not in FORMATS:
        raise SpecError(f"found format {format!r}, expected one of {', '.join(FORMATS)}")
    if kind_of(out) != format:
        suffixes = " or ".join(suffix for suffix, other in SUFFIXES.items() if other == format)
        raise SpecError(
            f"{out}: found a name that does not say {format}, expected one that ends in {suffixes}",
            hint="`ocrmaps predict` opens a file as what its name says",
        )
    if int8 is not None and format not in ("onnx", "openvino"):
        raise SpecError(f"found --int8 for {format}, expected onnx or openvino", hint="torch's formats stay in float32")
    if size is not None and int8 is not None and is_version(int8):
        raise SpecError(
            "found --size beside a store to calibrate on, whose pictures lie on canvases of their own",
            hint="leave one out: --int8 SOURCE prepares pictures for one size",
        )
    if score_on is not None and int8 is None:
        raise SpecError("--score-on measures what rounding costs: --int8 is missing", hint="--int8 SOURCE")
    targets = (out, out.with_suffix(".bin")) if format == "openvino" else (out,)
    for target in targets:
        refuse_existing(target, replace_existing=overwrite)
    if format in ("onnx", "openvino"):
        require("onnx", "onnxscript", "onnxruntime", *(["openvino"] if format == "openvino" else []))
    trained = load_detector(checkpoint, trusted=trusted)
    multiple = int(trained.detector.multiple)
    if size is not None:
        check_size(size, multiple)
        # Every picture now goes to this canvas; the rest of the policy stays.
        trained = replace(trained, canonical=replace(trained.canonical, canvases=(size,)))
    images = [] if int8 is None else _images(trained, int8)
    with writing(out), beside(out) as workplace:
        part = workplace / out.name
        with quiet():
            FORMATS[format](Graph(trained), trained, part, size)
        try:
            # Written a moment ago from a detector that is already built.
            own = Trusted.of(digests=[digest_of(part)] if format in PROGRAMS else ())
            again = load_any(part, trusted=own)
            parity = compare(trained, again, size=size, multiple=multiple, pictures=pictures)
        except SpecError as error:
            raise RunError(
                f"the exported file does not run and was not kept: {error}",
                hint="--format onnx has no limits of its own; or name one canvas with --size",
            ) from error
        if parity.faults:
            raise RunError(
                f"the exported file differs from the checkpoint and was not kept: {'; '.join(parity.faults)}",
                hint="another --format may do; say which torch and onnxruntime this is in a report",
            )
        rounded = None if int8 is None else _rounded(trained, part, size, int8, score_on, images)
        number, digest = sum(part.with_name(path.name).stat().st_size for path in targets), digest_of(part)
        for path in reversed(targets):
            os.replace(part.with_name(path.name), path)
    return Exported(path=out, format=format, size=size, bytes=number, sha256=digest, parity=parity, int8=rounded)


def _rounded(
    trained: Trained, part: Path, size: Size | None, calibration: Path, scoring: Path | None, images: list[U8Array]
) -> Rounded:
    """Replace the exported file by one in whole numbers, and say what that costs."""
    stored = is_version(calibration)
    named = _name(calibration)
    source = None if stored and scoring is None else open_source(scoring or calibration)
    whole, small = part.with_name("whole.onnx"), part.with_name("small.onnx")
    told = replace(trained, card={**trained.card, "precision": "int8"})
    os.replace(part.with_suffix(".onnx"), whole)  # OpenVINO's file was made from one, which is still there
    with written_by("onnxruntime", part):
        round_to_int8(whole, small, images, {EXTRA: description(told, size)})
    if part.suffix == ".xml":
        as_openvino(small, part, description(told, size))
    else:
        os.replace(small, part)
    found = agreement(load_any(whole, threads=1), load_any(part, threads=1), images)
    if found.agree_50 is not None and found.agree_50 < LEAST_AGREEMENT:
        raise RunError(
            f"in whole numbers this is another detector, and it was not kept: {found.sentence()}",
            hint=f"boxes have to agree on {LEAST_AGREEMENT:.0%}; calibrate on pictures like those it will see",
        )
    before, after = (_scores(path, source, calibration) for path in (whole, part))
    return Rounded(
        calibrated_on=f"{len(images)} pictures of {named}{', train' if stored else ''}",
        agreement=found,
        scored_on=f"{named}, val" if source is None else _name(scoring or calibration),
        before=before,
        after=after,
    )


def _images(trained: Trained, calibration: Path) -> list[U8Array]:
    """The pictures that rounding is calibrated on, as the network sees them."""
    return _stored(trained, calibration) if is_version(calibration) else _prepared(trained, open_source(calibration))


def _prepared(trained: Trained, source: Source) -> list[U8Array]:
    """Pictures of a source: an even draw that fits into memory."""
    chosen = subset(samples_of(source)[0], _most(trained))
    return [prepare(file_of(source, sample), trained.canonical).pixels for sample in chosen]


def _stored(trained: Trained, version: Path) -> list[U8Array]:
    """The same of the rows that a network would have learnt from."""
    with Reader(version) as reader:
        check_prepared_alike(trained, reader)
        return [reader.read_row(row)["image"] for row in subset(rows_of(reader, "train"), _most(trained))]


def _most(trained: Trained) -> int:
    """How many pictures are enough, and fit into memory."""
    return max(1, min(PICTURES, PIXELS // max(height * width for height, width in trained.canonical.canvases)))


def _name(place: Path) -> str:
    place = place.absolute()
    return f"{place.parent.name}/{place.name}" if is_version(place) else place.name


def _scores(path: Path, source: Source | None, version: Path) -> dict[str, float]:
    """IoU hmean at 0.5 and 0.7 on all pictures of a source, or else on the val rows of a version."""
    spec = EvaluationSpec(protocols=("iou",), cuts=())
    where: dict[str, Any] = {"version": version} if source is None else {"source": source}
    values = evaluate_checkpoint(path, spec=spec, **where).scores["iou"].values
    return {f"IoU {t}": float(values[f"hmean@{t}"]) for t in spec.thresholds}
