"""The shard files of a version with their lengths and digests: of one that is open here, and of one in a place."""

from __future__ import annotations

import numpy as np

from ocrmaps.recipe import ARRAYS
from ocrmaps.store.far.parts import Part, fetch
from ocrmaps.store.format.identity import FILE_DIGEST
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.format.tables import column_path
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.retrace import shard_keys


def shard_parts(reader: Reader) -> list[Part]:
    """The files of all shards, as the version's own table states them."""
    rows = zip(shard_keys(reader), reader.shards["nbytes"].tolist(), reader.shards["digest"], strict=True)
    return [
        Part(key.path(array), nbytes[i], digests[i].tobytes())
        for key, nbytes, digests in rows
        for i, array in enumerate(ARRAYS)
    ]


def far_shards(place: ObjectPlace, folder: str, manifest: Manifest) -> list[Part]:
    """The files of all shards of a version in a place, by its table of shards."""
    columns = manifest.columns("shards")
    wanted = {}
    for name, column in columns.items():
        path = column_path("shards", name, column.shape)
        data = b"" if path is None else fetch(place, folder, Part(path, column.nbytes, bytes.fromhex(column.digest)))
        wanted[name] = np.frombuffer(data, dtype=np.dtype(column.dtype).newbyteorder("<")).reshape(column.shape)
    digests = wanted["digest"].reshape(-1, len(ARRAYS), FILE_DIGEST)
    return [
        Part(ShardKey(manifest.canvases[canvas], index).path(array), nbytes[i], digests[number, i].tobytes())
        for number, (canvas, index, nbytes) in enumerate(
            zip(wanted["canvas"].tolist(), wanted["index"].tolist(), wanted["nbytes"].tolist(), strict=True)
        )
        for i, array in enumerate(ARRAYS)
    ]
