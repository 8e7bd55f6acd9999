"""Formats that are recognized by name but not read, each with what to do instead.

They are asked only about what no reader recognizes: a format that gets a reader needs no change here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ocrmaps.annotations.discovery.signs import Head, Sign
from ocrmaps.annotations.formats.imagefolder import EXPECTED, NAME, columns_of

SUFFIXES = (".html", ".htm", ".xhtml", ".hocr")
"""Endings that no reader has, but a format here."""

_WRITE = "write its outlines as COCO json or ICDAR txt: docs/reference/formats.md shows both"
_RESULTS = "these are results: `ocrmaps evaluate --predictions` reads them; to train on them, write COCO json"
_SIDES = {"xmin", "ymin", "xmax", "ymax"}
_EXPORT = "export it from there as COCO json"
_UNPACK = "unpack it into picture files and annotations, for instance COCO json"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A format without reader."""

    title: str
    reason: str
    """What it was recognized by."""
    fits: Callable[[Head], bool | str]
    """Whether it is this; a text is a better reason."""
    advice: str = _WRITE

    @property
    def sign(self) -> Sign:
        return Sign(recognize=self._why)

    def _why(self, head: Head) -> str:
        fits = self.fits(head)
        return fits if isinstance(fits, str) else self.reason if fits else ""


def _xml(root: str, inside: str) -> Callable[[Head], bool]:
    """Whether these are the root and another element, in any namespace."""
    return lambda head: (
        head.xml is not None
        and head.xml[0].rpartition(":")[2] == root
        and inside in {tag.rpartition(":")[2] for tag in head.xml[1]}
    )


def _keys(*names: str) -> Callable[[Head], bool]:
    return lambda head: isinstance(head.json, dict) and all(name in head.json for name in names)


def _rows(key: str, *names: str) -> Callable[[Head], bool]:
    """Whether the json has a list under a key, whose first object has all these names."""

    def fits(head: Head) -> bool:
        rows: Any = head.json.get(key) if isinstance(head.json, dict) else None
        return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and all(n in rows[0] for n in names)

    return fits


def _listed(*names: str) -> Callable[[Head], bool]:
    """Whether this is a list of objects, or lines of them, with one of these names."""

    def fits(head: Head) -> bool:
        first = head.json[0] if isinstance(head.json, list) and head.json else head.json
        return isinstance(first, dict) and any(name in first for name in names)

    return fits


def _ending(*names: str) -> Callable[[Head], bool]:
    return lambda head: head.suffix in names


def _first_line(start: str) -> Callable[[Head], bool]:
    return lambda head: bool(head.lines) and head.lines[0].lower().replace('"', "").startswith(start)


UNSUPPORTED: dict[str, Unsupported] = {
    "abbyy": Unsupported("ABBYY FineReader XML", "<page> inside <document>", _xml("document", "page")),
    "hocr": Unsupported("hOCR", "elements of the class ocr_page", lambda head: "ocr_page" in head.start, _RESULTS),
    "textract": Unsupported("Amazon Textract", '"Blocks" and "DocumentMetadata"', _keys("Blocks"), _RESULTS),
    "vision": Unsupported(
        "Google Cloud Vision",
        "text annotations of a Vision response",
        lambda head: (
            _keys("textAnnotations")(head)
            or _keys("fullTextAnnotation")(head)
            or _rows("responses", "fullTextAnnotation")(head)
            or _rows("responses", "textAnnotations")(head)
        ),
        _RESULTS,
    ),
    "documentai": Unsupported(
        "Google Document AI", '"pages" with "layout"', _rows("pages", "pageNumber", "layout"), _RESULTS
    ),
    "azure": Unsupported(
        "Azure Read or Document Intelligence",
        '"analyzeResult", or "modelId" and "pages"',
        lambda head: any(
            _keys(*names)(head) for names in (("analyzeResult",), ("modelId", "pages"), ("model_id", "pages"))
        ),
        _RESULTS,
    ),
    "createml": Unsupported(
        "Create ML",
        'pictures with "annotations" of "coordinates"',
        lambda head: (
            isinstance(head.json, list)
            and bool(head.json)
            and isinstance(head.json[0], dict)
            and _rows("annotations", "label", "coordinates")(replace(head, json=head.json[0]))
        ),
    ),
    "supervisely": Unsupported(
        "Supervisely",
        '"objects" with "classTitle"',
        _rows("objects", "classTitle"),
        _EXPORT,
    ),
    "labelbox": Unsupported("Labelbox", '"data_row" or "Labeled Data"', _listed("data_row", "Labeled Data"), _EXPORT),
    "darwin": Unsupported("V7 Darwin", '"item" with "slots"', _keys("schema_ref", "item", "annotations"), _EXPORT),
    "datumaro": Unsupported("Datumaro", '"items" beside "categories"', _keys("categories", "items"), _EXPORT),
    "vott": Unsupported("VoTT", '"assets"', _keys("assets"), "export it from there as Pascal VOC"),
    "via3": Unsupported(
        "VGG Image Annotator 3", '"metadata" beside "view"', _keys("metadata", "view", "attribute"), _EXPORT
    ),
    "superannotate": Unsupported("SuperAnnotate", '"instances"', _keys("metadata", "instances"), _EXPORT),
    "xfund": Unsupported("XFUND", '"documents" with "document"', _rows("documents", "document")),
    "tagset": Unsupported(
        "ICDAR 2003 or Street View Text", "<taggedRectangle> in <tagset>", _xml("tagset", "taggedRectangle")
    ),
    "boxes": Unsupported(
        "a table of boxes",
        "its columns xmin, ymin, xmax, ymax",
        lambda head: bool(head.lines) and _SIDES <= set(head.lines[0].lower().replace('"', "").split(",")),
    ),
    "tesseract": Unsupported("Tesseract TSV", "a table of levels and pages", _first_line("level\tpage_num"), _RESULTS),
    "imagefolder": Unsupported(
        "a Hugging Face image folder without outlines",
        f"{NAME} in each row",
        lambda head: f"its columns {', '.join(sorted(columns_of(head)))[:200]}" if NAME in columns_of(head) else "",
        f"expected {EXPECTED}: docs/reference/formats.md shows them",
    ),
    "webdataset": Unsupported(
        "a tar archive of other things", "its first names: no picture with a json or txt", _ending(".tar"), _UNPACK
    ),
}
