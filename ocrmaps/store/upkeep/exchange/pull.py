"""Pulls a version from a place into a cache on this machine: it appears only when every file was proven.

What the cache has already is not fetched: shards of the store's other versions are linked, files of an earlier pull
that was cut off are proven and kept.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from ocrmaps.errors import Problem, SpecError, StoreCorrupt, StoreError, StoreNotFound
from ocrmaps.kinds import MANIFEST
from ocrmaps.progress import Progress
from ocrmaps.settings.ranges import NAME_PATTERN, NAME_SAYS
from ocrmaps.store.far.parts import Part, far_manifest, fetch, small_parts
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import SIGNATURE, SIGNATURE_BYTES, list_files
from ocrmaps.store.format.manifest import Manifest, read_manifest
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import Store
from ocrmaps.store.places.objects import IN_FLIGHT, ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.push import Exchange
from ocrmaps.store.upkeep.exchange.shards import far_shards, shard_parts

_VERSION = re.compile(r"[0-9a-f]{16}")


def find_far(place: ObjectPlace, wanted: str) -> tuple[str, str]:
    """The (store, version) in a place that `STORE`, `STORE/VERSION` or a unique start of a version names.

    A store's name alone means its newest version, as `far_versions` has it.
    """
    name, _, start = wanted.strip("/").partition("/")
    if not re.fullmatch(NAME_PATTERN, name):
        raise SpecError(f"found the store name {name!r}, expected {NAME_SAYS}")
    if _VERSION.fullmatch(start) and far_manifest(place, f"{name}/{start}") is not None:
        return name, start  # whatever the store's other versions are
    found = far_versions(place, name)
    matching = [version for version in found if version.startswith(start)]
    if matching and (not start or len(matching) == 1):
        return name, matching[0]
    if matching:
        raise StoreNotFound(f"{wanted}: several versions start with {start}: {', '.join(matching)}")
    listed = ", ".join(f"{name}/{version}" for version in list(found)[:3]) or "none"
    raise StoreNotFound(
        f"{wanted}: no such version in {place.url}; found {listed}", hint=f"`ocrmaps cache list --root {place.url}`"
    )


def far_versions(place: ObjectPlace, store: str, damaged: list[Problem] | None = None) -> dict[str, Manifest]:
    """The committed versions of a store in a place: the newest build first, of one second the one pushed last.

    One that cannot be read is an error, or goes to `damaged`.
    """
    found = {}
    for version in filter(_VERSION.fullmatch, place.folders(store)):
        try:
            manifest = far_manifest(place, f"{store}/{version}")
        except StoreCorrupt as error:
            if damaged is None:
                raise
            damaged.append(Problem(loc=f"{store}/{version}", message=str(error), kind="damage"))
            continue
        if manifest is not None:
            built = str(manifest[0].recorded.get("built", {}).get("at"))
            found[version] = built, place.exists(f"{store}/{version}/{MANIFEST}") or 0.0, manifest[0]
    return {version: found[version][2] for version in sorted(found, key=lambda v: (found[v][:2], v), reverse=True)}


def pull(
    place: ObjectPlace, wanted: str, cache: Path, *, dry_run: bool = False, progress: Progress | None = None
) -> Exchange:
    """Bring a version into the cache, which then has it complete; a dry run only says what would be fetched."""
    name, version = find_far(place, wanted)
    there = f"{name}/{version}"
    found = far_manifest(place, there)
    if found is None:
        raise StoreNotFound(f"{place.url}/{there}: was removed meanwhile")
    manifest, data = found
    out = Exchange(
        store=name, version=version, root_digest=manifest.root_digest, place=place.url, done=not dry_run
    )  # fmt: skip
    store = Store(cache, name)
    target = store.version(version)
    if target.exists():
        mine = read_manifest(target).root_digest
        if mine != manifest.root_digest:
            raise StoreError(
                f"{target}: is here with root digest {mine}, the place has {manifest.root_digest}",
                hint="the two were built by different code or libraries; pull into another cache",
            )
        out.files["there"] += len(small_parts(manifest)) + 1
        return out
    if dry_run:
        _plan(place, there, store, _arriving(store, version) / version, manifest, len(data), out)
        return out
    with lock.building(store.lock(version), f"version {version} of store {name}"):
        arriving = _arriving(store, version)
        _receive(place, there, store, arriving / version, manifest, data, out, progress)
        files = list_files(arriving / version)
        folders = {arriving / version / above for path in files for above in PurePosixPath(path).parents}
        disk.sync([arriving / version / path for path in files], sorted(folders))
        disk.rename(arriving / version, target)
        disk.sync_folder(store.folder)
        shutil.rmtree(arriving, ignore_errors=True)
    out.committed = True
    return out


def _arriving(store: Store, version: str) -> Path:
    """Where a version is until it is whole."""
    return store.folder / ".staging" / f"import-{version}"


def _plan(
    place: ObjectPlace, there: str, store: Store, folder: Path, manifest: Manifest, nbytes: int, out: Exchange
) -> None:
    """Count what `_receive` would do, were all that an earlier pull left whole."""
    known, documents = _linkable(store), manifest.documents()
    for part in [*small_parts(manifest), *far_shards(place, there, manifest)]:
        here = part.path in documents or (folder / part.path).exists()
        way = "there" if here else "linked" if (part.digest, part.nbytes) in known else "fetched"
        out.files[way] += 1
        out.nbytes[way] += part.nbytes or 0
    out.files["fetched"] += 1  # the manifest
    out.nbytes["fetched"] += nbytes


def _receive(
    place: ObjectPlace, there: str, store: Store, folder: Path, manifest: Manifest, data: bytes, out: Exchange,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Fill the staging folder; whatever an earlier pull left in it is proven first."""
    small = small_parts(manifest)
    disk.make_folder(folder)
    _check_room(sum(part.nbytes or 0 for part in small), folder)
    known = _linkable(store)
    documents = manifest.documents()
    counting = threading.Lock()

    def one(part: Part) -> None:
        path = folder / part.path
        way = _bring(place, there, part, path, known, documents.get(part.path))
        with counting:
            out.files[way] += 1
            out.nbytes[way] += path.stat().st_size
            if progress is not None:
                progress(sum(out.files.values()), total)

    for part in small:
        disk.make_folder((folder / part.path).parent, durable=False)
    total = len(small) + 1
    _each(one, small)
    _write(folder / MANIFEST, data)
    with Reader(folder) as reader:
        if reader.root_digest != manifest.root_digest:
            raise StoreCorrupt(f"{folder}: found root digest {reader.root_digest}, expected {manifest.root_digest}")
        shards = shard_parts(reader)
        total += len(shards)
        _check_room(sum(part.nbytes or 0 for part in shards if not (folder / part.path).exists()), folder)
        _each(one, shards)
    with suppress(FileNotFoundError):  # most versions are not signed
        _write(folder / SIGNATURE, place.get(f"{there}/{SIGNATURE}")[:SIGNATURE_BYTES])
    expected = {MANIFEST, SIGNATURE, *(part.path for part in [*small, *shards])}
    for stray in set(list_files(folder)) - expected:
        disk.unlink(folder / stray)
    out.files["fetched"] += 1
    out.nbytes["fetched"] += len(data)


