"""Azure: Read 3 (`readResults`), Document Intelligence (`pages`) and Image Analysis 4 (`blocks`): lines or words, told.

Coordinates become shares of the page, whatever their unit. Lines have no score in most of them. A JSON a picture.
The result that Azure's own libraries save stands without `analyzeResult` around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import corners, page_name, shares
from ocrmaps.evaluation.predictions.records import Found

_OUTLINES = ("polygon", "boundingPolygon", "bounding_polygon", "boundingBox", "bounding_box")


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(is_answer(leaf.root) for leaf in leaves)


def is_answer(root: Any) -> bool:
    return isinstance(root, dict) and ("analyzeResult" in root or "readResult" in root or _is_bare(root))


def _is_bare(root: dict[str, Any]) -> bool:
    return "pages" in root and ("modelId" in root or "model_id" in root)


def _read(found: Found, leaves: Sequence[Leaf], level: str) -> None:
    """The lines or words of every page."""
    for leaf in leaves:
        if not found.expect(leaf.root, dict, leaf.name, "an object with analyzeResult"):
            continue
        for i, (loc, page) in enumerate(_pages(found, leaf)):
            since, items = len(found.problems), GatheredOutlines()
            for place, item in _items(found, page, loc, level):
                outline = next((item[key] for key in _OUTLINES if item.get(key) is not None), None)
                if isinstance(outline, list) and outline and isinstance(outline[0], dict):
                    outline = corners(outline, ("x", "y"))
                text = item.get("content", item.get("text"))
                items.add(place, shares(outline, page.get("width"), page.get("height")), text, score=found.score(item))
            found.page(page_name(leaf.stem, i), loc, items, since=since, relative=True)


read_lines, read_words = partial(_read, level="lines"), partial(_read, level="words")


def _pages(found: Found, leaf: Leaf) -> Iterator[tuple[str, dict[str, Any]]]:
    root = leaf.root
    if "readResult" in root:
        result, sides = root["readResult"], root.get("metadata")
        if found.expect(result, dict, f"{leaf.name}:readResult", "an object with blocks"):
            yield f"{leaf.name}:readResult", {**(sides if isinstance(sides, dict) else {}), **result}
        return
    step = "" if _is_bare(root) else "analyzeResult."
    result = root if not step else root.get("analyzeResult")
    if found.expect(result, dict, f"{leaf.name}:analyzeResult", "an object with pages"):
        key = "readResults" if "readResults" in result else "pages"
        yield from found.rows(result.get(key), f"{leaf.name}:{step}{key}")


def _items(found: Found, page: dict[str, Any], loc: str, level: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines stand in pages or blocks, words in pages or lines."""
    if "blocks" in page:
        groups = [(f"{at}.lines", block.get("lines", [])) for at, block in found.rows(page["blocks"], f"{loc}.blocks")]
    elif level == "words" and "words" in page:
        groups = [(f"{loc}.words", page["words"])]
    elif "lines" in page:
        groups = [(f"{loc}.lines", page["lines"])]
    else:
        found.problem(loc, "found a page without lines, expected them: ask Azure for text details", "invalid")
        return
    for place, group in groups:
        for at, item in found.rows(group, place):
            if level == "words" and not place.endswith(".words"):
                yield from found.rows(item.get("words", []), f"{at}.words")
            else:
                yield at, item
