"""Submission csv: columns `filename` and `polygons`; a polygon is `x1 y1 x2 y2 ...`, polygons are joined by `|`.

One row a picture, in file order; an empty second column means no text. Further columns are counted, not kept.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from io import StringIO
from pathlib import Path

from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.gather import Gather
from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.annotations.grammar.lines import NUMBER
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, write_file
from ocrmaps.cells import Numbers, long_cells, plain, polygons_in, table

COLUMNS = ("filename", "polygons")


def recognize(head: Head) -> str:
    """Why this looks like a submission, or nothing."""
    if head.per_picture or not head.lines:
        return ""
    columns = [name.strip().strip('"').lower() for name in head.lines[0].split(",")]
    return "a table with the columns filename and polygons" if columns[:2] == list(COLUMNS) else ""


def read(source: Source) -> Reading:
    """The samples of one table, in file order."""
    g = Gather(source)
    with g.attempt(), long_cells():
        rows = csv.reader(StringIO(g.text(source.annotations, g.file), newline=""), strict=True)
        try:
            head = [name.strip().lower() for name in next(rows, [])]
            if head[:2] != list(COLUMNS):
                raise refusal(f"{g.file}:1", f"found columns {shown(head)}, expected filename, polygons")
            for row in rows:
                if row:
                    _row(g, row, len(head), f"{g.file}:{rows.line_num}")
            g.unused.update({f"column {name}": rows.line_num - 1 for name in head[2:]})
        except csv.Error as error:
            g.problem(f"{g.file}:{rows.line_num}", f"found a row that cannot be read: {error}", "invalid-line")
    return g.reading()


def _row(g: Gather, row: list[str], columns: int, loc: str) -> None:
    since = len(g.problems)
    if len(row) != columns:
        g.problem(loc, f"found {len(row)} columns, expected {columns} as in the first line", "invalid-line")
        return
    points: list[list[float]] = []
    try:
        for words in polygons_in(row[1]):
            wrong = next((word for word in words if not NUMBER.fullmatch(word)), None)
            if wrong is not None or not words:
                g.problem(loc, f"found {shown(wrong or '')}, expected numbers x1 y1 x2 y2 ...", "invalid-line")
                return
            points.append([float(word) for word in words])
    except ValueError as error:
        g.problem(loc, str(error), "too-many-points")
        return
    where = partial("{}:polygon {}".format, loc)
    g.sample(g.picture(plain(row[0]), loc), loc=loc, points=points, where=where, since=since)


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False, raw_csv: bool = False) -> WriteReport:
    """One table. Points only: texts, sizes and what is ignored cannot be said.

    A picture's name that a spreadsheet would take for a formula gets an apostrophe in front unless `raw_csv`.
    """
    draft = AnnotationDraft(samples)
    rows: list[tuple[str, Numbers]] = []
    for sample in draft.samples:
        if sample.size is not None:
            draft.lose("picture sizes")
        parts = []
        for points, ignore, text in draft.outlines(sample):
            if ignore:
                draft.lose("ignored outlines written as text")
            if text is not None:
                draft.lose("texts")
            parts.append(" ".join(map(repr, points)))
        rows.append((sample.id, Numbers("|".join(parts))))
    return write_file(draft, out, table(COLUMNS, rows, raw=raw_csv), overwrite=overwrite)
