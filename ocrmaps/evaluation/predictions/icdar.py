"""ICDAR result txt: a file a picture (`res_img_1.txt`, `img_1.txt`, `img_1.jpg.txt`), a detection a line.

Boxes, quads and outlines of any number of points, with or without score and text: `layout` says how it is told.
A file without any line is a picture without detection. A folder, a zip archive, or one file.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import refusal
from ocrmaps.annotations.grammar.lines import box, is_box_and_offsets, is_long, leading, numbered, unquoted
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.layout import Line, LineLayout, decide, finite, take_apart
from ocrmaps.evaluation.predictions.records import Found
from ocrmaps.limits import MOST_LINES

_SIGN = "####"
"""What CTW1500 puts in front of texts."""


def recognize(leaves: Sequence[Leaf]) -> bool:
    if not leaves or any(leaf.text is None or is_long(leaf.text) for leaf in leaves):
        return False
    lines = [line for leaf in leaves for _, line in numbered(leaf.text or "")]
    fields = [line.split(",") for line in lines]
    if fields and all(map(is_box_and_offsets, fields)):
        return False  # CTW1500's own spelling, which its reader knows
    # Most lines: a broken one among them is then named as such.
    numbered_ = sum(leading(f) >= 4 or leading(line.split()) >= 4 for f, line in zip(fields, lines, strict=True))
    return 2 * numbered_ > len(lines) or not lines


def read(found: Found, leaves: Sequence[Leaf], layout: str | None = None) -> None:
    """All files by one layout."""
    for leaf in leaves:
        if is_long(leaf.text or ""):
            raise refusal(leaf.name, f"found over {MOST_LINES} lines about one picture", "too-many-outlines")
    told = None if layout is None else LineLayout.parse(layout)
    pages = [[(f"{leaf.name}:{n}", line) for n, line in numbered(leaf.text or "")] for leaf in leaves]
    lines = take_apart([pair for page in pages for pair in page])
    chosen = told or (decide(lines, found.scale) if lines else LineLayout("quad"))
    found.layout = str(chosen) if lines else ""
    start = 0
    for leaf, page in zip(leaves, pages, strict=True):
        _page(found, leaf, lines[start : start + len(page)], chosen)
        start += len(page)


def _page(found: Found, leaf: Leaf, lines: Sequence[Line], layout: LineLayout) -> None:
    since, detected = len(found.problems), GatheredOutlines()
    for line in lines:
        k = layout.coordinates(line)
        if k is None:
            after = f", then {line.fields[line.lead][:40]!r}" if line.lead < len(line.fields) else ""
            found.problem(line.loc, f"found {line.lead} numbers{after}, expected {layout}", "invalid-line")
            continue
        try:
            field = layout.score(line, k)
            score = None if field is None or found.scale == "none" else finite(field)
            outline = _outline([finite(field) for field in line.fields[:k]], layout.shape)
        except ValueError as error:
            found.problem(line.loc, str(error), "invalid-line")
            continue
        text = layout.text(line, k)
        detected.add(line.loc, outline, None if text is None else unquoted(text.removeprefix(_SIGN)), score=score)
    name = leaf.stem if leaf.name.lower().endswith(".txt") else leaf.name
    found.page(name, leaf.name, detected, since=since)


def _outline(numbers: list[float], shape: str) -> list[float]:
    if shape == "xywh":
        x, y, width, height = numbers
        numbers = [x, y, x + width, y + height]
    if shape not in ("box", "xywh"):
        return numbers
    x0, y0, x1, y1 = numbers
    if x1 < x0 or y1 < y0:
        raise ValueError(
            f"found a box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}), expected left top right bottom; "
            "--predictions-layout xywh reads x, y, width, height"
        )
    return box(x0, y0, x1, y1)
