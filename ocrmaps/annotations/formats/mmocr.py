"""MMOCR json: 1.x (`metainfo`, `data_list` of `img_path` and `instances`), and the 0.x file of one json object a line.

Outlines are `polygon` (flat), else `bbox` (x0, y0, x1, y1; in 0.x x, y, width, height). `ignore` / `iscrowd` ignore.
The 0.x file of images and annotations is COCO json and read as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import HEAD_BYTES, Head, peek_json
from ocrmaps.annotations.formats import wildreceipt
from ocrmaps.annotations.formats.coco import add_row
from ocrmaps.annotations.gather import Gather, GatheredOutlines, JsonTable
from ocrmaps.annotations.grammar.lines import box, numbered
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, write_file
from ocrmaps.files import open_regular

_ENTRY = {"img_path", "height", "width", "instances"}
_INSTANCE = {"polygon", "bbox", "bbox_label", "ignore", "text"}
_OLD_ENTRY = {"file_name", "height", "width", "annotations"}


def recognize(head: Head) -> str:
    """Why this looks like MMOCR json, or nothing."""
    if isinstance(head.json, dict):
        if isinstance(head.json.get("data_list"), list):
            return 'json with a "data_list"'
        if "file_name" in head.json and "annotations" in head.json and not wildreceipt.recognize(head):
            return 'one json object a line, with "file_name" and "annotations"'
    return ""


def read(source: Source) -> Reading:
    """The samples of one file, in file order."""
    g = Gather(source)
    with g.attempt():
        if _is_new(source.annotations):
            for member, i, entry in g.members(
                dict, 'an object with "data_list"', [JsonTable("data_list", "a list of pictures")]
            ):
                if member:
                    _entry(g, entry, f"{g.file}:data_list[{i}]")
                else:
                    g.unused[str(i)] += 1
            return g.reading()
        text = g.text(source.annotations, g.file)
        first = [line.strip() for _, line in zip(range(2), (line for _, line in numbered(text)), strict=False)]
        if len(first) == 2 and first[0].startswith("{") and first[0].endswith("}") and first[1].startswith("{"):
            for number, line in numbered(text):
                with g.attempt():
                    loc = f"{g.file}:{number}"
                    _old_entry(g, g.parse_json(line, g.file, line=number), loc)
        else:
            root = g.parse_json(text, g.file)
            if isinstance(root, dict) and "file_name" in root:
                _old_entry(g, root, f"{g.file}:1")
            elif g.expect(root, dict, g.file, 'an object with "data_list"'):
                entries = root.get("data_list")
                if g.expect(entries, list, f"{g.file}:data_list", "a list of pictures"):
                    g.unused.update(key for key in root if key != "data_list")
                    for i, entry in enumerate(entries):
                        _entry(g, entry, f"{g.file}:data_list[{i}]")
    return g.reading()


def _is_new(path: Path) -> bool:
    """Whether the beginning of the file has the list of MMOCR 1.x."""
    try:
        with open_regular(path) as file:
            head = peek_json(file.read(HEAD_BYTES).decode("utf-8-sig", "replace"))
    except OSError:
        return False
    return isinstance(head, dict) and isinstance(head.get("data_list"), list)


def _entry(g: Gather, entry: Any, loc: str) -> None:
    since = len(g.problems)
    if not g.expect(entry, dict, loc, 'an object with "img_path" and "instances"'):
        return
    instances = entry.get("instances")
    if not g.expect(instances, list, f"{loc}.instances", "a list of outlines"):
        return
    if not entry.keys() <= _ENTRY:
        g.unused.update(f"picture {key}" for key in entry.keys() - _ENTRY)
    found = GatheredOutlines()
    add_instances(g, found, instances, f"{loc}.instances")
    id = g.picture(entry.get("img_path"), f"{loc}.img_path")
    g.page(id, loc, found, size=g.size(entry.get("height"), entry.get("width"), loc), since=since)


def add_instances(g: Gather, found: GatheredOutlines, instances: Any, loc: str) -> None:
    """Add the outlines of one picture."""
    for place, row in g.rows(instances, loc, 'an object with "polygon"', of="a list of outlines"):
        flag, corners = row.get("ignore"), row.get("bbox")
        points = row.get("polygon")
        if points is None:  # x0, y0, x1, y1; anything else is refused as an outline
            points = box(*corners) if isinstance(corners, list) and len(corners) == 4 else corners
        score = g.score(row)
        found.add(f"{place}.polygon", points, row.get("text"), ignore=False if flag is None else flag, score=score)
        if not row.keys() <= _INSTANCE:
            g.unused.update(f"instance {key}" for key in row.keys() - _INSTANCE)


def _old_entry(g: Gather, entry: Any, loc: str) -> None:
    since = len(g.problems)
    if not g.expect(entry, dict, loc, 'an object with "file_name" and "annotations"'):
        return
    if not entry.keys() <= _OLD_ENTRY:
        g.unused.update(f"picture {key}" for key in entry.keys() - _OLD_ENTRY)
    found = GatheredOutlines()
    for place, row in g.rows(entry.get("annotations"), f"{loc}.annotations", of="a list of outlines"):
        g.unused.update(add_row(g, found, row, place))
    id = g.picture(entry.get("file_name"), f"{loc}.file_name")
    g.page(id, loc, found, size=g.size(entry.get("height"), entry.get("width"), loc), since=since)


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One MMOCR 1.x file. It can say everything that a sample holds; a missing size is counted."""
    draft = AnnotationDraft(samples)
    entries = []
    for sample in draft.samples:
        entry: dict[str, Any] = {"img_path": sample.id}
        if sample.size is None:
            draft.lose("picture sizes unknown")
        else:
            entry |= {"height": sample.size[0], "width": sample.size[1]}
        entry["instances"] = []
        for points, ignore, text in draft.outlines(sample):
            xs, ys = points[::2], points[1::2]
            bbox = [min(xs), min(ys), max(xs), max(ys)]
            instance: dict[str, Any] = {"polygon": points, "bbox": bbox, "bbox_label": 0, "ignore": ignore}
            if text is not None:
                instance["text"] = text
            entry["instances"].append(instance)
        entries.append(compact(entry))
    info = {"dataset_type": "TextDetDataset", "task_name": "textdet", "category": [{"id": 0, "name": "text"}]}
    body = ",\n".join(entries)
    return write_file(draft, out, f'{{"metainfo": {compact(info)}, "data_list": [\n{body}\n]}}\n', overwrite=overwrite)
