"""What picture files are made of, remembered between builds so that an unchanged file is not read again.

Remembered by size, time stamps and inode, and only if the stamps were old enough when the file was read that a later
change must have moved them. Anything else is read and hashed again; so is everything on request (`rehash`).
"""

from __future__ import annotations

import hashlib
import operator
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrmaps.errors import DataError, PictureError, Problem, StoreError
from ocrmaps.geometry import Size
from ocrmaps.pictures import decoding_bytes, read_header
from ocrmaps.store.format.identity import picture_fingerprint, row_digest
from ocrmaps.store.places import posix as disk
from ocrmaps.tiff import file_of, read_picture

FINE_NS, COARSE_NS = 50_000_000, 2_500_000_000
"""A stamp with a fraction of a second comes from a clock that ticks at least every 10 ms; others may tick every 2 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """One picture file: its fingerprint and what planning needs of its header."""

    sha: bytes
    size: Size
    orientation: int
    decoding: int
    """Bytes of memory that decoding it takes at most."""


Stamp = tuple[int, int, int, int]
"""size, mtime_ns, ctime_ns, inode."""


class Memory:
    """The file that remembers pictures and listings; losing it costs time only, and damage in it is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pictures(self, paths: Sequence[str]) -> dict[str, tuple[Stamp, InputPicture]]:
        """What is remembered of these files."""
        found = {}
        with self._open() as database:
            for start in range(0, len(paths), 500):
                part = paths[start : start + 500]
                marks = ",".join("?" * len(part))
                for path, packed, proof in database.execute(
                    f"SELECT path, packed, proof FROM pictures WHERE path IN ({marks}) AND length(packed) = ?",
                    [*part, _PICTURE.size],  # entries of other lengths are those of another release
                ):
                    if proof == _proof(path, packed):
                        *stamp, h, w, orientation, decoding, sha = _PICTURE.unpack(packed)
                        picture = InputPicture(sha=sha, size=(h, w), orientation=orientation, decoding=decoding)
                        found[path] = (tuple(stamp), picture)
        return found

    def remember_pictures(self, entries: Mapping[str, tuple[Stamp, InputPicture]]) -> None:
        rows = []
        for path, (stamp, picture) in entries.items():
            packed = _PICTURE.pack(*stamp, *picture.size, picture.orientation, picture.decoding, picture.sha)
            rows.append((path, packed, _proof(path, packed)))
        with self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", rows)

    def blob(self, question: str) -> bytes | None:
        """What was remembered as the answer to a question."""
        with self._open() as database:
            row = database.execute("SELECT answer, proof FROM answers WHERE question = ?", [question]).fetchone()
        return row[0] if row is not None and row[1] == _proof(question, row[0]) else None

    def remember_blob(self, question: str, answer: bytes) -> None:
        with self._open() as database, database:
            row = [question, answer, _proof(question, answer)]
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The database. One that SQLite finds damaged is put aside: all it could do is save time."""
        disk.make_folder(self._path.parent)
        try:
            with closing(self._connect()) as database:
                yield database
        except sqlite3.OperationalError as error:
            raise self._unusable(error, f"if no other build runs, remove {self._path}: it only saves time") from error
        except sqlite3.DatabaseError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            os.replace(self._path, aside)
            raise self._unusable(error, f"run the same command again: the file was put aside as {aside}") from error

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=20)
        try:
            # Losing the last entries to a power cut costs a second reading, so nothing waits for the disk.
            database.execute("PRAGMA synchronous=OFF")
            database.execute("CREATE TABLE IF NOT EXISTS pictures (path TEXT PRIMARY KEY, packed BLOB, proof BLOB)")
            database.execute("CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answer BLOB, proof BLOB)")
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _unusable(self, error: sqlite3.Error, hint: str) -> StoreError:
        return StoreError(f"{self._path}: the memory of inputs cannot be used ({error})", hint=hint)


_PICTURE = struct.Struct("<4q3IQ32s")


def _proof(key: str, packed: bytes) -> bytes:
    return row_digest(key.encode("utf-8", "surrogateescape") + b"\0" + packed)


def examine(
    paths: Sequence[Path],
    memory: Memory,
    *,
    rehash: bool = False,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[InputPicture | Problem]:
    """Fingerprint and header of each picture file, in order; a Problem where there is none to have."""
    names = [str(path) for path in paths]
    for name in names:
        if not name.isascii() and name.encode("utf-8", "surrogateescape") != name.encode("utf-8", "replace"):
            raise DataError(
                f"found the path {name!a}, expected one in UTF-8: a store records where its pictures are",
                hint="rename that file or folder",
            )
    known = {} if rehash else memory.pictures(names)
    out: dict[int, InputPicture | Problem] = {}
    unknown = []
    for i, name in enumerate(names):
        stamp = _stamp(name)
        if name in known and known[name][0] == stamp:
            out[i] = known[name][1]
        else:
            unknown.append(i)
    learnt: dict[str, tuple[Stamp, InputPicture]] = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done, (i, (found, stamp)) in enumerate(
            zip(unknown, pool.map(_examine, (paths[i] for i in unknown)), strict=True), start=1
        ):
            out[i] = found
            if stamp is not None and isinstance(found, InputPicture):
                learnt[names[i]] = (stamp, found)
            if progress is not None:
                progress(done, len(unknown))
    if learnt:
        memory.remember_pictures(learnt)
    return [out[i] for i in range(len(paths))]


def _examine(path: Path) -> tuple[InputPicture | Problem, Stamp | None]:
    """The picture, and its stamp if that can be trusted to change with the file."""
    before = _stamp(str(path))
    now = time.time_ns()
    try:
        data = read_picture(path)
        header = read_header(data, name=path.name)
    except OSError as error:
        kind = "missing-picture" if isinstance(error, FileNotFoundError) else "unreadable-picture"
        return Problem(loc=str(path), message=f"cannot be read ({error.strerror})", kind=kind), None
    except PictureError as error:
        return Problem(loc=str(path), message=str(error), kind="bad-picture"), None
    # Decoders go by the first bytes, not by the name. The whole file is in memory, too, whatever part of it this is.
    decoding = decoding_bytes(header.size, before[0] if before else len(data), jpeg=data[:3] == b"\xff\xd8\xff")
    picture = InputPicture(
        sha=picture_fingerprint(data), size=header.size, orientation=header.orientation, decoding=decoding
    )
    return picture, before if before is not None and before == _stamp(str(path)) and settled(before, now) else None


def settled(stamp: Stamp, now: int) -> bool:
    """Whether a change after `now` must show in the stamps: they are older than one tick of their clock."""
    age = now - max(stamp[1], stamp[2])
    if age >= COARSE_NS or age < FINE_NS:
        return age >= COARSE_NS
    return bool(stamp[1] % 1_000_000_000 or stamp[2] % 1_000_000_000)


def _stamp(path: str | os.DirEntry[str]) -> Stamp | None:
    try:
        status = os.stat(file_of(path)) if isinstance(path, str) else path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def listing(roots: Sequence[Path], named: Sequence[Path] = ()) -> str | None:
    """A digest of names and stamps of all files at or below `roots`, and of the names alone below `named`.

    None if any stamp is too fresh to be trusted.
    """
    state = hashlib.sha256()
    now = time.time_ns()
    seen: set[tuple[int, int]] = set()
    pending = [(str(root), True) for root in roots] + [(str(root), False) for root in named]
    while pending:
        path, stamped = pending.pop()
        is_folder = os.path.isdir(path)
        stamp = None if is_folder else _stamp(path)
        said: list[object] = [path, stamped] if is_folder else [path, stamped, stamp]
        stamps = [stamp]
        for name, goes_deeper, stamp in _inside(path, stamped, seen) if is_folder else ():
            said.append(name)
            if goes_deeper:
                pending.append((os.path.join(path, name), stamped))
            elif stamped:
                said.append(stamp)
                stamps.append(stamp)
        if not all(stamp is None or settled(stamp, now) for stamp in stamps):
            return None
        state.update("\0".join(map(str, [*said, ""])).encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _inside(path: str, stamped: bool, seen: set[tuple[int, int]]) -> list[tuple[str, bool, Stamp | None]]:
    """Each entry of a folder by name, whether it is a folder, and its stamp; nothing of a folder that was seen."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        status = os.fstat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return []  # a link that leads back
        seen.add((status.st_dev, status.st_ino))
        # By its number: the system then finds each file without walking the folder's path.
        with os.scandir(folder) as entries:
            inside = [(entry.name, _is_folder(entry), _stamp(entry) if stamped else None) for entry in entries]
    finally:
        os.close(folder)
    return sorted(inside, key=operator.itemgetter(0))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
