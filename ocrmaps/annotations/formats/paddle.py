"""PaddleOCR label txt: one picture a line: `path TAB [{"transcription": ..., "points": [[x, y], ...]}, ...]`.

The transcriptions `###` and `*` mean ignore. An empty transcription stays an empty text. What PaddleOCR's detector
writes alone (`det_results.txt`) has bare lists of points, which have no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather, GatheredOutlines
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
        read_lines(g, text, g.file)
    return g.reading()


def read_lines(g: Gather, text: str, file: str) -> None:
    """Add the pictures of one label file."""
    for number, line in numbered(text):
        with g.attempt():
            _line(g, line, file, number)


def _line(g: Gather, line: str, file: str, number: int) -> None:
    since, found = len(g.problems), GatheredOutlines()
    loc = f"{file}:{number}"
    name, tab, listing = line.partition("\t")
    if not tab:
        g.problem(loc, f"found {shown(line)}, expected picture name, tab, json", "invalid-line")
        return
    if name.startswith("["):
        g.problem(loc, "found a list of pictures, expected one picture name a line", "invalid-line")
        return
    words = g.parse_json(listing, file, line=number)
    if not g.expect(words, list, loc, "a list of outlines"):
        return
    for i, word in enumerate(words):
        place = f"{loc}:[{i}]"
        if isinstance(word, list):
            found.add(place, word)
            continue
        if not g.expect(word, dict, place, 'an object with "points"'):
            continue
        text = word.get("transcription")
        marked = not g.detecting and isinstance(text, str) and text in MARKS
        found.add(f"{place}.points", word.get("points"), None if marked else text, ignore=marked, score=g.score(word))
        if not word.keys() <= _WORD:
            g.unused.update(f"word {key}" for key in word.keys() - _WORD if word[key] is not False)
    g.page(g.picture(name, loc), loc, found, since=since)


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
