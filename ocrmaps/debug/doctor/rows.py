"""Which rows of a store the doctor follows: damaged ones first, then extremes, of both splits where there are two."""

from __future__ import annotations

import numpy as np

from ocrmaps.debug.doctor.choice import choose, facts_of
from ocrmaps.debug.doctor.records import Case, Stage
from ocrmaps.errors import Problem, StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.version import mending
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.retrace import rows_of_shard, shard_keys
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.store.writing.plan import SPLITS
from ocrmaps.text import typed

VERIFIED = 2 << 30
"""Bytes of a store whose digests are looked at before rows are chosen; of larger ones an even part."""
HEIGHTS = 200
"""Rows whose outlines are measured, to choose among."""


def damaged_rows(reader: Reader, stages: dict[str, Stage]) -> list[int]:
    """Rows whose bytes are not those that were written, found before any is chosen."""
    total = sum(int(v) for v in reader.shards["nbytes"].sum(axis=0))
    parts = max(1, -(-total // VERIFIED))
    report = verify(reader.folder, level="digest", subset=(1, parts))
    if parts > 1:
        stages["file"].note(
            f"digests of one {parts}th of the store were compared, it is large",
            typed("ocrmaps", "verify", reader.folder),
        )
    damaged: list[int] = []
    told: list[Problem] = []
    by_path = {key.path(array): (key, array) for key in shard_keys(reader) for array in ARRAYS}
    for problem in report.problems:
        if problem.loc not in by_path:
            told.append(problem)
            continue
        key, array = by_path[problem.loc]
        hit = [row for row in rows_of_shard(reader, key) if not _reads(reader, row, array)]
        damaged += hit
        if not hit:
            stage = stages["canonical" if array == "image" else "maps"]
            stage.problem(f"{problem.loc}: {problem.message}", mending(reader.folder, yes=True))
    for problem in told:
        stages["file"].problem(f"{problem.loc}: {problem.message}", mending(reader.folder, yes=True))
    return list(dict.fromkeys(damaged))


def _reads(reader: Reader, row: int, array: str) -> bool:
    try:
        reader.read_row(row, (array,))
    except StoreError:
        return False
    return True


def cases_of(reader: Reader, rows: list[int], number: int, damaged: list[int], train: str | None) -> list[Case]:
    """Cases of these rows; with a training split, half of them of it, so that both sides are seen."""
    if train is None:
        return _chosen(reader, rows, number, damaged)
    learnt = set(reader.select(train).tolist())
    mine, others = [r for r in rows if r in learnt], [r for r in rows if r not in learnt]
    half = min(len(others), number // 2)
    first = _chosen(reader, mine, number - half, [r for r in damaged if r in learnt])
    return first + _chosen(reader, others, half, [r for r in damaged if r not in learnt])


def _chosen(reader: Reader, rows: list[int], number: int, damaged: list[int]) -> list[Case]:
    if not rows or number < 1:
        return []
    measured = set(np.unique(np.linspace(0, len(rows) - 1, min(HEIGHTS, len(rows))).round().astype(int)).tolist())
    offsets = reader.polygons["row_offsets"]
    facts = []
    for place, row in enumerate(rows):
        orientation, h, w = reader.rows["transform"][row][:3].tolist()
        polygons = reader.polygon_set(row) if place in measured else None
        facts.append(facts_of(polygons, int(offsets[row + 1] - offsets[row]), orientation, (h, w)))
    first = [rows.index(row) for row in damaged if row in set(rows)]
    return [
        Case(
            name=reader.name(rows[place]), why=why, row=rows[place],
            split=SPLITS[int(reader.rows["split"][rows[place]])],
            polygons=reader.polygon_set(rows[place]), transform=reader.transform(rows[place]),
        )
        for place, why in choose(facts, number, first=first)
    ]  # fmt: skip
