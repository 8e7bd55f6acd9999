"""What a path of predictions holds, read once: text, or JSON values. Nothing is unpacked to disk, nothing executed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ocrmaps.annotations.discovery.pictures import clean_name
from ocrmaps.annotations.grammar.contents import decode, read_bytes, refusal
from ocrmaps.annotations.grammar.documents import documents
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.evaluation.predictions.records import Found

SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".hocr", ".html", ".htm", ".xhtml")
_BINARY = (".mat", ".parquet", ".tar")
"""What annotations alone are written in."""
_PICKLES = (".pkl", ".pickle", ".pth", ".pt", ".npy", ".npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One file."""

    name: str
    """Its path within the folder or archive, or its name."""
    text: str | None = None
    """Of a text file."""
    root: Any = None
    """Of a JSON file; JSON lines are a list."""

    @property
    def stem(self) -> str:
        """The name without the ending of the file of predictions: `a/img_1.jpg` of `a/img_1.jpg.json`."""
        return os.path.splitext(self.name)[0]


def read_leaves(found: Found) -> list[Leaf]:
    """Every file of a folder or zip archive that can hold predictions, sorted by name, or the file itself."""
    path = found.source.annotations
    if path.suffix.lower() in _PICKLES:
        raise refusal(
            path.name,
            f"found a {path.suffix} file: opening it can run any code, so it is never opened",
            "unreadable-file",
            hint="load it where it was written and save JSON: a list of objects with img_path, polygons and scores",
        )
    if path.suffix.lower() in _BINARY:
        return []
    if path.is_file() and path.suffix.lower() != ".zip":
        return [_leaf(found, path.name, read_bytes(path, path.name))]
    leaves = []
    for document in documents(found, SUFFIXES):
        with found.attempt():
            if path.is_file():
                _check_entry(document.name)
            leaves.append(_leaf(found, document.name, document.read(), alone=False))
    return leaves


def _check_entry(name: str) -> None:
    try:
        clean_name(name)
    except ValueError as error:
        raise refusal(name, str(error), "unsafe-path", hint="pack the archive again, with plain names") from None


def _leaf(found: Found, name: str, data: bytes, *, alone: bool = True) -> Leaf:
    text = decode(data, name)
    start = text.lstrip()[:1]
    if not start and alone:
        raise refusal(name, "found an empty file", "empty-file", hint="no detections at all are `[]` in JSON")
    if start not in ("{", "[") and not (not start and name.lower().endswith(".json")):
        return Leaf(name=name, text=text)
    first = [line for _, (_, line) in zip(range(2), numbered(text), strict=False)]
    if len(first) == 2 and all(line.lstrip().startswith("{") for line in first) and first[0].rstrip().endswith("}"):
        return Leaf(name=name, root=[found.parse_json(line, name, line=n) for n, line in numbered(text)])
    return Leaf(name=name, root=found.parse_json(text, name))


def only(leaves: Sequence[Leaf]) -> Leaf | None:
    """The JSON file where there is just one file."""
    return leaves[0] if len(leaves) == 1 and leaves[0].text is None else None
