"""JSON from picture name to its outlines, as the ArT and LSVT competitions and docTR's labels.json have it.

{"res_1": [{"points": [[x, y], ...], "confidence": 0.9}, ...], ...}
{"a.png": {"polygons": [[[x, y], ...], ...], "scores": [...]}, ...}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrmaps.annotations.gather import GatheredOutlines
from ocrmaps.annotations.grammar.contents import step
from ocrmaps.evaluation.predictions import mmocr
from ocrmaps.evaluation.predictions.contents import Leaf, only
from ocrmaps.evaluation.predictions.records import Found


def recognize(leaves: Sequence[Leaf]) -> bool:
    leaf = only(leaves)
    if leaf is None or not isinstance(leaf.root, dict) or not leaf.root or mmocr.recognize(leaves):
        return False
    return all(_fits(value) for value in leaf.root.values())


def _fits(value: Any) -> bool:
    if isinstance(value, dict):
        return "polygons" in value
    return isinstance(value, list) and all(isinstance(word, dict) and "points" in word for word in value)


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file."""
    for leaf in leaves:
        if found.expect(leaf.root, dict, leaf.name, "an object from picture name to outlines"):
            for name, value in leaf.root.items():
                _picture(found, name, value, f"{leaf.name}:{step('', name)}")


def _picture(found: Found, name: str, value: Any, loc: str) -> None:
    since, detected = len(found.problems), GatheredOutlines()
    if isinstance(value, dict):
        points, scores = value.get("polygons"), value.get("scores")
        if isinstance(points, dict):  # docTR with classes
            groups = [group if isinstance(group, list) else [group] for group in points.values()]
            points = [outline for group in groups for outline in group]
        if not found.expect(points, list, f"{loc}.polygons", "a list of outlines"):
            return
        scores = [None] * len(points) if scores is None else scores
        if not found.expect(scores, list, f"{loc}.scores", "a list of scores"):
            return
        scores = found.beside(scores, len(points), loc)
        for i, outline in enumerate(points):
            detected.add(f"{loc}[{i}]", outline, score=scores[i])
    else:
        for place, word in found.rows(value, loc, 'an object with "points"', of="a list of outlines"):
            detected.add(place, word.get("points"), word.get("transcription"), score=found.score(word))
    found.page(name, loc, detected, since=since)
