"""COCO json (`images`, `annotations`), COCO-Text v1 and v2 and TextOCR (`imgs`, `anns`): polygons, else boxes.

Ignored are `iscrowd`, `ignore`, `legibility: illegible` and, in TextOCR, whose polygons are `points`, the text `.`. A
segmentation of several parts gives one outline a part, without text, for no part holds all of it. RLE masks are
refused: they have no outline.
Where pictures carry a `set` (COCO-Text) and the source a split, only that set is read; the rest is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import Doubled, shown, step
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, write_file

_IMAGE = {"id", "file_name", "height", "width", "set"}
_POLYGONS = ("segmentation", "mask", "polygon", "points")
_UNREADABLE = "."
_TEXT = ("utf8_string", "text", "transcription")
_FLAGS = ("iscrowd", "ignore")
_ANNOTATION = {"id", "image_id", "category_id", "area", "legibility", "bbox", *_POLYGONS, *_TEXT, *_FLAGS}


def recognize(head: Head) -> str:
    """Why this looks like COCO, or nothing."""
    root = head.json
    if not isinstance(root, dict):
        return ""
    if isinstance(root.get("imgs"), dict) or isinstance(root.get("anns"), dict):
        return 'json with "imgs" and "anns" (COCO-Text)'
    for key, sign in (("images", "file_name"), ("annotations", "image_id")):
        rows = root.get(key)
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and sign in rows[0]:
            if "paragraphs" in rows[0]:  # HierText
                return ""
            return f'json whose "{key}" are a list with "{sign}"'
    return ""


@dataclass(slots=True)
class CocoFound:
    """The outlines of one picture, gathered from its annotations."""

    points: list[Any] = field(default_factory=list)
    ignore: list[Any] = field(default_factory=list)
    texts: list[Any] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def where(self, i: int) -> str:
        return self.places[i]


def read(source: Source) -> Reading:
    """The samples of one file, in the order of its pictures."""
    g = Gather(source)
    with g.attempt():
        root = g.json(source.annotations, g.file, ids="imgs")
        if g.expect(root, dict, g.file, 'an object with "images" and "annotations"'):
            short = "imgs" in root or "anns" in root
            names = ("imgs", "anns") if short else ("images", "annotations")
            g.unused.update(key for key in root if key not in (*names, "imgToAnns", "categories"))
            if isinstance(root.get("categories"), list) and len(root["categories"]) > 1:
                g.unused["categories"] += len(root["categories"])
            images, annotations = (_rows(g, root, name) for name in names)
            _pictures(g, images, annotations)
    return g.reading()


def _rows(g: Gather, root: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    """(place, object) of a table, which is a list, or an object by id."""
    table, loc = root.get(name), f"{g.file}:{name}"
    if isinstance(table, dict):
        return [(step(loc, key), row) for key, row in table.items()]
    if g.expect(table, list, loc, "a list"):
        return [(f"{loc}[{i}]", row) for i, row in enumerate(table)]
    return []


def _key(g: Gather, row: Any, name: str, loc: str) -> int | str | None:
    if not g.expect(row, dict, loc, "an object"):
        return None
    key = row.get(name)
    if type(key) in (int, str):
        return key
    g.problem(f"{loc}.{name}", f"found {shown(key)}, expected a number or a string", "wrong-type")
    return None


def _pictures(g: Gather, images: list[tuple[str, Any]], annotations: list[tuple[str, Any]]) -> None:
    first: dict[int | str, str] = {}
    owned: dict[int | str, list[tuple[str, Any]]] = {}
    spoilt: set[int | str] = set()
    for loc, row in images:
        key = _key(g, row, "id", loc)
        if key is not None and first.setdefault(key, loc) is not loc:
            message = f"found picture id {shown(key)} a second time, first at {first[key]}"
            g.problem(f"{loc}.id", message, "duplicate-id")
            spoilt.add(key)
        elif key is not None:
            owned[key] = []
    seen: dict[int | str, str] = {}
    for loc, row in annotations:
        owner = _key(g, row, "image_id", loc)
        if owner is None:
            continue
        if owner not in owned:
            g.problem(f"{loc}.image_id", f"found {shown(owner)}, expected the id of a picture", "unknown-picture")
            continue
        owned[owner].append((loc, row))
        own = row.get("id")
        if isinstance(row, Doubled):
            spoilt.add(owner)
        if type(own) in (int, str) and seen.setdefault(own, loc) is not loc:
            message = f"found annotation id {shown(own)} a second time, first at {seen[own]}"
            g.problem(f"{loc}.id", message, "duplicate-id")
            spoilt.add(owner)
    for loc, row in images:
        if isinstance(row, dict) and type(row.get("id")) in (int, str) and first.get(row["id"]) is loc:
            _picture(g, row, loc, owned[row["id"]], spoilt=row["id"] in spoilt)


def _picture(g: Gather, row: dict[str, Any], loc: str, annotations: list[tuple[str, Any]], *, spoilt: bool) -> None:
    since = 0 if spoilt else len(g.problems)  # problems of a spoilt picture's annotations were reported already
    if g.source.split and isinstance(row.get("set"), str) and row["set"] != g.source.split:
        g.unused[f"pictures of set {shown(row['set'])}"] += 1
        return
    if not row.keys() <= _IMAGE:
        g.unused.update(f"image {key}" for key in row.keys() - _IMAGE)
    found = outlines_of(g, annotations)
    g.sample(
        g.picture(row.get("file_name"), f"{loc}.file_name"),
        loc=loc,
        points=found.points,
        ignore=found.ignore,
        texts=found.texts,
        where=found.where,
        size=g.size(row.get("height"), row.get("width"), loc),
        since=since,
    )


def outlines_of(g: Gather, annotations: Sequence[tuple[str, Any]]) -> CocoFound:
    """The outlines of one picture's COCO annotations, each (place, object)."""
    found = CocoFound()
    for loc, row in annotations:
        if not g.expect(row, dict, loc, "an object"):
            continue
        parts = _parts(g, row, loc)
        ignore = _ignored(g, row, loc)
        text = next((row[key] for key in _TEXT if row.get(key) is not None), None)
        if text == _UNREADABLE and row.get("points"):
            text, ignore = None, True
        if not row.keys() <= _ANNOTATION:
            g.unused.update(f"annotation {key}" for key in row.keys() - _ANNOTATION)
        if len(parts) > 1 and text is not None:
            g.unused["texts of outlines in several parts"] += 1
            text = None
        for place, part in parts:
            found.points.append(part)
            found.ignore.append(ignore)
            found.texts.append(text)
            found.places.append(place)
    return found


