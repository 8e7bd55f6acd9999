"""Loaders of other projects on the rows of one store: milliseconds a row and bytes on disk, in turns in one process.

Every one of them reads the same 640x640 rows (picture and three maps) and hands out batches of tensors, without worker
processes, pinned to one core. One that is not installed is named and left out; nothing of them is needed.
"""

from __future__ import annotations

import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ocrmaps.loader import ARRAYS
from ocrmaps.pipelines.bench.cases.loader import Times, cpu_seconds, one_core
from ocrmaps.pipelines.bench.cases.rows import BATCH, SAMPLES, loader_of, recipe_of
from ocrmaps.pipelines.bench.references.zarr import zarr_batches
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import figure, ratio
from ocrmaps.pipelines.build import build
from ocrmaps.store.reader import Reader

Row = dict[str, npt.NDArray[np.uint8]]
Made = tuple[Iterable[Any], int]
"""What gives batches, and its bytes on disk."""


def bench_peers(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """How many times the loader's processor time each of the others takes, and what all of them keep on disk."""
    room = Path(tempfile.mkdtemp(prefix="ocrmaps-bench-"))
    try:
        asked, what = material(source, room / "source", 32 if quick else SAMPLES)
        folder = build(recipe_of(asked), room / "cache").folder
        with one_core(), Reader(folder) as reader, loader_of(folder, True) as ours:
            rows = [dict(reader.read_row(row)) for row in range(len(reader))]
            made: dict[str, Made] = {"ocrmaps": (ours, int(reader.rows["chunk_nbytes"].sum()))}
            absent = []
            for name, (modules, make) in _PEERS.items():
                if any(find_spec(module) is None for module in modules):
                    absent.append(name)
                else:
                    made[name] = make(rows, reader, room / name.replace(" ", "-"))
            times = _timed({name: batches for name, (batches, _) in made.items()}, len(rows), max(1, repeats))
            raw = sum(array.nbytes for row in rows for array in row.values())
            data = {"data": f"{len(rows)} rows of 640x640, {what}", "raw_bytes": raw, "not_installed": absent}
        return [_figure(name, times, made, _PEERS[name][0][0] if name in _PEERS else "ocrmaps") | data for name in made]
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _timed(batches: dict[str, Iterable[Any]], rows: int, repeats: int) -> dict[str, Times]:
    """Seconds a row of each, in turns, after a round that opens files and fills the page cache."""
    times = {name: Times() for name in batches}
    for turn in range(repeats + 1):
        for name, which in batches.items():
            start, clock, seen = cpu_seconds(), time.perf_counter(), 0
            for batch in which:
                seen += len(batch[0])
            if seen != rows:
                raise AssertionError(f"{name}: found {seen} rows, expected {rows}")
            if turn:
                times[name].cpu.append((cpu_seconds() - start) / rows)
                times[name].wall.append((time.perf_counter() - clock) / rows)
    return times


def _figure(name: str, times: dict[str, Times], made: dict[str, Made], module: str) -> dict[str, Any]:
    theirs, mine = times[name].cpu, times["ocrmaps"].cpu
    ms = [1e3 * seconds for seconds in theirs]
    extra: dict[str, Any] = {
        "wall_milliseconds": round(1e3 * statistics.median(times[name].wall), 3),
        "bytes": made[name][1],
    }
    extra["version"] = _version(module)
    said = f"{statistics.median(ms):.3g} ms of processor time a row, {made[name][1] / 1e6:.1f} MB on disk"
    if name == "ocrmaps":
        return figure("loader/ms_per_row", ms, "ms", said, **extra)
    extra["milliseconds"] = round(statistics.median(ms), 3)
    title = f"loader/vs_{name.replace(' ', '_')}"
    return ratio(title, theirs, mine, f"{name}: {said}", **extra)


def _version(module: str) -> str:
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return ""


class _Mapped(Dataset[tuple[npt.NDArray[np.uint8], ...]]):
    """Rows of memory-mapped .npy files."""

    def __init__(self, folder: Path) -> None:
        self._arrays = [np.load(folder / f"{array}.npy", mmap_mode="r") for array in ARRAYS]

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], ...]:
        return tuple(np.array(array[index]) for array in self._arrays)


