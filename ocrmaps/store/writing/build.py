"""One build of one version: staging, resume, reuse, receipts, and the commit that makes the version appear at once.

At every instant the version is absent or complete. A build that dies leaves shards and a journal of receipts; the next
one believes only those receipts whose files still have the digests that the receipt states.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from ocrmaps.errors import StoreCorrupt, StoreError
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.source import named_recipe, place_of
from ocrmaps.store.format.identity import digest_in_pieces, file_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, ShardKey, array_folders, list_files
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.format.tables import SmallFiles, write_table
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.writing.assembly import Assembled, assemble_version
from ocrmaps.store.writing.journal import Journal, Receipts
from ocrmaps.store.writing.plan import Plan, PlannedRow
from ocrmaps.store.writing.provenance import code_digests, identity
from ocrmaps.store.writing.reuse import Known
from ocrmaps.store.writing.tasks import OUTCOMES, CopyRow, RowTask, ShardTask
from ocrmaps.text import typed


class Building:
    """The staging of one version, held by one builder for the length of a `with` block.

    Rows that `known` has are copied; it stays open, and its owner's.
    """

    def __init__(self, store: Store, plan: Plan, *, known: Known | None = None, over: bool = False) -> None:
        self.store, self.plan = store, plan
        self._journal = Journal(store.journal(plan.version))
        self.receipts = Receipts(self._journal)
        self.resumed = 0
        """Shards whose receipts an earlier attempt left, proven again."""
        self._over = over
        self._lock: AbstractContextManager[None] | None = None
        self._known = known
        self._keys = {str(key): key for key in plan.shards}

    def __enter__(self) -> Building:
        version = self.plan.version
        what = f"version {version} of store {self.store.name}"
        self._lock = lock.building(self.store.lock(version), what)
        self._lock.__enter__()
        try:
            self._prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)

    @property
    def committed(self) -> bool:
        return self.store.version(self.plan.version).exists()

    @property
    def folders(self) -> tuple[str, str]:
        """Where shards go and where unfinished files are: whoever builds one writes into both."""
        return os.fspath(self.store.tree(self.plan.version)), os.fspath(self.store.temporary(self.plan.version))

    def _prepare(self) -> None:
        version = self.plan.version
        if self.committed and not self._over:
            return
        tree = self.store.tree(version)
        for folder in self.folders:
            disk.make_folder(Path(folder))
        for canvas in self.plan.canvases:
            for name in array_folders(canvas):
                disk.make_folder(tree / name, durable=False)
        for left in self.store.temporary(version).iterdir():
            disk.unlink(left)

    def missing(self) -> dict[ShardKey, int]:
        """The shards still to be built with what drawing them costs, the most first; 0 where all rows are known.

        Earlier receipts that prove true are taken over.
        """
        told = {receipt["shard"]: (span, receipt.get("asked")) for span, receipt in self._journal.replay()}
        costs = {}
        for key, rows in self.plan.shards.items():
            span, asked = told.get(str(key), (None, None))
            if (
                span is not None
                and asked == self._task(key, [None] * len(rows)).asked
                and self._holds(self._journal.receipt(span), key)
            ):
                self.receipts.add(str(key), span)
                self.resumed += 1
            else:
                costs[key] = sum(_cost(row) for row in rows if not self.knows(row))
        return dict(sorted(costs.items(), key=lambda entry: (-entry[1], entry[0])))

    def task(self, key: ShardKey) -> ShardTask:
        """What building one shard takes; known rows are to be copied, or the whole shard linked."""
        rows = self.plan.shards[key]
        return self._task(key, [None] * len(rows) if self._known is None else self._known.reuse(rows), self.linked(key))

    def linked(self, key: ShardKey) -> tuple[tuple[str, str], ...]:
        """Files and digests of an older shard with exactly these rows, one per array; empty where there is none."""
        if self._known is None:
            return ()
        return self._known.shard(self.plan.shards[key], self.plan.recipe.layout.rows_per_shard)

    def tasks(self) -> list[ShardTask]:
        """The tasks of all shards still to be built, the most work first."""
        return [self.task(key) for key in self.missing()]

    def knows(self, row: PlannedRow) -> bool:
        """Whether an older version holds this row."""
        return self._known is not None and row.fingerprint in self._known

    def _task(
        self, key: ShardKey, copies: Sequence[CopyRow | None], linked: tuple[tuple[str, str], ...] = ()
    ) -> ShardTask:
        """One shard, its rows to be drawn where there is no copy."""
        recipe = self.plan.recipe
        rows = zip(self.plan.shards[key], copies, strict=True)
        tree, temporary = self.folders
        return ShardTask(
            key=key,
            rows=tuple(_row_task(row, recipe.layout.rows_per_shard, copy) for row, copy in rows),
            rows_per_shard=recipe.layout.rows_per_shard,
            canonical=recipe.canonical,
            maps=recipe.maps,
            codecs=recipe.layout.codecs,
            tree=tree,
            temporary=temporary,
            linked=linked if None not in copies else (),
        )

    def _holds(self, receipt: Mapping[str, Any], key: ShardKey) -> bool:
        """Whether a receipt is still true; one with failed rows is not believed: they get another chance."""
        if any(row["how"] == "failed" for row in receipt["rows"]):
            return False
        for array in ARRAYS:
            nbytes, digest = receipt["files"][array]
            try:
                found = digest_in_pieces(self.store.tree(self.plan.version) / key.path(array))
            except OSError:
                return False
            if found != (nbytes, bytes.fromhex(digest)):
                return False
        return True

    def record(self, *receipts: dict[str, Any]) -> None:
        """Take tasks' receipts: durable when this returns, and refused if their files are not here."""
        tree = self.store.tree(self.plan.version)
        for receipt in receipts:
            key = self._keys[receipt["shard"]]
            for array, (nbytes, _) in receipt["files"].items():
                path = tree / key.path(array)
                found = path.stat().st_size if path.exists() else "no file"
                if found != nbytes:
                    raise StoreCorrupt(
                        f"{path}: found {found}, expected {nbytes} bytes that a worker says it wrote",
                        hint="workers must share the cache's disk with the process that starts the build",
                    )
        if receipts:
            for receipt, span in zip(receipts, self._journal.append(receipts), strict=True):
                self.receipts.add(receipt["shard"], span)

    def assembled(self) -> Assembled:
        return assemble_version(self.plan, self.receipts)

    def commit(self, assembled: Assembled, recorded: Mapping[str, Any]) -> Manifest:
        """Write tables and manifest and make the version appear under its name."""
        version = self.plan.version
        tree, _ = self.complete(assembled, recorded)
        target = self.store.version(version)
        disk.rename(tree, target)
        disk.sync_folder(self.store.folder)
        shutil.rmtree(self.store.staging(version), ignore_errors=True)  # gc removes what this leaves
        return read_manifest(target)

    def complete(self, assembled: Assembled, recorded: Mapping[str, Any]) -> tuple[Path, Manifest]:
        """Finish the staging tree, manifest last; it is a whole version that has no name yet."""
        tree = self.store.tree(self.plan.version)
        small = SmallFiles(tree, None if self._known is None else self._known.folder)
        tables = {table: write_table(small, table, columns) for table, columns in assembled.tables.items()}
        ledger = b"".join(line + b"\n" for line in assembled.ledger)
        small.write(LEDGER, ledger)
        manifest = Manifest(
            asked=self.plan.asked,
            written={
                "canvases": [
                    {"size": list(c), "positions": n}
                    for c, n in zip(self.plan.canvases, self.plan.positions, strict=True)
                ],
                "counts": assembled.counts,
                "ledger": {"lines": len(assembled.ledger), "digest": file_digest(ledger).hex()},
                "outcomes": list(OUTCOMES),
                "sources": list(assembled.sources),
                "tables": {t: {n: c.as_dict() for n, c in columns.items()} for t, columns in tables.items()},
            },
            recorded={
                "recipe": named_recipe(self.plan.recipe).as_dict(),
                "sources": self._sources(assembled),
                "tools": identity()["tools"],
                "code": code_digests(),
                "drawn_by": assembled.drawers.drawn_by({} if self._known is None else self._known.identities),
                **recorded,
            },
        )
        documents = manifest.documents()
        for path, data in documents.items():
            small.write(path, data)
        self._settle(tree, assembled, documents, len(ledger), small.linked)
        disk.publish(tree / MANIFEST, [manifest.to_bytes()])
        return tree, manifest

    def _settle(
        self, tree: Path, assembled: Assembled, documents: Mapping[str, bytes], ledger: int, synced: set[str]
    ) -> None:
        """The tree holds exactly what the manifest will promise, or there is no commit."""
        expected = {LEDGER: ledger, **{path: len(data) for path, data in documents.items()}}
        told = assembled.tables["shards"]
        for canvas, index, lengths in zip(
            *(told[name].tolist() for name in ("canvas", "index", "nbytes")), strict=True
        ):
            key = ShardKey(self.plan.canvases[canvas], index)
            expected |= {key.path(array): nbytes for array, nbytes in zip(ARRAYS, lengths, strict=True)}
        for table, columns in assembled.tables.items():
            expected |= {f"{table}/{name}/c" + ".0" * a.ndim: a.nbytes for name, a in columns.items() if a.size}
        found = list_files(tree)
        for extra in sorted(found.keys() - expected.keys()):
            disk.unlink(tree / extra)  # an earlier attempt's, of the same version
        for path, nbytes in expected.items():
            if found.get(path) != nbytes:
                raise StoreCorrupt(
                    f"{tree / path}: found {found.get(path, 'no file')}, expected {nbytes} bytes at commit",
                    hint="run the build again: it resumes; if workers ran elsewhere, check that they share this disk",
                )
        synced = synced | {key.path(array) for key in self.plan.shards for array in ARRAYS}
        folders = {folder for path in expected for folder in _above(path)}
        disk.sync(
            [tree / path for path in expected if path not in synced], [tree / folder for folder in sorted(folders)]
        )

    def _sources(self, assembled: Assembled) -> list[dict[str, Any]]:
        """Expected against written, source by source."""
        failed = Counter((f.split, f.source, f.sample) for f in assembled.failures if f.sample)
        out = []
        for read in self.plan.sources:
            ids = {sample.id for sample in read.reading.samples}
            lost = sum((read.source.split, read.name, i) in failed for i in ids)
            out.append(
                {
                    "name": read.name,
                    "label": read.label,
                    "split": read.source.split,
                    "format": read.source.format,
                    "frame": read.source.frame,
                    "path": place_of(read.source.annotations),
                    "pictures": place_of(read.source.pictures),
                    "expected": len(ids),
                    "written": len(ids) - lost,
                    "problems": len(read.reading.problems),
                }
            )
        return out


