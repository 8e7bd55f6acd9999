"""Repair replaces what verify finds damaged by bytes with the recorded digests, and keeps the damaged files aside.

Where the tables are whole, each damaged shard is drawn again from its own pictures and must reach its own digest.
Where a table, the ledger or the manifest is damaged, the version is planned again from its sources, which must lead to
the same name, built beside the old one (intact rows are copied) and laid over it. Every replacement is one rename, so
a reader meets the damaged file, which it refuses, or the good one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.recipe import ARRAYS, Recipe
from ocrmaps.store.format.identity import file_digest, row_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, SIGNATURE, ShardKey, list_files
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.format.tables import TABLES
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.retrace import find_picture, row_task, rows_of_shard, shard_keys, shard_task
from ocrmaps.store.upkeep.verify import VerifyReport, verify
from ocrmaps.store.writing.build import Building
from ocrmaps.store.writing.plan import Plan
from ocrmaps.store.writing.reuse import Known
from ocrmaps.store.writing.tasks import CopyRow, ShardTask, build_shard

Planner = Callable[[Recipe | None], Plan]
"""Plans a version from its recipe, None where the manifest could not tell it."""
Runner = Callable[[Building], None]
"""Runs all tasks of a building and records their receipts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What was wrong, what was done, and the proof that it is right now."""

    before: VerifyReport
    after: VerifyReport
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    quarantine: Path | None

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.after.as_dict(),
            "found": self.before.as_dict()["problems"],
            "replaced": list(self.replaced),
            "removed": list(self.removed),
            "quarantine": None if self.quarantine is None else str(self.quarantine),
        }


def repair(store: Store, version: str, planner: Planner, runner: Runner) -> RepairReport:
    """Make a version whole again; nothing is touched when nothing is wrong or when the sources cannot give it back."""
    folder = store.version(version)
    before = verify(folder)
    if before.ok:
        return RepairReport(before=before, after=before, replaced=(), removed=(), quarantine=None)
    aside = _Aside(store.quarantine / version / time.strftime("%Y%m%dT%H%M%S", time.gmtime()))
    if _by_tables(before):
        with lock.building(store.lock(version), f"version {version} of store {store.name}"):
            replaced, removed = _shard_by_shard(store, folder, before, aside)
    else:
        replaced, removed = _whole(store, folder, planner, runner, aside)
    after = verify(folder)
    if not after.ok:
        raise StoreCorrupt(f"{folder}: still damaged after repair", problems=after.problems, hint="build it again")
    return RepairReport(
        before=before,
        after=after,
        replaced=tuple(replaced),
        removed=tuple(removed),
        quarantine=aside.folder if aside.used else None,
    )


class _Aside:
    """A folder that keeps what repair takes out of a version."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.used = folder, False

    def keep(self, root: Path, path: str) -> None:
        """Give the damaged file a second name here; the first is then free to be replaced."""
        for above in reversed(Path(path).parents[:-1]):
            if (root / above).exists() and not (root / above).is_dir():
                self._move(root, str(above))  # a file where a folder must be
        if (root / path).is_dir():
            self._move(root, path)  # a folder where a file must be
        elif (root / path).is_file():
            target = self._target(path)
            try:
                os.link(root / path, target)
            except OSError:
                shutil.copyfile(root / path, target)

    def _move(self, root: Path, path: str) -> None:
        shutil.move(root / path, self._target(path))

    def _target(self, path: str) -> Path:
        target = self.folder / path
        while target.exists():
            target = target.with_name(target.name + "~")
        disk.make_folder(target.parent, durable=False)
        self.used = True
        return target


def _by_tables(report: VerifyReport) -> bool:
    """Whether the manifest and all tables are whole, so that they say what every other file must be."""
    names = {p.loc for p in report.problems if p.kind != "unexpected"}
    tables = tuple(f"{table}/{column}/c" for table, columns in TABLES.items() for column in columns)
    return not any(name in (MANIFEST, LEDGER) or name.startswith(tables) for name in names)


def _shard_by_shard(store: Store, folder: Path, report: VerifyReport, aside: _Aside) -> tuple[list[str], list[str]]:
    bad = {p.loc for p in report.problems if p.kind != "unexpected"}
    extra = [p.loc for p in report.problems if p.kind == "unexpected"]
    replaced = []
    with Reader(folder) as reader:
        for path, data in reader.documents.items():
            if path in bad:
                _replace(folder, path, [data], aside)
                replaced.append(path)
        for key in shard_keys(reader):
            hit = [array for array in ARRAYS if key.path(array) in bad]
            if hit:
                replaced += _shard(store, reader, key, hit, aside)
    return replaced, _remove(folder, extra, aside)