def _mapped(rows: Sequence[Row], reader: Reader, folder: Path) -> Made:
    folder.mkdir()
    for array in ARRAYS:
        np.save(folder / f"{array}.npy", np.stack([row[array] for row in rows]))
    return DataLoader(_Mapped(folder), batch_size=BATCH, shuffle=True), _size(folder)


def _zarr(rows: Sequence[Row], reader: Reader, folder: Path) -> Made:
    """The store itself, read by zarr-python."""
    batches = zarr_batches(
        reader.folder / "canvas-640x640", reader.rows["position"].tolist(), batch_size=BATCH, workers=0
    )
    return batches, int(reader.rows["chunk_nbytes"].sum())


def _webdataset(pack: Callable[[Row], dict[str, Any]], unpack: str) -> Callable[[Sequence[Row], Reader, Path], Made]:
    def make(rows: Sequence[Row], reader: Reader, folder: Path) -> Made:
        import webdataset

        folder.mkdir()
        with webdataset.TarWriter(str(folder / "rows.tar")) as writer:
            for number, row in enumerate(rows):
                writer.write({"__key__": f"{number:06}", **pack(row)})
        read = webdataset.WebDataset(str(folder / "rows.tar"), shardshuffle=False).shuffle(64)
        # Its decoder of pictures makes three channels of maps, so PNG is decoded in `_tensors`.
        decoded = read if unpack == "png" else read.decode()
        items = decoded.to_tuple(*(f"{array}.{unpack}" for array in ARRAYS)).map(_tensors)
        return DataLoader(items, batch_size=BATCH), _size(folder)

    return make


def _tensors(row: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    # Its arrays are views of bytes, which tensors may not be.
    arrays = [np.asarray(Image.open(io.BytesIO(part)) if isinstance(part, bytes) else part) for part in row]
    return tuple(torch.from_numpy(array if array.flags.writeable else array.copy()) for array in arrays)


def _as_npy(row: Row) -> dict[str, Any]:
    return {f"{array}.npy": row[array] for array in ARRAYS}


def _as_png(row: Row) -> dict[str, Any]:
    out = {}
    for array in ARRAYS:
        data = io.BytesIO()
        Image.fromarray(row[array]).save(data, "png")
        out[f"{array}.png"] = data.getvalue()
    return out


def _litdata(compression: str | None) -> Callable[[Sequence[Row], Reader, Path], Made]:
    def make(rows: Sequence[Row], reader: Reader, folder: Path) -> Made:
        from litdata import StreamingDataLoader, StreamingDataset
        from litdata.streaming.writer import BinaryWriter

        folder.mkdir()
        writer = BinaryWriter(str(folder), chunk_bytes="64MB", compression=compression)
        for number, row in enumerate(rows):
            writer[number] = {array: torch.from_numpy(row[array]) for array in ARRAYS}
        writer.done()
        writer.merge(1)
        rows_of = StreamingDataset(str(folder), shuffle=True)
        return _Tuples(StreamingDataLoader(rows_of, batch_size=BATCH, num_workers=0)), _size(folder)

    return make


class _Tuples:
    """Batches by name as tuples."""

    def __init__(self, batches: Iterable[dict[str, torch.Tensor]]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return (tuple(batch[array] for array in ARRAYS) for batch in self._batches)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


_PEERS: dict[str, tuple[tuple[str, ...], Callable[[Sequence[Row], Reader, Path], Made]]] = {
    "npy mapped": (("numpy",), _mapped),
    "zarr": (("zarr",), _zarr),
    "litdata": (("litdata",), _litdata(None)),
    "litdata zstd": (("litdata", "zstd"), _litdata("zstd")),
    "webdataset npy": (("webdataset",), _webdataset(_as_npy, "npy")),
    "webdataset png": (("webdataset",), _webdataset(_as_png, "png")),
}
"""Name -> the packages it needs, and what prepares it: (rows, reader of the store, a folder of its own)."""
