"""Who builds and who reads: one builder per version, readers that never wait, both forgotten by the system on death.

Locks are advisory `flock`s, which the kernel drops when their process ends however it ends; so a lock that is held has
a living owner, and a stale one cannot exist. The file's text only says who the owner is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ocrmaps.errors import StoreBusy, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.files import open_at_once
from ocrmaps.store.places import posix as disk

T = TypeVar("T")


def owner() -> dict[str, Any]:
    """This process, as others should hear of it."""
    return {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


@contextmanager
def building(path: Path, what: str) -> Iterator[None]:
    """Be the one builder of `what` for the length of the block; StoreBusy names the process that already is."""
    disk.make_folder(path.parent)
    handle = _acquire(path, what)
    try:
        with disk.named("write", path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(owner()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(path: Path, what: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _patiently(handle, fcntl.LOCK_EX, path):
            said = os.pread(handle, 4096, 0).decode("utf-8", "replace")
            os.close(handle)
            raise StoreBusy(
                f"{what} is being built or changed by another process ({said or 'which has not said who it is'})",
                hint="wait for it to end, or stop it: the build then resumes where it was",
            )
        # Somebody may have removed the file between our open and our lock: then ours is a lock on nothing.
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def builder_of(path: Path) -> dict[str, Any] | None:
    """Who holds a builder's lock just now, or None."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _flock(handle, fcntl.LOCK_SH, path):
            return None
        try:
            return dict(json.loads(os.pread(handle, 4096, 0)))
        except ValueError:
            return {"pid": None, "host": "unknown", "since": "unknown"}
    finally:
        os.close(handle)


def found_in(version: Path, look: Callable[[], T], *, hint: str = "") -> T:
    """What `look` finds in a version's folder, or an error that tells an absent version from a damaged one.

    Whoever removes a version and builds it again may do so between a look that finds nothing and the question whether
    there is a folder: only a folder in which several looks find nothing is damaged.
    """
    for _ in range(3):
        try:
            return look()
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
            if not version.is_dir():
                raise StoreNotFound(
                    f"{version}: no committed version here", hint="`ocrmaps cache list` shows what there is"
                ) from error
    raise StoreCorrupt(
        f"{missing.filename}: the manifest is missing; a version is complete or absent", hint=hint
    ) from missing


def lease(manifest: Path) -> int:
    """Mark a version as in use; close the returned handle to end it. Never waits and never keeps a builder out."""
    handle = found_in(manifest.parent, lambda: open_at_once(manifest))
    if _patiently(handle, fcntl.LOCK_SH, manifest):
        return handle
    os.close(handle)
    raise StoreNotFound(f"{manifest.parent}: is being removed by another process")


@contextmanager
def removing(manifest: Path) -> Iterator[bool]:
    """Whether nobody reads this version, and nobody can start to while the block runs."""
    try:
        handle = os.open(manifest, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        yield True  # not a version that anybody could open
        return
    try:
        yield _flock(handle, fcntl.LOCK_EX, manifest)
    finally:
        os.close(handle)


def _patiently(handle: int, kind: int, path: Path) -> bool:
    """Try for a fifth of a second: somebody who only asks who holds a lock holds it for an instant."""
    for _ in range(20):
        if _flock(handle, kind, path):
            return True
        time.sleep(0.01)
    return False


def _flock(handle: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise StoreError(
            f"{path}: this file system has no advisory locks ({error.strerror})",
            hint="keep the cache on a local disk or an NFSv4 mount (--root, OCRMAPS_CACHE)",
        ) from error
    return True