def _each(one: Callable[[Part], None], parts: list[Part]) -> None:
    pool = ThreadPoolExecutor(IN_FLIGHT)
    try:
        for _ in pool.map(one, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _bring(
    place: ObjectPlace, there: str, part: Part, path: Path, known: dict[tuple[bytes, int], Path], document: bytes | None
) -> str:
    """See to it that the file is here, by the cheapest way that holds; how it went."""
    if path.exists():
        if file_digest(path.read_bytes()) == part.digest:
            return "there"
        disk.unlink(path)
    if document is not None:  # follows from the manifest
        _write(path, document)
        return "there"
    mine = known.get((part.digest, part.nbytes or 0))
    if mine is not None:
        try:
            if file_digest(mine.read_bytes()) == part.digest:
                disk.link(mine, path)
                return "linked"
        except (OSError, StoreError):
            pass  # removed or damaged meanwhile, or a file system without links: fetched instead
    _write(path, fetch(place, there, part))
    return "fetched"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all under its name, so that a later pull can believe a length."""
    unfinished = disk.temporary_name(path.parent, path.name)
    with ExitStack() as undo:
        undo.callback(unfinished.unlink, missing_ok=True)
        disk.write_new(unfinished, [data], durable=False)
        disk.rename(unfinished, path)


def _linkable(store: Store) -> dict[tuple[bytes, int], Path]:
    """Shard files of the store's versions here: (digest, length) -> file. A damaged version gives none."""
    out: dict[tuple[bytes, int], Path] = {}
    for version in store.versions():
        try:
            with Reader(store.version(version)) as reader:
                out |= {(p.digest, p.nbytes or 0): reader.folder / p.path for p in shard_parts(reader)}
        except StoreError:
            continue
    return out


def _check_room(nbytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise StoreError(
            f"{folder}: {nbytes} bytes are to come, {free} are free", hint="`ocrmaps cache gc` shows what can go"
        )
