"""Every picture file of a source looked at once, in threads: header, digest, imprint, or why it cannot be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import xxhash

from ocrmaps.annotations.checks.imprint import Imprint, imprint
from ocrmaps.errors import PictureError
from ocrmaps.pictures import Header, decode, read_header
from ocrmaps.tiff import read_picture

_ENOUGH = (256, 256)
"""The resolution an imprint needs. JPEGs are still read to their last byte, so damage shows."""

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one picture file turned out to be."""

    header: Header | None
    """None where the file is no picture that can be read."""
    digest: str
    """xxh3-128 of the file's bytes; empty where they cannot be read."""
    bytes: int
    imprint: Imprint | None = None
    """None where pixels were not looked at, or cannot be decoded."""
    error: str = ""
    """Why the picture is refused; empty for a sound one."""


def look(path: Path, *, pixels: bool = True) -> Look:
    """One picture file; with `pixels` it is decoded completely, else only its header is judged."""
    try:
        data = read_picture(path)
    except OSError as error:
        return Look(header=None, digest="", bytes=0, error=f"{path.name}: cannot be opened ({error.strerror})")
    digest = xxhash.xxh3_128_hexdigest(data)
    header: Header | None = None
    try:
        header = read_header(data, name=path.name)
        if not pixels:
            return Look(header=header, digest=digest, bytes=len(data))
        picture = decode(data, name=path.name, at_least=_ENOUGH)
        return Look(header=header, digest=digest, bytes=len(data), imprint=imprint(picture))
    except PictureError as error:
        return Look(header=header, digest=digest, bytes=len(data), error=str(error))


def survey(
    files: Sequence[Path],
    *,
    pixels: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Look]:
    """A look at each file, in order."""
    looks: list[Look] = []
    for found in in_threads(lambda path: look(path, pixels=pixels), files, workers=workers):
        looks.append(found)
        progress(len(looks), len(files))
    return looks


def in_threads(function: Callable[[A], B], items: Iterable[A], *, workers: int) -> Iterator[B]:
    """`function` of each item, in order, with few items under way: an interruption waits for those only."""
    queue = iter(items)
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        under_way: deque[Future[B]] = deque(pool.submit(function, item) for item in islice(queue, 4 * workers))
        while under_way:
            result = under_way.popleft().result()
            under_way.extend(pool.submit(function, item) for item in islice(queue, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
