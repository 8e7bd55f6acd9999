"""Which files a version must have and which of them are missing or of another length: one stat a file, no more.

Nothing is remembered between two looks: a folder's time stamp does not show that a file in it was cut short, so every
file has to be asked, and asking is what costs (six of seven µs a file; a shard has four).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrmaps.errors import Problem, StoreCorrupt
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.version import mending
from ocrmaps.store.format.layout import LEDGER, MANIFEST, SIGNATURE, SIGNATURE_BYTES, ShardKey
from ocrmaps.store.format.tables import TABLES, column_path
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.retrace import shard_keys
from ocrmaps.text import typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The files of one version, and those that are not there as they were written."""

    folder: Path
    nbytes: int
    problems: tuple[Problem, ...]
    """Places are relative to the version."""
    far: bool = False
    """Whether it lies in object storage."""

    @property
    def message(self) -> str:
        """One line: how many files, the first of them, and what to run; "" where nothing is wrong."""
        if not self.problems:
            return ""
        found = f"{len(self.problems)} of its files missing or damaged, first {self.problems[0]}"
        if self.far:
            return f"{found}: {mending(self.folder)}"
        return (
            f"{found}: copy it again if it is a copy, or `{mending(self.folder)}` where the sources are; "
            f"{typed('ocrmaps', 'verify', self.folder)} lists all"
        )


def presence(folder: Path) -> Presence:
    """Look at every file of a version; a damaged manifest is the reader's error."""
    with Reader(folder) as reader:
        sizes = reader.sizes()
        problems = []
        try:
            keys = shard_keys(reader)
            expected = expected_files(reader, keys)
        except StoreCorrupt as error:  # no table of shards, so nobody knows which files they have
            expected = expected_files(reader, [])
            problems = [Problem(loc="shards", message=str(error), kind="table")]
        found = (p for p in compare(sizes, expected, complete=False) if p.kind != "unexpected")
        far = reader.far is not None
        return Presence(folder=reader.folder, nbytes=sum(sizes.values()), problems=(*found, *problems), far=far)


def expected_files(reader: Reader, keys: list[ShardKey]) -> dict[str, int | None]:
    """Every file that must be there with its length, None where only the file itself says it."""
    manifest = reader.manifest
    out: dict[str, int | None] = {MANIFEST: None, LEDGER: None}
    out |= {path: len(data) for path, data in reader.documents.items()}
    for table in TABLES:
        for name, column in manifest.columns(table).items():
            path = column_path(table, name, column.shape)
            if path is not None:
                out[path] = column.nbytes
    for key, lengths in zip(keys, reader.shards["nbytes"].tolist() if keys else (), strict=True):
        out |= {key.path(array): nbytes for array, nbytes in zip(ARRAYS, lengths, strict=True)}
    return out


def compare(found: Mapping[str, int], expected: Mapping[str, int | None], *, complete: bool) -> list[Problem]:
    """What is missing, of another length or too much; without the shards' table (`complete`) no shard is too much."""
    problems = [
        Problem(loc=path, message="the file is missing", kind="missing") for path in expected if path not in found
    ]
    for path, nbytes in found.items():
        if path == SIGNATURE and 0 <= nbytes <= SIGNATURE_BYTES:
            continue
        if path not in expected:
            if complete or not path.startswith("canvas-"):
                problems.append(Problem(loc=path, message="a file that no build wrote", kind="unexpected"))
        elif nbytes < 0:
            problems.append(Problem(loc=path, message="not a regular file", kind="unexpected"))
        elif expected[path] is not None and nbytes != expected[path]:
            problems.append(Problem(loc=path, message=f"found {nbytes} bytes, expected {expected[path]}", kind="size"))
    return problems
