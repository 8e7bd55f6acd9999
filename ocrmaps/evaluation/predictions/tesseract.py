"""Tesseract tsv: rows of level, place on the page and confidence; lines or words (levels 4 and 5), one is told.

Only words have a confidence, in per cent. A file a picture; further pages are NAME#2, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import NUMBER, box, numbered
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.detected import page_name
from ocrmaps.evaluation.predictions.records import Found

_COLUMNS = (
    "level",
    "page_num",
    "block_num",
    "par_num",
    "line_num",
    "word_num",
    "left",
    "top",
    "width",
    "height",
    "conf",
)


def recognize(leaves: Sequence[Leaf]) -> bool:
    return bool(leaves) and all(leaf.text is not None and _head(leaf.text) for leaf in leaves)


def _head(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0]
    return tuple(first.split("\t"))[: len(_COLUMNS)] == _COLUMNS


def _read(found: Found, leaves: Sequence[Leaf], level: str) -> None:
    for leaf in leaves:
        since = len(found.problems)
        pages: dict[int, GatheredOutlines] = {1: GatheredOutlines()}
        rows = numbered(leaf.text or "")
        if not _head(leaf.text or ""):
            found.problem(
                f"{leaf.name}:1", f"found other columns, expected {', '.join(_COLUMNS)}, text", "invalid-line"
            )
            continue
        next(rows)
        for number, line in rows:
            loc, fields = f"{leaf.name}:{number}", line.split("\t")
            numbers = fields[: len(_COLUMNS)]
            if len(numbers) < len(_COLUMNS) or not all(map(NUMBER.fullmatch, numbers)):
                found.problem(loc, f"found {shown(line)}, expected 11 numbers and a text", "invalid-line")
                continue
            if numbers[0] == level:
                x, y, width, height, score = map(float, numbers[6:])
                text = "\t".join(fields[len(_COLUMNS) :])
                page = pages.setdefault(int(float(numbers[1])) if len(numbers[1]) < 9 else 1, GatheredOutlines())
                given = level == "5" and score >= 0
                page.add(loc, box(x, y, x + width, y + height), text or None, score=score / 100 if given else None)
        for page_number, page in sorted(pages.items()):
            broken = len(found.problems) > since
            found.page(page_name(leaf.stem, page_number - 1), leaf.name, page, since=-1 if broken else since)


read_lines, read_words = partial(_read, level="4"), partial(_read, level="5")
