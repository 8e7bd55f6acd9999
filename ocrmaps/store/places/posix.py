"""Every change the store makes to a disk goes through here, durable and in small steps that tests can break.

A file is written under a temporary name, synced, renamed and its folder synced: after a crash it is absent or whole.
Where many files become visible by one later rename, they are written first and synced together (`sync`), because a
file system makes a hundred files durable in little more time than one.
`between` is the test seam: it is called before each step with the step's name and path and may raise, or limit a write.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreError

Buffer = bytes | bytearray | memoryview
Seam = Callable[[str, Path], int | None]
"""(step, path) -> None to go on, or the most bytes that this one write call may take."""
between: Seam | None = None
_SYNCS = 8
"""Files that are synced at a time."""
_FEW = 4
"""So many, those of a shard, are synced by whoever asks: threads for them take longer to start."""
STEPS = ("mkdir", "open", "write", "fsync", "rename", "link", "unlink", "append", "truncate", "fsync-dir")


def _step(step: str, path: Path) -> int | None:
    return None if between is None else between(step, path)


@contextmanager
def named(step: str, path: Path) -> Iterator[None]:
    """Turn the system's errors into ours, saying which step on which file failed and what to do about it."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space (`ocrmaps cache gc` shows what can go) and run the same command: it resumes"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "choose a cache you may write to with --root or OCRMAPS_CACHE"
        raise StoreError(f"{step} {path}: {error.strerror or error}", hint=hint) from error


def make_folder(path: Path, *, durable: bool = True) -> None:
    """Create a folder with its parents; one that exists is fine."""
    if path.is_dir():
        return
    make_folder(path.parent, durable=durable)
    with named("mkdir", path):
        _step("mkdir", path)
        path.mkdir(exist_ok=True)
    if durable:
        sync_folder(path.parent)


def write_new(path: Path, parts: Iterable[Buffer], *, durable: bool = True) -> int:
    """Write a read-only file that must not exist yet; returns its length, which the system has confirmed."""
    with named("open", path):
        _step("open", path)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        expected = 0
        for part in parts:
            expected += len(part)
            _write_all(handle, part, path)
        with named("fsync", path):
            if durable:
                _step("fsync", path)
                os.fsync(handle)
            found = os.fstat(handle).st_size
        if found != expected:
            raise StoreError(f"write {path}: found {found} bytes after writing {expected}")
        return found
    finally:
        os.close(handle)


def _write_all(handle: int, part: Buffer, path: Path, step: str = "write") -> None:
    view = memoryview(part).cast("B")
    while len(view):
        with named(step, path):
            limit = _step(step, path)
            done = os.write(handle, view if limit is None else view[:limit])
        if done == 0:
            raise StoreError(f"{step} {path}: the system took none of {len(view)} bytes")
        view = view[done:]


def rename(source: Path, target: Path) -> None:
    """Atomic; the caller syncs the folder when it has renamed all it wants to."""
    with named("rename", target):
        _step("rename", target)
        os.rename(source, target)


def link(source: Path, target: Path) -> None:
    """Give the same bytes a second name."""
    with named("link", target):
        _step("link", target)
        os.link(source, target)


def unlink(path: Path) -> None:
    """Remove a file; one that is already gone is what was wanted."""
    with named("unlink", path):
        _step("unlink", path)
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make renames and creations inside a folder survive a power cut."""
    with named("fsync-dir", path):
        _step("fsync-dir", path)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync(files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
    """Make files, then folders, survive a power cut; many at a time, so that the file system can join its work."""
    if len(files) + len(folders) <= _FEW:
        _each(_sync_file, files)
        _each(sync_folder, folders)
        return
    with ThreadPoolExecutor(_SYNCS) as pool:
        for sync_one, paths in ((_sync_file, files), (sync_folder, folders)):
            list(pool.map(partial(_each, sync_one), (paths[i::_SYNCS] for i in range(min(_SYNCS, len(paths))))))


def _each(sync_one: Callable[[Path], None], paths: Sequence[Path]) -> None:
    for path in paths:
        sync_one(path)


def _sync_file(path: Path) -> None:
    with named("fsync", path):
        _step("fsync", path)
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def publish(path: Path, parts: Sequence[Buffer]) -> int:
    """Write, sync, rename, sync the folder: `path` is absent, the old file or the whole new file at every instant."""
    unfinished = temporary_name(path.parent, path.name)
    try:
        nbytes = write_new(unfinished, parts)
        rename(unfinished, path)
    except StoreError:
        # A failed step leaves no debris when the disk still lets us tidy; a crash leaves a *.tmp that gc knows.
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return nbytes


def temporary_name(folder: Path, name: str) -> Path:
    """A name nobody else has: two attempts at one file never meet before their renames."""
    return folder / f"{name}.{uuid.uuid4().hex}.tmp"


def append(path: Path, line: bytes) -> None:
    """Add one line to a file and sync it; the caller made sure that the file ends with a whole line."""
    with named("open", path):
        _step("open", path)
        new = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _write_all(handle, line, path, "append")
        with named("fsync", path):
            _step("fsync", path)
            os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        sync_folder(path.parent)


def truncate(path: Path, length: int) -> None:
    """Cut a file after its last whole line."""
    with named("truncate", path):
        _step("truncate", path)
        with path.open("r+b") as file:
            file.truncate(length)
            os.fsync(file.fileno())


def read(path: Path) -> bytes:
    """All bytes of a file; what the system says against it names the file."""
    with named("read", path):
        return path.read_bytes()


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends, one at a time; none where there is no file."""
    with named("read", path):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            yield from file


def read_at(path: Path, start: int, nbytes: int) -> bytes:
    """A part of a file, shorter where the file ends before it does."""
    with named("read", path), path.open("rb") as file:
        file.seek(start)
        return file.read(nbytes)


def read_json(path: Path) -> Any:
    """A small JSON file of ours, or None where there is none; one that is not JSON is refused by name."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise StoreError(f"{path}: not valid JSON ({error})", hint="remove the file if you did not write it") from error
