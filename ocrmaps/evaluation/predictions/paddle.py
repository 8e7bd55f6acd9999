"""PaddleOCR result txt: `name TAB [{"transcription", "points", "score"}, ...]`, a line a picture."""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.evaluation.predictions.contents import Leaf
from ocrmaps.evaluation.predictions.records import Found, rank_of


def recognize(leaves: Sequence[Leaf]) -> bool:
    if len(leaves) != 1 or leaves[0].text is None:
        return False
    first = next((line for _, line in numbered(leaves[0].text)), "")
    return first.partition("\t")[2].lstrip().startswith("[")


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """Every line of the files; `points` are outlines in pixels."""
    for leaf in leaves:
        for number, line in numbered(leaf.text or ""):
            with found.attempt():
                _line(found, leaf.name, number, line)


def _line(found: Found, file: str, number: int, line: str) -> None:
    since, loc = len(found.problems), f"{file}:{number}"
    name, tab, listing = line.partition("\t")
    if not tab:
        found.problem(loc, f"found {shown(line)}, expected picture name, tab, json", "invalid-line")
        return
    words = found.parse_json(listing, file, line=number)
    if not found.expect(words, list, loc, "a list of outlines"):
        return
    kept = [(i, w) for i, w in enumerate(words) if found.expect(w, dict, f"{loc}:[{i}]", 'an object with "points"')]
    found.detections(
        name,
        loc=loc,
        points=[word.get("points") for _, word in kept],
        scores=[rank_of(word) for _, word in kept],
        texts=[word.get("transcription") for _, word in kept],
        where=lambda i: f"{loc}:[{kept[i][0]}]",
        since=since,
    )
