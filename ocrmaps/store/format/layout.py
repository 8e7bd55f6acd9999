"""Where everything of a version lies, and its Zarr metadata: `zarr.json` files that follow from the manifest alone.

    manifest.json  zarr.json  ledger.jsonl
    canvas-640x480/{image,probability,threshold,mask}/{zarr.json, c.<shard>.0.0[.0]}
    rows|shards|polygons/<column>/{zarr.json, c.0[.0...]}

Chunk keys use dots (Zarr's `default` encoding with another separator): one folder per array, however many shards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.geometry import Size
from ocrmaps.kinds import MANIFEST as MANIFEST
from ocrmaps.recipe import ARRAYS
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import canonical_json

SPLITS = ("train", "val", "test", "")
"""Codes of the `split` column."""
LEDGER = "ledger.jsonl"
SIGNATURE = "signature.json"
"""Beside the manifest where a version was signed; of no digest, and at most so long:"""
SIGNATURE_BYTES = 4096
FILL = 255
"""Fill value of every array: outside the valid values of probability (0, 1), threshold (0 to 254) and mask (0 to 3)."""


@dataclass(frozen=True, slots=True, order=True)
class ShardKey:
    """One shard of one canvas: a file in each of its four arrays."""

    canvas: Size
    index: int

    def __str__(self) -> str:
        return f"{canvas_name(self.canvas)}/{self.index}"

    def path(self, array: str) -> str:
        """The file of that array, relative to the version."""
        zeros = ".0" * len(row_shape(array, self.canvas))
        return f"{canvas_name(self.canvas)}/{array}/c.{self.index}{zeros}"


def canvas_name(canvas: Size) -> str:
    return f"canvas-{canvas[0]}x{canvas[1]}"


def row_shape(array: str, canvas: Size) -> tuple[int, ...]:
    """Shape of one row: pictures have a channel axis."""
    return (*canvas, 3) if array == "image" else canvas


def array_folders(canvas: Size) -> list[str]:
    """The folders above the shards of a canvas."""
    name = canvas_name(canvas)
    return [name, *(f"{name}/{array}" for array in ARRAYS)]


def canvas_metadata(
    canvas: Size, positions: int, rows_per_shard: int, codecs: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """`zarr.json` documents of one canvas by path: its group and its four sharded arrays."""
    out: dict[str, dict[str, Any]] = {f"{canvas_name(canvas)}/zarr.json": group_metadata({})}
    for array in ARRAYS:
        shape = row_shape(array, canvas)
        out[f"{canvas_name(canvas)}/{array}/zarr.json"] = _array(
            (positions, *shape),
            "uint8",
            chunk=(rows_per_shard, *shape),
            fill=FILL,
            names=("row", "y", "x", "channel")[: len(shape) + 1],
            codecs=[
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, *shape],
                        "codecs": packing(codecs[array]).zarr(),
                        "index_codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "crc32c"},
                        ],
                        "index_location": "end",
                    },
                }
            ],
        )
    return out


def column_metadata(shape: Sequence[int], dtype: str) -> dict[str, Any]:
    """`zarr.json` of one table column: one uncompressed chunk, so the file is the column."""
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}} if dtype not in ("uint8",) else {"name": "bytes"}
    ]
    chunk = [max(1, n) for n in shape]
    return _array(shape, dtype, chunk=chunk, fill=0, names=None, codecs=codecs)


def group_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def _array(
    shape: Sequence[int],
    dtype: str,
    *,
    chunk: Sequence[int],
    fill: int,
    names: Sequence[str] | None,
    codecs: list[dict[str, Any]],
) -> dict[str, Any]:
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": fill,
        "codecs": codecs,
        "attributes": {},
        "storage_transformers": [],
    }
    return document if names is None else {**document, "dimension_names": list(names)}


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """The one spelling of a `zarr.json`."""
    return canonical_json(document) + b"\n"


def list_files(root: Path) -> dict[str, int]:
    """Every file below a folder with its length, by relative path with forward slashes; links are not followed."""
    found: dict[str, int] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    # A link or a device is not a file that anybody here wrote: no length fits it.
                    found[name] = entry.stat().st_size if entry.is_file(follow_symlinks=False) else -1
    return found
