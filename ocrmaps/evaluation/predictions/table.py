"""Submission csv: `filename,polygons[,scores]`; a polygon is `x1 y1 x2 y2 ...`, polygons and scores are joined by `|`.

An empty second column means no detection.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import NUMBER
from ocrmaps.cells import long_cells, plain, polygons_in
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.records import Found
from ocrmaps.limits import MOST_TEXTS

COLUMNS = ["filename", "polygons"]
_SCORES = ("scores", "score", "confidences", "confidence")


def recognize(leaves: Sequence[Leaf]) -> bool:
    if len(leaves) != 1 or leaves[0].text is None:
        return False
    first = leaves[0].text.lstrip().split("\n", 1)[0]
    return [name.strip().strip('"').lower() for name in first.split(",")][:2] == COLUMNS


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """The rows of a table; an empty second column means no detection."""
    for leaf in leaves:
        with long_cells():
            rows = csv.reader(StringIO(leaf.text or "", newline=""), strict=True)
            try:
                head = [name.strip().lower() for name in next(rows, [])]
                if head[:2] != COLUMNS:
                    message = f"found columns {shown(head)}, expected filename, polygons"
                    found.problem(f"{leaf.name}:1", message, "invalid-line")
                    continue
                scores = next((i for i, name in enumerate(head) if name in _SCORES), None)
                for row in rows:
                    if row:
                        _row(found, row, len(head), scores, f"{leaf.name}:{rows.line_num}")
            except csv.Error as error:
                message = f"found a row that cannot be read: {error}"
                found.problem(f"{leaf.name}:{rows.line_num}", message, "invalid-line")


def _row(found: Found, row: Sequence[str], columns: int, scores: int | None, loc: str) -> None:
    since, detected = len(found.problems), GatheredOutlines()
    if len(row) != columns:
        message = f"found {len(row)} columns, expected {columns} as in the first line"
        found.problem(loc, message, "invalid-line")
        return
    try:
        points = [_numbers(found, words, loc) for words in polygons_in(row[1])]
    except ValueError as error:
        found.problem(loc, str(error), "too-many-points")
        return
    ranks: Sequence[float | None] = [None] * len(points)
    if scores is not None:
        ranks = list(_numbers(found, row[scores].replace("|", " ").split(maxsplit=MOST_TEXTS + 1), loc))
    ranks = found.beside(ranks, len(points), loc)
    for i, outline in enumerate(points):
        detected.add(f"{loc}:polygon {i}", outline, score=ranks[i])
    found.page(plain(row[0]), loc, detected, since=since)


def _numbers(found: Found, words: Sequence[str], loc: str) -> list[float]:
    wrong = next((word for word in words if not NUMBER.fullmatch(word)), None)
    if wrong is not None:
        found.problem(loc, f"found {shown(wrong)}, expected numbers parted by blanks", "invalid-line")
        return []
    return [float(word) for word in words]
