"""UFO json: `images` -> picture name -> `words` -> word id -> `points`, with or without text, illegibility and size.

Every point is kept as written. `illegibility: true` is the ignore flag; word ids are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines, JsonTable
from ocrmaps.annotations.grammar.contents import step
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, number_pairs, write_file

_IMAGE = {"words", "img_w", "img_h"}
_WORD = {"points", "transcription", "illegibility"}


def recognize(head: Head) -> str:
    """Why this looks like UFO, or nothing."""
    if isinstance(head.json, dict) and isinstance(head.json.get("images"), dict):
        return 'json whose "images" is an object with one entry per picture'
    return ""


def read(source: Source) -> Reading:
    """The samples of one UFO file, in file order."""
    g = Gather(source)
    with g.attempt():
        what = "an object from picture name to words"
        for member, name, image in g.members(
            dict, 'an object with "images"', [JsonTable("images", what, (dict,))], ids="images"
        ):
            if member:
                add_image(g, str(name), image, g.file)
            else:
                g.unused[str(name)] += 1
    return g.reading()


def add_image(g: Gather, name: str, image: Any, file: str) -> None:
    """Add one picture."""
    since = len(g.problems)
    loc = f"{file}:{step('images', name)}"
    if not g.expect(image, dict, loc, 'an object with "words"'):
        return
    words = image.get("words")
    words = {} if words is None else words  # a picture without text may leave it out
    if not g.expect(words, dict, f"{loc}.words", "an object from word id to word"):
        return
    if not image.keys() <= _IMAGE:
        g.unused.update(f"image {key}" for key in image.keys() - _IMAGE)
    inside = f"{loc}.words"
    found = GatheredOutlines(spelled=lambda key: f"{step(inside, key)}.points")
    for key, word in words.items():
        if type(word) is dict or g.expect(word, dict, step(inside, key), 'an object with "points"'):
            illegible = word.get("illegibility")
            flag = False if illegible is None else illegible
            found.add(key, word.get("points"), word.get("transcription"), ignore=flag, score=g.score(word))
            if not word.keys() <= _WORD:
                g.unused.update(f"word {key}" for key in word.keys() - _WORD)
    g.page(g.picture(name, loc), loc, found, size=g.size(image.get("img_h"), image.get("img_w"), loc), since=since)


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One UFO file. It can say everything that a sample holds; a missing size is counted."""
    draft = AnnotationDraft(samples)
    entries = []
    for sample in draft.samples:
        image: dict[str, Any] = {}
        if sample.size is None:
            draft.lose("picture sizes unknown")
        else:
            image = {"img_h": sample.size[0], "img_w": sample.size[1]}
        words = {}
        for i, (points, ignore, text) in enumerate(draft.outlines(sample), start=1):
            word: dict[str, Any] = {"points": number_pairs(points)}
            if text is not None:
                word["transcription"] = text
            if ignore:
                word["illegibility"] = True
            words[f"{i:04d}"] = word
        entries.append(f"{compact(sample.id)}: {compact({**image, 'words': words})}")
    body = ",\n".join(entries)
    return write_file(draft, out, f'{{"images": {{\n{body}\n}}}}\n', overwrite=overwrite)
