"""hOCR: html whose elements `ocr_page`, `ocr_line`, `ocrx_word` say `bbox` in their title; lines or words, one is told.

The confidence of a word is its `x_wconf`, in per cent; lines have none. Entities of html are letters, nothing more: no
document type is followed. `NAME.hocr` belongs to the picture NAME, and its further pages to NAME#2, ...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from html.parser import HTMLParser

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import NUMBER, box
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import page_name
from ocrmaps.evaluation.predictions.records import Found

_LINES = {"ocr_line", "ocr_header", "ocr_caption", "ocr_textfloat", "ocrx_line"}
"""What Tesseract and others call lines of different purposes."""
_CLASSES = {"lines": _LINES, "words": {"ocrx_word", "ocr_word"}}
_BOUNDS = re.compile(r"(?:^|;)\s*bbox\s([^;,]{0,200})")
_CONFIDENCE = re.compile(r"(?:^|;)\s*x_wconf\s([^;]{0,100})")
_SIGN = re.compile(r"""class\s?=\s?["']ocr_page["']""")


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(leaf.text is not None and _SIGN.search(leaf.text) for leaf in leaves)


class _Pages(HTMLParser):
    """The pages of one file."""

    def __init__(self, found: Found, file: str, level: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found, self.file, self.level = found, file, level
        self.pages: list[GatheredOutlines] = []
        self.others = 0
        """Elements of the other level."""
        self._open = 0
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        classes = set(said.get("class", "").split())
        if self._open:
            self._open += tag not in ("br", "img", "hr", "meta", "link")
        if "ocr_page" in classes:
            self.pages.append(GatheredOutlines())
        elif classes & _CLASSES[self.level] and not self._open:
            self._begin(said.get("title", ""))
        elif classes & (_LINES | _CLASSES["words"]):
            self.others += 1

    def _begin(self, title: str) -> None:
        loc = f"{self.file}:{self.getpos()[0]}"
        bounds = _BOUNDS.search(title)
        fields = bounds[1].split() if bounds else []
        if not self.pages or len(fields) != 4 or not all(map(NUMBER.fullmatch, fields)):
            expected = "expected bbox x0 y0 x1 y1 inside an ocr_page"
            self.found.problem(loc, f"found the title {shown(title)}, {expected}", "wrong-type")
            return
        confidence = _CONFIDENCE.search(title)
        said = confidence[1].strip() if confidence and self.level == "words" else ""
        x0, y0, x1, y1 = map(float, fields)
        score = float(said) / 100 if NUMBER.fullmatch(said) else None
        self.pages[-1].add(loc, box(x0, y0, x1, y1), score=score)
        self._open, self._text = 1, []

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            self._open -= 1
            if not self._open:
                self.pages[-1].texts[-1] = " ".join("".join(self._text).split()) or None

    def handle_data(self, data: str) -> None:
        if self._open:
            self._text.append(data)


def _read(found: Found, leaves: Sequence[Leaf], level: str) -> None:
    """One file a picture or document."""
    for leaf in leaves:
        since = len(found.problems)
        parser = _Pages(found, leaf.name, level)
        try:
            parser.feed(leaf.text or "")
            parser.close()
        except (AssertionError, ValueError) as error:  # what html.parser raises on damaged declarations
            found.problem(leaf.name, f"found html that cannot be read: {error}", "invalid-xml")
        if not parser.pages and len(found.problems) == since:
            found.problem(leaf.name, "found no element of class ocr_page, expected one a page", "invalid")
        if parser.others and not any(page.points for page in parser.pages) and len(found.problems) == since:
            other = "lines" if level == "words" else "words"
            message = f"found {parser.others} {other} and no {level}; --predictions-format hocr-{other} reads those"
            found.problem(leaf.name, message, "invalid")
        broken = len(found.problems) > since
        for i, page in enumerate(parser.pages):
            found.page(page_name(leaf.stem, i), leaf.name, page, since=-1 if broken else since)


read_lines, read_words = partial(_read, level="lines"), partial(_read, level="words")
