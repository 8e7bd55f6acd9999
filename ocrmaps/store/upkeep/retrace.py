"""From a committed version back to the work that made it: its rows as tasks, its pictures found again by content."""

from __future__ import annotations

import os
from pathlib import Path

from ocrmaps.store.far.source import here
from ocrmaps.store.format.identity import annotation_fingerprint, picture_fingerprint
from ocrmaps.store.format.layout import ShardKey
from ocrmaps.store.reader import Reader
from ocrmaps.store.writing.plan import SPLITS
from ocrmaps.store.writing.tasks import RowTask, ShardTask
from ocrmaps.tiff import read_picture


def picture_folders(reader: Reader, row: int) -> list[Path]:
    """Where the pictures of this row's source were when the version was built."""
    split = SPLITS[int(reader.rows["split"][row])]
    name = reader.manifest.written["sources"][int(reader.rows["source"][row])]
    return [
        here(source["pictures"])
        for source in reader.manifest.recorded["sources"]
        if (source["split"], source["name"]) == (split, name)
    ]


def find_picture(reader: Reader, row: int) -> tuple[Path, str]:
    """The row's picture file and "" if it is what was drawn, or the last place looked at and what is wrong there."""
    id = reader.id(row)
    path, fault = Path(id), "its source is not recorded"
    for folder in picture_folders(reader, row):
        path = folder / id
        try:
            data = read_picture(path)
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
            continue
        if picture_fingerprint(data) == reader.rows["picture"][row].tobytes():
            return path, ""
        fault = "is no longer the picture that was drawn"
    return path, fault


def row_task(reader: Reader, row: int, picture: Path) -> RowTask:
    """The task that drew this row."""
    return RowTask(
        slot=int(reader.rows["position"][row]) % reader.manifest.rows_per_shard,
        name=reader.name(row),
        picture=os.fspath(picture),
        picture_sha=reader.rows["picture"][row].tobytes().hex(),
        fingerprint=reader.rows["fingerprint"][row].tobytes().hex(),
        polygons=reader.polygon_set(row),
        transform=reader.transform(row),
    )


def annotation_holds(reader: Reader, row: int) -> bool:
    """Whether the stored polygons hash to the annotation that the row was drawn from."""
    return annotation_fingerprint(reader.polygon_set(row)) == reader.rows["annotation"][row].tobytes()


def shard_keys(reader: Reader) -> list[ShardKey]:
    """Every shard of the version, in table order."""
    canvases = reader.manifest.canvases
    pairs = zip(reader.shards["canvas"].tolist(), reader.shards["index"].tolist(), strict=True)
    return [ShardKey(canvases[canvas], index) for canvas, index in pairs]


def rows_of_shard(reader: Reader, key: ShardKey) -> list[int]:
    """Row numbers in a shard, by slot."""
    canvas = reader.manifest.canvases.index(key.canvas)
    inside = (reader.rows["canvas"] == canvas) & (
        reader.rows["position"] // reader.manifest.rows_per_shard == key.index
    )
    return sorted(inside.nonzero()[0].tolist(), key=lambda row: int(reader.rows["position"][row]))


def shard_task(reader: Reader, key: ShardKey, rows: tuple[RowTask, ...], tree: Path, temporary: Path) -> ShardTask:
    """The task that wrote this shard, to be run into another tree."""
    recipe = reader.manifest.recipe
    return ShardTask(
        key=key,
        rows=rows,
        rows_per_shard=reader.manifest.rows_per_shard,
        canonical=recipe.canonical,
        maps=recipe.maps,
        codecs=reader.manifest.codecs,
        tree=os.fspath(tree),
        temporary=os.fspath(temporary),
    )
