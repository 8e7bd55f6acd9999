"""The manifest: what was asked, what was written, and what is merely recorded. Its own bytes are proven, too.

asked     recipe and inputs; its fingerprint names the version
written   canvases, table columns and ledger with their digests; its fingerprint is the root digest
recorded  paths, counts by source, times, tool versions: never hashed into either
digest    of everything above, so that a change anywhere in the file is found
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from ocrmaps.errors import StoreCorrupt, StoreError, StoreFormat, reason
from ocrmaps.files import read_regular
from ocrmaps.geometry import Size
from ocrmaps.recipe import ARRAYS, Recipe, recipe_from_dict
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import FORMAT, canonical_json, fingerprint, version_name
from ocrmaps.store.format.layout import (
    MANIFEST,
    SIGNATURE_BYTES,
    canvas_metadata,
    document_bytes,
    group_metadata,
    row_shape,
)
from ocrmaps.store.format.sense import check_manifest
from ocrmaps.store.format.tables import TABLES, Column, table_metadata
from ocrmaps.store.places.lock import found_in

_LINE = 1 << 16
"""A line of the ledger is shorter."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A parsed manifest; small, whatever the number of rows."""

    asked: Mapping[str, Any]
    written: Mapping[str, Any]
    recorded: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint({"format": FORMAT, **self.asked})

    @property
    def version(self) -> str:
        return version_name(self.fingerprint)

    @cached_property
    def root_digest(self) -> str:
        """One digest over every stored byte, by way of the digests of tables, shards and ledger."""
        return fingerprint(self.written)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the build, with the paths it had then."""
        return recipe_from_dict(self.recorded["recipe"], where=f"recipe of {self.version}")

    @cached_property
    def canvases(self) -> tuple[Size, ...]:
        return tuple((c["size"][0], c["size"][1]) for c in self.written["canvases"])

    @property
    def positions(self) -> tuple[int, ...]:
        """Places in the arrays of each canvas: its rows and those that failed."""
        return tuple(c["positions"] for c in self.written["canvases"])

    @property
    def rows_per_shard(self) -> int:
        return int(self.asked["recipe"]["layout"]["rows_per_shard"])

    @property
    def codecs(self) -> dict[str, str]:
        layout = self.asked["recipe"]["layout"]
        return {name: layout[name] for name in layout if name != "rows_per_shard"}

    @property
    def rows(self) -> int:
        return int(self.written["counts"]["rows"])

    def columns(self, table: str) -> dict[str, Column]:
        return {
            name: Column(dtype=c["dtype"], shape=tuple(c["shape"]), digest=c["digest"])
            for name, c in self.written["tables"][table].items()
        }

    def documents(self) -> dict[str, bytes]:
        """The bytes of every `zarr.json` of the version by path: all follow from this manifest."""
        out = {"zarr.json": group_metadata({"ocrmaps": {"format": FORMAT, "version": self.version}})}
        for canvas, positions in zip(self.canvases, self.positions, strict=True):
            out |= canvas_metadata(canvas, positions, self.rows_per_shard, self.codecs)
        for table in self.written["tables"]:
            out |= table_metadata(table, self.columns(table))
        return {path: document_bytes(document) for path, document in out.items()}

    def at_most(self) -> tuple[int, int]:
        """(files, bytes) that a version of this manifest can have beside the manifest: shards as if barely packed."""
        columns = [column for table in self.written["tables"] for column in self.columns(table).values()]
        documents = self.documents()
        files, nbytes = 2 + len(columns) + len(documents), SIGNATURE_BYTES + sum(map(len, documents.values()))
        nbytes += sum(column.nbytes for column in columns) + _LINE * (1 + int(self.written["ledger"]["lines"]))
        for canvas, positions in zip(self.canvases, self.positions, strict=True):
            shards = -(-positions // self.rows_per_shard)
            row = sum(math.prod(row_shape(array, canvas)) for array in ARRAYS)
            files += len(ARRAYS) * shards
            # Packing makes nothing half as long again; an index has 16 bytes a place and a checksum.
            nbytes += positions * (row + row // 2) + shards * len(ARRAYS) * (16 * self.rows_per_shard + 4096)
        return files, nbytes

    def to_bytes(self) -> bytes:
        """The one spelling of this manifest."""
        body = {
            "format": FORMAT,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "root_digest": self.root_digest,
            "asked": self.asked,
            "written": self.written,
            "recorded": self.recorded,
        }
        body["digest"] = fingerprint(body)
        # Indented, because people read it; the digest makes any other spelling an error.
        return (_indented(body) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Of these bytes."""
        return _sha256(self.to_bytes())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _indented(value: Any, margin: str = "\n") -> str:
    """What `json.dumps` gives with sorted keys and an indent of 1, in half its time: it has to do it in Python, too.

    >>> print(_indented({"b": [1, "é"], "a": {}}))
    {
     "a": {},
     "b": [
      1,
      "é"
     ]
    }
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int:
        return str(value)
    inner = f"{margin} "
    if value and isinstance(value, dict):
        parts = [f"{encode_basestring(key)}: {_indented(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(parts)}{margin}}}"
    if value and isinstance(value, list | tuple):
        return f"[{inner}{f',{inner}'.join([_indented(one, inner) for one in value])}{margin}]"
    return canonical_json(value).decode()


def read_manifest(folder: Path, *, hint: str = "", proven: str = "") -> Manifest:
    """The manifest of a committed version, refused unless every byte is as it was written.

    `proven` is the `sha256` of one that passed before: the same bytes need not prove themselves again.
    """
    path = folder / MANIFEST
    try:
        data = found_in(folder, lambda: read_regular(path), hint=hint)
    except StoreError:
        raise  # a version that is not there is an OSError, too
    except OSError as error:
        raise StoreCorrupt(f"{path}: cannot be read ({reason(error)})", hint=hint) from error
    if proven and _sha256(data) == proven:
        body = json.loads(data)
        return Manifest(asked=body["asked"], written=body["written"], recorded=body["recorded"])
    return parse_manifest(data, path, folder.name, hint=hint)


def parse_manifest(data: bytes, path: object, version: str, *, hint: str = "") -> Manifest:
    """The manifest that these bytes are, which `path` names in errors; it must be that of `version`."""
    try:
        body = json.loads(data)
        stated = body["format"]
        # A newer format may differ in everything else, so its number is looked at first.
        if (
            isinstance(stated, int)
            and stated != FORMAT
            and fingerprint({k: body[k] for k in body if k != "digest"}) == body["digest"]
        ):
            raise StoreFormat(
                f"{path}: found store format {stated}, this ocrmaps reads format {FORMAT}",
                hint="install the ocrmaps that wrote it, or build again from the recipe",
            )
        manifest = Manifest(asked=body["asked"], written=body["written"], recorded=body["recorded"])
        same = manifest.to_bytes() == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreCorrupt(f"{path}: not a manifest as ocrmaps writes it ({error})", hint=hint) from error
    if not same:
        raise StoreCorrupt(f"{path}: its bytes differ from what its own digests state", hint=hint)
    if version != manifest.version:
        raise StoreCorrupt(
            f"{path}: found the manifest of version {manifest.version} in a folder named {version}", hint=hint
        )
    try:
        check_manifest(manifest.asked, manifest.written, manifest.recorded, TABLES)
        for codec in manifest.codecs.values():
            packing(codec)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise StoreCorrupt(f"{path}: not a manifest as ocrmaps writes it ({error})", hint=hint) from error
    return manifest
