"""PAGE XML: one file a picture, `Page@imageFilename` with `TextLine` or `Word` outlines: two levels, one is declared.

Points are `Coords@points` (or `Point` elements, as versions up to 2010 have it); the text is the first `TextEquiv`, by
its `index` where it has one. The format has no ignore mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import decode, refusal, shown
from ocrmaps.annotations.grammar.documents import documents
from ocrmaps.annotations.grammar.xml import Element, attribute_numbers, escaped, number_pairs_in, parse_xml
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, number_pairs, sizes_of, write_pages

SUFFIXES = (".xml",)
Level = Literal["TextLine", "Word"]


def _recognize(head: Head, level: Level) -> str:
    """Why this looks like PAGE XML of a level, or nothing."""
    if head.xml is None or head.xml[0] != "PcGts":
        return ""
    seen = {"TextLine", "Word"} & head.xml[1]
    return f"xml whose root is <PcGts> with <{level}> elements" if level in (seen or {"TextLine"}) else ""


def _read(source: Source, level: Level) -> Reading:
    """The samples of a folder, a zip archive or one file, sorted by file name."""
    g = Gather(source)
    with g.attempt():
        for document in documents(g, SUFFIXES):
            with g.attempt():
                root = parse_xml(decode(document.read(), document.name), document.name)
                page = root.first("Page")
                if root.tag != "PcGts" or page is None:
                    found = f"found the root <{root.tag[:40]}>, expected <PcGts> with a <Page>"
                    raise refusal(f"{document.name}:{root.line}", found)
                _page(g, page, document.name, level)
    return g.reading()


recognize_lines, recognize_words = partial(_recognize, level="TextLine"), partial(_recognize, level="Word")
read_lines, read_words = partial(_read, level="TextLine"), partial(_read, level="Word")


def _page(g: Gather, page: Element, name: str, level: Level) -> None:
    since = len(g.problems)
    loc = f"{name}:{page.line}"
    found = GatheredOutlines()
    lines = list(page.below("TextLine"))
    elements = lines if level == "TextLine" else [word for line in lines for word in line.named("Word")]
    if lines and not elements:
        g.problem(loc, f"found {len(lines)} lines without words, expected words; --format page-lines reads lines")
    regions = [] if lines else list(page.below("TextRegion"))
    if regions:
        g.problem(loc, f"found {len(regions)} regions of text without lines, expected a <TextLine> for each line")
    for element in elements:
        place = f"{name}:{element.line}"
        points = _points(element.first("Coords"))
        if points is None:
            coords = element.first("Coords")
            what = "no Coords" if coords is None else shown(coords.attributes.get("points"))
            g.problem(place, f"found {what}, expected Coords with points x,y x,y ...", "wrong-type")
        else:
            found.add(place, points, _text(element))
    sides = attribute_numbers(page, ("imageHeight", "imageWidth"))
    size = None if sides is None else g.size(sides[0], sides[1], loc)
    g.page(g.addressed(page.attributes.get("imageFilename"), loc), loc, found, size=size, since=since)


def _points(coords: Element | None) -> list[float] | None:
    if coords is None:
        return None
    if "points" in coords.attributes:
        return number_pairs_in(coords.attributes["points"])
    pairs = [attribute_numbers(point, ("x", "y")) for point in coords.named("Point")]
    return [v for pair in pairs for v in pair or ()] if pairs and all(pairs) else None


def _text(element: Element) -> str | None:
    """The text of the first reading that a person or an engine gave."""
    readings = [equiv for equiv in element.named("TextEquiv") if equiv.first("Unicode")]
    readings.sort(key=lambda equiv: (attribute_numbers(equiv, ("index",)) or [0.0])[0])
    found = readings[0].first("Unicode") if readings else None
    return None if found is None else found.text


_NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
_LOST = "characters of texts that xml cannot hold"


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One xml a picture with every outline as a `TextLine`, in a new folder or a zip archive.

    The format has whole pixels only: other points are rounded, and counted. It cannot say what is ignored.
    """
    draft = AnnotationDraft(samples)
    sizes = sizes_of(draft, "PAGE XML")

    def content(sample: Sample) -> str:
        lines = []
        for i, (points, ignore, text) in enumerate(draft.outlines(sample), start=1):
            if ignore:
                draft.lose("ignored outlines written as text")
            if not all(value == round(value) for value in points):
                draft.lose("outlines rounded to whole pixels")
            pairs = " ".join(f"{x},{y}" for x, y in number_pairs([round(value) for value in points]))
            equiv = ""
            if text is not None:
                said, lost = escaped(text)
                if lost:
                    draft.lose(_LOST)
                equiv = f"<TextEquiv><Unicode>{said}</Unicode></TextEquiv>"
            lines.append(f'<TextLine id="l{i}"><Coords points="{pairs}"/>{equiv}</TextLine>\n')
        height, width = sizes[sample.id]
        whole = f'<Coords points="0,0 {width},0 {width},{height} 0,{height}"/>'
        region = f'<TextRegion id="r1">{whole}\n{"".join(lines)}</TextRegion>'
        made = "1970-01-01T00:00:00"
        meta = (
            f"<Metadata><Creator>ocrmaps</Creator><Created>{made}</Created><LastChange>{made}</LastChange></Metadata>"
        )
        page = f'<Page imageFilename="{escaped(sample.id)[0]}" imageWidth="{width}" imageHeight="{height}">'
        head = f'<?xml version="1.0" encoding="UTF-8"?>\n<PcGts xmlns="{_NAMESPACE}">{meta}\n'
        return f"{head}{page}\n{region if lines else ''}</Page></PcGts>\n"

    return write_pages(draft, out, ".xml", content, overwrite=overwrite)
