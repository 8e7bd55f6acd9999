"""Hugging Face image folders: `metadata.jsonl` or `metadata.csv` beside the pictures, a row for each `file_name`.

Columns are `objects` (with `bbox` of x, y, width, height), `polygons`, `bboxes`, `texts` and the like (see
`grammar.rows`); cells of csv hold them as JSON. Others are counted. Names are relative to the file, as `datasets` has
them; a metadata.parquet is read as `parquet`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from ocrmaps.annotations.discovery.signs import HEAD_BYTES, Head, peek_json
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import refusal, shown
from ocrmaps.annotations.grammar.lines import numbered
from ocrmaps.annotations.grammar.rows import KNOWN, OUTLINES, add_outlines
from ocrmaps.annotations.records import Reading, Source
from ocrmaps.cells import long_cells
from ocrmaps.files import read_regular

NAME = "file_name"
EXPECTED = f"{NAME} and one of {', '.join(OUTLINES)}"
_FIRST = 24


def recognize(head: Head) -> str:
    """Why this looks like the metadata of an image folder with outlines, or nothing."""
    columns = columns_of(head)
    if NAME in columns and not {"annotations", "instances"} & columns and not columns.isdisjoint(OUTLINES):
        return f"rows of {NAME} with {', '.join(sorted(columns & {*OUTLINES}))}"
    return ""


def columns_of(head: Head) -> set[str]:
    """The columns of a file that could be such metadata; none where it is another file."""
    if head.suffix == ".jsonl" and isinstance(head.json, dict):
        return {key for key in head.json if isinstance(key, str)}  # a file cut short may have none
    if head.suffix == ".csv" and head.lines and not head.per_picture:
        with long_cells():
            return set(next(csv.reader(head.lines[:1]), []))
    return set()


def stated(path: Path) -> list[str]:
    """The pictures that the first rows name."""
    try:
        text = read_regular(path, HEAD_BYTES).decode("utf-8-sig", "replace")
        if path.suffix.lower() == ".csv":
            rows: Iterable[Any] = csv.DictReader(text.splitlines())
        else:
            rows = (peek_json(line) for _, line in numbered(text))
        with long_cells():
            names = [row.get(NAME) for row in islice(rows, _FIRST) if isinstance(row, dict)]
    except (OSError, ValueError, csv.Error):
        return []
    return [name for name in names if isinstance(name, str)] or [path.name]


def read(source: Source) -> Reading:
    """The samples of one file, in the order of its rows."""
    g = Gather(source)
    with g.attempt(), long_cells():
        text = g.text(source.annotations, g.file)
        if not text.strip():
            raise refusal(g.file, f"found nothing, expected rows with {EXPECTED}", "empty-file")
        rows = _of_csv if source.annotations.suffix.lower() == ".csv" else _of_json
        for before, (loc, row) in enumerate(rows(g, text)):
            if not before and isinstance(row, dict) and (NAME not in row or row.keys().isdisjoint(OUTLINES)):
                raise refusal(g.file, f"found the columns {', '.join(row)[:200]}, expected {EXPECTED}")
            with g.attempt():
                _row(g, row, loc)
    return g.reading()


def _of_json(g: Gather, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in numbered(text):
        with g.attempt():
            yield f"{g.file}:{number}", g.parse_json(line, g.file, line=number)


def _of_csv(g: Gather, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = csv.DictReader(StringIO(text, newline=""), strict=True)
    try:
        if len(set(rows.fieldnames or ())) < len(rows.fieldnames or ()):
            raise refusal(f"{g.file}:1", "found a column twice, expected it once", "duplicate-key")
        for row in rows:
            loc, cells = f"{g.file}:{rows.line_num}", dict[str, Any]()
            if None in row or None in row.values():
                g.problem(loc, "found more or fewer cells than columns, expected one for each", "invalid-line")
                continue
            with g.attempt():
                for key, cell in row.items():
                    bare = cell.strip()
                    is_json = key in KNOWN and (bare.startswith(("[", "{")) or key in ("height", "width"))
                    cells[key] = g.parse_json(bare, f"{loc}.{key}") if is_json and bare else cell or None
                yield loc, cells
    except csv.Error as error:
        line = min(rows.line_num + 1, len(text.splitlines()))
        g.problem(f"{g.file}:{line}", f"found invalid csv: {error}", "invalid-line")


def _row(g: Gather, row: Any, loc: str) -> None:
    since, found = len(g.problems), GatheredOutlines()
    if not g.expect(row, dict, loc, f"an object with {EXPECTED}"):
        return
    size = g.size(row.get("height"), row.get("width"), loc)
    if NAME not in row:
        g.problem(loc, f"found {shown(sorted(row))}, expected {NAME}", "wrong-type")
        return
    add_outlines(g, found, row, loc)
    g.unused.update(f"column {key[:60]}" for key in row.keys() - KNOWN - {NAME})
    g.page(g.picture(row[NAME], f"{loc}.{NAME}"), loc, found, size=size, since=since)
