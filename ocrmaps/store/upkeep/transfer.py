"""One portable archive for one version: packed in a fixed order, unpacked aside, proven before it gets a name."""

from __future__ import annotations

import re
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from ocrmaps.annotations.grammar.contents import shown
from ocrmaps.errors import DataError, OcrmapsError, SpecError, StoreCorrupt, StoreError, reason
from ocrmaps.files import open_regular
from ocrmaps.settings.ranges import NAME_PATTERN, NAME_SAYS
from ocrmaps.store.format.layout import MANIFEST, list_files
from ocrmaps.store.format.manifest import read_manifest
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.upkeep.verify import verify
from ocrmaps.text import typed

MOST_FILES = 2_000_000
"""Of one archive: ten million rows in shards of 32 are 1.3 million files."""
LARGEST_MANIFEST = 64 * 2**20
_PATH = re.compile(r"[0-9a-f]{16}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){1,3}")
"""A file of a version below its folder: nothing of ours is deeper, hidden or called otherwise."""
_UNREADABLE = (
    tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError,
    RecursionError, MemoryError,
)  # fmt: skip
"""What strangers' bytes do to readers: a manifest's digests prove that it is whole, not that it is sane."""


def pack(folder: Path, archive: Path, *, replace_existing: bool = False) -> int:
    """Write a version to a tar archive; same version, same bytes. Returns the archive's length.

    The version is verified first: nobody wants a damaged copy to be the one that is left.
    """
    report = verify(folder)
    if not report.ok:
        raise StoreCorrupt(
            f"{folder}: damaged, so not packed", problems=report.problems, hint=typed("ocrmaps", "repair", folder)
        )
    if archive.exists() and not replace_existing:
        raise StoreError(f"{archive}: exists already", hint="choose another name or remove it")
    unfinished = disk.temporary_name(archive.absolute().parent, archive.name)
    try:
        with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(list_files(folder)):
                entry = tarfile.TarInfo(f"{folder.name}/{name}")
                entry.size = (folder / name).stat().st_size
                entry.mode = 0o444
                with open(folder / name, "rb") as file:
                    tar.addfile(entry, file)
        disk.sync([unfinished])
        disk.rename(unfinished, archive.absolute())
        disk.sync_folder(archive.absolute().parent)
    except OSError as error:
        raise StoreError(
            f"{archive}: cannot be written ({reason(error)})", hint="is there space for the whole version?"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return archive.stat().st_size


def unpack(archive: Path, cache: Path, name: str) -> Path:
    """Bring an archived version into a store; it appears only after every byte was compared with its digest."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise SpecError(f"found the store name {name!r}, expected {NAME_SAYS}", hint="name a store, not a path")
    store = Store(cache, name)
    arriving = store.folder / ".staging" / f"import-{uuid.uuid4().hex[:8]}"
    made = [folder for folder in (arriving.parent, store.folder) if not folder.exists()]
    try:
        with _opened(archive) as tar:
            entries = _entries(archive, tar)
            version = PurePosixPath(entries[0].name).parts[0]
            target = store.version(version)
            if target.exists():
                raise StoreError(
                    f"{target}: is in the cache already", hint=f"{typed('ocrmaps', 'verify', target)} checks it"
                )
            disk.make_folder(arriving)
            _check_promise(archive, tar, entries, arriving)
            for entry in entries:
                _write(tar, entry, arriving)
            report = verify(arriving / version)
        if not report.ok:
            raise StoreCorrupt(
                f"{archive}: damaged, nothing was imported", problems=report.problems, hint="copy the archive again"
            )
        with lock.building(store.lock(version), f"version {version} of store {name}"):
            files = list_files(arriving / version)
            folders = {arriving / version / above for path in files for above in PurePosixPath(path).parents}
            disk.sync([arriving / version / path for path in files], sorted(folders))
            disk.rename(arriving / version, target)
            disk.sync_folder(store.folder)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
        with suppress(OSError):  # something is in it: then it stays
            for folder in made:
                folder.rmdir()
    return target


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive, and one sentence for whatever its bytes or the disk do to whoever reads it."""
    try:
        with open_regular(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except OcrmapsError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{archive}: no such archive", hint="`ocrmaps cache export` writes one") from error
    except OSError as error:
        raise StoreError(f"{archive}: cannot be unpacked ({error.strerror or error})") from error
    except _UNREADABLE as error:
        raise DataError(
            f"{archive}: not an archive of a version ({type(error).__name__}: {error})", hint="copy the archive again"
        ) from error


def _entries(archive: Path, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Plain files of one version, looked at before anything is written; anything else in the archive is refused."""
    entries: dict[str, tarfile.TarInfo] = {}
    for entry in tar:
        if not entry.isreg() or entry.issparse() or entry.size < 0 or not _PATH.fullmatch(entry.name):
            raise DataError(
                f"{archive}: found {shown(entry.name)}, expected plain files below one version folder",
                hint="only archives that `ocrmaps cache export` wrote can be imported",
            )
        if entry.name in entries or entry.name[:17] != next(iter(entries), entry.name)[:17]:
            raise DataError(f"{archive}: found {shown(entry.name)}, expected each file of one version once")
        entries[entry.name] = entry
        if len(entries) > MOST_FILES:
            raise DataError(f"{archive}: found more than {MOST_FILES} files, expected one version")
    if not entries:
        raise DataError(f"{archive}: the archive is empty")
    return list(entries.values())


def _check_promise(archive: Path, tar: tarfile.TarFile, entries: list[tarfile.TarInfo], into: Path) -> None:
    """Refuse, before it is unpacked, more than the archive's own manifest can mean or the disk has room for."""
    manifest = next((entry for entry in entries if entry.name[17:] == MANIFEST), None)
    if manifest is None or manifest.size > LARGEST_MANIFEST:
        found = "no manifest" if manifest is None else f"a manifest of {manifest.size} bytes"
        raise DataError(f"{archive}: found {found}, expected one of at most {LARGEST_MANIFEST} bytes")
    files, nbytes = read_manifest(_write(tar, manifest, into).parent, hint="copy the archive again").at_most()
    total = sum(entry.size for entry in entries) - manifest.size
    if len(entries) - 1 > files or total > nbytes:
        raise DataError(
            f"{archive}: found {len(entries) - 1} files with {total} bytes, its manifest means at most {files} files "
            f"with {nbytes} bytes"
        )
    free = shutil.disk_usage(into).free
    if total > free:
        raise StoreError(
            f"{archive}: unpacks to {total} bytes, {free} are free in {into.parent}",
            hint="`ocrmaps cache gc` shows what can go",
        )


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, into: Path) -> Path:
    target = into / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # the manifest, which was looked at first
    file = tar.extractfile(entry)
    assert file is not None  # a regular file has content
    with open(target, "xb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
    target.chmod(0o444)
    return target
