"""Pushes a version to a place: every file is proven before it leaves and read back after it arrived, the manifest last.

What the place has already is not sent: files of an earlier push that was cut off are read back, shards that another
version of the store has there are copied within the place.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreBusy, StoreCorrupt, StoreError, reason
from ocrmaps.kinds import MANIFEST
from ocrmaps.progress import Progress
from ocrmaps.store.far.parts import Part, far_manifest, fetch, small_parts
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import SIGNATURE, SIGNATURE_BYTES
from ocrmaps.store.places.objects import IN_FLIGHT, ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.journal import PushJournal
from ocrmaps.store.upkeep.exchange.shards import far_shards, shard_parts

SENDS = 3
"""How often a file is sent before what arrives is called wrong."""


@dataclass(kw_only=True)
class Exchange:
    """What an exchange of one version did, or would do."""

    store: str
    version: str
    root_digest: str
    place: str
    done: bool
    """False for a dry run."""
    files: Counter[str] = field(default_factory=Counter)
    """Files by what became of them: `sent`, `fetched`, `copied` in the place, `linked` here, `there` already."""
    nbytes: Counter[str] = field(default_factory=Counter)
    committed: bool = False
    """Whether the version is there now and was not when this began, whoever of several with its bytes was first."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "store": self.store, "version": self.version, "root_digest": self.root_digest, "place": self.place,
            "done": self.done, "committed": self.committed, "files": dict(sorted(self.files.items())),
            "bytes": dict(sorted(self.nbytes.items())),
        }  # fmt: skip


def push(folder: Path, place: ObjectPlace, *, dry_run: bool = False, progress: Progress | None = None) -> Exchange:
    """Send a version to `place`, which then has it complete; a dry run only says what would be sent."""
    with Reader(folder) as reader:
        store = reader.folder.parent.name
        there = f"{store}/{reader.manifest.version}"
        out = Exchange(
            store=store, version=reader.manifest.version, root_digest=reader.root_digest, place=place.url,
            done=not dry_run,
        )  # fmt: skip
        parts = [*small_parts(reader.manifest), *shard_parts(reader)]
        if _committed(place, there, reader.root_digest):
            out.files["there"] += len(parts) + 1
            if not dry_run:
                _send_signature(reader, place, there)
            return out
        listed = {entry.key.removeprefix(f"{there}/"): entry.nbytes for entry in place.entries(there)}
        siblings = _siblings(place, store, out.version)
        if dry_run:
            for part in parts:
                nbytes = part.nbytes if part.nbytes is not None else (reader.folder / part.path).stat().st_size
                _count(out, _found(part, listed, siblings), nbytes)
            _count(out, "sent", len(reader.manifest.to_bytes()))
            return out
        _send(reader, place, there, parts, listed, siblings, out, progress)
        return out


def _send(
    reader: Reader, place: ObjectPlace, there: str, parts: list[Part], listed: dict[str, int],
    siblings: dict[tuple[bytes, int], str], out: Exchange, progress: Progress | None,
) -> None:  # fmt: skip
    data = (reader.folder / MANIFEST).read_bytes()
    journal = PushJournal(place, out.store, reader.manifest, data)
    journal.begin()
    lock, done = threading.Lock(), 0

    def one(part: Part) -> None:
        nonlocal done
        way, nbytes = _bring(reader, place, there, part, _found(part, listed, siblings), siblings)
        with lock:
            _count(out, way, nbytes)
            done += 1
            if progress is not None:
                progress(done, len(parts) + 1)
            journal.refresh()

    pool = ThreadPoolExecutor(IN_FLIGHT)
    try:
        for _ in pool.map(one, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    _send_signature(reader, place, there)
    journal.finish()
    out.committed = _commit(place, there, data, reader.root_digest)
    _count(out, "sent" if out.committed else "there", len(data))
    journal.forget()
    if progress is not None:
        progress(len(parts) + 1, len(parts) + 1)


def _send_signature(reader: Reader, place: ObjectPlace, there: str) -> None:
    """One that is there stays: whoever signed it may not be who pushes."""
    if (reader.folder / SIGNATURE).exists():
        place.create(f"{there}/{SIGNATURE}", (reader.folder / SIGNATURE).read_bytes()[:SIGNATURE_BYTES])


def _commit(place: ObjectPlace, there: str, data: bytes, root_digest: str) -> bool:
    """Make the version appear; whether it was this push that did, and not another one with the same bytes."""
    key = f"{there}/{MANIFEST}"
    mine = place.create(key, data) is None
    for attempt in range(SENDS):
        try:
            if _committed(place, there, root_digest):
                return mine
        except StoreCorrupt:  # what nobody can read is no version: it arrived otherwise than it was sent
            if attempt == SENDS - 1:
                raise
        place.put(key, data)
        mine = True
    raise StoreError(f"{place.url}/{key}: vanished whenever it was written")


def _bring(
    reader: Reader, place: ObjectPlace, there: str, part: Part, way: str, siblings: dict[tuple[bytes, int], str]
) -> tuple[str, int]:
    """See to it that the place has this file, by the cheapest way that holds; how it went, and its length."""
    if way == "there":
        try:
            return way, len(fetch(place, there, part))
        except StoreCorrupt:
            way = "sent"  # a rest of an earlier push that is not what it should be
    if way == "copied":
        try:
            place.copy(siblings[part.digest, part.nbytes or 0], f"{there}/{part.path}")
            return way, len(fetch(place, there, part))
        except (StoreCorrupt, FileNotFoundError):
            way = "sent"  # the other version is damaged or gone there
    path = reader.folder / part.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreCorrupt(f"{path}: cannot be read ({reason(error)})", hint=reader.hint) from error
    if file_digest(data) != part.digest:
        raise StoreCorrupt(f"{path}: damaged, so not sent", hint=reader.hint)
    for attempt in range(SENDS):
        place.put(f"{there}/{part.path}", data)
        try:
            fetch(place, there, part)
            return "sent", len(data)
        except StoreCorrupt:
            if attempt == SENDS - 1:
                raise
    raise AssertionError("unreachable")


def _found(part: Part, listed: dict[str, int], siblings: dict[tuple[bytes, int], str]) -> str:
    """How the place would come to this file."""
    if part.path in listed and part.nbytes in (None, listed[part.path]):
        return "there"
    return "copied" if (part.digest, part.nbytes) in siblings else "sent"


def _count(out: Exchange, way: str, nbytes: int) -> None:
    out.files[way] += 1
    out.nbytes[way] += nbytes


def _committed(place: ObjectPlace, there: str, root_digest: str) -> bool:
    """Whether the place has this version with these bytes; one with others is an error."""
    found = far_manifest(place, there)
    if found is None:
        return False
    if found[0].root_digest != root_digest:
        raise StoreBusy(
            f"{place.url}/{there}: is there with root digest {found[0].root_digest}, this one has {root_digest}",
            hint="the two were built by different code or libraries: `ocrmaps verify --level rebuild` tells which is "
            "drawn as today; push to another place, or remove the one that is there",
        )
    return True


def _siblings(place: ObjectPlace, store: str, version: str) -> dict[tuple[bytes, int], str]:
    """Shard files of the store's other versions in the place: (digest, length) -> key."""
    out: dict[tuple[bytes, int], str] = {}
    for other in place.folders(store):
        if other == version or other.startswith("."):
            continue
        folder = f"{store}/{other}"
        found = far_manifest(place, folder)
        if found is not None:
            out |= {
                (part.digest, part.nbytes or 0): f"{folder}/{part.path}" for part in far_shards(place, folder, found[0])
            }
    return out