def _above(path: str) -> list[str]:
    """The folders above a relative path, the tree itself last.

    >>> _above("rows/id_bytes/c.0")
    ['rows/id_bytes', 'rows', '.']
    """
    parts = path.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)] + ["."]


def _row_task(row: PlannedRow, rows_per_shard: int, copy: CopyRow | None) -> RowTask:
    return RowTask(
        slot=row.position % rows_per_shard,
        name=row.name,
        picture=os.fspath(row.path),
        picture_sha=row.picture.sha.hex(),
        fingerprint=row.fingerprint.hex(),
        polygons=row.sample.polygons,
        transform=row.transform,
        copy=copy,
    )


def _cost(row: PlannedRow) -> int:
    """What drawing costs, in decoded pixels: long tasks first leaves the workers idle for the shortest time at the end.

    Rendering, drawing and packing a canvas pixel take about twice the time of decoding one.
    """
    return math.prod(row.transform.raw_size) + 2 * math.prod(row.transform.canvas)


def refuse_damaged(store: Store, version: str, *, proven: str = "") -> Manifest:
    """The manifest of a committed version, or an error that says how to repair it; `proven` as `read_manifest` has."""
    folder = store.version(version)
    try:
        return read_manifest(folder, proven=proven)
    except StoreError as error:
        raise StoreCorrupt(str(error), hint=f"{typed('ocrmaps', 'repair', folder)} rebuilds what is damaged") from error
