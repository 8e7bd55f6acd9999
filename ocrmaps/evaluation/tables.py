"""An evaluation as files: `result.json`, `images.csv` (a row a picture) and `texts.csv` (a row a text and detection).

The files hold everything a report needs. Floats are written so that they read back as the same number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.cells import long_cells, plain, table
from ocrmaps.errors import DataError, SpecError, reason
from ocrmaps.evaluation.records import Evaluation, PictureResult
from ocrmaps.evaluation.totals import GROUPINGS, groups, reason_counts
from ocrmaps.files import open_regular, read_regular, replacing
from ocrmaps.metrics.cleval import CLEVAL
from ocrmaps.metrics.conventions import page_parts, total_parts
from ocrmaps.metrics.deteval import DETEVAL
from ocrmaps.metrics.iou import IGNORED_SHARE

FORMAT = 1
RESULT, IMAGES, TEXTS = "result.json", "images.csv", "texts.csv"
TEXT_COLUMNS = (
    "picture", "kind", "index", "reason", "iou", "partner", "score", "ignore", "height", "canonical_height", "aspect",
    "angle", "direction", "orientation", "canvas", "text", "polygon",
)  # fmt: skip
_PARTS = ("precision", "recall", "hmean")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvaluation:
    """What a folder of tables says; numbers are numbers, empty cells None."""

    result: Mapping[str, Any]
    images: tuple[Mapping[str, Any], ...]
    texts: tuple[Mapping[str, Any], ...]
    """`polygon` is a list of [x, y] points in the frame `result["frame"]`."""


def result_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the single pictures and texts, as plain data."""
    spec = evaluation.spec
    reasons = reason_counts(evaluation.pictures)
    return {
        "format": FORMAT,
        "state": evaluation.state,
        "hmean": evaluation.hmean,
        "pictures": {
            "expected": len(evaluation.expected),
            "seen": len(evaluation.pictures),
            "unpredicted": evaluation.count("unpredicted"),
            "failed": evaluation.count("failed"),
            "missing": list(_missing(evaluation))[:100],
        },
        "frame": evaluation.pictures[0].truth.frame if evaluation.pictures else None,
        "thresholds": list(spec.thresholds),
        "reasons_at_iou": spec.iou,
        "convention": spec.convention,
        "totals": {
            f"{t:g}": {**asdict(counts), **page_parts(counts), **total_parts(counts, spec.convention)}
            for t, counts in evaluation.totals.items()
        },
        "protocols": {
            name: {
                "status": score.status,
                "values": dict(score.values),
                "seen": dict(evaluation.seen[name]),
                "counts": dict(score.counts),
                "definition": _definition(name, spec.order),
            }
            for name, score in evaluation.scores.items()
        },
        "reasons": {"texts": reasons["text"], "detections": reasons["detection"]},
        "groups": {by: groups(evaluation, by) for by in GROUPINGS},
        "sweep": _curves(evaluation),
        "identity": dict(evaluation.identity),
        "stores": [_alone(store) for store in evaluation.stores],
    }


_OF_EACH = ("state", "hmean", "pictures", "totals", "protocols", "reasons")
"""What the document says of each of several stores, besides its name, version, root digest and split."""


def _alone(store: Evaluation) -> dict[str, Any]:
    document = result_document(store)
    return {**store.identity["store"], **{key: document[key] for key in _OF_EACH}}


def store_title(store: Evaluation) -> str:
    """What one of several stores is called in tables."""
    said = store.identity["store"]
    return f"{said['name']}/{said['version']}"


def _missing(evaluation: Evaluation) -> Iterator[str]:
    seen = {picture.picture for picture in evaluation.pictures}
    return (name for name in evaluation.expected if name not in seen)


