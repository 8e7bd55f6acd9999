"""Makes a version of any number of rows in seconds: few rows over and over, with tables as a build writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrmaps.canonical import CanonicalSpec
from ocrmaps.recipe import ARRAYS, Layout, Recipe, SourceRecipe
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import file_digest, row_digest
from ocrmaps.store.format.layout import LEDGER, MANIFEST, ShardKey, row_shape
from ocrmaps.store.format.manifest import Manifest
from ocrmaps.store.format.shards import assemble
from ocrmaps.store.format.tables import SmallFiles, pack_texts, write_table
from ocrmaps.store.writing.tasks import OUTCOMES

Columns = Mapping[str, npt.NDArray[Any]]
KINDS = 8
"""Different rows; row n is the n-th of them, counted round."""
POLYGONS = 2
"""Polygons of each row."""


def simulate(
    cache: Path,
    rows: int,
    *,
    rows_per_shard: int = 256,
    canvas: tuple[int, int] = (16, 16),
    changed: int = 0,
    packed: bool = True,
) -> Path:
    """Write a version of so many rows below a cache; `changed` rows, evenly spread, have another annotation.

    Every file of it is one that a build could have written, so that everything reads and verifies.
    """
    recipe = Recipe(
        name="scale",
        sources=(SourceRecipe(path=Path("scale.json"), split="train"),),
        canonical=CanonicalSpec(canvases=(canvas,), scale="longest", side=max(canvas)),
        layout=Layout(rows_per_shard=rows_per_shard)
        if packed
        else Layout(rows_per_shard=rows_per_shard, image="raw", probability="raw", threshold="raw", mask="raw"),
    )
    asked = {
        "recipe": recipe.identity(),
        "algorithms": {},
        "inputs": {"samples": rows, "digest": hashlib.sha256(f"{rows}, {changed} changed".encode()).hexdigest()},
    }
    folder = cache / "scale" / Manifest(asked=asked, written={}, recorded={}).version
    tables = {
        **_rows_and_shards(folder, recipe, rows, rows_per_shard, changed),
        "polygons": _polygons(rows, canvas),
    }
    written = {
        "canvases": [{"size": list(canvas), "positions": rows}],
        "sources": [""],
        "outcomes": list(OUTCOMES),
        "counts": {"rows": rows, "failed": 0, "polygons": POLYGONS * rows, "outcomes": {}, "splits": {"train": rows}},
        "ledger": {"digest": file_digest(b"").hex(), "lines": 0},
        "tables": {
            name: {column: c.as_dict() for column, c in write_table(SmallFiles(folder), name, columns).items()}
            for name, columns in tables.items()
        },
    }
    manifest = Manifest(asked=asked, written=written, recorded={"recipe": recipe.as_dict(), "sources": [], "tools": {}})
    for path, data in manifest.documents().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / LEDGER).write_bytes(b"")
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return folder


def _rows_and_shards(folder: Path, recipe: Recipe, rows: int, rows_per_shard: int, changed: int) -> dict[str, Columns]:
    """Write the shard files; the tables that lead to them."""
    (canvas,) = recipe.canonical.canvases
    codecs = recipe.identity()["layout"]
    random = np.random.default_rng(0)
    numbers = np.arange(rows)
    slots, shards = numbers % rows_per_shard, -(-rows // rows_per_shard)
    offsets, lengths, digests = [], [], []
    files: npt.NDArray[np.uint64] = np.zeros((shards, len(ARRAYS)), np.uint64)
    proofs: npt.NDArray[np.uint8] = np.zeros((shards, len(ARRAYS), 16), np.uint8)
    for number, array in enumerate(ARRAYS):
        shape, most = row_shape(array, canvas), (16, 2, 255, 4)[number]
        pixels = [
            random.integers(0, most, (-(-canvas[0] // 8), *shape[1:]), np.uint8).repeat(8, 0) for _ in range(KINDS)
        ]
        kinds = [packing(codecs[array]).encode(np.ascontiguousarray(p[: canvas[0]])) for p in pixels]
        nbytes = np.array([len(kind) for kind in kinds])
        lengths.append(nbytes[slots % KINDS])
        offsets.append(np.concatenate([[0], np.cumsum(nbytes[np.arange(rows_per_shard) % KINDS])])[slots])
        digests.append(np.frombuffer(b"".join(map(row_digest, kinds)), np.uint8).reshape(KINDS, 8)[slots % KINDS])
        whole, last = (
            b"".join(assemble([kinds[i % KINDS] for i in range(n)], rows_per_shard)[0])
            for n in (rows_per_shard, rows - (shards - 1) * rows_per_shard)
        )
        (folder / ShardKey(canvas, 0).path(array)).parent.mkdir(parents=True)
        for shard in range(shards):
            data = last if shard == shards - 1 else whole
            (folder / ShardKey(canvas, shard).path(array)).write_bytes(data)
        for which, data in ((slice(None), whole), (-1, last)):
            files[which, number], proofs[which, number] = len(data), np.frombuffer(file_digest(data), np.uint8)
    id_offsets, id_bytes = pack_texts([f"pictures/{n:09d}.jpg" for n in range(rows)])
    bytes32 = np.zeros((rows, 32), np.uint8)
    bytes32[:, :8] = numbers.astype("<u8").view(np.uint8).reshape(rows, 8)
    annotation = bytes32.copy()
    annotation[np.linspace(0, rows - 1, changed).astype(int), 31] = 1
    zeros = np.zeros(rows, np.uint8)
    transform = np.array([1, *canvas, *canvas, 0, 0], np.int32)
    return {
        "rows": {
            "id_offsets": id_offsets, "id_bytes": id_bytes,
            "split": zeros, "source": zeros, "frame": zeros, "canvas": zeros,
            "position": numbers, "transform": np.broadcast_to(transform, (rows, 7)),
            "picture": bytes32, "annotation": annotation, "fingerprint": annotation,
            "chunk_offset": np.stack(offsets, 1), "chunk_nbytes": np.stack(lengths, 1),
            "chunk_digest": np.stack(digests, 1),
        },
        "shards": {
            "canvas": np.zeros(shards), "index": np.arange(shards), "nbytes": files, "digest": proofs,
        },
    }  # fmt: skip


def _polygons(rows: int, canvas: tuple[int, int]) -> Columns:
    """A few equal quads a row, with a text of two letters each."""
    number = POLYGONS * rows
    quad = np.array([[0, 0], [canvas[1], 0], [canvas[1], canvas[0]], [0, canvas[0]]], float)
    return {
        "row_offsets": np.arange(rows + 1) * POLYGONS,
        "offsets": np.arange(number + 1) * 4,
        "points": np.tile(quad, (number, 1)),
        "ignore": np.zeros(number),
        "outcome": np.zeros(number),
        "has_text": np.ones(number),
        "text_offsets": np.arange(number + 1) * 2,
        "text_bytes": np.full(2 * number, ord("a")),
    }
