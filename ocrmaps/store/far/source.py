"""Pictures and annotations in object storage: a copy on this machine that is brought up to date whenever it is named.

    <cache>/.sources/<name>/place.json    which place
    <cache>/.sources/<name>/objects.json  what each file was made of: the object's ETag and time, the file's stamp
    <cache>/.sources/<name>/<folder>/     the files, by their names below the place

One listing says what changed; only that is fetched, and what is gone there goes here. Nothing is read outside of the
place that was named: of a folder all below it, of a file its own folder, or the file alone where pictures are named.
Whoever reads annotations or pictures reads files; the workers of a cluster fetch the pictures that they draw.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrmaps.annotations import open_source as open_here
from ocrmaps.annotations.named import open_sources as open_named
from ocrmaps.annotations.records import Source
from ocrmaps.errors import DataError, SpecError, StoreError
from ocrmaps.geometry import Frame
from ocrmaps.recipe import Recipe
from ocrmaps.store.places import lock
from ocrmaps.store.places import posix as disk
from ocrmaps.store.places.cache import local_cache, quota_bytes
from ocrmaps.store.places.objects import IN_FLIGHT, Listed, ObjectPlace
from ocrmaps.store.places.patience import LOOKS
from ocrmaps.store.places.standin import MARK, RESERVE, write_whole
from ocrmaps.store.places.urls import bucket_and_key, folder_of, join, url_of

SOURCES, OBJECTS = ".sources", "objects.json"
_SAVE_SECONDS = 5.0
"""Between two notes of what has arrived: a copy that was interrupted goes on from the last."""

Progress = Callable[[str, int, int], None]
"""(stage, done, total)."""
Named = str | os.PathLike[str]


def open_source(
    path: Named,
    *,
    format: str | None = None,
    pictures: Named | None = None,
    frame: Frame = "upright",
    split: str = "",
) -> Source:
    """The source that a path or a URL means; see `ocrmaps.annotations.open_source`."""
    found, folder = bring_source(path, pictures)
    return open_here(found, format=format, pictures=folder, frame=frame, split=split)


def open_sources(
    named: Sequence[str], *, format: str | None = None, pictures: Named | None = None, frame: Frame = "upright"
) -> list[Source]:
    """The sources that a command line names, `train=URL` too; see `ocrmaps.annotations.named`."""
    out, folder = [], None if pictures is None else Path(pictures)
    for text in named:
        match = re.fullmatch(r"(train|val|test)=([A-Za-z][A-Za-z0-9+.-]+:/.*)", text, re.DOTALL)
        split, path = (f"{match[1]}=", match[2]) if match else ("", text)
        found, folder = bring_source(path, pictures)
        out.append(text if url_of(path) is None else f"{split}{found}")
    return open_named(out, format=format, pictures=folder, frame=frame)


def bring_recipe(recipe: Recipe, progress: Progress | None = None) -> Recipe:
    """A recipe whose sources are all on this machine."""
    found = [bring_source(source.path, source.pictures, progress) for source in recipe.sources]
    if found == [(source.path, source.pictures) for source in recipe.sources]:
        return recipe  # as it is: nothing has to be checked again
    sources = [replace(s, path=path, pictures=at) for s, (path, at) in zip(recipe.sources, found, strict=True)]
    return replace(recipe, sources=tuple(sources))


def bring_source(
    path: Named, pictures: Named | None = None, progress: Progress | None = None
) -> tuple[Path, Path | None]:
    """Where a source and its pictures are on this machine, up to date if they are named by URLs."""
    url, below = url_of(path), None if pictures is None else url_of(pictures)
    found = Path(path) if url is None else _bring(url, progress, alone=pictures is not None)
    if pictures is None:
        return found, None
    if below is None:
        return found, Path(pictures)
    if url is not None and found.is_dir() and f"{below}/".startswith(f"{url}/"):
        return found, found / below.removeprefix(url).lstrip("/")
    return found, _bring(below, progress)


def bring(named: Named, progress: Progress | None = None) -> Path:
    """Where a file or folder is on this machine, up to date if it is named by a URL."""
    url = url_of(named)
    return Path(named) if url is None else _bring(url, progress, alone=True)


def bring_all(named: Sequence[str]) -> list[str]:
    """Files, folders and patterns, those named by a URL as paths of this machine."""
    return [text if url_of(text) is None else os.fspath(bring(text)) for text in named]


def place_of(path: Path) -> str:
    """What a path of this machine is a copy of, or the path itself: manifests name the place."""
    found = copy_of(path)
    return os.fspath(path) if found is None else join(found[1], *path.relative_to(found[0]).parts)


def named_recipe(recipe: Recipe) -> Recipe:
    """A recipe whose copies are called by their places again."""
    sources = (
        replace(s, path=Path(place_of(s.path)), pictures=None if s.pictures is None else Path(place_of(s.pictures)))
        for s in recipe.sources
    )
    return replace(recipe, sources=tuple(sources))


def copy_of(path: Path) -> tuple[Path, str] | None:
    """The folder of the copy that a path lies in, and its URL; None for a path that is no copy."""
    for folder in (path, *path.parents):
        above = folder.parent
        if above.parent.name == SOURCES and (above / MARK).is_file():
            told = disk.read_json(above / MARK)
            url = told.get("url") if isinstance(told, dict) else None
            return (folder, url) if isinstance(url, str) else None
    return None


def here(named: str) -> Path:
    """Where a manifest's path or URL is on this machine as it was last brought; nothing is asked for."""
    if bucket_and_key(named) is None:
        return Path(named)
    above = named
    while above.count("/") > 2:
        folder = _folder(above)
        if folder.is_dir():
            return folder / named.removeprefix(above).lstrip("/")
        above = above.rpartition("/")[0]
    return _folder(named)