def _definition(protocol: str, order: str) -> dict[str, Any]:
    if protocol == "iou":
        return {
            "rule": "a text is found by a detection whose IoU is above the threshold, one to one",
            "order": order,
            "detection_unscored_above_share_on_ignore": IGNORED_SHARE,
        }
    if protocol == "deteval":
        rule = "DetEval: one to one, one to many, many to one, by area shares"
        # Programs read this document: a key that it once had stays.
        return {"rule": rule, **asdict(DETEVAL), "centre_distance": DETEVAL.center_distance}
    return {"rule": "CLEval: characters found, with a price for splits and merges", **asdict(CLEVAL)}


def _curves(evaluation: Evaluation) -> dict[str, Any] | None:
    """Precision, recall and hmean for every score cut and IoU threshold."""
    sweep = evaluation.sweep
    if sweep is None:
        return None
    out: dict[str, Any] = {"cuts": list(sweep.cuts), "iou": {}}
    for t, threshold in enumerate(sweep.thresholds):
        counts = [sweep.counts(c, t) for c in range(len(sweep.cuts))]
        parts = [page_parts(c) | total_parts(c, evaluation.spec.convention) for c in counts]
        out["iou"][f"{threshold:g}"] = {part: [each[part] for each in parts] for part in _PARTS}
    out["detections"] = sweep.detection_care.tolist()
    return out


def image_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """One plain record a picture; of several stores it ends with the picture's store."""
    store_of = {picture.picture: store_title(store) for store in evaluation.stores for picture in store.pictures}
    for picture in evaluation.pictures:
        transform, first = picture.transform, picture.match.counts(evaluation.spec.iou)
        reasons = reason_counts([picture])
        row: dict[str, Any] = {
            "picture": picture.picture,
            "status": picture.status,
            "problem": picture.problem,
            "orientation": picture.orientation,
            "canvas": _canvas(picture),
            "scale": None if transform is None else transform.scale[0],
            "texts": first.truth_care,
            "texts_ignored": first.truth_ignored,
            "texts_invalid": first.truth_invalid,
            "detections": first.detection_care,
            "detections_ignored": first.detection_ignored,
            "detections_invalid": first.detection_invalid,
        }
        for threshold in evaluation.spec.thresholds:
            counts = picture.match.counts(threshold)
            row[f"matched@{threshold:g}"] = counts.matched
            row |= {f"{part}@{threshold:g}": getattr(counts, part) for part in _PARTS}
        if picture.deteval is not None:
            parts = page_parts(picture.deteval, evaluation.spec.convention)
            row |= {f"deteval_{part}": value for part, value in parts.items()}
        if picture.cleval is not None:
            row |= {f"cleval_{part}": getattr(picture.cleval.counts, part) for part in _PARTS}
        row |= {f"text_{reason}": number for reason, number in reasons["text"].items()}
        row |= {f"detection_{reason}": number for reason, number in reasons["detection"].items()}
        if store_of:
            row["store"] = store_of[picture.picture]
        yield row


def text_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """One plain record for each text and then each detection, picture after picture."""
    for picture in evaluation.pictures:
        partner_of = np.full(len(picture.detections), -1)
        paired = np.flatnonzero(picture.text_partner >= 0)
        partner_of[picture.text_partner[paired]] = paired
        for kind, polygons, reasons, ious, partners, measures in (
            ("text", picture.truth, picture.text_reason, picture.text_iou, picture.text_partner, picture.text_measures),
            ("detection", picture.detections, picture.detection_reason, picture.detection_iou, partner_of,
             picture.detection_measures),
        ):  # fmt: skip
            scores = picture.scores if kind == "detection" else None
            for i, points in enumerate(polygons):
                yield {
                    "picture": picture.picture,
                    "kind": kind,
                    "index": i,
                    "reason": reasons[i],
                    "iou": float(ious[i]),
                    "partner": None if partners[i] < 0 else int(partners[i]),
                    "score": None if scores is None else float(scores[i]),
                    "ignore": bool(polygons.ignore[i]) if kind == "text" else None,
                    "height": float(measures.height[i]),
                    "canonical_height": _known(measures.canonical_height[i]),
                    "aspect": float(measures.aspect[i]),
                    "angle": _known(measures.angle[i]),
                    "direction": measures.direction(i),
                    "orientation": picture.orientation,
                    "canvas": _canvas(picture),
                    "text": polygons.texts[i],
                    "polygon": points.tolist(),
                }


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _canvas(picture: PictureResult) -> str | None:
    return None if picture.transform is None else "{}x{}".format(*picture.transform.canvas)


