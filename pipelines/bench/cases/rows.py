"""What the loader's benchmark times, and on what: the same rows of one store, each read in another way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ocrmaps.annotations import open_source, read
from ocrmaps.canonical import CanonicalSpec, plan, render
from ocrmaps.geometry import PolygonSet
from ocrmaps.loader import ARRAYS, MapLoader
from ocrmaps.pictures import decode
from ocrmaps.pipelines.bench.references.maps import draw_plain
from ocrmaps.pipelines.bench.references.zarr import zarr_batches
from ocrmaps.recipe import Recipe, SourceRecipe
from ocrmaps.store.format.codecs import packing
from ocrmaps.store.format.identity import row_digest
from ocrmaps.store.reader import Reader

SAMPLES, BATCH, AHEAD = 128, 16, 3
ON_THE_FLY = 8
"""Samples of the slow chain in each round."""
INNER = 2
"""Epochs of the fast cases in each round."""
SPEC = CanonicalSpec(canvases=((640, 640),), scale="longest", side=640)
Rows = dict[str, npt.NDArray[np.uint8]]
Case = tuple[Callable[[], object], int]


def cases_of(
    reader: Reader,
    loader: MapLoader,
    unchecked: MapLoader,
    room: Path,
    source: SourceRecipe,
    closing: ExitStack,
) -> dict[str, Case]:
    """What is timed, and how many samples each handles. All orders are one permutation or other of the same rows."""
    order = np.random.default_rng(0).permutation(len(reader)).tolist()
    positions = reader.rows["position"][order].tolist()
    packed = [[reader.packed(row, array) for array in ARRAYS] for row in order]
    # As many batches in memory as the loader uses, so that both write to memory that left the processor's caches.
    batches = [empty_rows(reader, BATCH) for _ in range(AHEAD + 2)]
    codecs = [packing(reader.manifest.codecs[array]) for array in ARRAYS]
    alone, worker = (
        zarr_batches(reader.folder / "canvas-640x640", positions, batch_size=BATCH, workers=n) for n in (0, 1)
    )
    raw = _memmaps(reader, room / "raw")
    chain = _on_the_fly(source)
    places = _places(reader, order)
    handles = {path: os.open(path, os.O_RDONLY) for path, _, _ in places}
    for handle in handles.values():
        closing.callback(os.close, handle)
    scratch = memoryview(bytearray(max(nbytes for _, _, nbytes in places)))

    def spots() -> Iterator[tuple[int, Rows, int]]:
        for i in range(len(order)):
            yield i, batches[i // BATCH % len(batches)], i % BATCH

    def epoch(which: Iterable[object]) -> None:
        for _ in which:
            pass

    def bare() -> None:
        for i, batch, at in spots():
            for array, data, codec in zip(ARRAYS, packed[i], codecs, strict=True):
                codec.decode(data, batch[array][at])

    def memory_map() -> None:
        for i, batch, at in spots():
            for array in ARRAYS:
                np.copyto(batch[array][at], raw[array][order[i]])

    def memcpy() -> None:
        # From batch to batch: neither end is in a processor cache, as neither is when rows are unpacked.
        for i, batch, at in spots():
            for array in ARRAYS:
                np.copyto(batch[array][at], batches[(i // BATCH + 1) % len(batches)][array][at])

    def read_only() -> None:
        for file, offset, nbytes in places:
            os.preadv(handles[file], [scratch[:nbytes]], offset)

    def digests_only() -> None:
        for row in packed:
            for data in row:
                row_digest(data)

    def often(case: Callable[[], None]) -> Case:
        def repeated() -> None:
            for _ in range(INNER):
                case()

        return repeated, INNER * len(order)

    return {
        "loader": often(lambda: epoch(loader)),
        "bare": often(bare),
        "unchecked": often(lambda: epoch(unchecked)),
        "memmap": often(memory_map),
        "memcpy": often(memcpy),
        "read": often(read_only),
        "digest": often(digests_only),
        "zarr_alone": (lambda: epoch(alone), len(order)),
        "zarr_worker": (lambda: epoch(worker), len(order)),
        "on_the_fly": (chain, ON_THE_FLY),
    }


def loader_of(folder: Path, check: bool) -> MapLoader:
    return MapLoader(folder, split="train", batch_size=BATCH, shuffle=True, threads=1, ahead=AHEAD, check_digests=check)


def empty_rows(reader: Reader, rows: int) -> Rows:
    sample = reader.read_row(0)
    return {array: np.zeros((rows, *sample[array].shape), dtype=np.uint8) for array in ARRAYS}


def _memmaps(reader: Reader, folder: Path) -> Rows:
    """The same rows as plain .npy files, mapped."""
    folder.mkdir()
    rows = [reader.read_row(row) for row in range(len(reader))]
    for array in ARRAYS:
        np.save(folder / f"{array}.npy", np.stack([row[array] for row in rows]))
    return {array: np.load(folder / f"{array}.npy", mmap_mode="r") for array in ARRAYS}


def _places(reader: Reader, order: Sequence[int]) -> list[tuple[Path, int, int]]:
    """(file, offset, length) of all that the loader reads."""
    return [
        (
            reader.folder / reader.shard_of(row).path(array),
            int(reader.rows["chunk_offset"][row, number]),
            int(reader.rows["chunk_nbytes"][row, number]),
        )
        for row in order
        for number, array in enumerate(ARRAYS)
    ]


def _on_the_fly(source: SourceRecipe) -> Callable[[], object]:
    """The chain without preparation: picture file and outlines to a batch of tensors, drawn as published."""
    opened = open_source(source.path, format=source.format, pictures=source.pictures)
    samples = list(read(opened))[:ON_THE_FLY]
    paths = [opened.pictures / sample.picture for sample in samples]

    def chain() -> object:
        items = [_prepared(path, sample.polygons) for path, sample in zip(paths, samples, strict=True)]
        return [torch.from_numpy(np.stack(column)) for column in zip(*items, strict=True)]

    return chain


def _prepared(path: Path, polygons: PolygonSet) -> tuple[npt.NDArray[Any], ...]:
    picture = decode(path.read_bytes(), name=path.name)
    transform = plan(picture.header.size, picture.header.orientation, SPEC)
    pixels = render(picture, transform, SPEC)
    placed = polygons.transform(transform.matrix(polygons.frame, "canonical"), "canonical")
    maps = draw_plain(list(placed), placed.ignore, transform.canvas)
    return pixels, maps.probability, maps.threshold, maps.probability_mask, maps.threshold_mask


def recipe_of(source: SourceRecipe) -> Recipe:
    return Recipe(name="bench", sources=(source,), canonical=SPEC)
