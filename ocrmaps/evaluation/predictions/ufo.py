"""UFO json: `images` -> name -> `words` -> `points`, with `confidence` or `score`; so writes `predict`, too."""

from __future__ import annotations

from collections.abc import Sequence

from ocrmaps.annotations.formats.ufo import add_image
from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.evaluation.predictions.contents import Leaf, only
from ocrmaps.evaluation.predictions.records import Found


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
                add_image(found, name, image, leaf.name)
