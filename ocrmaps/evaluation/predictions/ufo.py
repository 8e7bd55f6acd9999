"""UFO json: `images` -> name -> `words` -> `points`, with `confidence` or `score`; so writes `predict`, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrmaps.annotations.grammar.contents import refusal, shown, step
from ocrmaps.evaluation.predictions.contents import Leaf, only
from ocrmaps.evaluation.predictions.records import Found, rank_of


def recognize(leaves: Sequence[Leaf]) -> bool:
    leaf = only(leaves)
    return leaf is not None and isinstance(leaf.root, dict) and isinstance(leaf.root.get("images"), dict)


def read(found: Found, leaves: Sequence[Leaf]) -> None:
    """One file; a frame that it states is kept."""
    for leaf in leaves:
        root = leaf.root
        if not found.expect(root, dict, leaf.name, 'an object with "images"'):
            continue
        if root.get("format") == "ocrmaps-predictions":
            if root.get("version") != 1 or root.get("frame") not in ("raw", "upright"):
                said = f"version {shown(root.get('version'))}, frame {shown(root.get('frame'))}"
                raise refusal(leaf.name, f"found predictions of {said}, expected version 1, frame raw or upright")
            found.frame = root["frame"]
        images = root.get("images")
        if found.expect(images, dict, f"{leaf.name}:images", "an object from picture name to words"):
            for name, image in images.items():
                _image(found, name, image, f"{leaf.name}:{step('images', name)}")


def _image(found: Found, name: str, image: Any, loc: str) -> None:
    since = len(found.problems)
    if not found.expect(image, dict, loc, 'an object with "words"'):
        return
    words = image.get("words")
    words = {} if words is None else words
    if not found.expect(words, dict, f"{loc}.words", "an object from word id to word"):
        return
    kept = {k: w for k, w in words.items() if found.expect(w, dict, step(f"{loc}.words", k), 'an object with "points"')}
    keys = list(kept)
    found.detections(
        name,
        loc=loc,
        points=[word.get("points") for word in kept.values()],
        scores=[rank_of(word) for word in kept.values()],
        texts=[word.get("transcription") for word in kept.values()],
        where=lambda i: step(f"{loc}.words", keys[i]),
        size=found.size(image.get("img_h"), image.get("img_w"), loc),
        since=since,
    )
