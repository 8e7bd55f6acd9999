"""Dumps of MMOCR, mmengine and PaddleX: lists of outlines beside a list of scores, one object a picture.

    {"det_polygons": [[x, y, ...], ...], "det_scores": [...]}        preds/NAME.json of the MMOCR inferencer
    {"polygons": [...], "scores": [...]}                             the same without recognition, and pred_instances
    {"input_path": "a.png", "dt_polys": [[[x, y], ...]], ...}        PaddleX and PaddleOCR 3, with its `rec_scores`
    [{"img_path": "a.png", "pred_instances": {...}}, ...]            a list of such objects, or one a line

and `data_list` with `instances`, where each instance has its own score. Without outlines `bboxes` (x0, y0, x1, y1)
are taken. A file of one picture that names none belongs to the picture of its own name. Outlines on a picture that
PaddleOCR turned or unwarped first are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocrmaps.annotations.formats.mmocr import add_instances
from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.records import Found

OUTLINES = ("det_polygons", "polygons", "dt_polys", "det_bboxes", "bboxes")
SCORES = ("det_scores", "scores", "dt_scores")
NAMES = ("img_path", "input_path", "file_name", "filename", "image_path", "image", "img_name", "ori_filename")
_TEXTS = {"det_polygons": "rec_texts", "dt_polys": "rec_texts"}
_NESTED = ("pred_instances", "res")


def recognize(leaves: Sequence[Leaf]) -> bool:
    roots = [leaf.root for leaf in leaves if leaf.text is None]
    return bool(roots) and len(roots) == len(leaves) and all(_fits(root) for root in roots)


def _fits(root: Any) -> bool:
    if isinstance(root, list):
        return bool(root) and all(isinstance(item, dict) and _fits_one(item) for item in root)
    if not isinstance(root, dict):
        return False
    return isinstance(root.get("data_list"), list) or isinstance(root.get("predictions"), list) or _fits_one(root)


def _fits_one(entry: dict[str, Any]) -> bool:
    entry = _inner(entry)
    return any(isinstance(entry.get(key), list) for key in (*OUTLINES, "instances"))


def _inner(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with what is nested in it, as mmengine and PaddleX write it."""
    for key in _NESTED:
        if isinstance(entry.get(key), dict):
            entry = {**entry, **entry[key]}
    return entry


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file of many pictures, or one file a picture."""
    for leaf in leaves:
        root = leaf.root
        if isinstance(root, dict) and isinstance(root.get("data_list"), list):
            _entries(found, root["data_list"], f"{leaf.name}:data_list")
        elif isinstance(root, dict) and isinstance(root.get("predictions"), list):
            entries = root["predictions"]
            own = leaf.stem if len(entries) == 1 else None
            _entries(found, entries, f"{leaf.name}:predictions", own=own)
        elif isinstance(root, list):
            _entries(found, root, leaf.name)
        elif found.expect(root, dict, leaf.name, "an object with polygons and scores"):
            _entry(found, root, leaf.name, own=leaf.stem)


def _entries(found: Found, entries: Sequence[Any], loc: str, *, own: str | None = None) -> None:
    for i, entry in enumerate(entries):
        if found.expect(entry, dict, f"{loc}[{i}]", "an object with polygons and scores"):
            _entry(found, entry, f"{loc}[{i}]", own=own)


def _entry(found: Found, entry: dict[str, Any], loc: str, *, own: str | None) -> None:
    since, entry = len(found.problems), _inner(entry)
    name = next((entry[key] for key in NAMES if entry.get(key) is not None), own)
    if name is None:
        found.problem(loc, f"found no picture name, expected {', '.join(NAMES[:3])}", "unnamed-picture")
        return
    _refuse_bent(found, entry.get("doc_preprocessor_res"), loc)
    page = entry.get("page_index")
    if isinstance(name, str) and type(page) is int and page > 0:
        name = f"{name}#{page + 1}"
    detected = GatheredOutlines()
    key = next((k for k in OUTLINES if isinstance(entry.get(k), list)), "")
    if "instances" in entry:
        add_instances(found, detected, entry["instances"], f"{loc}.instances")
    elif not key:
        found.problem(loc, f"found none of {', '.join(OUTLINES)}, expected a list of outlines", "invalid")
        return
    else:
        points, spoken = entry[key], entry.get(_TEXTS.get(key, ""))
        scores = _beside(found, entry, points, loc)
        texts = spoken if isinstance(spoken, list) and len(spoken) == len(points) else [None] * len(points)
        for i, outline in enumerate(points):
            if key.endswith("bboxes") and isinstance(outline, list) and len(outline) == 4 and _numbers(outline):
                outline = box(*outline)
            detected.add(f"{loc}.{key}[{i}]", outline, texts[i], score=scores[i])
    size = found.size(entry.get("height"), entry.get("width"), loc)
    found.page(name, loc, detected, size=size, since=since)


def _refuse_bent(found: Found, prepared: Any, loc: str) -> None:
    """PaddleOCR can turn and unwarp a picture first; its outlines are then those of a picture that nobody has."""
    settings = prepared.get("model_settings") if isinstance(prepared, dict) else None
    if not isinstance(settings, dict):
        return
    what = ["use_doc_unwarping"] if settings.get("use_doc_unwarping") is True else []
    if prepared.get("angle") not in (None, 0, -1):
        what.append("use_doc_orientation_classify")
    if what:
        message = f"found outlines on a picture that was changed first, by {' and '.join(what)}"
        found.problem(f"{loc}.doc_preprocessor_res", f"{message}; predict again without", "unsupported-shape")


def _beside(found: Found, entry: Mapping[str, Any], points: Sequence[Any], loc: str) -> Sequence[Any]:
    """The list of scores beside the outlines; None for each where there is no such list."""
    key = next((k for k in SCORES if entry.get(k) is not None), None)
    spoken = entry.get("rec_scores")
    if key is None and "dt_polys" in entry and isinstance(spoken, list) and len(spoken) == len(points):
        key = "rec_scores"  # PaddleOCR's pipeline says how well each text was read, where all were
    if key is None:
        return [None] * len(points)
    scores = entry[key]
    if type(scores) in (int, float) and len(points) == 1:
        return [scores]
    if not found.expect(scores, list, f"{loc}.{key}", "a list of scores"):
        return [None] * len(points)
    return found.beside(scores, len(points), f"{loc}.{key}")


def _numbers(values: Sequence[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)
