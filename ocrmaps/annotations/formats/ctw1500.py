"""CTW1500: one file a picture, outlines of 14 points, in its three published spellings.

* txt of 32 numbers: `x_min,y_min,x_max,y_max,dx1,dy1,...,dx14,dy14`, offsets from the top left of the box;
* txt of points: `x1,y1,...,x14,y14[,####text]`, absolute;
* xml: `<image file=...><box><label>text</label><segs>x1,y1,...</segs></box></image>`. `###` means ignore.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.grammar.documents import Page, ParsePage, read_pages
from ocrmaps.annotations.grammar.lines import NUMBER, is_box_and_offsets, leading, numbered, numbers
from ocrmaps.annotations.grammar.xml import parse_xml
from ocrmaps.annotations.records import Reading, Source

SUFFIXES = (".txt", ".xml")
MARK = "###"
TEXT_SIGN = "####"


def recognize(head: Head) -> str:
    """Why this looks like CTW1500, or nothing."""
    if head.xml and head.xml[0].lower() == "annotations" and {"image@file", "box", "segs"} <= head.xml[1]:
        return "xml files with <image file> and <segs>"
    if not head.per_picture or not head.lines:
        return ""
    fields = [line.split(",") for line in head.lines]
    if all(_sign(f) is not None for f in fields):
        return "text files, one a picture, with `,####` between points and text"
    if all(is_box_and_offsets(f) for f in fields):
        return "text files, one a picture, with 32 numbers a line: a box and 14 offsets inside it"
    return ""


def read(source: Source) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    return read_pages(source, SUFFIXES, _decide)


def _decide(texts: Sequence[str]) -> ParsePage:
    return _parse


def _parse(text: str, name: str) -> Page:
    return _xml(text, name) if text.lstrip().startswith("<") else _lines(text)


def _sign(fields: Sequence[str]) -> int | None:
    """The field where the text begins, if the line has one."""
    return next((i for i, field in enumerate(fields) if field.lstrip().startswith(TEXT_SIGN)), None)


def _lines(text: str) -> Page:
    page = Page()
    for number, line in numbered(text):
        fields = line.split(",")
        sign = _sign(fields)
        content = None if sign is None else ",".join(fields[sign:]).lstrip()[len(TEXT_SIGN) :]
        fields = fields[:sign]
        lead = leading(fields)
        if lead < len(fields):
            page.fault(number, "wrong-type", f"found {fields[lead][:40]!r}, expected a number")
        elif sign is None and lead == 32:
            x0, y0, _, _, *offsets = numbers(fields)
            page.add(number, [v + (y0 if i % 2 else x0) for i, v in enumerate(offsets)], None, ignore=False)
        elif sign is None and lead != 28:
            found = f"found {lead} numbers, expected 32 (a box and 14 offsets), 28 (14 points) or points and ####text"
            page.fault(number, "odd-count", found)
        else:
            ignored = content == MARK
            page.add(number, numbers(fields), None if ignored else content, ignore=ignored)
    return page


def _xml(text: str, name: str) -> Page:
    page = Page()
    root = parse_xml(text, name)
    images = root.named("image")
    if len(images) != 1:
        page.fault(root.line, "invalid", f"found {len(images)} <image> elements, expected one in each file")
    for box in (box for image in images for box in image.named("box")):
        segs = box.named("segs")
        if len(segs) != 1:
            page.fault(box.line, "invalid", f"found {len(segs)} <segs> elements in a <box>, expected one")
            continue
        fields = [field.strip() for field in segs[0].text.split(",")]
        wrong = next((field for field in fields if not NUMBER.fullmatch(field)), None)
        if wrong is not None:
            page.fault(segs[0].line, "wrong-type", f"found {wrong[:40]!r} in <segs>, expected a number")
            continue
        label = box.named("label")
        content = label[0].text if label else None
        ignored = content is not None and content.strip() == MARK
        page.add(box.line, numbers(fields), None if ignored else content, ignore=ignored)
        if box.named("pts"):
            page.unused["pts"] = page.unused.get("pts", 0) + 1
    return page
