"""Hugging Face tables, Parquet or Arrow: a picture column of `bytes` or `path`, and the outlines beside it.

Columns are `polygons`, `texts`, `ignore`, or `objects`, `bboxes` and the like (see `grammar.rows`), or CORD's
`ground_truth`; others are counted.
The picture in row 3 is called `rows.parquet#3` and is read where it is; one that is a path is a file of that name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from ocrmaps import members
from ocrmaps.annotations.discovery.signs import Head
from ocrmaps.annotations.formats.cord import add_receipt
from ocrmaps.annotations.formats.imagefolder import NAME
from ocrmaps.annotations.formats.webdataset import files_of, inside
from ocrmaps.annotations.gather import Gather, GatheredOutlines
from ocrmaps.annotations.grammar.contents import clipped, refusal
from ocrmaps.annotations.grammar.rows import KNOWN, add_outlines
from ocrmaps.annotations.records import Reading, Sample, Source
from ocrmaps.annotations.writing import AnnotationDraft, WriteReport, number_pairs, write_bytes
from ocrmaps.errors import AnnotationError, SpecError, reason
from ocrmaps.limits import MOST_VALUES

SUFFIXES = members.TABLES
_ROWS, _FIRST = 256, 24
_MOST_BATCH = 64 * 2**20
_CORD = "ground_truth"
"""The column in which CORD's tables have the json of each receipt."""


def _column(schema: Any) -> str | None:
    """The column of pictures, else the one of their names as the metadata of image folders has it."""
    return members.picture_column(schema) or (NAME if NAME in schema.names else None)


def recognize(head: Head) -> str:
    """Why this looks like such a table, or nothing."""
    return "a Parquet or Arrow table" if head.suffix in SUFFIXES else ""


def stated(path: Path) -> list[str]:
    """The pictures that the first rows name by path, where they are files of their own."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    try:
        opened = members.table(os.fspath(files[0]))
        column = _column(opened.schema_arrow if hasattr(opened, "schema_arrow") else opened.schema)
        rows = _rows(opened, column, [], path.name) if column else iter(())
        return [file for _, file in islice(rows, _FIRST) if file is not None]
    except (AnnotationError, OSError, IndexError):
        return []


def read(source: Source) -> Reading:
    """The samples of one table, or of all in a folder, in the order of names and rows."""
    g = Gather(source)
    with g.attempt():
        for path, name in files_of(g, SUFFIXES):
            with g.attempt():
                _table(g, path, name)
    return g.reading()


def _table(g: Gather, path: Path, name: str) -> None:
    try:
        opened = members.table(os.fspath(path))
        if members.rows(os.fspath(path)) > members.MOST_MEMBERS:
            raise refusal(name, f"found over {members.MOST_MEMBERS} rows", "too-large")
    except FileNotFoundError:
        raise refusal(name, "found no such file", "missing-file") from None
    except OSError as error:
        raise refusal(name, f"found a file that cannot be opened: {reason(error)}", "unreadable-file") from None
    schema = opened.schema_arrow if hasattr(opened, "schema_arrow") else opened.schema
    column = _column(schema)
    if column is None:
        raise refusal(name, f"found the columns {', '.join(schema.names)[:200]}, expected one of pictures")
    g.unused.update(f"column {key}" for key in schema.names if key not in (*KNOWN, _CORD, column))
    wanted = [key for key in schema.names if key in KNOWN or key == _CORD]
    for number, (row, file) in enumerate(_rows(opened, column, wanted, name), start=1):
        with g.attempt():
            loc, since = f"{name}:row {number}", len(g.problems)
            found = GatheredOutlines()
            size = g.size(row.get("height"), row.get("width"), loc)
            if isinstance(row.get(_CORD), str):
                size = add_receipt(g, found, g.parse_json(row[_CORD], f"{loc}.{_CORD}"), f"{loc}.{_CORD}")
            else:
                add_outlines(g, found, row, loc)
            id = g.addressed(file, loc) if file is not None else g.picture(f"{inside(g, path)}#{number}", loc)
            g.page(id, loc, found, size=size, since=since)


def _rows(opened: Any, column: str, wanted: list[str], name: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The other columns of each row, and the path of a picture whose bytes the table does not hold."""
    import pyarrow

    try:
        for table, path_only in _parts(opened, column, wanted, name):
            for batch in _bearable(table, name):
                for row in batch.to_pylist():
                    picture = row.pop(column, None)
                    stated = picture.get("path") if isinstance(picture, dict) else picture
                    yield row, stated if path_only else None
    except AnnotationError:  # itself a ValueError
        raise
    except (pyarrow.ArrowException, OSError, ValueError, IndexError, MemoryError) as error:
        raise refusal(name, clipped(f"found a table that cannot be read: {error}", 200), "unreadable-file") from None


