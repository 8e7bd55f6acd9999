"""PaddleOCR result txt: `name TAB [{"transcription", "points", "score"}, ...]`, a line a picture."""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.formats.paddle import read_lines
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    if len(leaves) != 1 or leaves[0].text is None:
        return False
    first = next((line for _, line in numbered(leaves[0].text)), "")
    return first.partition("\t")[2].lstrip().startswith("[")


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """Every line of the files; `points` are outlines in pixels."""
    for leaf in leaves:
        read_lines(found, leaf.text or "", leaf.name)
