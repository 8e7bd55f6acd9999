"""Amazon Textract: `Blocks` of type LINE or WORD (two levels, one is told), in shares of the page; a JSON a picture.

Several answers about one document may stand in a list, where every block says its page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import corners, page_name
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(
        all(isinstance(answer, dict) and "Blocks" in answer for answer in _answers(leaf)) for leaf in leaves
    )


def _answers(leaf: Leaf) -> list[Any]:
    return leaf.root if isinstance(leaf.root, list) and leaf.root else [leaf.root]


def _read(found: Found, leaves: Sequence[Leaf], kind: str) -> None:
    """One file a picture or document."""
    for leaf in leaves:
        since, pages = len(found.problems), {1: GatheredOutlines()}
        for place, block in _blocks(found, leaf):
            number = block.get("Page", 1 if isinstance(leaf.root, dict) else None)
            if type(number) is not int or number < 1:
                found.problem(
                    f"{place}.Page",
                    "found no page number, expected 1 or more: a file for each picture, or pages of one document",
                    "wrong-type",
                )
                continue
            page = pages.setdefault(number, GatheredOutlines())
            if block.get("BlockType") == kind:
                shape = block.get("Geometry")
                outline = corners(shape.get("Polygon") if isinstance(shape, dict) else shape, ("X", "Y"))
                page.add(f"{place}.Geometry", outline, block.get("Text"), score=_share(block.get("Confidence")))
        broken = len(found.problems) > since
        for number, page in sorted(pages.items()):
            found.page(page_name(leaf.stem, number - 1), leaf.name, page, since=-1 if broken else since, relative=True)


def _blocks(found: Found, leaf: Leaf) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, answer in enumerate(_answers(leaf)):
        loc = f"{leaf.name}:[{i}]." if isinstance(leaf.root, list) else f"{leaf.name}:"
        if found.expect(answer, dict, loc.rstrip(":."), "an object with Blocks"):
            yield from found.rows(answer.get("Blocks"), f"{loc}Blocks")


read_lines, read_words = partial(_read, kind="LINE"), partial(_read, kind="WORD")


def _share(score: Any) -> Any:
    """Textract's per cent as a share."""
    return score / 100 if type(score) in (int, float) and abs(score) < 1e300 else score