def _bring(url: str, progress: Progress | None, *, alone: bool = False) -> Path:
    """Bring what a URL names and say where it is."""
    folder = folder_of(url)
    if folder is not None:
        return folder
    found = list(ObjectPlace(url).entries())
    if found:
        return _copy(url, _folder(url), found, progress)
    above, _, name = url.rpartition("/")
    only = ObjectPlace(above).entry(name)
    if only is None:
        raise DataError(f"found nothing at {url}", hint="check the URL, and that the credentials may list it")
    if alone:
        return _copy(above, _folder(url, above), [only], progress) / name
    if above.count("/") < 3:
        raise SpecError(
            f"{url} lies in no folder of its bucket, and its pictures may be anywhere in it",
            hint="say where with --pictures (in a recipe: pictures = ...), or name a folder that holds both",
        )
    return _copy(above, _folder(above), list(ObjectPlace(above).entries()), progress) / name


def _folder(url: str, shown: str = "") -> Path:
    """The folder of the copy of a place, called as the place is."""
    name = re.sub(r"[^a-z0-9]+", "-", url.lower()).strip("-")[:60]
    above = local_cache() / SOURCES / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    return above / (shown or url).rpartition("/")[2]


def _copy(url: str, folder: Path, listed: Sequence[Listed], progress: Progress | None) -> Path:
    """Make a folder hold these objects and nothing else."""
    folders = _folders(entry.key for entry in listed)
    # An empty object with the name of a folder is how consoles of providers make one.
    wanted = {e.key: e for e in listed if not e.key.endswith("/") and (e.nbytes or e.key not in folders)}
    _refuse_names(url, wanted)
    above = folder.parent
    with lock.building(above / "lock", f"the copy of {url}"):
        disk.make_folder(folder, durable=False)
        write_whole(above / MARK, json.dumps({"url": url}).encode())
        told = disk.read_json(above / OBJECTS)
        known: dict[str, Any] = told if isinstance(told, dict) else {}
        known = {key: made for key, made in known.items() if key in wanted and made[1] == _stamp(folder / key)}
        missing = [entry for key, entry in wanted.items() if known.get(key, [None])[0] != _made(entry)]
        _remove_others(folder, wanted.keys() - {entry.key for entry in missing})
        _refuse_size(url, above, folder, listed, sum(entry.nbytes for entry in missing))
        place, saved = ObjectPlace(url), time.monotonic()

        def one(entry: Listed) -> Listed:
            try:
                write_whole(folder / entry.key, _get(place, entry))
            except FileNotFoundError as error:
                if entry.nbytes:  # otherwise a folder without files: its name ends in a slash, which listings leave out
                    raise DataError(f"{url}/{entry.key}: was removed meanwhile", hint="run it again") from error
            return entry

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for done, entry in enumerate(pool.map(one, missing), start=1):
                known[entry.key] = [_made(entry), _stamp(folder / entry.key)]
                if progress is not None:
                    progress("bringing the source", done, len(missing))
                if time.monotonic() - saved > _SAVE_SECONDS:
                    write_whole(above / OBJECTS, json.dumps(known).encode())
                    saved = time.monotonic()
        write_whole(above / OBJECTS, json.dumps(known).encode())
    return folder


