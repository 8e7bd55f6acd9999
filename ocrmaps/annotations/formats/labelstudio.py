"""Label Studio json: exported tasks (`data`, `annotations` of `result` regions) and JSON-MIN (`image`, `bbox`, ...).

Rectangles (with rotation) and polygons are in per cent of the sides; the texts of a region are those of its id. A
region labelled ignore, illegible, `###` and the like is ignored; other labels are counted. A task without annotation
that has one prediction (pre-annotation) is read by that, with a note; one with neither was not worked on and is
counted.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ocrmaps.annotations.columns import Columns, Settled
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.grammar.shares import DIGITS, is_whole, picture_size, pixels, rounded
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, number_pairs, sizes_of, write_file
from ocrmaps.geometry import Size
from ocrmaps.limits import MAX_COORDINATE

_PICTURE = ("image", "ocr", "img", "captioning", "image_url", "url")
"""What the labelling templates call the picture; any other key with a string that names a picture is taken, too."""
_OTHER = {"brushlabels": "rle-mask", "brush": "rle-mask"}


def recognize(head: Head) -> str:
    """Why this looks like Label Studio, or nothing."""
    first = head.json[0] if isinstance(head.json, list) and head.json else None
    if isinstance(first, dict):
        if isinstance(first.get("data"), dict) and ("annotations" in first or "predictions" in first):
            return 'a json list of tasks with "data" and "annotations"'
        if {"annotator", "annotation_id"} <= first.keys() or any(map(_is_shapes, first.values())):
            return 'a json list of pictures with "annotator" or regions of an "original_width"'
    return ""


def _is_shapes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "original_width" in value[0]


def read(source: Source) -> Reading:
    """The samples of one file, in the order of its tasks."""
    g = Gather(source)
    pages = _Pages(g)
    with g.attempt():
        for _, i, task in g.members(list, "a list of tasks", begin=pages.clear, repetitive=True):
            loc = f"{g.file}:[{i}]"
            if g.expect(task, dict, loc, 'an object with "data" and "annotations"'):
                (_task if "data" in task else _short)(pages, task, loc)
        pages.finish()
    return g.reading()


class _Page(NamedTuple):
    id: str | None
    loc: str
    stop: int
    """Where its outlines end."""
    size: Size | None
    since: int
    problems: int
    """How many there were before and with it."""


class _Pages:
    """The pictures, whose outlines become pixels all at once."""

    def __init__(self, g: Gather) -> None:
        self.g = g
        self.clear()

    def clear(self) -> None:
        self.pages: list[_Page] = []
        self.outlines = Columns()
        # Of each outline the width and height that its numbers are per cent of, or `_PIXELS`.
        self.sides = array("d")

    def add(
        self, outline: list[float] | array[float], sides: tuple[float, float], text: Any, ignore: bool, place: str
    ) -> None:
        self.outlines.add(outline, text, ignore, place)
        self.sides.extend(sides)

    def close(self, id: str | None, loc: str, size: Size | None, since: int) -> None:
        """The outlines added since the last picture are those of this one."""
        self.pages.append(_Page(id, loc, len(self.outlines), size, since, len(self.g.problems)))

    def finish(self) -> None:
        """Add the samples; what is wrong with their outlines stands where the picture was read."""
        g, columns = self.g, self.outlines
        sides = np.repeat(np.array(self.sides).reshape(-1, 2), np.diff(columns.ends) // 2, axis=0).ravel()
        values = np.array(columns.numbers)
        shares = sides > 0
        with np.errstate(over="ignore", invalid="ignore"):  # what is infinite is named with all that is too far away
            values[shares] = rounded(values[shares] / 100 * sides[shares])
        columns.numbers = array("d", values.tobytes())
        settled = Settled(columns)
        known, g.problems = g.problems, []
        start, before = 0, 0
        for page in self.pages:
            since = len(g.problems) + page.since - before
            g.problems += known[before : page.problems]
            g.settled(
                page.id,
                settled,
                start,
                page.stop,
                loc=page.loc,
                where=columns.steps.__getitem__,
                size=page.size,
                since=since,
            )
            start, before = page.stop, page.problems
        g.problems += known[before:]


def _task(pages: _Pages, task: dict[str, Any], loc: str) -> None:
    """One task of the full export."""
    g, since = pages.g, len(pages.g.problems)
    data = task.get("data")
    work = _work(g, task, loc)
    if work is None or not g.expect(data, dict, f"{loc}.data", "an object that names the picture"):
        return
    place, results = work
    if g.expect(results, list, place, "a list of regions"):
        _add(pages, data, f"{loc}.data", loc, _of_results(g, results, place), since)


def _work(g: Gather, task: dict[str, Any], loc: str) -> tuple[str, Any] | None:
    """(place, results) of the one annotation of a task, else of its one prediction."""
    for kind in ("annotations", "predictions"):
        listed = task.get(kind)
        if listed is None or not g.expect(listed, list, f"{loc}.{kind}", "a list"):
            continue
        found = []
        for i, one in enumerate(listed):
            if g.expect(one, dict, f"{loc}.{kind}[{i}]", 'an object with "result"'):
                if one.get("was_cancelled") is True:
                    g.unused["skipped annotations"] += 1
                else:
                    found.append((f"{loc}.{kind}[{i}].result", one))
        true = [(place, one) for place, one in found if one.get("ground_truth") is True]
        if len(found) > 1 and len(true) == 1:
            g.unused["annotations beside the ground truth"] += len(found) - 1
            found = true
        if len(found) > 1:
            message = f"found {len(found)} {kind} of one picture, expected one, or one marked as ground truth"
            g.problem(f"{loc}.{kind}", message, "duplicate-id")
            return None
        if found:
            if kind == "predictions":
                g.note(found[0][0], "found no annotation: read the prediction", "pre-annotation")
            return found[0][0], found[0][1].get("result")
    g.unused["tasks without annotation"] += 1
    return None


_KINDS = {"labels", "choices", "rating", "number", "relation", "textarea", "polygon", "rectangle"}
"""Types of results that are understood, as they are usually written."""
_PIXELS = (0.0, 0.0)
_NUMBER, _LIST, _PAIR = {int, float}, {list}, {2}
"""Types and lengths of what is in order."""


@dataclass(slots=True)
class _Region:
    place: str
    value: dict[str, Any]
    """Its shape."""
    about: dict[str, Any]
    """What states the sides of the picture, and whether it was turned."""
    labels: list[str]
    texts: Any = None


def _of_results(g: Gather, results: list[Any], loc: str) -> list[_Region]:
    """The region of every id that has a shape."""
    by_id: dict[str | int, _Region] = {}
    for i, result in enumerate(results):
        # Messages are made where they are needed: big files have millions of results.
        if not isinstance(result, dict):
            g.expect(result, dict, f"{loc}[{i}]", "an object with type and value")
            continue
        key = result.get("id")
        if type(key) is not str:
            key = i
        region = by_id.get(key)
        if region is None:
            region = by_id[key] = _Region("", {}, result, [])
        value = result.get("value")
        if not isinstance(value, dict):
            g.expect(value, dict, f"{loc}[{i}].value", "an object")
            continue
        kind = result.get("type")
        if type(kind) is not str or kind not in _KINDS:
            kind = str(kind).lower()
        if kind == "textarea":
            region.texts = value.get("text")
            continue
        if kind.startswith(("rectangle", "polygon")) or (kind == "labels" and ("points" in value or "x" in value)):
            if not region.place:
                region.place, region.value, region.about = f"{loc}[{i}].value", value, result
        elif kind not in _KINDS:
            message = f"found a region of type {shown(result.get('type'))}, expected a rectangle or a polygon"
            g.problem(f"{loc}[{i}].type", f"{message}; redraw or remove it", _OTHER.get(kind, "unsupported-shape"))
        if kind != "polygon" and kind != "rectangle":
            region.labels += _labels(value)
    drawn = [region for region in by_id.values() if region.place]
    g.unused["results without a region"] += len(by_id) - len(drawn)
    return drawn


def _short(pages: _Pages, task: dict[str, Any], loc: str) -> None:
    """One picture of JSON-MIN: regions in a list for each control, texts in a list of their own."""
    g, since = pages.g, len(pages.g.problems)
    shapes: dict[str, _Region] = {}
    lists = set()
    for key, value in task.items():
        if not isinstance(value, list) or not _looks_drawn(value):
            continue
        for i, region in enumerate(value):
            place = f"{loc}.{key}[{i}]"
            if g.expect(region, dict, place, "an object with x, y, width and height, or points"):
                # The same region is listed by what drew it and by what labelled it.
                same = repr([region.get(name) for name in ("x", "y", "width", "height", "rotation", "points")])
                shapes.setdefault(same, _Region(place, region, region, [])).labels += _labels(region)
                lists.add((key, len(value)))
    texts = task.get("transcription", task.get("text"))
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or len(texts) != len(shapes) or not all(n == len(shapes) for _, n in lists):
        if isinstance(texts, list):
            g.unused["texts of unknown regions"] += len(texts)
        texts = [None] * len(shapes)
    for region, text in zip(shapes.values(), texts, strict=True):
        region.texts = text
    _add(pages, task, loc, loc, list(shapes.values()), since)


def _looks_drawn(value: list[Any]) -> bool:
    return any(isinstance(region, dict) and ("points" in region or "width" in region) for region in value)


def _add(
    pages: _Pages,
    data: dict[str, Any],
    where: str,
    loc: str,
    regions: Sequence[_Region],
    since: int,
) -> None:
    g = pages.g
    id = _picture(g, data, where)
    others, said = 0, (None, None)
    sizes = set[Size]()
    for region in regions:
        about = region.about
        sides = about.get("original_height"), about.get("original_width")
        if sides != said:
            said, stated = sides, g.size(*sides, region.place)
            sizes |= set() if stated is None else {stated}
    size = next(iter(sizes), None)
    if len(sizes) > 1:
        g.problem(
            loc, f"found {len(sizes)} sizes of one picture, expected one original_width and original_height", "size"
        )
    elif size is None and regions:
        size = picture_size(g, id, loc)
    across = (size[1], size[0]) if size else _PIXELS
    for region in regions:
        if region.about.get("image_rotation") not in (None, 0):
            message = "found a picture that was turned for drawing, expected image_rotation 0"
            g.problem(region.place, f"{message}; turn it back in Label Studio and export again", "unsupported-shape")
            continue
        if size is None:
            continue
        points = region.value.get("points")
        shares = points is not None
        outline = _shares(g, points, region.place) if shares else _rectangle(g, region, size)
        if outline is not None:
            labels = region.labels
            ignored = bool(labels) and any(map(_means_ignore, labels))
            others += not ignored and bool(labels)
            pages.add(outline, across if shares else _PIXELS, _text(region.texts), ignored, region.place)
    g.unused["label"] += others
    pages.close(id, loc, size, since)


@lru_cache(maxsize=1024)
def _means_ignore(label: str) -> bool:
    return label.strip().lower() in IGNORE


def _text(texts: Any) -> Any:
    """One text: several lines of one region follow each other."""
    if type(texts) is list and len(texts) == 1 and type(texts[0]) is str:
        return texts[0]
    if isinstance(texts, list) and set(map(type, texts)) <= {str}:
        return "\n".join(texts) if texts else None
    return texts


def _labels(value: dict[str, Any]) -> list[str]:
    """All that a region is called: `rectanglelabels`, `polygonlabels`, `labels`."""
    return [
        label
        for key, labels in value.items()
        if type(labels) is list and key.endswith("labels")
        for label in labels
        if isinstance(label, str)
    ]


def _shares(g: Gather, points: Any, place: str) -> array[float] | None:
    """x, y, x, y, ... of a list of [x, y] points in bearable numbers."""
    if type(points) is list and _LIST.issuperset(map(type, points)) and _PAIR.issuperset(map(len, points)):
        flat = list(chain.from_iterable(points))
        if _NUMBER.issuperset(map(type, flat)):
            with suppress(OverflowError):
                # What is infinite or too far away is found with all others, once these are pixels.
                return array("d", flat)
    g.problem(f"{place}.points", f"found {shown(points)}, expected [x, y] points in per cent", "wrong-type")
    return None


def _rectangle(g: Gather, region: _Region, size: Size) -> list[float] | None:
    height, width = size
    bounds = [region.value.get(key) for key in ("x", "y", "width", "height")] + [region.value.get("rotation") or 0]
    if not _numbers(bounds):
        g.problem(region.place, f"found {shown(bounds[:4])}, expected x, y, width and height in per cent", "wrong-type")
        return None
    left, top = bounds[0] / 100 * width, bounds[1] / 100 * height
    w, h = bounds[2] / 100 * width, bounds[3] / 100 * height
    if not bounds[4] % 360:
        right, bottom = round(left + w, DIGITS), round(top + h, DIGITS)
        return box(round(left, DIGITS), round(top, DIGITS), right, bottom)
    turn = math.radians(bounds[4] % 360)
    cos, sin = math.cos(turn), math.sin(turn)
    corners = ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h))
    return [v for x, y in corners for v in (pixels(left + x * cos - y * sin, 1), pixels(top + x * sin + y * cos, 1))]


def _numbers(values: Sequence[Any]) -> bool:
    """Whether these are all numbers, none of them infinite or no number at all."""
    if not _NUMBER.issuperset(map(type, values)):
        return False
    if sum(map(abs, values)) <= MAX_COORDINATE:  # nearly always
        return True
    # Of the bounds alone, a number that is none passes where it does not come first.
    return min(values) >= -MAX_COORDINATE and max(values) <= MAX_COORDINATE and not math.isnan(sum(values))


def _picture(g: Gather, data: dict[str, Any], loc: str) -> str | None:
    """The id of the picture that a task's data names: by a path, or by the end of an address that the folder holds."""
    key = next((key for key in _PICTURE if isinstance(data.get(key), str)), None)
    if key is None:
        names = [k for k, v in data.items() if isinstance(v, str) and re.search(r"\.\w{3,4}$", v)]
        if len(names) != 1:
            g.problem(loc, f"found no picture among {shown(sorted(data))}, expected one of {', '.join(_PICTURE)}")
            return None
        key = names[0]
    return g.addressed(data[key], f"{loc}.{key}")


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False, prefix: str = "") -> WriteReport:
    """One list of tasks whose outlines are pre-annotations, for the OCR template (`ocr`, labels Text and ignore).

    `prefix` stands in front of every picture's path, which is then quoted: the address that Label Studio finds it at.
    Points come back exactly to a millionth of a pixel.
    """
    draft = AnnotationDraft(samples)
    sizes = sizes_of(draft, "Label Studio tasks")
    tasks = []
    for sample in draft.samples:
        results: list[dict[str, Any]] = []
        height, width = sizes[sample.id]
        sides = {"original_width": width, "original_height": height, "image_rotation": 0}
        for i, (points, ignore, text) in enumerate(draft.outlines(sample), start=1):
            if not is_whole(points):
                draft.lose("outlines rounded to a millionth of a pixel")
            kind, shape = _shape([100 * v / (height if k % 2 else width) for k, v in enumerate(points)], points)
            common = {"id": f"r{i}", "to_name": "image", **sides}
            label = {"labels": ["ignore" if ignore else "Text"]}
            results.append(
                {**common, "from_name": "poly" if kind == "polygon" else "bbox", "type": kind, "value": shape}
            )
            results.append({**common, "from_name": "label", "type": "labels", "value": {**shape, **label}})
            if text is not None:
                value = {**shape, "text": [text]}
                results.append({**common, "from_name": "transcription", "type": "textarea", "value": value})
        if not results:
            draft.lose("sizes of pictures without outlines")
        name = f"{prefix}{quote(sample.id)}" if prefix else sample.id
        tasks.append(compact({"data": {"ocr": name}, "predictions": [{"result": results}]}))
    body = ",\n".join(tasks)
    return write_file(draft, out, f"[\n{body}\n]\n", overwrite=overwrite)


def _shape(shares: list[float], points: Sequence[float]) -> tuple[str, dict[str, Any]]:
    """A rectangle where the outline is one from its top left corner on, else a polygon."""
    x0, y0, x1, y1 = (*points[:2], *points[4:6])
    if list(points) == box(x0, y0, x1, y1) and x0 <= x1 and y0 <= y1:
        left, top, right, bottom = (*shares[:2], *shares[4:6])
        return "rectangle", {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
    return "polygon", {"points": number_pairs(list(shares)), "closed": True}