def write_evaluation(
    evaluation: Evaluation, folder: Path, *, overwrite: bool = False, raw_csv: bool = False
) -> tuple[Path, ...]:
    """The three files, each whole or not at all; tables that are there are kept unless `overwrite`.

    Text that a spreadsheet would take for a formula gets an apostrophe in front unless `raw_csv`.
    """
    paths = (folder / RESULT, folder / IMAGES, folder / TEXTS)
    there = [path.name for path in paths if path.exists()]
    if there and not overwrite:
        raise SpecError(
            f"{folder} already holds {', '.join(there)}", hint="name another folder, or add --yes to replace them"
        )
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file, expected a folder for the tables")
    folder.mkdir(parents=True, exist_ok=True)
    said = result_document(evaluation) | {"raw_csv": raw_csv}
    document = json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    images, texts = list(image_rows(evaluation)), text_rows(evaluation)
    # The result last: where it is, the tables are.
    _publish(paths[1], _csv(iter(images), tuple(images[0]) if images else ("picture",), raw=raw_csv))
    _publish(paths[2], _csv(texts, TEXT_COLUMNS, raw=raw_csv))
    _publish(paths[0], document)
    return paths


def _csv(rows: Iterator[dict[str, Any]], columns: tuple[str, ...], *, raw: bool) -> str:
    return table(columns, ([row[name] for name in columns] for row in rows), raw=raw)


def _publish(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_bytes(text.encode("utf-8", errors="surrogatepass"))


def read_evaluation(folder: Path) -> StoredEvaluation:
    """What `write_evaluation` wrote, without a model, a store or a picture."""
    try:
        result = json.loads(read_regular(folder / RESULT))
    except FileNotFoundError as error:
        raise SpecError(
            f"{folder} holds no evaluation ({RESULT} is missing)", hint="ocrmaps evaluate ... --out FOLDER writes one"
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{folder / RESULT}: cannot be read as an evaluation ({reason(error)})") from error
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        found = result.get("format") if isinstance(result, dict) else type(result).__name__
        raise DataError(f"{folder / RESULT}: found format {found!r}, this ocrmaps reads evaluations of format {FORMAT}")
    raw = result.get("raw_csv", True)  # before there was a choice, text stood as it was
    with long_cells():
        images, texts = (tuple(_read_csv(folder / name, raw=raw)) for name in (IMAGES, TEXTS))
    return StoredEvaluation(result=result, images=images, texts=texts)


_WORDS = {"picture", "store", "kind", "reason", "status", "problem", "direction", "canvas", "text"}


def _read_csv(path: Path, *, raw: bool) -> Iterator[dict[str, Any]]:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors="surrogatepass", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    yield {name: _value(name, cell, raw=raw) for name, cell in row.items()}
                except (TypeError, ValueError) as error:
                    raise DataError(f"{path}, row {number}: cannot be read ({error})") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _value(name: str, cell: str, *, raw: bool) -> Any:
    if name in _WORDS and not raw:
        cell = plain(cell)
    if name == "problem":
        return cell
    if cell == "":
        return None
    if name in _WORDS:
        return cell
    if name == "ignore":
        return cell == "true"
    if name == "polygon":
        return [[float(v) for v in pair.split(",")] for pair in cell.split(" ")]
    number = float(cell)
    return int(cell) if cell.lstrip("-").isdigit() else number
