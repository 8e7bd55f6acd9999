"""Paths as the workers of a cluster call them, where their mounts have other names than those of this machine.

Only what goes to workers is renamed: plans, fingerprints, receipts and manifests hold no path of a worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ocrmaps.errors import SpecError, StoreError, reason
from ocrmaps.store.writing.tasks import CopyRow, RowTask, ShardTask
from ocrmaps.tiff import file_of, inside


@dataclass(frozen=True, slots=True)
class Mounts:
    """Folders here and their names on the workers; the longest that a path lies in counts."""

    pairs: tuple[tuple[str, str], ...] = ()
    fetched: tuple[tuple[str, str], ...] = ()
    """Copies of places in object storage, and the URLs from which workers fetch what they draw."""

    def there(self, path: str) -> str:
        """What a worker calls a path of this machine.

        >>> Mounts((("/data", "/mnt/a"), ("/data/new", "/mnt/b"))).there("/data/new/1.jpg")
        '/mnt/b/1.jpg'
        """
        fitting = [pair for pair in (*self.pairs, *self.fetched) if _below(path, pair[0])]
        if not fitting:
            return path
        here, there = max(fitting, key=lambda pair: len(pair[0]))
        return os.path.join(there, os.path.relpath(path, here)) if path != here else there

    def task(self, task: ShardTask) -> ShardTask:
        """A shard with every path as the workers call it."""
        if not self.pairs and not self.fetched:
            return task
        rows = tuple(
            replace(self._picture(row), copy=None if row.copy is None else self._copy(row.copy)) for row in task.rows
        )
        return replace(task, rows=rows, tree=self.there(task.tree), temporary=self.there(task.temporary))

    def _picture(self, row: RowTask) -> RowTask:
        """Objects have no pages and members: of what lies in one a worker fetches the bytes that it needs."""
        file = file_of(row.picture)
        if row.copy is None and file != row.picture and any(_below(file, here) for here, _ in self.fetched):
            try:
                return replace(row, picture=self.there(file), inside=inside(row.picture))
            except OSError as error:
                raise StoreError(
                    f"{row.name}: {row.picture} can no longer be read ({reason(error)})",
                    hint="the same command resumes the build",
                ) from error
        return replace(row, picture=self.there(row.picture))

    def _copy(self, copy: CopyRow) -> CopyRow:
        return replace(copy, files=tuple(map(self.there, copy.files)))

    def require_use(self, paths: Iterable[str]) -> None:
        """Refuse a name for a folder in which none of these paths lies: it would do nothing."""
        paths = list(paths)
        for here, there in self.pairs:
            if not any(_below(path, here) for path in paths):
                raise SpecError(
                    f"--map {here}={there}: found no picture and no cache below {here}",
                    hint=f"this build needs {', '.join(sorted(paths)[:3])}",
                )

    def __str__(self) -> str:
        return ", ".join(f"{here} is {there}" for here, there in self.pairs)


NONE = Mounts()
"""Workers have the names of this machine."""


def read_mounts(written: Sequence[str], scheduler: str) -> Mounts:
    """Mounts as `--map` names them: `/here=/there`."""
    pairs: dict[str, str] = {}
    for text in written:
        here, slash, rest = text.partition("=/")
        if not slash or not here.startswith("/"):
            raise SpecError(f"--map {text}: expected two absolute folders as in --map /data=/mnt/data")
        here = os.path.normpath(here)
        if here in pairs:
            raise SpecError(f"--map names {here} twice", hint="give each folder one name on the workers")
        pairs[here] = os.path.normpath(f"/{rest}")
    if pairs and scheduler in ("threads", "processes"):
        raise SpecError(
            f"--map says what workers of a cluster call folders, and found --scheduler {scheduler}",
            hint="name the scheduler's address, as in --scheduler tcp://head:8786, or leave --map out",
        )
    return Mounts(tuple(pairs.items()))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