def _get(place: ObjectPlace, entry: Listed) -> bytes:
    """The bytes of an object, as long as the listing says, and as they were sent.

    Nothing else proves them. Without TLS they must fit the ETag; where that is no digest of the bytes, as for objects
    that were uploaded in parts, the same bytes must come twice.
    """
    named, last = f"{place.url}/{entry.key}", b""
    for _ in range(LOOKS):
        data = place.get(entry.key, entry.nbytes)
        if len(data) != entry.nbytes:
            found = f"found {len(data)} bytes, listed were {entry.nbytes}"
            raise DataError(f"{named}: {found}: it was changed meanwhile", hint="run it again")
        if place.proven or data == last or _md5(data) == entry.etag.strip('"'):
            return data
        last = data
    raise StoreError(f"{named}: arrives otherwise each of {LOOKS} times", hint="look at the network, or use TLS")


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _made(entry: Listed) -> list[Any]:
    """What changes when an object does."""
    return [entry.etag, entry.nbytes, entry.modified]


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _remove_others(folder: Path, kept: Iterable[str]) -> None:
    stay = {os.fspath(folder / key) for key in kept}
    for above, folders, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(above, name)
            if path not in stay:
                os.unlink(path)
        for name in folders:
            path = os.path.join(above, name)
            if os.path.islink(path):
                os.unlink(path)
            elif not os.listdir(path):
                os.rmdir(path)


def _folders(keys: Iterable[str]) -> set[str]:
    return {key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"}


def _refuse_names(url: str, wanted: Iterable[str]) -> None:
    """Refuse objects whose names mean no file here, or one elsewhere."""
    folders = _folders(wanted)
    for key in wanted:
        parts = key.split("/")
        bad = any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts)
        if bad or key in folders:
            why = "is a folder of others, too" if key in folders else "is no name of a file"
            raise DataError(f"{url}: the object {key!a} {why}", hint="rename it there, or name a folder without it")


def _refuse_size(url: str, above: Path, folder: Path, listed: Sequence[Listed], missing: int) -> None:
    """Refuse a copy that is larger than there is room for."""
    quota, usage = quota_bytes(), shutil.disk_usage(above)
    total = sum(entry.nbytes for entry in listed)
    room = usage.free - RESERVE * usage.total if quota is None else quota
    if missing and (missing if quota is None else total) > room:
        raise StoreError(
            f"{url}: its files take {total / 1e9:.3g} GB, {missing / 1e9:.3g} GB of them are to be brought, "
            f"and {folder} has room for {max(0.0, room) / 1e9:.3g} GB",
            hint="choose another disk with OCRMAPS_CACHE, raise OCRMAPS_QUOTA_MB, or name a part of the source",
        )
