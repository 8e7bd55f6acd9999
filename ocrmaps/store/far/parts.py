"""What a version consists of: every file with its length and digest, and the names that its manifest alone gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from ocrmaps.errors import StoreCorrupt
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.identity import file_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, SIGNATURE, ShardKey, canvas_name
from ocrmaps.store.format.manifest import Manifest, parse_manifest
from ocrmaps.store.format.tables import column_path
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.places.patience import LOOKS

LARGEST_MANIFEST = 64 * 2**20
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,2}")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError)
"""What a stranger's manifest does to readers: its digests prove that it is whole, not that it is sane."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a version."""

    path: str
    nbytes: int | None
    """None where only the file itself says it."""
    digest: bytes


def small_parts(manifest: Manifest) -> list[Part]:
    """Metadata, ledger and tables: what the manifest states by itself."""
    out = [Part(path, len(data), file_digest(data)) for path, data in manifest.documents().items()]
    out.append(Part(LEDGER, None, bytes.fromhex(manifest.written["ledger"]["digest"])))
    for table in manifest.written["tables"]:
        for name, column in manifest.columns(table).items():
            path = column_path(table, name, column.shape)
            if path is not None:
                out.append(Part(path, column.nbytes, bytes.fromhex(column.digest)))
    return out


def small_by_path(manifest: Manifest) -> dict[str, Part]:
    return {part.path: part for part in small_parts(manifest)}


def possible_paths(manifest: Manifest) -> Iterator[str]:
    """Every file but the manifest that a version of this manifest can have."""
    yield from (part.path for part in small_parts(manifest))
    yield SIGNATURE
    for canvas, positions in zip(manifest.canvases, manifest.positions, strict=True):
        for index in range(-(-positions // manifest.rows_per_shard)):
            yield from (ShardKey(canvas, index).path(array) for array in ARRAYS)


def sending_again(url: str, there: str) -> str:
    """What to do about damage in a place: a push takes a version that has its manifest for sent."""
    return (
        f"remove {url}/{there}/{MANIFEST} with the provider's tools, then `ocrmaps cache push {url} {there}` from a "
        "cache where `ocrmaps verify` finds it whole: what is there is proven, and sent again where it is wrong"
    )


def fetch(place: ObjectPlace, folder: str, part: Part) -> bytes:
    """The bytes of a file of a version in a place, proven; looked at several times before they are called wrong."""
    for _ in range(LOOKS):
        try:
            data = place.get(f"{folder}/{part.path}", part.nbytes)
        except FileNotFoundError as error:
            raise StoreCorrupt(
                f"{place.url}/{folder}/{part.path}: the file is missing", hint=sending_again(place.url, folder)
            ) from error
        found = file_digest(data)
        if found == part.digest:
            return data
    raise StoreCorrupt(
        f"{place.url}/{folder}/{part.path}: found {len(data)} bytes with digest {found.hex()}, expected "
        f"{part.digest.hex()}, in {LOOKS} looks",
        hint=sending_again(place.url, folder),
    )


def sane(manifest: Manifest, where: str) -> Manifest:
    """The manifest, refused if it names anything that is not a plain file of a version."""
    try:
        paths = chain((part.path for part in small_parts(manifest)), (canvas_name(c) for c in manifest.canvases))
        odd = next((path for path in paths if not _PATH.fullmatch(path)), None)
        files, nbytes = manifest.at_most()
    except _MALFORMED as error:
        raise StoreCorrupt(f"{where}: not a manifest that ocrmaps could have written ({error!r})") from error
    if odd is not None or files < 0 or nbytes < 0:
        raise StoreCorrupt(f"{where}: names {odd!r}, expected plain files of a version")
    return manifest


def far_manifest(place: ObjectPlace, folder: str) -> tuple[Manifest, bytes] | None:
    """The manifest of a version in a place with its bytes, None where no version was committed."""
    key = f"{folder}/{MANIFEST}"
    for look in range(LOOKS):
        try:
            data = place.get(key)
        except FileNotFoundError:
            return None
        try:
            if len(data) > LARGEST_MANIFEST:
                raise StoreCorrupt(f"{place.url}/{key}: found {len(data)} bytes, expected at most {LARGEST_MANIFEST}")
            hint = sending_again(place.url, folder)
            manifest = parse_manifest(data, f"{place.url}/{key}", folder.rpartition("/")[2], hint=hint)
            return sane(manifest, f"{place.url}/{key}"), data
        except StoreCorrupt:
            if look == LOOKS - 1:
                raise
    return None
