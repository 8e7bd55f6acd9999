"""Says where a manifest or a column means nothing although its digest is right.

Digests prove what was written, not that a build wrote it: by hand every digest can be made to fit. What is then said is
refused here in a sentence, before anything counts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.geometry import FRAMES
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.layout import SPLITS

_SIDE = 65_535
_ROWS = 2**32
_PER_SHARD = 4096
"""As in a recipe."""
_VALUES = 2**40
_DELIMITED = {
    "rows/id_offsets": "rows/id_bytes",
    "polygons/row_offsets": "polygons/ignore",
    "polygons/offsets": "polygons/points",
    "polygons/text_offsets": "polygons/text_bytes",
}
"""Columns of offsets, and what they delimit."""
Tables = Mapping[str, Mapping[str, tuple[str, tuple[int, ...]]]]
"""Type and shape of one entry of each column, by table."""


def check_manifest(asked: Any, written: Any, recorded: Any, tables: Tables) -> None:
    """Refuse, with a ValueError that says where, what no build writes."""
    layout = _of(_of(_of(asked, dict, "asked")["recipe"], dict, "recipe")["layout"], dict, "layout")
    _whole(layout["rows_per_shard"], 1, _PER_SHARD, "rows_per_shard")
    for array in ARRAYS:
        _text(layout[array], f"layout of {array}")
    _check_recorded(_of(recorded, dict, "recorded"))
    written = _of(written, dict, "written")
    canvases = _each(written["canvases"], dict, "canvases")
    if len(canvases) > _SIDE:
        raise ValueError(f"canvases: found {len(canvases)}, expected at most {_SIDE}")
    for canvas in canvases:
        _whole(canvas["positions"], 0, _ROWS, "positions")
        for side in _each(canvas["size"], int, "size", length=2):
            _whole(side, 1, _SIDE, "a side of a canvas")
    _each(written["sources"], str, "sources")
    _each(written["outcomes"], str, "outcomes")
    _text(_of(written["ledger"], dict, "ledger")["digest"], "digest of the ledger")
    _whole(written["ledger"]["lines"], 0, _ROWS, "lines of the ledger")
    counts = _of(written["counts"], dict, "counts")
    for name in ("rows", "failed", "polygons"):
        _whole(counts[name], 0, _ROWS, f"counts of {name}")
    for name in ("splits", "outcomes"):
        for value in _of(counts[name], dict, f"counts of {name}").values():
            _whole(value, 0, _ROWS, f"counts of {name}")
    _check_columns(_of(written["tables"], dict, "tables"), tables, counts["rows"], counts["polygons"])
    # What is stated without a file that has as much, somebody takes memory or time for.
    shards = sum(-(-canvas["positions"] // layout["rows_per_shard"]) for canvas in canvases)
    found = written["tables"]["shards"]["index"]
    if found["shape"] != [shards]:
        raise ValueError(f"shards: found {found['shape'][0]} in their table, expected {shards}")


def _check_columns(found: Mapping[str, Any], tables: Tables, rows: int, polygons: int) -> None:
    if found.keys() != tables.keys():
        raise ValueError(f"tables: found {sorted(found)}, expected {sorted(tables)}")
    entries: dict[str, int | None] = {"rows": rows, "polygons": polygons, "shards": None}
    for table, columns in tables.items():
        stated = _of(found[table], dict, table)
        if stated.keys() != columns.keys():
            raise ValueError(f"{table}: found columns {sorted(stated)}, expected {sorted(columns)}")
        for name, (dtype, entry) in columns.items():
            where = f"{table}/{name}"
            column = _of(stated[name], dict, where)
            _text(column["digest"], f"digest of {where}")
            length, *rest = _each(column["shape"], int, f"shape of {where}") or [-1]
            if column["dtype"] != dtype or tuple(rest) != entry:
                raise ValueError(f"{where}: found {column['dtype']} of shape (n, {rest}), expected {dtype} of {entry}")
            _whole(length, 0, _VALUES, f"length of {where}")
            if entries[table] is None:
                entries[table] = length
            if where in _DELIMITED:
                expected: int | None = (rows if where == "polygons/row_offsets" else entries[table] or 0) + 1
            else:
                expected = length if where in _DELIMITED.values() and where != "polygons/ignore" else entries[table]
            if length != expected:
                raise ValueError(f"{where}: found {length} entries, expected {expected}")


def column_fault(
    written: Mapping[str, Any], where: str, array: npt.NDArray[Any], *, start: int = 0, before: Any = 0
) -> str:
    """What is wrong with the values of a column, `""` if nothing.

    A piece of a column says at which entry it starts, and the entry before it.
    """
    if where in _DELIMITED:
        table, name = where.split("/")
        length = written["tables"][table][name]["shape"][0]
        table, name = _DELIMITED[where].split("/")
        end = written["tables"][table][name]["shape"][0]
        begins = int(array[0]) >= int(before) if start else int(array[0]) == 0
        ends = start + len(array) < length or int(array[-1]) == end
        if not (begins and ends) or bool((array[1:] < array[:-1]).any()):
            return f"found offsets that do not rise from 0 to {end}"
        return ""
    canvases = written["canvases"]
    largest = max((c["size"][0] * c["size"][1] for c in canvases), default=0)
    below: dict[str, int] = {
        "rows/canvas": len(canvases),
        "rows/split": len(SPLITS),
        "rows/source": len(written["sources"]),
        "rows/frame": len(FRAMES),
        "rows/position": max((c["positions"] for c in canvases), default=0),
        "rows/chunk_nbytes": 6 * largest + 4096,
        "rows/chunk_offset": _VALUES,
        "shards/canvas": len(canvases),
        "polygons/outcome": len(written["outcomes"]),
        "polygons/ignore": 2,
        "polygons/has_text": 2,
    }
    if where in below:
        limit = below[where]
        if array.size and int(array.max()) >= limit:
            return f"found {int(array.max())}, expected less than {limit}"
    if where == "polygons/points" and not np.isfinite(array).all():
        return "found coordinates that are no finite numbers"
    if where == "rows/transform" and array.size:
        orientation, sides = array[:, 0], array[:, 1:5]
        if orientation.min() < 1 or orientation.max() > 8 or sides.min() < 1 or np.abs(array[:, 5:]).max() > _SIDE:
            return "found a transform of no picture"
    return ""


def _check_recorded(recorded: dict[str, Any]) -> None:
    """What is merely recorded is shown to people and compared: its values are of their kind."""
    for entry in (recorded, *_each(recorded.get("drawn_by", []), dict, "drawn_by")):
        for what in ("tools", "code"):
            for value in _of(entry.get(what, {}), dict, what).values():
                _text(value, what)
    for entry in recorded.get("drawn_by", []):
        _text(entry["identity"], "identity")
        _whole(entry["rows"], 0, _ROWS, "rows of drawn_by")
        if "tools" in entry:
            _of(entry["code"], dict, "code")
    _of(recorded["recipe"], dict, "recipe of recorded")
    built = _of(recorded.get("built", {}), dict, "built")
    _text(built.get("at", ""), "at")
    _of(built.get("rows", {}), dict, "rows of built")
    for source in _each(recorded["sources"], dict, "sources of recorded"):
        for what in ("name", "split", "label", "format", "frame", "pictures"):
            _text(source[what], f"{what} of a source")
        for what in ("expected", "written", "problems"):
            _whole(source[what], 0, _ROWS, f"{what} of a source")


def _of(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: found {type(value).__name__}, expected {kind.__name__}")
    return value


def _each(value: Any, kind: type, where: str, *, length: int | None = None) -> list[Any]:
    for inner in _of(value, list, where):
        _of(inner, kind, where)
    if length is not None and len(value) != length:
        raise ValueError(f"{where}: found {len(value)} values, expected {length}")
    return list(value)


def _text(value: Any, where: str) -> str:
    return str(_of(value, str, where))


def _whole(value: Any, least: int, most: int, where: str) -> int:
    if not least <= _of(value, int, where) <= most:
        raise ValueError(f"{where}: found {value}, expected {least} to {most}")
    return int(value)