def _parts(g: Gather, row: dict[str, Any], loc: str) -> list[tuple[str, Any]]:
    for key in _POLYGONS:
        value = row.get(key)
        if isinstance(value, dict):
            g.problem(f"{loc}.{key}", "found an RLE mask, expected polygons", "rle-mask")
            return []
        if value is None or value == []:
            continue
        if isinstance(value, list) and isinstance(value[0], list) and not (len(value[0]) == 2 and _pairs(value)):
            return [(f"{loc}.{key}[{i}]", part) for i, part in enumerate(value)]
        return [(f"{loc}.{key}", value)]
    bbox = row.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not _small_numbers(bbox):
        g.problem(f"{loc}.bbox", f"found {shown(bbox)}, expected a polygon or [x, y, width, height]", "wrong-type")
        return []
    x, y, width, height = bbox
    if width < 0 or height < 0:
        g.problem(f"{loc}.bbox", f"found sides {shown(width)}, {shown(height)}; expected positive", "invalid-box")
        return []
    return [(f"{loc}.bbox", box(x, y, x + width, y + height))]


def _small_numbers(values: list[Any]) -> bool:
    """Whether these are numbers that can be added; an integer of 400 digits cannot."""
    return {type(v) for v in values} <= {int, float} and all(abs(v) < 1e300 for v in values)


def _pairs(value: list[Any]) -> bool:
    """Whether a nested list is one outline of [x, y] points rather than a list of flat outlines."""
    return all(isinstance(item, list) and len(item) == 2 for item in value)


def _ignored(g: Gather, row: dict[str, Any], loc: str) -> bool:
    ignored = False
    for key in _FLAGS:
        flag = row.get(key)
        if flag is not None and (type(flag) not in (int, bool) or flag not in (0, 1)):
            g.problem(f"{loc}.{key}", f"found {shown(flag)}, expected 0 or 1", "wrong-type")
        ignored = ignored or flag in (1, True)
    legibility = row.get("legibility")
    if legibility is not None and legibility not in ("legible", "illegible"):
        g.problem(f"{loc}.legibility", f"found {shown(legibility)}, expected legible or illegible", "wrong-type")
    return ignored or legibility == "illegible"


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One COCO file with a category `text`; ignored outlines are `iscrowd`, texts are `utf8_string`."""
    draft = AnnotationDraft(samples)
    images: list[str] = []
    annotations: list[str] = []
    for i, sample in enumerate(draft.samples, start=1):
        image: dict[str, Any] = {"id": i, "file_name": sample.id}
        if sample.size is None:
            draft.lose("picture sizes unknown")
        else:
            image |= {"height": sample.size[0], "width": sample.size[1]}
        images.append(compact(image))
        for points, ignore, text in draft.outlines(sample):
            xs, ys = points[::2], points[1::2]
            row: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": i,
                "category_id": 1,
                "segmentation": [points],
                "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
                "area": outline_area(xs, ys),
                "iscrowd": int(ignore),
            }
            if text is not None:
                row["utf8_string"] = text
            annotations.append(compact(row))
    category = compact([{"id": 1, "name": "text", "supercategory": "text"}])
    tables = f'"images": [\n{_table(images)}\n],\n"annotations": [\n{_table(annotations)}\n]'
    return write_file(draft, out, f'{{"categories": {category},\n{tables}}}\n', overwrite=overwrite)


def outline_area(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Shoelace area, counted from the first point to keep digits."""
    x, y = [v - xs[0] for v in xs], [v - ys[0] for v in ys]
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2


def _table(rows: list[str]) -> str:
    return ",\n".join(rows)
