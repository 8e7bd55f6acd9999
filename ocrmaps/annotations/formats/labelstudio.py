"""Label Studio json: exported tasks (`data`, `annotations` of `result` regions) and JSON-MIN (`image`, `bbox`, ...).

Rectangles (with rotation) and polygons are in per cent of the sides; the texts of a region are those of its id. A
region labelled ignore, illegible, `###` and the like is ignored; other labels are counted. A task without annotation
that has one prediction (pre-annotation) is read by that, with a note; one with neither was not worked on and is
counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.grammar.shares import DIGITS, is_whole, picture_size, pixels
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
    with g.attempt():
        for _, i, task in g.members(list, "a list of tasks"):
            loc = f"{g.file}:[{i}]"
            if g.expect(task, dict, loc, 'an object with "data" and "annotations"'):
                (_task if "data" in task else _short)(g, task, loc)
    return g.reading()


def _task(g: Gather, task: dict[str, Any], loc: str) -> None:
    """One task of the full export."""
    since = len(g.problems)
    data = task.get("data")
    work = _work(g, task, loc)
    if work is None or not g.expect(data, dict, f"{loc}.data", "an object that names the picture"):
        return
    place, results = work
    if g.expect(results, list, place, "a list of regions"):
        _add(g, data, f"{loc}.data", loc, list(_of_results(g, results, place)), since)


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


_SIDES = ("original_width", "original_height", "image_rotation")


def _of_results(g: Gather, results: list[Any], loc: str) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(place, region with its labels, texts) of every id that has a shape."""
    by_id: dict[str | int, list[int]] = {}
    for i, result in enumerate(results):
        # Messages are made where they are needed: big files have millions of results.
        if isinstance(result, dict) or g.expect(result, dict, f"{loc}[{i}]", "an object with type and value"):
            key = result.get("id")
            by_id.setdefault(key if isinstance(key, str) else i, []).append(i)
    for parts in by_id.values():
        shape: tuple[int, dict[str, Any]] | None = None
        labels: list[str] = []
        texts: Any = None
        for i in parts:
            result = results[i]
            value = result.get("value")
            if not isinstance(value, dict):
                g.expect(value, dict, f"{loc}[{i}].value", "an object")
                continue
            kind = str(result.get("type")).lower()
            if kind == "textarea":
                texts = value.get("text")
                continue
            if kind.startswith(("rectangle", "polygon")) or (kind == "labels" and ("points" in value or "x" in value)):
                if shape is None:
                    shape = i, {**value, "labels": labels, **{key: result.get(key) for key in _SIDES}}
            elif kind not in ("labels", "choices", "rating", "number", "relation"):
                message = f"found a region of type {shown(result.get('type'))}, expected a rectangle or a polygon"
                g.problem(f"{loc}[{i}].type", f"{message}; redraw or remove it", _OTHER.get(kind, "unsupported-shape"))
            labels += _labels(value)
        if shape is None:
            g.unused["results without a region"] += 1
            continue
        yield f"{loc}[{shape[0]}].value", shape[1], texts


def _short(g: Gather, task: dict[str, Any], loc: str) -> None:
    """One picture of JSON-MIN: regions in a list for each control, texts in a list of their own."""
    since = len(g.problems)
    shapes: dict[str, tuple[str, dict[str, Any]]] = {}
    lists = set()
    for key, value in task.items():
        if not isinstance(value, list) or not _looks_drawn(value):
            continue
        for i, region in enumerate(value):
            place = f"{loc}.{key}[{i}]"
            if g.expect(region, dict, place, "an object with x, y, width and height, or points"):
                # The same region is listed by what drew it and by what labelled it.
                same = repr([region.get(name) for name in ("x", "y", "width", "height", "rotation", "points")])
                known = shapes.setdefault(same, (place, {**region, "labels": []}))
                known[1]["labels"] += _labels(region)
                lists.add((key, len(value)))
    texts = task.get("transcription", task.get("text"))
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or len(texts) != len(shapes) or not all(n == len(shapes) for _, n in lists):
        if isinstance(texts, list):
            g.unused["texts of unknown regions"] += len(texts)
        texts = [None] * len(shapes)
    regions = [(place, region, text) for (place, region), text in zip(shapes.values(), texts, strict=True)]
    _add(g, task, loc, loc, regions, since)


def _looks_drawn(value: list[Any]) -> bool:
    return any(isinstance(region, dict) and ("points" in region or "width" in region) for region in value)


def _add(
    g: Gather,
    data: dict[str, Any],
    where: str,
    loc: str,
    regions: Sequence[tuple[str, dict[str, Any], Any]],
    since: int,
) -> None:
    id = _picture(g, data, where)
    found, others, said = GatheredOutlines(), 0, list[Any]()
    sizes = set[Size]()
    for place, region, _ in regions:
        sides = [region.get("original_height"), region.get("original_width")]
        if sides != said:
            said, stated = sides, g.size(sides[0], sides[1], place)
            sizes |= set() if stated is None else {stated}
    size = next(iter(sizes), None)
    if len(sizes) > 1:
        g.problem(
            loc, f"found {len(sizes)} sizes of one picture, expected one original_width and original_height", "size"
        )
    elif size is None and regions:
        size = picture_size(g, id, loc)
    for place, region, texts in regions:
        if region.get("image_rotation") not in (None, 0):
            message = "found a picture that was turned for drawing, expected image_rotation 0"
            g.problem(place, f"{message}; turn it back in Label Studio and export again", "unsupported-shape")
            continue
        outline = None if size is None else _outline(g, region, place, size)
        if outline is not None:
            ignored = any(label.strip().lower() in IGNORE for label in region["labels"])
            others += not ignored and bool(region["labels"])
            found.add(place, outline, _text(texts), ignore=ignored)
    g.unused["label"] += others
    g.page(id, loc, found, size=size, since=since)


def _text(texts: Any) -> Any:
    """One text: several lines of one region follow each other."""
    if isinstance(texts, list) and set(map(type, texts)) <= {str}:
        return "\n".join(texts) if texts else None
    return texts


def _labels(value: dict[str, Any]) -> list[str]:
    """All that a region is called: `rectanglelabels`, `polygonlabels`, `labels`."""
    found: list[str] = []
    for key, labels in value.items():
        if key.endswith("labels") and isinstance(labels, list):
            found += [label for label in labels if isinstance(label, str)]
    return found


def _outline(g: Gather, region: dict[str, Any], place: str, size: Size) -> list[float] | None:
    height, width = size
    points = region.get("points")
    if points is not None:
        flat = _flat(points)
        if flat is not None:
            sides = cycle((width, height))
            return [round(share / 100 * side, DIGITS) for share, side in zip(flat, sides, strict=False)]
        g.problem(f"{place}.points", f"found {shown(points)}, expected [x, y] points in per cent", "wrong-type")
        return None
    bounds = [region.get(key) for key in ("x", "y", "width", "height")] + [region.get("rotation") or 0]
    if not _numbers(bounds):
        g.problem(place, f"found {shown(bounds[:4])}, expected x, y, width and height in per cent", "wrong-type")
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


def _flat(points: Any) -> list[Any] | None:
    """x, y, x, y, ... of a list of [x, y] points in bearable numbers."""
    if type(points) is not list or set(map(type, points)) - {list} or set(map(len, points)) - {2}:
        return None
    flat = list(chain.from_iterable(points))
    return flat if _numbers(flat) else None


def _numbers(values: Sequence[Any]) -> bool:
    """Whether these are all numbers, none of them infinite or no number at all."""
    if set(map(type, values)) - {int, float}:
        return False
    if not values:
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
