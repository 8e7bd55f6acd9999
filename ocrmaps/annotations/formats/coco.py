"""COCO json (`images`, `annotations`), COCO-Text v1 and v2 and TextOCR (`imgs`, `anns`): polygons, else boxes.

Ignored are `iscrowd`, `ignore`, `legibility: illegible` and, in TextOCR, whose polygons are `points`, the text `.`. A
segmentation of several parts gives one outline a part, without text, for no part holds all of it. RLE masks are
refused: they have no outline. A box is turned about its center where CVAT says so (`attributes`, `rotation`).
Where pictures carry a `set` (COCO-Text) and the source a split, only that set is read; the rest is counted.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from ocrmaps.annotations.columns import Columns, Settled
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines, JsonTable
from ocrmaps.annotations.grammar.contents import Doubled, shown, step
from ocrmaps.annotations.grammar.lines import box, turned_about_center
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, write_file
from ocrmaps.errors import Problem

_IMAGE = {"id", "file_name", "height", "width", "set"}
_POLYGONS = ("segmentation", "mask", "polygon", "points")
_UNREADABLE = "."
_TEXT = ("utf8_string", "text", "transcription")
_FLAGS = ("iscrowd", "ignore")
_Id = int | str
_IDS = (int, str)
_PLACES = {key: f".{key}" for key in _POLYGONS}
_NOTHING = frozenset[str]()
_Report = Callable[[str, str, str], None]
"""Takes a problem: its place in a row, what was found, and its kind."""
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


_KINDS = (list, dict)
_CHOICES = (
    (JsonTable("imgs", "a list", _KINDS), JsonTable("anns", "a list", _KINDS)),
    (JsonTable("images", "a list", _KINDS), JsonTable("annotations", "a list", _KINDS)),
)


def read(source: Source) -> Reading:
    """The samples of one file, in the order of its pictures."""
    g = Gather(source)
    tables = _Tables(g)
    with g.attempt():
        what = 'an object with "images" and "annotations"'
        for name, key, row in g.members(dict, what, *_CHOICES, ids="imgs", begin=tables.clear):
            if name:
                (tables.picture if name in ("imgs", "images") else tables.annotation)(name, key, row)
            elif key == "categories" and isinstance(row, list):
                g.unused["categories"] += len(row) if len(row) > 1 else 0
            elif key not in ("categories", "imgToAnns"):
                g.unused[str(key)] += 1
        tables.finish()
    return g.reading()


class _Tables:
    """The rows of both tables, which come in any order: what has to wait does so in few long columns."""

    def __init__(self, g: Gather) -> None:
        self.g = g
        self.clear()

    def clear(self) -> None:
        self.pictures: dict[_Id, tuple[str, dict[str, Any]]] = {}
        self.spoilt: set[_Id] = set()
        self.unused: dict[frozenset[str], Counter[_Id]] = {}
        self.problems: dict[_Id, list[Problem]] = {}
        self.loc = f"{self.g.file}:annotations"
        self.seen: dict[_Id, _Id] = {}
        self.numbered: dict[_Id, int] = {}
        # Outline by outline: whose it is, its row, and what it is.
        self.owners, self.rows = array("q"), list[_Id]()
        self.outlines = Columns()

    def picture(self, name: str, key: _Id, row: Any) -> None:
        loc = step(f"{self.g.file}:{name}", key)
        id = _key(row, "id", lambda at, *said: self.g.problem(f"{loc}{at}", *said))
        if id is None:
            return
        if id in self.pictures:
            message = f"found picture id {shown(id)} a second time, first at {self.pictures[id][0]}"
            self.g.problem(f"{loc}.id", message, "duplicate-id")
            self.spoilt.add(id)
        else:
            self.pictures[id] = loc, row

    def annotation(self, name: str, key: _Id, row: Any) -> None:
        g = self.g
        self.loc = f"{g.file}:{name}"
        since = len(g.problems)

        def problem(at: str, message: str, kind: str) -> None:  # places are made where they are needed
            g.problem(f"{step(self.loc, key)}{at}", message, kind)

        id = _key(row, "image_id", problem)
        if id is None:
            return
        own = row.get("id")
        line = own if own == key else key  # one string less to keep
        if type(own) in _IDS and self.seen.setdefault(own, line) is not line:
            first = step(self.loc, self.seen[own])
            g.problem(
                f"{step(self.loc, line)}.id",
                f"found annotation id {shown(own)} a second time, first at {first}",
                "duplicate-id",
            )
            self.spoilt.add(id)
        if isinstance(row, Doubled):
            self.spoilt.add(id)
        outlines, text, ignore, unused = _row(row, problem)
        owner = self.numbered.setdefault(id, len(self.numbered))
        for at, outline in outlines:
            self.owners.append(owner)
            self.rows.append(line)
            self.outlines.add(outline, text, ignore, at)
        if unused:
            self.unused.setdefault(unused, Counter())[id] += 1
        if len(g.problems) > since:  # they count where the picture is read, which may stand further down
            self.problems.setdefault(id, []).extend(g.problems[since:])
            del g.problems[since:]

    def finish(self) -> None:
        """Add the samples."""
        self.seen.clear()
        g, owners = self.g, np.array(self.owners)
        order = np.argsort(owners, kind="stable")
        settled = Settled(self.outlines, order)
        bounds = np.searchsorted(owners[order], np.arange(len(self.numbered) + 1)).tolist()
        for id, owner in self.numbered.items():
            if id not in self.pictures:
                message = f"found {shown(id)}, expected the id of a picture"
                rows = dict.fromkeys(self.rows[i] for i in settled.rows[bounds[owner] : bounds[owner + 1]])
                for key in rows:
                    g.problem(f"{step(self.loc, key)}.image_id", message, "unknown-picture")
                g.problems += self.problems.get(id, [])
        for id, (loc, row) in self.pictures.items():
            if g.source.split and isinstance(row.get("set"), str) and row["set"] != g.source.split:
                g.unused[f"pictures of set {shown(row['set'])}"] += 1
                continue
            if not row.keys() <= _IMAGE:
                g.unused.update(f"image {key}" for key in row.keys() - _IMAGE)
            for names, counts in self.unused.items():
                if id in counts:
                    g.unused.update(dict.fromkeys(names, counts[id]))
            since = 0 if id in self.spoilt else len(g.problems)  # problems of a spoilt picture were reported already
            g.problems += self.problems.get(id, [])
            own = self.numbered.get(id)
            start, stop = (0, 0) if own is None else (bounds[own], bounds[own + 1])
            g.settled(
                g.picture(row.get("file_name"), f"{loc}.file_name"),
                settled,
                start,
                stop,
                loc=loc,
                where=self._where,
                size=g.size(row.get("height"), row.get("width"), loc),
                since=since,
            )

    def _where(self, i: int) -> str:
        return step(self.loc, self.rows[i]) + self.outlines.steps[i]


def _key(row: Any, name: str, problem: _Report) -> _Id | None:
    if not isinstance(row, dict):
        problem("", f"found {shown(row)}, expected an object", "wrong-type")
        return None
    key: _Id | None = row.get(name)
    if type(key) in _IDS:
        return key
    problem(f".{name}", f"found {shown(key)}, expected a number or a string", "wrong-type")
    return None


def add_row(g: Gather, found: GatheredOutlines, row: dict[str, Any], loc: str) -> frozenset[str]:
    """Add the outlines of one COCO annotation, and name what it holds besides."""
    outlines, text, ignore, unused = _row(row, lambda at, *said: g.problem(f"{loc}{at}", *said))
    for at, outline in outlines:
        found.add(f"{loc}{at}", outline, text, ignore=ignore, score=g.score(row))
    return unused


def _row(row: dict[str, Any], problem: _Report) -> tuple[list[tuple[str, Any]], Any, bool, frozenset[str]]:
    """(outlines with their places in it, text, whether they are ignored, what else it holds) of one annotation."""
    outlines = _outlines(row, problem)
    ignore = _ignored(row, problem)
    text = None
    for key in _TEXT:
        text = row.get(key)
        if text is not None:
            break
    if text == _UNREADABLE and row.get("points"):
        text, ignore = None, True
    unused = _NOTHING if row.keys() <= _ANNOTATION else frozenset(f"annotation {k}" for k in row.keys() - _ANNOTATION)
    if len(outlines) > 1 and text is not None:
        unused |= {"texts of outlines in several parts"}
        text = None
    return outlines, text, ignore, unused


def _outlines(row: dict[str, Any], problem: _Report) -> list[tuple[str, Any]]:
    for key in _POLYGONS:
        value = row.get(key)
        if value is None or value == []:
            continue
        if isinstance(value, dict):
            problem(f".{key}", "found an RLE mask, expected polygons", "rle-mask")
            return []
        if isinstance(value, list) and isinstance(value[0], list) and not (len(value[0]) == 2 and _pairs(value)):
            return [(intern(f".{key}[{i}]"), part) for i, part in enumerate(value)]
        return [(_PLACES[key], value)]
    bbox = row.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not _small_numbers(bbox):
        problem(".bbox", f"found {shown(bbox)}, expected a polygon or [x, y, width, height]", "wrong-type")
        return []
    x, y, width, height = bbox
    if width < 0 or height < 0:
        problem(".bbox", f"found sides {shown(width)}, {shown(height)}; expected positive", "invalid-box")
        return []
    return [(".bbox", turned_about_center(box(x, y, x + width, y + height), _rotation(row.get("attributes"))))]


def _rotation(attributes: Any) -> float:
    """The degrees by which CVAT turned a box; it writes the box itself as it was before."""
    degrees: Any = attributes.get("rotation") if isinstance(attributes, dict) else None
    return float(degrees) if type(degrees) in (int, float) and abs(degrees) < 1e12 else 0.0


def _small_numbers(values: list[Any]) -> bool:
    """Whether these are numbers that can be added; an integer of 400 digits cannot."""
    return {type(v) for v in values} <= {int, float} and all(abs(v) < 1e300 for v in values)


def _pairs(value: list[Any]) -> bool:
    """Whether a nested list is one outline of [x, y] points rather than a list of flat outlines."""
    return all(isinstance(item, list) and len(item) == 2 for item in value)


def _ignored(row: dict[str, Any], problem: _Report) -> bool:
    ignored = False
    for key in _FLAGS:
        flag = row.get(key)
        if flag is None:
            continue
        if type(flag) not in (int, bool) or flag not in (0, 1):
            problem(f".{key}", f"found {shown(flag)}, expected 0 or 1", "wrong-type")
        ignored = ignored or flag in (1, True)
    legibility = row.get("legibility")
    if legibility is not None and legibility not in ("legible", "illegible"):
        problem(".legibility", f"found {shown(legibility)}, expected legible or illegible", "wrong-type")
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
