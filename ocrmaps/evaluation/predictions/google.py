"""Google: Cloud Vision's words (`fullTextAnnotation`, else `textAnnotations`), and Document AI's lines or tokens.

Vertices are pixels of the page, normalized ones shares of it; members that are zero are left out. A JSON a picture.
Outlines on a page that Document AI straightened first (`transforms`) are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import corners, page_name, shares
from ocrmaps.evaluation.predictions.records import Found

_RESPONSES, _FULL, _FLAT = "responses", "fullTextAnnotation", "textAnnotations"


def recognize_vision(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(
        isinstance(leaf.root, dict) and not leaf.root.keys().isdisjoint((_FULL, _FLAT, _RESPONSES)) for leaf in leaves
    )


def recognize_documents(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(is_document(leaf.root) for leaf in leaves)


def is_document(root: Any) -> bool:
    """Whether this is a Document AI document, alone or as the answer of a processor."""
    root = root.get("document", root) if isinstance(root, dict) else None
    pages = root.get("pages") if isinstance(root, dict) else None
    first = pages[0] if isinstance(pages, list) and pages else None
    return isinstance(first, dict) and ("layout" in first or "dimension" in first or "tokens" in first)


def read_vision(found: Found, leaves: Sequence[Leaf]) -> None:
    """The words of every page."""
    for leaf in leaves:
        if not found.expect(leaf.root, dict, leaf.name, "an object with fullTextAnnotation"):
            continue
        many = _RESPONSES in leaf.root
        answers = leaf.root[_RESPONSES] if many else [leaf.root]
        where = f"{leaf.name}:{_RESPONSES if many else ''}"
        number = 0
        for loc, answer in found.rows(answers, where):
            if answer.get(_FLAT) and not answer.get(_FULL):
                _flat(found, answer[_FLAT], f"{loc}.{_FLAT}", page_name(leaf.stem, number))
                number += 1
                continue
            full = answer.get("fullTextAnnotation") or {"pages": [{"blocks": []}]}
            if found.expect(full, dict, f"{loc}.fullTextAnnotation", "an object with pages"):
                for place, page in found.rows(full.get("pages"), f"{loc}.fullTextAnnotation.pages"):
                    since, words = len(found.problems), GatheredOutlines()
                    for at, block in found.rows(page.get("blocks", []), f"{place}.blocks"):
                        for there, paragraph in found.rows(block.get("paragraphs", []), f"{at}.paragraphs"):
                            for spot, word in found.rows(paragraph.get("words", []), f"{there}.words"):
                                _add(words, spot, word.get("boundingBox"), page, word.get("confidence"), _spelt(word))
                    found.page(page_name(leaf.stem, number), place, words, since=since, relative=True)
                    number += 1


def _flat(found: Found, items: Any, loc: str, name: str) -> None:
    """The words of an answer that has no pages: all entries but the first, which is the whole text, in pixels."""
    since, words = len(found.problems), GatheredOutlines()
    for place, item in list(found.rows(items, loc))[1:]:
        bounds = item.get("boundingPoly")
        if found.expect(bounds, dict, f"{place}.boundingPoly", "an object with vertices"):
            words.add(place, corners(bounds.get("vertices"), ("x", "y"), 0), item.get("description"))
    found.page(name, loc, words, since=since)


def _spelt(word: dict[str, Any]) -> str | None:
    symbols = word.get("symbols")
    if not isinstance(symbols, list):
        return None
    return "".join(str(symbol.get("text", "")) for symbol in symbols if isinstance(symbol, dict))


def _add(to: GatheredOutlines, place: str, bounds: Any, page: dict[str, Any], score: Any, text: Any) -> None:
    """One outline as shares of the page."""
    outline = bounds
    if isinstance(bounds, dict):
        if bounds.get("normalizedVertices"):
            outline = corners(bounds["normalizedVertices"], ("x", "y"), 0)
        else:
            outline = shares(corners(bounds.get("vertices"), ("x", "y"), 0), page.get("width"), page.get("height"))
    to.add(place, outline, text, score=score)


def _read_documents(found: Found, leaves: Sequence[Leaf], level: str) -> None:
    """The lines or tokens of every page."""
    for leaf in leaves:
        root = leaf.root.get("document", leaf.root) if isinstance(leaf.root, dict) else leaf.root
        if not found.expect(root, dict, leaf.name, "an object with pages"):
            continue
        text = root.get("text")
        content = text if isinstance(text, str) else ""
        for i, (place, page) in enumerate(found.rows(root.get("pages"), f"{leaf.name}:pages")):
            since, items = len(found.problems), GatheredOutlines()
            if page.get("transforms"):
                message = "found outlines on a page that Document AI turned or straightened first"
                hint = "map them back by these matrices, or score them against that page: it is in `image`"
                found.problem(f"{place}.transforms", f"{message}; {hint}", "unsupported-shape")
            sides = page.get("dimension")
            for at, item in found.rows(page.get(level, []), f"{place}.{level}"):
                layout = item.get("layout")
                if found.expect(layout, dict, f"{at}.layout", "an object with boundingPoly"):
                    scale = sides if isinstance(sides, dict) else {}
                    _add(items, at, layout.get("boundingPoly"), scale, layout.get("confidence"), _said(layout, content))
            found.page(page_name(leaf.stem, i), place, items, since=since, relative=True)


def _said(layout: dict[str, Any], content: str) -> str | None:
    anchor = layout.get("textAnchor")
    segments = anchor.get("textSegments") if isinstance(anchor, dict) else None
    if not isinstance(segments, list):
        return None
    try:
        parts = [content[int(s.get("startIndex", 0)) : int(s["endIndex"])] for s in segments if isinstance(s, dict)]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return "".join(parts).strip("\n") or None


read_lines, read_words = partial(_read_documents, level="lines"), partial(_read_documents, level="tokens")
