"""Amazon Textract: `Blocks` of type LINE or WORD (two levels, one is told), in shares of the page; a JSON a picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import corners, page_name
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(isinstance(leaf.root, dict) and "Blocks" in leaf.root for leaf in leaves)


def _read(found: Found, leaves: Sequence[Leaf], kind: str) -> None:
    """One file a picture or document."""
    for leaf in leaves:
        since, pages = len(found.problems), {1: GatheredOutlines()}
        root = leaf.root if found.expect(leaf.root, dict, leaf.name, "an object with Blocks") else {}
        for place, block in found.rows(root.get("Blocks"), f"{leaf.name}:Blocks"):
            number = block.get("Page", 1)
            if type(number) is not int or number < 1:
                found.problem(f"{place}.Page", "found no page number, expected 1 or more", "wrong-type")
                continue
            page = pages.setdefault(number, GatheredOutlines())
            if block.get("BlockType") == kind:
                shape = block.get("Geometry")
                outline = corners(shape.get("Polygon") if isinstance(shape, dict) else shape, ("X", "Y"))
                page.add(f"{place}.Geometry", outline, block.get("Text"), score=_share(block.get("Confidence")))
        broken = len(found.problems) > since
        for number, page in sorted(pages.items()):
            found.page(page_name(leaf.stem, number - 1), leaf.name, page, since=-1 if broken else since, relative=True)


read_lines, read_words = partial(_read, kind="LINE"), partial(_read, kind="WORD")


def _share(score: Any) -> Any:
    """Textract's per cent as a share."""
    return score / 100 if type(score) in (int, float) and abs(score) < 1e300 else score
