"""PaddleOCR label txt: one picture a line: `path TAB [{"transcription": ..., "points": [[x, y], ...]}, ...]`.

The transcriptions `###` and `*` mean ignore. An empty transcription stays an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, compact, number_pairs, write_file
from ocrmaps.errors import AnnotationError, Problem

MARKS = ("###", "*")
_WORD = {"transcription", "points"}


def recognize(head: Head) -> str:
    """Why this looks like a PaddleOCR label file, or nothing."""
    parts = [line.split("\t") for line in head.lines]
    if parts and not head.per_picture and all(len(p) == 2 and p[1].lstrip().startswith("[") for p in parts):
        return "lines of a picture name, a tab and a json list"
    return ""


def read(source: Source) -> Reading:
    """The samples of one label file, in file order."""
    g = Gather(source)
    with g.attempt():
        text = g.text(source.annotations, g.file)
        if not text.strip():
            raise refusal(g.file, "found an empty file, expected lines of picture name, tab, json", "empty-file")
        for number, line in numbered(text):
            with g.attempt():
                _line(g, line, number)
    return g.reading()


def _line(g: Gather, line: str, number: int) -> None:
    since = len(g.problems)
    loc = f"{g.file}:{number}"
    name, tab, listing = line.partition("\t")
    if not tab:
        g.problem(loc, f"found {shown(line)}, expected picture name, tab, json", "invalid-line")
        return
    if name.startswith("["):
        g.problem(loc, "found a list of pictures, expected one picture name a line", "invalid-line")
        return
    words = g.parse_json(listing, g.file, line=number)
    if not g.expect(words, list, loc, "a list of outlines"):
        return
    points, texts, ignore, places = [], [], [], []
    for i, word in enumerate(words):
        if not g.expect(word, dict, f"{loc}:[{i}]", 'an object with "points"'):
            continue
        text = word.get("transcription")
        marked = isinstance(text, str) and text in MARKS
        points.append(word.get("points"))
        texts.append(None if marked else text)
        ignore.append(marked)
        places.append(i)
        if not word.keys() <= _WORD:
            g.unused.update(f"word {key}" for key in word.keys() - _WORD if word[key] is not False)
    id = g.picture(name, loc)
    where = partial(_where, loc, places)
    g.sample(id, loc=loc, points=points, ignore=ignore, texts=texts, where=where, since=since)


def _where(loc: str, places: list[int], i: int) -> str:
    return f"{loc}:[{places[i]}].points"


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One label file. Ignored outlines become `###` and lose their text; sizes and unknown texts cannot be said."""
    draft = AnnotationDraft(samples)
    lines, problems = [], []
    for sample in draft.samples:
        if any(letter in sample.id for letter in "\t\n\r\0") or sample.id.startswith("["):
            message = "found a tab, a line break or a leading bracket in the picture name, expected none"
            problems.append(Problem(loc=sample.id, message=message, kind="unsafe-path"))
        if sample.size is not None:
            draft.lose("picture sizes")
        words = []
        for points, ignore, text in draft.outlines(sample):
            if ignore and text is not None:
                draft.lose("texts of ignored outlines")
            elif not ignore and text is None:
                draft.lose("unknown texts written as empty")
            elif not ignore and text in MARKS:
                draft.lose(f"texts {text!r} that will read as ignored")
            word: dict[str, Any] = {"transcription": MARKS[0] if ignore else text or "", "points": number_pairs(points)}
            words.append(word)
        lines.append(f"{sample.id}\t{compact(words)}\n")
    if problems:
        raise AnnotationError("these samples cannot be written as PaddleOCR lines", problems=problems)
    return write_file(draft, out, "".join(lines), overwrite=overwrite)
