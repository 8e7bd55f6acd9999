"""Makes folders for work in progress: gone when the block ends, and those of a killed process when the next begins."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER = "owner"
"""The file in such a folder that its process holds locked for as long as it lives."""


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """Yield an empty folder below the temporary folder, which `TMPDIR` chooses."""
    with _owned(Path(tempfile.gettempdir()), f"ocrmaps-{what}-") as folder:
        yield folder


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Yield an empty folder on the disk of `out`, from where a finished result is renamed into its place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with _owned(out.parent, ".ocrmaps-") as folder:
        yield folder


@contextmanager
def _owned(place: Path, prefix: str) -> Iterator[Path]:
    sweep(place)
    room = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        # Locked before it has the name that others look for: nobody ever finds it without its lock.
        with (room / f"{OWNER}.new").open("wb") as held:
            with suppress(OSError):  # some file systems have no locks; there nobody sweeps either
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(room / f"{OWNER}.new", room / OWNER)
            (room / "work").mkdir()
            yield room / "work"
    finally:
        shutil.rmtree(room, ignore_errors=True)


def sweep(place: Path) -> list[Path]:
    """Remove what processes of this user left in a folder when they were killed; the folders that went."""
    return [room for room in abandoned(place) if remove(room)]


def abandoned(place: Path) -> list[Path]:
    """What processes of this user left in a folder when they were killed; nothing is changed."""
    found = []
    with suppress(OSError):  # what cannot be listed cannot be swept
        for entry in os.scandir(place):
            ours = entry.name.startswith(("ocrmaps-", ".ocrmaps-")) and entry.is_dir(follow_symlinks=False)
            if ours and _left(Path(entry.path), lambda: None):
                found.append(Path(entry.path))
    return found


def remove(room: Path) -> bool:
    """Remove such a folder unless its process lives; whether it went."""
    return _left(room, lambda: shutil.rmtree(room, ignore_errors=True))


def _left(room: Path, then: Callable[[], None]) -> bool:
    """Whether nobody holds the folder's lock; if so, `then` is done under it."""
    try:
        handle = os.open(room / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        then()
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
