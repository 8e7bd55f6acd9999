"""Formats that are recognized by name but not read, each with what to do instead.

They are asked only about what no reader recognizes: a format that gets a reader needs no change here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ocrmaps.annotations.discovery.signs import Head, Sign

SUFFIXES = (".html", ".htm", ".xhtml", ".hocr", ".mat", ".gt", ".parquet", ".arrow", ".tar")
"""Endings that no reader has, but a format here."""

_WRITE = "write its outlines as COCO json or ICDAR txt: docs/reference/formats.md shows both"
_RESULTS = (
    'these are results: write them as json from picture name to {"polygons": [...], "scores": [...]}, which '
    "`ocrmaps evaluate --predictions` reads; to train on them, write COCO json"
)
_UNPACK = "unpack it into picture files and annotations, for instance COCO json"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A format without reader."""

    title: str
    reason: str
    """What it was recognized by."""
    fits: Callable[[Head], bool]
    advice: str = _WRITE

    @property
    def sign(self) -> Sign:
        return Sign(recognize=lambda head: self.reason if self.fits(head) else "")


def _root(*names: str, holds: str = "") -> Callable[[Head], bool]:
    """Whether the root element has one of these names, in any namespace, and one of this name is inside."""

    def fits(head: Head) -> bool:
        if head.xml is None or head.xml[0].rpartition(":")[2] not in names:
            return False
        return not holds or any(tag.rpartition(":")[2] == holds for tag in head.xml[1])

    return fits


def _keys(*names: str) -> Callable[[Head], bool]:
    return lambda head: isinstance(head.json, dict) and all(name in head.json for name in names)


def _rows(*names: str, under: str = "") -> Callable[[Head], bool]:
    """Whether the json is a list, or has one under this key, whose first object has all these keys."""

    def fits(head: Head) -> bool:
        rows: Any = head.json.get(under) if under and isinstance(head.json, dict) else head.json
        return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and all(n in rows[0] for n in names)

    return fits


def _ending(*names: str) -> Callable[[Head], bool]:
    return lambda head: head.suffix in names


def _first_line(start: str) -> Callable[[Head], bool]:
    return lambda head: bool(head.lines) and head.lines[0].lower().replace('"', "").startswith(start)


def _via_regions(head: Head) -> bool:
    values = list(head.json.values()) if isinstance(head.json, dict) else []
    return bool(values) and isinstance(values[0], dict) and {"filename", "regions"} <= values[0].keys()


def _named_words(head: Head) -> bool:
    named = isinstance(head.json, dict) and "lines" not in head.json  # those are ReCTS
    values = [v for v in head.json.values() if v] if named else []
    first = values[0][0] if values and isinstance(values[0], list) else None
    return isinstance(first, dict) and {"transcription", "points"} <= first.keys()


UNSUPPORTED: dict[str, Unsupported] = {
    "alto": Unsupported("ALTO XML", "the root element <alto>", _root("alto")),
    "page": Unsupported("PAGE XML", "the root element <PcGts>", _root("PcGts")),
    "voc": Unsupported("Pascal VOC XML", "<bndbox> inside <annotation>", _root("annotation", holds="bndbox")),
    "abbyy": Unsupported("ABBYY FineReader XML", "<page> inside <document>", _root("document", holds="page")),
    "hocr": Unsupported("hOCR", "elements of the class ocr_page", lambda head: "ocr_page" in head.start, _RESULTS),
    "via": Unsupported(
        "VIA (VGG Image Annotator)",
        "regions of pictures as VIA saves them",
        lambda head: _keys("_via_img_metadata")(head) or _via_regions(head) or _first_line("filename,file_size,")(head),
        "export it from VIA in COCO format",
    ),
    "labelstudio": Unsupported(
        "Label Studio JSON",
        "a json list of tasks with annotations",
        lambda head: _rows("data", "annotations")(head) or _rows("annotator", "annotation_id")(head),
        "export it from Label Studio as COCO",
    ),
    "textract": Unsupported("Amazon Textract", '"Blocks" and "DocumentMetadata"', _keys("Blocks"), _RESULTS),
    "vision": Unsupported(
        "Google Cloud Vision",
        "text annotations of a Vision response",
        lambda head: (
            _keys("textAnnotations")(head)
            or _keys("fullTextAnnotation")(head)
            or _rows("fullTextAnnotation", under="responses")(head)
            or _rows("textAnnotations", under="responses")(head)
        ),
        _RESULTS,
    ),
    "documentai": Unsupported(
        "Google Document AI", '"pages" with "layout"', _rows("pageNumber", "layout", under="pages"), _RESULTS
    ),
    "azure": Unsupported("Azure Read or Document Intelligence", '"analyzeResult"', _keys("analyzeResult"), _RESULTS),
    "tesseract": Unsupported("Tesseract TSV", "a table of levels and pages", _first_line("level\tpage_num"), _RESULTS),
    "hiertext": Unsupported("HierText", "pictures with paragraphs", _rows("paragraphs", under="annotations")),
    "lsvt": Unsupported("LSVT or ArT json", "lists of points and transcription by picture", _named_words),
    "rects": Unsupported("ReCTS json", '"chars" and "lines"', _keys("chars", "lines")),
    "funsd": Unsupported("FUNSD", 'a "form" of boxes', _rows("box", under="form")),
    "cord": Unsupported("CORD", '"valid_line"', _keys("valid_line")),
    "mat": Unsupported(
        "MATLAB data", "the ending .mat", _ending(".mat"), "Total-Text comes as txt as well; of other data, " + _WRITE
    ),
    "msra": Unsupported("MSRA-TD500", "the ending .gt", _ending(".gt")),
    "parquet": Unsupported("a Parquet or Arrow table", "its ending", _ending(".parquet", ".arrow"), _UNPACK),
    "webdataset": Unsupported("a tar archive", "the ending .tar", _ending(".tar"), _UNPACK),
}
