"""ALTO XML 2 to 4: one file a picture with `TextLine` or `String` (word) outlines: two levels, one is declared.

An outline is the `Shape/Polygon`, else the box `HPOS VPOS WIDTH HEIGHT`. Units other than pixels are shares of the
`Page`, and the picture's header gives its sides. The picture has the name of the xml file; where there is none, it is
what `fileName` says. The format has no ignore mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, refusal, shown
from ocrmaps.annotations.grammar.documents import documents, picture_of
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.annotations.grammar.shares import picture_size, pixels
from ocrmaps.annotations.grammar.xml import Element, attribute_numbers, escaped, number_pairs_in, parse_xml
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, write_pages
from ocrmaps.geometry import Size

SUFFIXES = (".xml",)
Level = Literal["TextLine", "String"]
_SHARES = ("mm10", "inch1200")
"""Units that say nothing of pixels."""


def _recognize(head: Head, level: Level) -> str:
    """Why this looks like ALTO of a level, or nothing."""
    if head.xml is None or head.xml[0] != "alto":
        return ""
    # A String without place is the text of its line only.
    seen = {tag for tag, sign in (("TextLine", "TextLine"), ("String", "String@HPOS")) if sign in head.xml[1]}
    return f"xml whose root is <alto> with <{level}> elements" if level in (seen or {"TextLine"}) else ""


def _read(source: Source, level: Level) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                root = parse_xml(decode(document.read(), document.name), document.name)
                pages = list(root.below("Page"))
                if root.tag != "alto" or len(pages) != 1:
                    found = f"found the root <{root.tag[:40]}> with {len(pages)} pages, expected <alto> with one <Page>"
                    raise refusal(f"{document.name}:{root.line}", found)
                _page(g, root, pages[0], document.name, level)
    return g.reading()


recognize_lines, recognize_words = partial(_recognize, level="TextLine"), partial(_recognize, level="String")
read_lines, read_words = partial(_read, level="TextLine"), partial(_read, level="String")


def _page(g: Gather, root: Element, page: Element, name: str, level: Level) -> None:
    since = len(g.problems)
    loc = f"{name}:{page.line}"
    found = GatheredOutlines()
    id = _picture(g, root, name)
    unit = root.first("Description", "MeasurementUnit")
    sides = attribute_numbers(page, ("HEIGHT", "WIDTH"))
    shares = unit is not None and unit.text.strip() in _SHARES
    size = picture_size(g, id, loc) if shares else None if sides is None else g.size(sides[0], sides[1], loc)
    if unit is not None and unit.text.strip() not in ("pixel", *_SHARES):
        message = f"found {shown(unit.text)}, expected pixel, mm10 or inch1200"
        g.problem(f"{name}:{unit.line}", message, "unsupported-shape")
    if shares and (sides is None or min(sides) <= 0):
        g.problem(loc, "found no WIDTH and HEIGHT of the page, expected them where coordinates are no pixels", "size")
        return
    placed = False
    for element in page.below(level):
        place = f"{name}:{element.line}"
        outline = _outline(element)
        placed |= outline is not None
        if outline is None:
            message = "found no outline, expected Shape/Polygon or HPOS, VPOS, WIDTH and HEIGHT"
            g.problem(place, message, "wrong-type")
        elif not shares:
            found.add(place, outline, _text(element))
        elif size is not None and sides is not None:
            found.add(place, _scaled(outline, sides, size), _text(element))
    if not placed and level == "String" and any(True for _ in page.below("TextLine")):
        g.problem(loc, "found lines without words, expected <String>; --format alto-lines reads lines")
    g.page(id, loc, found, size=size, since=since)


def _scaled(outline: list[float], sides: list[float], size: Size) -> list[float]:
    return [pixels(v / sides[1 - i % 2], size[1 - i % 2]) for i, v in enumerate(outline)]


def _picture(g: Gather, root: Element, name: str) -> str | None:
    id = picture_of(g, name)
    stated = root.first("Description", "sourceImageInformation", "fileName")
    if id is not None and not g.pictures.holds(id) and stated is not None:
        ends = stated.text.strip().replace("\\", "/").split("/")
        if g.pictures.holds(ends[-1]):
            return g.picture(ends[-1], f"{name}:{stated.line}")
    return id


def _outline(element: Element) -> list[float] | None:
    polygon = element.first("Shape", "Polygon")
    if polygon is not None:
        return number_pairs_in(polygon.attributes.get("POINTS", "-"))
    numbers = attribute_numbers(element, ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    if numbers is None:
        return None
    x, y, width, height = numbers
    return box(x, y, x + width, y + height)


def _text(element: Element) -> str | None:
    """The content of a word, or of the words of a line with a hyphen that ends it."""
    if element.tag == "String":
        return element.attributes.get("CONTENT")
    words = [child.attributes.get("CONTENT", "") for child in element.named("String")]
    hyphen = element.first("HYP")
    return " ".join(words) + (hyphen.attributes.get("CONTENT", "-") if hyphen else "") if words else None


_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One xml (ALTO 4) a picture with every outline as a `TextLine` polygon, in a new folder or a zip archive.

    Points are exact; the whole text of a line is one `String`. The format cannot say what is ignored.
    """
    draft = AnnotationDraft(samples)

    def content(sample: Sample) -> str:
        lines = []
        for i, (points, ignore, text) in enumerate(draft.outlines(sample), start=1):
            if ignore:
                draft.lose("ignored outlines written as text")
            string = ""
            if text is not None:
                said, lost = escaped(text)
                if lost:
                    draft.lose("characters of texts that xml cannot hold")
                string = f'<String CONTENT="{said}"/>'
            xs, ys = points[::2], points[1::2]
            box = f'HPOS="{min(xs)}" VPOS="{min(ys)}" WIDTH="{max(xs) - min(xs)}" HEIGHT="{max(ys) - min(ys)}"'
            pairs = " ".join(f"{x!r},{y!r}" for x, y in zip(xs, ys, strict=True))
            lines.append(f'<TextLine ID="l{i}" {box}><Shape><Polygon POINTS="{pairs}"/></Shape>{string}</TextLine>\n')
        if sample.size is None:
            draft.lose("picture sizes unknown")
        sides = "" if sample.size is None else f' WIDTH="{sample.size[1]}" HEIGHT="{sample.size[0]}"'
        source = f"<sourceImageInformation><fileName>{escaped(sample.id)[0]}</fileName></sourceImageInformation>"
        about = f"<Description><MeasurementUnit>pixel</MeasurementUnit>{source}</Description>"
        head = f'<?xml version="1.0" encoding="UTF-8"?>\n<alto xmlns="{_NAMESPACE}">{about}\n'
        block = f'<TextBlock ID="b1">\n{"".join(lines)}</TextBlock>' if lines else ""
        page = f'<Page ID="p1" PHYSICAL_IMG_NR="1"{sides}><PrintSpace>{block}</PrintSpace></Page>'
        return f"{head}<Layout>{page}</Layout></alto>\n"

    return write_pages(draft, out, ".xml", content, overwrite=overwrite)
