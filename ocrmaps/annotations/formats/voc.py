"""Pascal VOC xml: one file a picture, `filename` and `object`s with `bndbox`, `robndbox` (rotated) or `polygon`.

`difficult` objects are ignored, as the VOC evaluation does, and so are those called ignore, illegible, `###` and the
like; other names are counted. There are no texts. Points are as written (VOC itself counts pixels from 1); a box is
turned about its center where CVAT says so (an attribute `rotation`). Objects that LabelMe's web tool has as `deleted`
are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.labelme import IGNORE
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, refusal
from ocrmaps.annotations.grammar.documents import documents
from ocrmaps.annotations.grammar.lines import NUMBER, box, turned_about_center, turned_box
from ocrmaps.annotations.grammar.xml import Element, parse_xml
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".xml",)


def recognize(head: Head) -> str:
    """Why this looks like Pascal VOC, or nothing."""
    if head.xml and head.xml[0] == "annotation" and "filename" in head.xml[1]:
        return "xml whose root is <annotation> with a <filename>"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                root = parse_xml(decode(document.read(), document.name), document.name)
                if root.tag != "annotation":
                    found = f"found the root <{root.tag[:40]}>, expected <annotation>"
                    raise refusal(f"{document.name}:{root.line}", found)
                _page(g, root, document.name)
    return g.reading()


def _page(g: Gather, root: Element, name: str) -> None:
    since = len(g.problems)
    found = GatheredOutlines()
    for entry in root.named("object"):
        if _said(entry, "deleted") == "1":
            g.unused["deleted objects"] += 1
            continue
        place = f"{name}:{entry.line}"
        outline = _outline(entry)
        if outline is None:
            message = "found no outline, expected <bndbox> with xmin, ymin, xmax, ymax, <robndbox> or <polygon>"
            g.problem(place, message, "wrong-type")
            continue
        label = _said(entry, "name").lower()
        g.unused["name"] += label not in IGNORE
        g.unused["part"] += len(entry.named("part"))
        found.add(place, outline, ignore=label in IGNORE or _said(entry, "difficult") == "1")
    sides = None
    if (stated := root.first("size")) is not None:
        sides = _numbers(stated, ("height", "width"))
    size = (
        g.size(sides[0], sides[1], name) if sides and any(sides) else None
    )  # tools that do not know the sides write 0
    filename = root.first("filename")
    g.page(g.addressed("" if filename is None else filename.text.strip(), name), name, found, size=size, since=since)


def _said(element: Element, tag: str) -> str:
    found = element.first(tag)
    return "" if found is None else found.text.strip()


def _numbers(element: Element, tags: Sequence[str]) -> list[float] | None:
    fields = [_said(element, tag) for tag in tags]
    return [float(field) for field in fields] if all(map(NUMBER.fullmatch, fields)) else None


def _outline(entry: Element) -> list[float] | None:
    if (polygon := entry.first("polygon")) is not None:
        count = len(polygon.named("pt")) or len(polygon.children) // 2
        if polygon.named("pt"):  # LabelMe's web tool
            pairs = [_numbers(point, ("x", "y")) for point in polygon.named("pt")]
            return [v for pair in pairs for v in pair or ()] if all(pairs) else None
        return _numbers(polygon, [f"{axis}{i}" for i in range(1, count + 1) for axis in "xy"])
    if (turned := entry.first("robndbox")) is not None:
        numbers = _numbers(turned, ("cx", "cy", "w", "h", "angle"))
        if numbers is None or not all(abs(v) < 1e12 for v in numbers):
            return None
        return turned_box(numbers)
    bounds = entry.first("bndbox")
    numbers = None if bounds is None else _numbers(bounds, ("xmin", "ymin", "xmax", "ymax"))
    return None if numbers is None else turned_about_center(box(*numbers), _rotation(entry))


def _rotation(entry: Element) -> float:
    """The degrees by which CVAT turned a box; it writes the box itself as it was before."""
    attributes = entry.first("attributes")
    for attribute in attributes.named("attribute") if attributes else ():
        if _said(attribute, "name") == "rotation" and (degrees := _numbers(attribute, ("value",))):
            return degrees[0]
    return 0.0
