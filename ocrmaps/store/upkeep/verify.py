"""Verify looks, compares and reports; it never changes anything.

quick     every expected file is there with its length, nothing else is: finds loss and truncation, not bit rot
digest    every byte of every file against its digest: finds every change
rebuild   digest, and rows drawn again with today's code from today's pictures: finds drift, too
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ocrmaps.errors import OcrmapsError, Problem, SpecError, StoreCorrupt
from ocrmaps.progress import Progress
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.parts import Part, fetch, small_by_path
from ocrmaps.store.format.identity import file_digest, row_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, ShardKey
from ocrmaps.store.format.tables import TABLES, column_path
from ocrmaps.store.places.objects import IN_FLIGHT
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.presence import compare, expected_files
from ocrmaps.store.upkeep.retrace import annotation_holds, find_picture, row_task, rows_of_shard, shard_keys
from ocrmaps.store.writing.provenance import differences
from ocrmaps.store.writing.tasks import draw_row
from ocrmaps.tiff import read_picture

Level = Literal["quick", "digest", "rebuild"]
LEVELS: tuple[str, ...] = get_args(Level)
"""(done, total), in bytes or rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was looked at and everything that was wrong."""

    folder: Path
    version: str
    level: str
    subset: str
    root_digest: str | None
    """None where the manifest itself is damaged."""
    files: int
    nbytes: int
    rows: int
    redrawn: int
    seconds: float
    problems: tuple[Problem, ...]
    """Places are relative to the version."""
    warnings: tuple[str, ...] = ()
    """What is no damage, but worth knowing."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        counts = {"files": self.files, "bytes": self.nbytes, "rows": self.rows, "redrawn": self.redrawn}
        return {
            "version": self.version,
            "root_digest": self.root_digest,
            "level": self.level,
            "subset": self.subset,
            "ok": self.ok,
            "counts": counts,
            "seconds": round(self.seconds, 3),
            "problems": [{"loc": p.loc, "kind": p.kind, "message": p.message} for p in self.problems],
            "warnings": list(self.warnings),
        }