def _bearable(table: Any, name: str) -> Iterator[Any]:
    """Some rows at a time, or one where they hold much: numbers need ten times their size as Python's own."""
    for batch in table.to_batches(max_chunksize=_ROWS):
        whole = batch.nbytes <= _MOST_BATCH
        for part in [batch] if whole else (batch.slice(i, 1) for i in range(len(batch))):
            if part.nbytes > _MOST_BATCH:
                raise refusal(name, f"found a row of {part.nbytes} bytes, expected at most {_MOST_BATCH}", "too-large")
            yield part


def _parts(opened: Any, column: str, wanted: list[str], name: str) -> Iterator[tuple[Any, bool]]:
    """Row group after row group without the bytes of its pictures, and whether its first row has a path alone."""
    if not hasattr(opened, "schema_arrow"):
        whole = opened.column(column)
        path_only = len(whole) > 0 and _has_path_alone(whole[0].as_py())
        yield opened.select([*wanted, *([column] if path_only else [])]), path_only
        return
    for group in range(opened.metadata.num_row_groups):
        rows = opened.metadata.row_group(group).num_rows
        # By the first row: statistics of damaged files end the process inside pyarrow.
        first = opened.iter_batches(batch_size=1, row_groups=[group], columns=[column], use_threads=False)
        batch = next(first, None)
        path_only = batch is not None and _has_path_alone(batch.column(0)[0].as_py())
        columns = [*wanted, *([column if column == NAME else f"{column}.path"] if path_only else [])]
        # Before anything is unpacked.
        meta = opened.metadata.row_group(group)
        number = sum(meta.column(i).num_values for i in range(meta.num_columns) if _below(meta.column(i), columns))
        if number > MOST_VALUES:
            raise refusal(name, f"found {number} values in a row group, expected at most {MOST_VALUES}", "too-large")
        table = opened.read_row_group(group, columns=columns, use_threads=False)
        yield (table if columns else _blank(rows)), path_only


def _below(column: Any, names: list[str]) -> bool:
    """Whether a column of the file is one of these, or a part of one."""
    return any(column.path_in_schema == name or column.path_in_schema.startswith(f"{name}.") for name in names)


def _has_path_alone(picture: Any) -> bool:
    if isinstance(picture, str):
        return True
    return isinstance(picture, dict) and picture.get("bytes") is None and picture.get("path") is not None


def _blank(rows: int) -> Any:
    import pyarrow

    return pyarrow.table({"objects": pyarrow.nulls(rows)})


def write(samples: Sequence[Sample], out: Path, *, overwrite: bool = False) -> WriteReport:
    """One Parquet table whose pictures are paths: columns image, polygons, texts, ignore, height and width."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        hint = 'pip install "ocrmaps[parquet]", or write another format'
        raise SpecError("writing Parquet needs pyarrow, which is not installed", hint=hint) from None
    if out.suffix.lower() != ".parquet":
        raise SpecError(f"{out}: expected a name that ends in .parquet", hint="a table is known by its name's ending")
    draft = AnnotationDraft(samples)
    rows = []
    for sample in draft.samples:
        outlines = list(draft.outlines(sample))
        if sample.size is None:
            draft.lose("picture sizes unknown")
        height, width = sample.size or (None, None)
        rows.append(
            {
                "image": {"bytes": None, "path": sample.id},
                "polygons": [number_pairs(points) for points, _, _ in outlines],
                "texts": [text for _, _, text in outlines],
                "ignore": [ignore for _, ignore, _ in outlines],
                "height": height,
                "width": width,
            }
        )
    text, number = pyarrow.string(), pyarrow.int64()
    schema = pyarrow.schema(
        {
            "image": pyarrow.struct({"bytes": pyarrow.binary(), "path": text}),
            "polygons": pyarrow.list_(pyarrow.list_(pyarrow.list_(pyarrow.float64()))),
            "texts": pyarrow.list_(text),
            "ignore": pyarrow.list_(pyarrow.bool_()),
            "height": number,
            "width": number,
        }
    )
    buffer = BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), buffer)
    return write_bytes(draft, out, buffer.getvalue(), overwrite=overwrite)
