"""CVAT for images 1.1 xml: `<image name width height>` with `<polygon points>` and `<box xtl ytl xbr ybr rotation>`.

The text is an attribute called text or transcription. Ignored are shapes labelled ignore (or `###` and the like) and
those with a true attribute of such a name. Rotation turns a box clockwise about its center, in degrees.
`occluded` and other attributes are counted. Masks, lines and points are refused by name. No xml entities are expanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import decode, read_bytes, refusal, shown
from ocrmaps.annotations.grammar.lines import NUMBER, box, turned_about_center
from ocrmaps.annotations.grammar.xml import Element, parse_xml
from ocrmaps.annotations.records import Reading, Source

TEXT = ("text", "transcription")
_NO_OUTLINE = ("mask", "polyline", "points", "cuboid", "ellipse", "skeleton")
_TRUE = ("true", "1", "yes")


def recognize(head: Head) -> str:
    """Why this looks like CVAT, or nothing."""
    if head.xml and head.xml[0] == "annotations" and ("image@name" in head.xml[1] or "version" in head.xml[1]):
        return "xml whose root is <annotations> with <image name> elements"
    return ""


def read(source: Source) -> Reading:
    """The samples of one xml file, in file order."""
    g = Gather(source)
    with g.attempt():
        root = parse_xml(decode(read_bytes(source.annotations, g.file), g.file), g.file)
        if root.tag != "annotations":
            found = f"found the root <{root.tag[:40]}>, expected <annotations> of CVAT for images"
            raise refusal(f"{g.file}:{root.line}", found, "invalid")
        if root.named("track"):
            found = "found <track> elements of CVAT for video, expected CVAT for images; export again in that format"
            raise refusal(f"{g.file}:{root.named('track')[0].line}", found, "invalid")
        for image in root.named("image"):
            _image(g, image)
    return g.reading()


def _image(g: Gather, image: Element) -> None:
    since = len(g.problems)
    loc = f"{g.file}:{image.line}"
    points: list[Any] = []
    texts: list[str | None] = []
    ignore: list[bool] = []
    lines: list[int] = []
    for shape in image.children:
        place = f"{g.file}:{shape.line}"
        if shape.tag in _NO_OUTLINE:
            message = f"found a <{shape.tag}>, expected <polygon> or <box>; redraw or remove it"
            g.problem(place, message, "rle-mask" if shape.tag == "mask" else "unsupported-shape")
            continue
        if shape.tag not in ("polygon", "box"):
            g.unused[f"<{shape.tag}>"] += 1
            continue
        outline = _polygon(g, shape, place) if shape.tag == "polygon" else _box(g, shape, place)
        if outline is None:
            continue
        attributes = [(a.attributes.get("name", "").strip().lower(), a.text) for a in shape.named("attribute")]
        text = next((value for name, value in attributes if name in TEXT), None)
        marked = any(name in IGNORE and value.strip().lower() in _TRUE for name, value in attributes)
        label = shape.attributes.get("label", "").strip().lower()
        g.unused.update(f"attribute {name}" for name, _ in attributes if name not in (*TEXT, *IGNORE))
        g.unused["occluded"] += shape.attributes.get("occluded") == "1"
        g.unused["label"] += label not in IGNORE
        points.append(outline)
        texts.append(text)
        ignore.append(marked or label in IGNORE)
        lines.append(shape.line)
    height, width = (_whole(image.attributes.get(side)) for side in ("height", "width"))
    g.sample(
        g.picture(image.attributes.get("name"), loc),
        loc=loc,
        points=points,
        ignore=ignore,
        texts=texts,
        where=partial(_where, g.file, lines),
        size=g.size(height, width, loc),
        since=since,
    )


def _where(file: str, lines: Sequence[int], i: int) -> str:
    return f"{file}:{lines[i]}"


def _whole(field: str | None) -> object:
    return float(field) if field is not None and NUMBER.fullmatch(field) and len(field) < 300 else field


def _polygon(g: Gather, shape: Element, place: str) -> Any:
    points = []
    for pair in shape.attributes.get("points", "").split(";"):
        fields = [field.strip() for field in pair.split(",")]
        if len(fields) != 2 or not all(NUMBER.fullmatch(field) for field in fields):
            g.problem(place, f"found the point {shown(pair)}, expected x,y", "wrong-type")
            return None
        points.append([float(field) for field in fields])
    return points


def _box(g: Gather, shape: Element, place: str) -> Any:
    values = []
    for name in ("xtl", "ytl", "xbr", "ybr", "rotation"):
        field = shape.attributes.get(name, "0" if name == "rotation" else "").strip()
        if not NUMBER.fullmatch(field):
            g.problem(place, f"found {name} {shown(field)}, expected a number", "wrong-type")
            return None
        values.append(float(field))
    *corners, rotation = values
    return turned_about_center(box(*corners), rotation)
