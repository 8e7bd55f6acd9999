"""VGG Image Annotator (VIA 1 and 2): its json (annotations or whole project) or csv, with rectangles and polygons.

The text is an attribute called text or transcription; a true or equally named attribute ignore, illegible and the like
ignores the region. Other attributes are counted. Circles, ellipses, lines and points are refused by name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import HEAD_BYTES, Head
from ocrmaps.annotations.formats.cvat import TEXT
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather, GatheredOutlines, JsonTable
from ocrmaps.annotations.grammar.contents import refusal, shown, step
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.cells import long_cells
from ocrmaps.files import open_regular

_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
_PROJECT = "_via_img_metadata"
_TRUE = ("true", "1", "yes")


def recognize(head: Head) -> str:
    """Why this looks like VIA, or nothing."""
    if isinstance(head.json, dict):
        entries = head.json.get(_PROJECT, head.json)
        first = next(iter(entries.values()), None) if isinstance(entries, dict) else None
        if _PROJECT in head.json or (isinstance(first, dict) and "regions" in first and "filename" in first):
            return 'json from picture to "filename" and "regions"'
    if head.lines and not head.per_picture and set(_COLUMNS) <= set(_columns(head.lines[0].split(","))):
        return "a table with the columns filename and region_shape_attributes"
    return ""


def _columns(fields: list[str]) -> list[str]:
    return [field.strip().strip('"').lstrip("#").lower() for field in fields]


def read(source: Source) -> Reading:
    """The samples of one file, in its order."""
    g = Gather(source)
    with g.attempt():
        if _begins_with(source.annotations, b"{"):
            what = "an object from picture to regions"
            for member, name, entry in g.members(dict, what, [JsonTable(_PROJECT, what, (dict,), optional=True)]):
                if member or not str(name).startswith("_via_"):
                    _entry(g, entry, f"{g.file}:{step(member, name)}")
        else:
            _table(g, g.text(source.annotations, g.file))
    return g.reading()


def _begins_with(path: Path, sign: bytes) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(sign)
    except OSError:
        return False


def _entry(g: Gather, entry: Any, loc: str) -> None:
    since = len(g.problems)
    if not g.expect(entry, dict, loc, 'an object with "filename" and "regions"'):
        return
    found = GatheredOutlines()
    for place, region in _regions(g, entry.get("regions"), f"{loc}.regions"):
        _region(g, found, place, region.get("shape_attributes"), region.get("region_attributes"))
    g.unused["file_attributes"] += bool(entry.get("file_attributes"))
    g.page(g.addressed(entry.get("filename"), f"{loc}.filename"), loc, found, since=since)


def _regions(g: Gather, regions: Any, loc: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A list, or as VIA 1 has it an object by number."""
    items = regions.items() if isinstance(regions, dict) else enumerate(regions) if isinstance(regions, list) else None
    if items is None:
        g.problem(loc, f"found {shown(regions)}, expected a list of regions", "wrong-type")
        return
    for key, region in items:
        if g.expect(region, dict, step(loc, key), "an object with shape_attributes"):
            yield step(loc, key), region


def _region(g: Gather, found: GatheredOutlines, place: str, shape: Any, attributes: Any) -> None:
    if not g.expect(shape, dict, place, "shape_attributes"):
        return
    outline = _outline(g, shape, place)
    if outline is None:
        return
    attributes = attributes if isinstance(attributes, dict) else {}
    named = {str(name).strip().lower(): value for name, value in attributes.items()}
    text = next((value for name, value in named.items() if name in TEXT), None)
    g.unused.update(f"attribute {name}" for name in named if name not in (*TEXT, *IGNORE))
    found.add(place, outline, text, ignore=any(_marks(name, value) for name, value in named.items()))


def _marks(name: str, value: Any) -> bool:
    """`ignore: true`, a ticked box `{"ignore": true}`, or a class such as `type: illegible`."""
    if isinstance(value, dict):
        return any(key.strip().lower() in IGNORE and ticked is True for key, ticked in value.items())
    said = str(value).strip().lower()
    return (name in IGNORE and said in _TRUE) or (name not in TEXT and said in IGNORE)


def _outline(g: Gather, shape: dict[str, Any], place: str) -> Any:
    kind = shape.get("name")
    if kind == "rect":
        numbers: list[Any] = [shape.get(key) for key in ("x", "y", "width", "height")]
        if all(type(v) in (int, float) and abs(v) < 1e300 for v in numbers):
            x, y, width, height = numbers
            return box(x, y, x + width, y + height)
        g.problem(place, f"found {shown(numbers)}, expected x, y, width and height", "wrong-type")
        return None
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys):
            return [v for pair in zip(xs, ys, strict=True) for v in pair]
        g.problem(place, "found other than as many all_points_x as all_points_y, expected one for one", "odd-count")
        return None
    message = f"found a region {shown(kind)}, expected a rect or a polygon; redraw or remove it"
    g.problem(place, message, "unsupported-shape")
    return None


def _table(g: Gather, text: str) -> None:
    with long_cells():
        rows = csv.reader(StringIO(text, newline=""), strict=True)
        pages: dict[str, tuple[str, GatheredOutlines]] = {}
        broken = set()
        try:
            head = _columns(next(rows, []))
            if not set(_COLUMNS) <= set(head):
                raise refusal(f"{g.file}:1", f"found columns {shown(head)}, expected {', '.join(_COLUMNS)}")
            at = [head.index(name) for name in _COLUMNS]
            for row in rows:
                loc, since = f"{g.file}:{rows.line_num}", len(g.problems)
                if len(row) == len(head):
                    _, found = pages.setdefault(row[at[0]], (loc, GatheredOutlines()))
                    with g.attempt():
                        shape, attributes = (g.parse_json(row[i] or "{}", loc) for i in at[1:])
                        if shape:  # a picture without region has a row with an empty one
                            _region(g, found, loc, shape, attributes)
                    if len(g.problems) > since:
                        broken.add(row[at[0]])
                elif row:
                    message = f"found {len(row)} columns, expected {len(head)} as in the first line"
                    raise refusal(loc, message, "invalid-line")
        except csv.Error as error:
            raise refusal(
                f"{g.file}:{rows.line_num}", f"found a row that cannot be read: {error}", "invalid-line"
            ) from None
    for name, (loc, found) in pages.items():
        g.page(g.addressed(name, loc), loc, found, since=-1 if name in broken else len(g.problems))
