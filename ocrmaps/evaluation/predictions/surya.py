"""Surya results.json: picture name to pages of `text_lines` (OCR) or `bboxes` (detection), each with a `polygon`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import step
from ocrmaps.evaluation.predictions.contents import Leaf, only
from ocrmaps.evaluation.predictions.detected import page_name
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    leaf = only(leaves)
    root = leaf.root if leaf is not None else None
    return isinstance(root, dict) and bool(root) and all(_fits(pages) for pages in root.values())


def _fits(pages: Any) -> bool:
    return isinstance(pages, list) and all(isinstance(p, dict) and ("text_lines" in p or "bboxes" in p) for p in pages)


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file of all pictures."""
    for leaf in leaves:
        if found.expect(leaf.root, dict, leaf.name, "an object from picture name to pages"):
            for name, pages in leaf.root.items():
                for i, (loc, page) in enumerate(found.rows(pages, f"{leaf.name}:{step('', name)}")):
                    since, lines = len(found.problems), GatheredOutlines()
                    key = "text_lines" if "text_lines" in page else "bboxes"
                    for place, line in found.rows(page.get(key), f"{loc}.{key}"):
                        lines.add(f"{place}.polygon", line.get("polygon"), line.get("text"), score=found.score(line))
                    found.page(page_name(name, i), loc, lines, since=since)