def _shard(store: Store, reader: Reader, key: ShardKey, hit: Iterable[str], aside: _Aside) -> list[str]:
    """Draw one shard again beside the version, compare its digests, and move the damaged arrays' files in."""
    version = reader.folder.name
    tree, temporary = store.staging(version) / "repair", store.temporary(version)
    for canvas_array in ARRAYS:
        disk.make_folder((tree / key.path(canvas_array)).parent, durable=False)
    disk.make_folder(temporary, durable=False)
    receipt = build_shard(_task(reader, key, tree, temporary))
    faults = [row["message"] for row in receipt["rows"] if row["how"] == "failed"]
    if faults:
        raise StoreError(
            f"{reader.folder}: shard {key} cannot be drawn again: {faults[0]}",
            hint="bring the pictures back to where they were, or build a new version without them",
        )
    for array, stated in zip(ARRAYS, reader.shard_digests(key), strict=True):
        found = receipt["files"][array][1]
        if found != stated:
            raise StoreCorrupt(
                f"{reader.folder / key.path(array)}: drawn again with digest {found}, expected {stated}",
                hint="code or libraries changed since the build (`ocrmaps cache health`): build a new version",
            )
    done = []
    for array in hit:
        path = key.path(array)
        aside.keep(reader.folder, path)
        disk.make_folder((reader.folder / path).parent)
        disk.rename(tree / path, reader.folder / path)
        disk.sync_folder((reader.folder / path).parent)
        done.append(path)
    shutil.rmtree(tree)
    return done


def _task(reader: Reader, key: ShardKey, tree: Path, temporary: Path) -> ShardTask:
    rows = []
    for row in rows_of_shard(reader, key):
        copy = _copy(reader, key, row)
        if copy is None:
            picture, fault = find_picture(reader, row)
            if fault:
                raise StoreError(
                    f"{reader.name(row)}: cannot be drawn again: {picture} {fault}",
                    hint="bring the picture back to where it was, or build a new version without it",
                )
            rows.append(row_task(reader, row, picture))
        else:
            rows.append(dataclasses.replace(row_task(reader, row, Path(reader.id(row))), copy=copy))
    return shard_task(reader, key, tuple(rows), tree, temporary)


def _copy(reader: Reader, key: ShardKey, row: int) -> CopyRow | None:
    """The row as it is stored, if all four arrays still hold it."""
    places: list[int] = []
    digests = ""
    for j, array in enumerate(ARRAYS):
        offset, nbytes = int(reader.rows["chunk_offset"][row, j]), int(reader.rows["chunk_nbytes"][row, j])
        digest = reader.rows["chunk_digest"][row, j].tobytes().hex()
        try:
            with open(reader.folder / key.path(array), "rb") as file:
                file.seek(offset)
                data = file.read(nbytes)
        except OSError:
            return None
        if row_digest(data).hex() != digest:
            return None
        places += [offset, nbytes]
        digests += digest
    files = tuple(str(reader.folder / key.path(array)) for array in ARRAYS)
    return CopyRow(files=files, places=tuple(places), digests=digests, outcomes=bytes(len(reader.polygon_set(row))))


def _whole(store: Store, folder: Path, planner: Planner, runner: Runner, aside: _Aside) -> tuple[list[str], list[str]]:
    """Build the version again in staging and lay it over the damaged one, file by file, manifest last."""
    manifest: Manifest | None
    try:
        manifest = read_manifest(folder)
    except StoreCorrupt:
        manifest = None
    plan = planner(None if manifest is None else manifest.recipe)
    if plan.version != folder.name:
        raise StoreError(
            f"{folder}: its sources now lead to version {plan.version}, so they cannot give this one back",
            hint="bring the sources back to what they were, or build the new version and remove this one",
        )
    with (
        Known(store, (row.fingerprint for row in plan.rows)) as known,
        Building(store, plan, known=known, over=True) as building,
    ):
        runner(building)
        tree, built = building.complete(building.assembled(), {} if manifest is None else _kept(manifest))
        if manifest is not None and built.root_digest != manifest.root_digest:
            raise StoreCorrupt(
                f"{folder}: built again with root digest {built.root_digest}, expected {manifest.root_digest}",
                hint="code or libraries changed since the build (`ocrmaps cache health`): build a new version",
            )
        wanted = list_files(tree)
        replaced = []
        for path in sorted(wanted, key=lambda p: p == MANIFEST):
            new = (tree / path).read_bytes()
            if path == MANIFEST and manifest is not None:
                continue
            if not (folder / path).is_file() or file_digest((folder / path).read_bytes()) != file_digest(new):
                aside.keep(folder, path)
                disk.make_folder((folder / path).parent)
                disk.rename(tree / path, folder / path)
                disk.sync_folder((folder / path).parent)
                replaced.append(path)
        extra = sorted(list_files(folder).keys() - wanted.keys() - {SIGNATURE})
        removed = _remove(folder, extra, aside)
        shutil.rmtree(store.staging(folder.name))
    return replaced, removed


def _kept(manifest: Manifest) -> dict[str, Any]:
    return {k: v for k, v in manifest.recorded.items() if k not in ("recipe", "sources", "tools", "code", "drawn_by")}


def _replace(folder: Path, path: str, parts: list[bytes], aside: _Aside) -> None:
    aside.keep(folder, path)
    disk.make_folder((folder / path).parent)
    disk.publish(folder / path, parts)


def _remove(folder: Path, extra: Iterable[str], aside: _Aside) -> list[str]:
    removed = []
    for path in extra:
        if not os.path.lexists(folder / path):
            continue  # it went aside with the folder that it was in
        aside.keep(folder, path)
        disk.unlink(folder / path)
        removed.append(path)
    return removed
