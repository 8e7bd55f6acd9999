"""One portable archive for one version: packed in a fixed order, unpacked aside, proven before it gets a name."""

from __future__ import annotations

import shutil
import tarfile
import uuid
from pathlib import Path, PurePosixPath

from ocrmaps.errors import DataError, StoreCorrupt, StoreError
from ocrmaps.store.format.layout import list_files
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.upkeep.verify import verify


def pack(folder: Path, archive: Path) -> int:
    """Write a version to a tar archive; same version, same bytes. Returns the archive's length.

    The version is verified first: nobody wants a damaged copy to be the one that is left.
    """
    report = verify(folder)
    if not report.ok:
        raise StoreCorrupt(
            f"{folder}: damaged, so not packed", problems=report.problems, hint=f"`ocrmaps repair {folder}`"
        )
    if archive.exists():
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
            f"{archive}: cannot be written ({error})", hint="is there space for the whole version?"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return archive.stat().st_size


def unpack(archive: Path, cache: Path, name: str) -> Path:
    """Bring an archived version into a store; it appears only after every byte was compared with its digest."""
    store = Store(cache, name)
    arriving = store.folder / ".staging" / f"import-{uuid.uuid4().hex[:8]}"
    disk.make_folder(arriving)
    try:
        version = _extract(archive, arriving)
        target = store.version(version)
        if target.exists():
            raise StoreError(f"{target}: is in the cache already", hint=f"`ocrmaps verify {target}` checks it")
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
    return target


def _extract(archive: Path, into: Path) -> str:
    """Plain files below one folder; anything else in the archive is refused before it is written."""
    versions: set[str] = set()
    try:
        with tarfile.open(archive, "r:") as tar:
            for entry in tar:
                parts = PurePosixPath(entry.name).parts
                if not entry.isreg() or len(parts) < 2 or ".." in parts or parts[0] == "/" or "\\" in entry.name:
                    raise DataError(f"{archive}: found {entry.name!r}, expected plain files below one version folder")
                versions.add(parts[0])
                target = into.joinpath(*parts)
                if len(versions) > 1 or target.exists():
                    raise DataError(f"{archive}: found {entry.name!r}, expected each file of one version once")
                target.parent.mkdir(parents=True, exist_ok=True)
                file = tar.extractfile(entry)
                assert file is not None  # a regular file has content
                with open(target, "xb") as out:
                    shutil.copyfileobj(file, out, 1 << 20)
                target.chmod(0o444)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive}: not a whole tar archive ({error})", hint="copy the archive again") from error
    except OSError as error:
        raise StoreError(f"{archive}: cannot be unpacked ({error})") from error
    if not versions:
        raise DataError(f"{archive}: the archive is empty")
    return versions.pop()
