"""docTR's `export()` as JSON: pages, blocks, lines and words whose geometry is in shares of the page.

A page says its own (height, width). The words are the detections: `objectness_score` is their score, else
`confidence`. The export names no picture: `NAME.json` belongs to the picture NAME, and its further pages to NAME#2, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import box
from ocrmaps.evaluation.predictions.azure import is_answer
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.google import is_document
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(
        leaf.text is None
        and isinstance(leaf.root, dict)
        and isinstance(leaf.root.get("pages"), list)
        and not is_document(leaf.root)
        and not is_answer(leaf.root)
        for leaf in leaves
    )


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file a picture or document."""
    for leaf in leaves:
        pages = leaf.root.get("pages") if isinstance(leaf.root, dict) else None
        if found.expect(pages, list, f"{leaf.name}:pages", "a list of pages"):
            for i, page in enumerate(pages):
                _page(found, leaf.stem if i == 0 else f"{leaf.stem}#{i + 1}", page, f"{leaf.name}:pages[{i}]")


def _page(found: Found, name: str, page: Any, loc: str) -> None:
    since = len(found.problems)
    if not found.expect(page, dict, loc, "an object with dimensions and blocks"):
        return
    sides = page.get("dimensions")
    if not isinstance(sides, list) or len(sides) != 2:
        found.problem(f"{loc}.dimensions", f"found {shown(sides)}, expected [height, width]", "size")
        return
    size = found.size(sides[0], sides[1], f"{loc}.dimensions")
    detected = GatheredOutlines()
    for place, word in _words(found, page, loc):
        if size is not None:
            score = word.get("objectness_score")
            score = found.score(word) if score is None else score
            detected.add(f"{place}.geometry", _pixels(word.get("geometry"), size), word.get("value"), score=score)
    found.page(name, loc, detected, size=size, relative=True, since=since)


def _words(found: Found, page: dict[str, Any], loc: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, word) of a page; pages of the KIE predictor have a list for each class."""
    if "blocks" not in page and isinstance(page.get("predictions"), dict):
        groups = [(f"{loc}.predictions.{name}", words) for name, words in page["predictions"].items()]
    else:
        groups = [
            (f"{where}.words", line.get("words"))
            for place, block in found.rows(page.get("blocks"), f"{loc}.blocks")
            for where, line in found.rows(block.get("lines"), f"{place}.lines")
        ]
    for place, words in groups:
        yield from found.rows(words, place)


def _pixels(outline: Any, size: tuple[int, int]) -> Any:
    """Two corners or an outline, in pixels; anything else comes back as it is and is refused as an outline."""
    if not isinstance(outline, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(type(v) in (int, float) for v in p) for p in outline
    ):
        return outline
    height, width = size
    scaled = [[x * width, y * height] for x, y in outline]
    return box(*scaled[0], *scaled[1]) if len(scaled) == 2 else scaled
