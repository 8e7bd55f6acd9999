"""What this machine can do at best: the ceilings that other figures are held against.

Plain library calls with nothing of the project around them, except that rows are packed as stores pack them. Rates
are of one thread unless the name says otherwise. Disk figures are of the temporary folder (`TMPDIR` chooses it).
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ocrmaps.annotations.synth.receipts import Photo, SynthSpec, encode, photos
from ocrmaps.canonical import CanonicalSpec, plan, render
from ocrmaps.machine import cores, threads_within
from ocrmaps.maps import MapSpec, draw_maps
from ocrmaps.pictures import decode
from ocrmaps.pipelines.bench.times import cpu_seconds, figure, seconds
from ocrmaps.recipe import ARRAYS, Layout
from ocrmaps.scratch import scratch
from ocrmaps.store.format.codecs import packing

READ = 64 << 10
"""Bytes of one random read: about what one packed array of a row takes."""
BLOCK = 8 << 20
Bytes = npt.NDArray[np.uint8]


def bench_machine(repeats: int = 5, *, quick: bool = False) -> list[dict[str, Any]]:
    """All ceilings; those of a GPU where there is one."""
    memory, disk = (32 << 20, 32 << 20) if quick else (256 << 20, 512 << 20)
    shots = list(photos(SynthSpec(num=2 if quick else 8)))
    found = [*_copies(memory, repeats), _codec(shots, repeats), _jpeg(shots, repeats), *_disk(disk, repeats)]
    return found + (_gpu(memory, repeats, 1024 if quick else 8192) if torch.cuda.is_available() else [])


def _copies(nbytes: int, repeats: int) -> list[dict[str, Any]]:
    """Copying between two buffers that no cache holds."""
    source, target = np.ones(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
    threads = cores()
    one = _rates(nbytes, lambda: np.copyto(target, source), repeats)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
        many = _rates(nbytes, lambda: list(pool.map(lambda pair: np.copyto(*pair), parts)), repeats, seconds)
    size = f"copying {nbytes >> 20} MiB of memory"
    return [
        figure("machine/memcpy_gb_s", one, "GB/s", f"{size}, one thread"),
        figure("machine/memcpy_all_cores_gb_s", many, "GB/s", f"{size}, {threads} threads"),
    ]


def _codec(shots: list[Photo], repeats: int) -> dict[str, Any]:
    """Unpacking the four arrays of invented receipts on 640x640 with the default packing."""
    packed: list[tuple[Any, bytes, Bytes]] = []
    for shot in shots:
        for name, row in _rows(shot).items():
            codec = packing(Layout().codecs[name])
            packed.append((codec, codec.encode(row), np.empty_like(row)))
    nbytes = sum(out.nbytes for _, _, out in packed)

    def unpack() -> None:
        for _ in range(5):
            for codec, data, out in packed:
                codec.decode(data, out)

    what = f"tensor bytes out of the default codecs, {len(shots)} invented receipts on 640x640"
    return figure("machine/codec_decode_gb_s", _rates(5 * nbytes, unpack, repeats), "GB/s", what)


def _rows(shot: Photo) -> dict[str, Bytes]:
    """One row of each array, as a store holds it."""
    spec = CanonicalSpec(canvases=((640, 640),), scale="longest", side=640)
    picture = decode(encode(shot), name="invented")
    transform = plan(picture.header.size, picture.header.orientation, spec)
    drawn = draw_maps(transform.apply(shot.sample.polygons, "canonical"), MapSpec(), transform.canvas)
    mask = drawn.mask
    arrays = (render(picture, transform, spec), drawn.probability, drawn.quantized, mask.astype(np.uint8))
    return dict(zip(ARRAYS, arrays, strict=True))


def _jpeg(shots: list[Photo], repeats: int) -> dict[str, Any]:
    """Decoding invented photographs; the faster of the two decoders at hand is the ceiling."""
    pictures = [encode(shot) for shot in shots]
    mpx = sum(shot.pixels.shape[0] * shot.pixels.shape[1] for shot in shots) / 1e6

    def opencv() -> None:
        for data in pictures:
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)

    def pillow() -> None:
        for data in pictures:
            Image.open(io.BytesIO(data)).load()

    with threads_within(1):
        rates = {name: _rates(mpx * 1e9, work, repeats) for name, work in (("OpenCV", opencv), ("Pillow", pillow))}
    best = max(rates, key=lambda name: float(np.median(rates[name])))
    middle = {name: round(float(np.median(found)), 1) for name, found in rates.items()}
    what = f"decoding {len(shots)} invented photographs of {mpx:.1f} Mpx in all, one thread; {best} is the faster"
    return figure("machine/jpeg_mpx_s", rates[best], "Mpx/s", what, decoders=middle)


def _disk(nbytes: int, repeats: int) -> list[dict[str, Any]]:
    """Reading a file that the system was asked to forget: from front to back, and in random pieces."""
    if not hasattr(os, "posix_fadvise"):
        return []  # nothing else makes a read reach the disk without rights of an administrator
    rng = np.random.default_rng(0)
    with scratch("bench") as folder:
        path = folder / "data"
        with path.open("wb") as file:
            for _ in range(nbytes // BLOCK):
                file.write(rng.bytes(BLOCK))
            file.flush()
            os.fsync(file.fileno())
        places = (rng.permutation(nbytes // READ)[: max(16, nbytes // READ // 8)] * READ).tolist()
        front, pieces = _cold(path, None, repeats), _cold(path, places, repeats)
        kind = _file_system(folder)
    where = f"{nbytes >> 20} MiB on {kind}, forgotten by the page cache"
    random = [len(places) * READ / s / 1e9 for s in pieces]
    return [
        figure("machine/disk_sequential_gb_s", [nbytes / s / 1e9 for s in front], "GB/s", f"front to back, {where}"),
        figure("machine/disk_random_gb_s", random, "GB/s", f"reads of {READ >> 10} KiB one by one, {where}"),
    ]


def _cold(path: Path, places: list[int] | None, repeats: int) -> list[float]:
    """Seconds of reading all (no places) or a piece at each place; the cache is emptied of the file before each."""
    scratch = memoryview(bytearray(BLOCK))
    handle = os.open(path, os.O_RDONLY)

    def front_to_back() -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        while os.readv(handle, [scratch]):
            pass

    def in_pieces() -> None:
        for place in places or ():
            os.preadv(handle, [scratch[:READ]], place)

    try:
        out = []
        for _ in range(repeats):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_NORMAL if places is None else os.POSIX_FADV_RANDOM)
            out.append(seconds(front_to_back if places is None else in_pieces))
        return out
    finally:
        os.close(handle)


def _file_system(folder: Path) -> str:
    """The kind of file system, and a warning where it is no disk."""
    import psutil

    real = folder.resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if real.is_relative_to(p.mountpoint)]
    kind = max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "an unknown file system"
    return f"{kind} (memory, not a disk)" if kind in ("tmpfs", "ramfs") else kind


def _gpu(nbytes: int, repeats: int, side: int) -> list[dict[str, Any]]:
    """Copies from pinned memory to the device, and bfloat16 products of square matrices."""
    name = torch.cuda.get_device_name()
    pinned = torch.ones(nbytes, dtype=torch.uint8).pin_memory()
    target = torch.empty(nbytes, dtype=torch.uint8, device="cuda")
    first, second = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def copy() -> None:
        target.copy_(pinned, non_blocking=True)
        torch.cuda.synchronize()

    def product() -> None:
        for _ in range(10):
            torch.matmul(first, second)
        torch.cuda.synchronize()

    operations = 10 * 2 * side**3
    rates = [r / 1e3 for r in _rates(operations, product, repeats, seconds)]
    return [
        figure("machine/h2d_gb_s", _rates(nbytes, copy, repeats, seconds), "GB/s", f"pinned memory to {name}"),
        figure("machine/matrix_tflop_s", rates, "TFLOP/s", f"bfloat16 product of {side}x{side}, {name}"),
    ]


def _rates(
    amount: float,
    work: Callable[[], object],
    repeats: int,
    clock: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> list[float]:
    """Billions a second; the first pass, which touches memory for the first time, does not count.

    Work of one thread is timed by the processor time it takes, which on a core of one's own is the clock's.
    """
    work()
    return [amount / clock(work) / 1e9 for _ in range(repeats)]
