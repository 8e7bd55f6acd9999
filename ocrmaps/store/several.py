"""Several versions read as one: their rows one after the other, in the order in which the versions were named.

Row numbers go round: after the last row the first one stands again, so `row + k * len(several)` is the same stored row
for every k. Whoever shows a row several times tells the times apart by these numbers.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalTransform
from ocrmaps.errors import SpecError
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.recipe import ARRAYS, Recipe
from ocrmaps.store.ahead import ReadAhead
from ocrmaps.store.far.rows import Ahead
from ocrmaps.store.fast import OPEN_SHARDS, FastReader
from ocrmaps.store.format.identity import fingerprint, version_name
from ocrmaps.store.places.cache import find_version
from ocrmaps.store.reader import Reader

NO_ROWS = "none"
"""What a part says in place of a split of which it gives no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePart:
    """One of several versions, and what it calls the splits that are asked for."""

    folder: str | os.PathLike[str]
    splits: Mapping[str, str] = field(default_factory=dict)
    """Split that is asked for -> the version's own, or `NO_ROWS`; the others have the same name."""


class Several:
    """Versions open for reading by any number of threads, as one; a context manager."""

    def __init__(self, parts: Sequence[StorePart]) -> None:
        self.parts = tuple(parts)
        with ExitStack() as opened:
            self.readers = tuple(opened.enter_context(Reader(part.folder)) for part in self.parts)
            _refuse_twice(self.readers)
            self._closing = opened.pop_all()
        self.starts = np.cumsum([0, *map(len, self.readers)]).tolist()
        """Where the rows of each version begin, and where the last ones end."""
        self.rows = _Columns(self)
        times = Counter(reader.folder.parent.name for reader in self.readers)
        self._called = {
            reader: reader.folder.parent.name if times[reader.folder.parent.name] == 1 else reader.title
            for reader in self.readers
        }

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __enter__(self) -> Several:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up files and the marks of being in use; closing twice is fine."""
        self._closing.close()

    def part_of(self, row: int) -> tuple[int, int]:
        """(number of the version, row in it)."""
        row %= len(self)
        part = bisect_right(self.starts, row) - 1
        return part, row - self.starts[part]

    def at(self, row: int) -> tuple[Reader, int]:
        """(the version's reader, row in it)."""
        part, own = self.part_of(row)
        return self.readers[part], own

    @property
    def root_digest(self) -> str:
        """One digest over the root digests of all versions in their order."""
        return fingerprint({"versions": [reader.root_digest for reader in self.readers]})

    @property
    def version(self) -> str:
        return version_name(self.root_digest)

    @cached_property
    def canvases(self) -> tuple[Size, ...]:
        """Every canvas that a version has."""
        return tuple(dict.fromkeys(canvas for reader in self.readers for canvas in reader.canvases))

    @property
    def recipe(self) -> Recipe:
        """The first version's: the others' maps are drawn alike."""
        return self.readers[0].recipe

    @property
    def title(self) -> str:
        return ", ".join(reader.title for reader in self.readers)

    def select(self, split: str) -> npt.NDArray[np.int64]:
        """Row numbers of one split, as the parts name it."""
        found = [reader.select(own) + start for reader, own, start in split_in(self, split)]
        return np.concatenate([np.empty(0, np.int64), *found])

    def id(self, row: int) -> str:
        reader, own = self.at(row)
        return reader.id(own)

    def name(self, row: int) -> str:
        """How messages call a row: store (of two versions of one, which), split, source and id."""
        reader, own = self.at(row)
        return f"{self._called[reader]}: {reader.name(own)}"

    def canvas(self, row: int) -> Size:
        reader, own = self.at(row)
        return reader.canvas(own)

    def transform(self, row: int) -> CanonicalTransform:
        reader, own = self.at(row)
        return reader.transform(own)

    def polygon_set(self, row: int, *, texts: bool = True) -> PolygonSet:
        reader, own = self.at(row)
        return reader.polygon_set(own, texts=texts)

    def outcomes(self, row: int) -> tuple[str, ...]:
        reader, own = self.at(row)
        return reader.outcomes(own)

    def read_row(self, row: int, arrays: Sequence[str] = ARRAYS) -> dict[str, npt.NDArray[np.uint8]]:
        reader, own = self.at(row)
        return reader.read_row(own, arrays)


def _refuse_twice(readers: Sequence[Reader]) -> None:
    roots = [each.root_digest for each in readers]
    twice = [each.title for i, each in enumerate(readers) if each.root_digest in roots[:i]]
    if twice:
        raise SpecError(
            f"found {twice[0]}, whose bytes are those of a store before it, expected each once",
            hint="in a run its weight shows a store more often",
        )


class _Columns:
    """Columns of the tables of all versions, one below the other; canvases are numbers of `Several.canvases`."""

    def __init__(self, several: Several) -> None:
        self._several = several
        self._known: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._known:
            self._known[name] = np.concatenate([self._of(reader, name) for reader in self._several.readers])
        return self._known[name]

    def _of(self, reader: Reader, name: str) -> npt.NDArray[Any]:
        if name != "canvas":
            return reader.rows[name]
        numbers = np.array([self._several.canvases.index(canvas) for canvas in reader.canvases], np.int64)
        return numbers[reader.rows["canvas"].astype(np.int64)]


Stored = Reader | Several
"""One version open for reading, or several as one."""
Where = str | os.PathLike[str] | Sequence[StorePart]
"""A version's folder or URL, or the parts of several."""


def opened(where: Where) -> Stored:
    """The version, or the several, at this place."""
    return Reader(where) if isinstance(where, str | os.PathLike) else Several(where)


def readers_of(stored: Stored) -> tuple[Reader, ...]:
    """Every version's own reader."""
    return stored.readers if isinstance(stored, Several) else (stored,)


def split_in(stored: Stored, split: str) -> Iterator[tuple[Reader, str, int]]:
    """(version, what it calls this split, number of its first row) of each that gives rows to a split."""
    if isinstance(stored, Reader):
        yield stored, split, 0
        return
    for part, reader, start in zip(stored.parts, stored.readers, stored.starts, strict=False):
        own = part.splits.get(split, split)
        if own != NO_ROWS:
            yield reader, own, start


def find_parts(cache: Path, names: Sequence[str]) -> Where:
    """The version that one name means (`find_version`), or the parts of several, each of them once."""
    folders = []
    for name in names:
        store, version = find_version(cache, name)
        folders.append(store.version(version))
        if folders[-1] in folders[:-1]:
            raise SpecError(f"found {name!r}, which is {store.name}/{version} once more", hint="name each version once")
    return folders[0] if len(folders) == 1 else [StorePart(folder=folder) for folder in folders]


class FastSeveral:
    """What `FastReader` is for one version: rows of several into the caller's memory, each by its version's own."""

    def __init__(self, several: Several, *, check_digests: bool = True) -> None:
        self._several = several
        shards = max(4, OPEN_SHARDS // len(several.readers))
        self._fast = [FastReader(r, check_digests=check_digests, open_shards=shards) for r in several.readers]

    def read_into(self, row: int, targets: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Fill the four arrays, in the order of `ARRAYS`, with one row."""
        part, own = self._several.part_of(row)
        self._fast[part].read_into(own, targets)

    def ahead(self, rows: Iterable[int]) -> AheadOfSeveral | None:
        """Begin to bring these rows in this order, where a version lies in object storage; `stop` ends it."""
        if all(reader.far is None for reader in self._several.readers):
            return None
        places = [self._several.part_of(row) for row in rows]
        found = [fast.ahead([own for part, own in places if part == number]) for number, fast in enumerate(self._fast)]
        return AheadOfSeveral(self._several.part_of, found)

    def close(self) -> None:
        """Forget the open files of every version."""
        for fast in self._fast:
            fast.close()


class AheadOfSeveral:
    """Brings rows of several versions before their turn, each version its own."""

    def __init__(self, part_of: Callable[[int], tuple[int, int]], found: Sequence[Ahead | ReadAhead]) -> None:
        self._part_of, self._found = part_of, found

    def used(self, row: int) -> None:
        """This row has had its turn."""
        part, own = self._part_of(row)
        self._found[part].used(own)

    def stop(self) -> None:
        """End; what was asked for still comes."""
        for ahead in self._found:
            ahead.stop()


def fast(stored: Stored, *, check_digests: bool = True) -> FastReader | FastSeveral:
    """The reader of a training loop."""
    if isinstance(stored, Several):
        return FastSeveral(stored, check_digests=check_digests)
    return FastReader(stored, check_digests=check_digests)