def verify(
    folder: Path,
    *,
    level: Level = "digest",
    subset: tuple[int, int] = (1, 1),
    redraw: int = 16,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check one version. `subset` (n, t) looks into the n-th of t equal parts of the shards, so t runs see them all."""
    if level not in LEVELS:
        raise SpecError(f"found verify level {level!r}, expected one of {', '.join(LEVELS)}")
    n, t = subset
    if not 1 <= n <= t:
        raise SpecError(f"found subset {n}/{t}, expected n/t with n from 1 to t")
    start = time.perf_counter()
    problems: list[Problem] = []
    sizes: dict[str, int] = {}
    warnings: list[str] = []
    looked = rows = redrawn = 0
    root: str | None = None
    try:
        reader = Reader(folder)
    except StoreCorrupt as error:
        problems.append(_problem(folder, MANIFEST, error))
    else:
        with reader:
            root, rows = reader.root_digest, reader.manifest.rows
            warnings = mixed(reader.manifest.recorded)
            sizes = reader.sizes()
            keys, damaged = _tables(reader, problems)
            part = [key for i, key in enumerate(keys) if i % t == n - 1]
            expected = expected_files(reader, keys)
            problems += compare(sizes, expected, complete=bool(keys) or not damaged)
            if level != "quick":
                absent = {p.loc for p in problems}
                chosen = [path for path in _proofs(reader, part) if path in sizes and path not in absent]
                total = sum(sizes[path] for path in chosen)
                done = 0
                for path, found in _compare(reader, part, chosen):
                    problems += found
                    done += sizes[path]
                    if progress is not None:
                        progress(done, total)
                looked = len(chosen) + 1
            if level == "rebuild" and not damaged:
                redrawn, drifted = _redraw(reader, part, redraw, progress)
                problems += drifted
    return VerifyReport(
        folder=folder,
        version=folder.name,
        level=level,
        subset=f"{n}/{t}",
        root_digest=root,
        files=looked if level != "quick" else len(sizes),
        nbytes=sum(sizes.values()),
        rows=rows,
        redrawn=redrawn,
        seconds=time.perf_counter() - start,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def mixed(recorded: Mapping[str, Any]) -> list[str]:
    """A sentence where the rows of one version were drawn by different code or libraries, else nothing."""
    first, *others = recorded.get("drawn_by") or [{}]
    return [
        f"{other['rows']} rows in {other['shards']} shards were drawn by {described(other, first)}: "
        "`ocrmaps verify --level rebuild` shows whether that changed a pixel"
        for other in others
    ]


def described(other: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """An identity, told by what sets it apart from the one that drew most rows."""
    if "tools" not in other:
        return "code and libraries that nobody recorded"
    if "tools" not in first:
        return f"recorded code and libraries ({other['identity']}), most rows by ones that nobody recorded"
    return "other code or libraries: " + ", ".join(differences(first, other))


def _tables(reader: Reader, problems: list[Problem]) -> tuple[list[ShardKey], bool]:
    """The shards of the version, and whether any table is damaged: tables are small and always checked in full."""
    damaged = False
    for name, table in (("rows", reader.rows), ("shards", reader.shards), ("polygons", reader.polygons)):
        for column in TABLES[name]:
            try:
                table.prove(column)
            except StoreCorrupt as error:
                path = column_path(name, column, reader.manifest.columns(name)[column].shape) or name
                problems.append(_problem(reader.folder, path, error))
                damaged = True
    if any(p.loc.startswith("shards/") for p in problems):
        return [], True
    return shard_keys(reader), damaged


def _proofs(reader: Reader, part: list[ShardKey]) -> list[str]:
    # Tables are proven by reading them; of a version elsewhere what was read may be a copy of this machine.
    tables = [] if reader.far is None else [p for p in small_by_path(reader.manifest) if p.startswith(tuple(TABLES))]
    paths = [LEDGER, *reader.documents, *tables, *(key.path(array) for key in part for array in ARRAYS)]
    return list(dict.fromkeys(paths))


def _compare(reader: Reader, part: list[ShardKey], chosen: list[str]) -> Iterator[tuple[str, list[Problem]]]:
    """Each file with what is wrong with its bytes."""
    documents = reader.documents
    shards = {key.path(array): (key, j) for key in part for j, array in enumerate(ARRAYS)}
    if reader.far is not None:
        yield from _compare_far(reader, shards, chosen)
        return
    for path in chosen:
        try:
            data = (reader.folder / path).read_bytes()
        except OSError as error:
            yield path, [Problem(loc=path, message=f"cannot be read ({error.strerror})", kind="unreadable")]
            continue
        if path in documents:
            differs = data != documents[path]
            yield path, [_differs(path, "differs from what the manifest says")] if differs else []
            continue
        found = file_digest(data).hex()
        if path == LEDGER:
            stated = reader.manifest.written["ledger"]["digest"]
            yield path, [_differs(path, f"found digest {found}, expected {stated}")] if found != stated else []
            continue
        key, j = shards[path]
        stated = reader.shard_digests(key)[j]
        if found == stated:
            yield path, []
        else:
            message = f"found digest {found}, expected {stated}; {_which_rows(reader, key, j, data)}"
            yield path, [_differs(path, message)]


def _compare_far(
    reader: Reader, shards: Mapping[str, tuple[ShardKey, int]], chosen: list[str]
) -> Iterator[tuple[str, list[Problem]]]:
    """The same for a version in object storage: what a connection changed is looked at again before it is said."""
    far, small = reader.far, small_by_path(reader.manifest)
    assert far is not None

    def look(path: str) -> list[Problem]:
        part = small.get(path)
        if part is None:
            key, j = shards[path]
            nbytes = int(reader.shards["nbytes"][reader.shard_number(key), j])
            part = Part(path, nbytes, bytes.fromhex(reader.shard_digests(key)[j]))
        try:
            fetch(far.place, far.there, part)
        except StoreCorrupt as error:
            return [_problem(reader.folder, path, error)]
        return []

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        yield from zip(chosen, pool.map(look, chosen), strict=True)


def _differs(path: str, message: str) -> Problem:
    return Problem(loc=path, message=message, kind="digest")


def _which_rows(reader: Reader, key: ShardKey, j: int, data: bytes) -> str:
    """Which rows of a damaged shard file are hit."""
    try:
        hit = []
        for row in rows_of_shard(reader, key):
            offset, nbytes = int(reader.rows["chunk_offset"][row, j]), int(reader.rows["chunk_nbytes"][row, j])
            if row_digest(data[offset : offset + nbytes]) != reader.rows["chunk_digest"][row, j].tobytes():
                hit.append(reader.name(row))
    except StoreCorrupt:
        return "the tables that say which rows are hit are damaged, too"
    if not hit:
        return "no row is hit, only the index that other Zarr readers use"
    return f"{len(hit)} rows are hit: {', '.join(hit[:5])}{', ...' if len(hit) > 5 else ''}"


def _redraw(reader: Reader, part: list[ShardKey], redraw: int, progress: Progress | None) -> tuple[int, list[Problem]]:
    """Draw evenly spread rows again and compare every pixel."""
    rows = sorted(row for key in part for row in rows_of_shard(reader, key))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(redraw, len(rows))).round().astype(int))]
    recipe = reader.manifest.recipe
    problems = []
    redrawn = 0
    for done, row in enumerate(chosen, start=1):
        name = reader.name(row)
        picture, fault = find_picture(reader, row)
        if fault:
            problems.append(Problem(loc=name, message=f"{picture} {fault}", kind="source"))
            continue
        if not annotation_holds(reader, row):
            problems.append(Problem(loc=name, message="its polygons do not hash to its annotation", kind="drift"))
        try:
            arrays, _ = draw_row(read_picture(picture), row_task(reader, row, picture), recipe.canonical, recipe.maps)
            stored = reader.read_row(row)
        except (OcrmapsError, OSError) as error:
            problems.append(Problem(loc=name, message=str(error), kind="drift"))
            continue
        redrawn += 1
        for array in ARRAYS:
            differ = int((arrays[array] != stored[array]).sum())
            if differ:
                message = f"{array}: {differ} of {stored[array].size} values are drawn differently today"
                problems.append(Problem(loc=name, message=message, kind="drift"))
        if progress is not None:
            progress(done, len(chosen))
    return redrawn, problems


def _problem(folder: Path, path: str, error: StoreCorrupt) -> Problem:
    message = str(error).replace(f"{folder.absolute() / path}: ", "").replace(f"{folder.absolute()}/", "")
    kind = "missing" if "missing" in message else "size" if " bytes, expected" in message else "digest"
    return Problem(loc=path, message=message, kind=kind)
