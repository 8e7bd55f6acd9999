"""The outlines of one record with columns, as tables and the json files of archives have them.

`polygons` (also `quads`, `points`), or boxes `bboxes` of x0, y0, x1, y1, beside lists of `texts` and `ignore` flags; or
`objects`: such lists, or a list of objects, whose `bbox` is x, y, width, height, as COCO and Hugging Face have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import box

_OUTLINES = ("polygons", "polygon", "quads", "quad", "points", "vertices")
_CORNERS = ("bboxes", "boxes")
_TEXTS = ("texts", "transcriptions", "words", "text", "transcription")
_IGNORE = ("ignore", "ignored", "illegible", "illegibility", "iscrowd")
KNOWN = {*_OUTLINES, *_CORNERS, *_TEXTS, *_IGNORE, "height", "width", "objects", "bbox"}
_LISTS = ("objects", "annotations", "instances", "words", "lines")
OUTLINES = (*_OUTLINES, *_CORNERS, "bbox", "objects")
"""Columns of which a record needs one."""


def add_outlines(g: Gather, found: GatheredOutlines, record: Mapping[str, Any], loc: str) -> None:
    """Add what a record states; a record without any of these columns is a problem."""
    listed = next((name for name in _LISTS if _is_rows(record.get(name))), None)
    if listed is not None:
        for i, row in enumerate(record[listed]):
            if g.expect(row, dict, f"{loc}.{listed}[{i}]", "an object with an outline"):
                _add(g, found, row, f"{loc}.{listed}[{i}]")
        return
    objects = record.get("objects")
    columns, place = (objects, f"{loc}.objects") if isinstance(objects, dict) else (record, loc)
    key = next((k for k in (*_OUTLINES, *_CORNERS, "bbox") if columns.get(k) is not None), None)
    if key is None or not isinstance(columns[key], list):
        g.problem(place, f"found {shown(sorted(columns))}, expected polygons, bboxes or objects", "wrong-type")
        return
    outlines = columns[key]
    texts, ignore = (_column(g, columns, names, len(outlines), place) for names in (_TEXTS, _IGNORE))
    if texts is not None and ignore is not None:
        for i, outline in enumerate(outlines):
            points = _corners(outline, sides=key == "bbox") if key in (*_CORNERS, "bbox") else outline
            found.add(f"{place}.{key}[{i}]", points, texts[i], ignore=_flag(ignore[i]))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _add(g: Gather, found: GatheredOutlines, row: Mapping[str, Any], loc: str) -> None:
    key = next((k for k in _OUTLINES if row.get(k) is not None), "bbox")
    points = _corners(row.get("bbox"), sides=True) if key == "bbox" else row[key]
    text = next((row[k] for k in _TEXTS if row.get(k) is not None), None)
    ignore = next((row[k] for k in _IGNORE if row.get(k) is not None), False)
    g.unused.update(f"outline {k}" for k in row.keys() - KNOWN)
    found.add(f"{loc}.{key}", points, text, ignore=_flag(ignore))


def _column(g: Gather, columns: Mapping[str, Any], names: tuple[str, ...], size: int, loc: str) -> list[Any] | None:
    """One value for each outline; Nones where the column is absent, nothing where it has another length."""
    key = next((name for name in names if isinstance(columns.get(name), list)), None)
    if key is None:
        return [None] * size
    if len(columns[key]) == size:
        return list(columns[key])
    g.problem(f"{loc}.{key}", f"found {len(columns[key])} values, expected one for each of {size}", "odd-count")
    return None


def _flag(value: Any) -> Any:
    return bool(value) if value is None or value in (0, 1) else value


def _corners(bbox: Any, *, sides: bool) -> Any:
    """A quad; anything else comes back as it is and is refused as an outline."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(type(v) in (int, float) for v in bbox):
        return bbox
    x, y, right, bottom = bbox
    if any(abs(v) > 1e300 for v in bbox):
        return bbox
    return box(x, y, x + right, y + bottom) if sides else box(x, y, right, bottom)
