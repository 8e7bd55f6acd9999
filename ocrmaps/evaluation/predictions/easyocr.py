"""EasyOCR: `[[box, text, confidence], ...]`, or objects of `boxes`, `text`, `confident`; a JSON file a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    some = [leaf.root for leaf in leaves if leaf.root != []]
    return bool(some) and all(leaf.text is None for leaf in leaves) and all(_fits(root) for root in some)


def _fits(root: Any) -> bool:
    first = root[0] if isinstance(root, list) and root else root
    if isinstance(first, dict):
        return "boxes" in first and "confident" in first
    return isinstance(first, list) and len(first) == 3 and isinstance(first[1], str)


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file a picture."""
    for leaf in leaves:
        since, page = len(found.problems), GatheredOutlines()
        rows = [leaf.root] if isinstance(leaf.root, dict) else leaf.root
        if found.expect(rows, list, leaf.name, "a list of [box, text, confidence]"):
            for i, row in enumerate(rows):
                place = f"{leaf.name}:[{i}]"
                if isinstance(row, dict):
                    page.add(place, row.get("boxes"), row.get("text"), score=row.get("confident"))
                elif isinstance(row, list) and len(row) == 3:
                    page.add(place, row[0], row[1], score=row[2])
                else:
                    found.problem(place, f"found {shown(row)}, expected [box, text, confidence]", "wrong-type")
            found.page(leaf.stem, leaf.name, page, since=since)
