"""The samples of a page: each is shown once, in threads, and their pictures are put where they fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from ocrmaps.annotations.checks.survey import in_threads
from ocrmaps.errors import SpecError
from ocrmaps.files import refuse_existing, write_new, writing
from ocrmaps.geometry import PolygonSet, Size
from ocrmaps.machine import cores
from ocrmaps.pagekit.explorer import SIDES, Album, Entry, Kind, Layer, PicturePlan, plan_pictures
from ocrmaps.pagekit.pictures import Pixels, jpeg, png, shrink
from ocrmaps.progress import Stage, silent

Place = Literal["auto", "inline", "folder"]
Shown = tuple[Entry, Mapping[str, tuple[bytes, str]]]
"""A sample and its encoded pictures by medium, each with its type."""
_PROBES = 6
HEIGHTS = (0.0, 4.0, 8.0, 12.0, 16.0, 24.0, 48.0, float("inf"))
ASPECTS = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0, float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Where a page goes and how its pictures are kept."""

    out: Path
    place: Place = "auto"
    side: int | None = None
    """Longest side of pictures in pixels; None chooses."""
    overwrite: bool = False
    workers: int | None = None
    stage: Stage = silent

    def __post_init__(self) -> None:
        if self.side is not None and not 32 <= self.side <= 4096:
            raise SpecError(f"found a picture side of {self.side} px, expected 32 to 4096")
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise SpecError(f"{self.out}: a page is an .html file", hint=f"name it {self.out}.html")

    @property
    def files(self) -> Path:
        """The folder beside the page that takes pictures which are not inside it."""
        return self.out.with_name(f"{self.out.stem}-files")

    def check(self) -> None:
        """Refuse before any work what could not be written after it."""
        refuse_existing(self.out, replace_existing=self.overwrite)
        if self.files.exists() and not self.overwrite and self.place != "inline":
            raise SpecError(f"{self.files} exists already", hint="name another page, or add --yes to replace it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A page on disk."""

    page: Path
    kind: str
    samples: int
    bytes: int
    pictures: str
    """Where pictures are and why, in a sentence."""
    folder: Path | None

    def as_dict(self) -> dict[str, object]:
        return {
            "page": str(self.page),
            "kind": self.kind,
            "samples": self.samples,
            "bytes": self.bytes,
            "pictures": self.pictures,
            "folder": None if self.folder is None else str(self.folder),
        }


def collect(
    asked: PageRequest,
    layers: Sequence[Layer],
    kinds: Sequence[Kind],
    worst: Mapping[str, Literal["high", "low"]],
    count: int,
    show: Callable[[int, int], Shown],
) -> tuple[Album, PicturePlan]:
    """Every sample shown by `show(i, side)`, in an album whose pictures are inside the page or in its folder."""
    probes: list[int] = sorted({int(i) for i in np.linspace(0, count - 1, _PROBES).round().tolist()}) if count else []
    sides = SIDES if asked.side is None else (asked.side,)
    weights = {
        side: float(np.mean([sum(len(data) for data, _ in show(i, side)[1].values()) for i in probes] or [0]))
        for side in sides
    }
    plan = plan_pictures(weights, count, place=asked.place, side=asked.side)
    part = _part(asked)
    if part.exists():
        shutil.rmtree(part)
    album = Album(layers, kinds, worst=worst, folder=None if plan.inline else part, address=asked.files.name)
    try:
        with asked.stage("drawing") as progress:
            shown = in_threads(lambda i: show(i, plan.side), range(count), workers=asked.workers or cores())
            for done, (entry, pictures) in enumerate(shown, start=1):
                album.add(entry, pictures)
                progress(done, count)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # half the pictures take the space that may be missing
        raise
    return album, plan


def publish(
    asked: PageRequest, text: str, *, kind: str, album: Album | None = None, plan: PicturePlan | None = None
) -> Written:
    """The page on disk, whole; its pictures first, so that no page points at nothing."""
    folder = None
    part = _part(asked)
    if album is not None and album.folder is not None:
        with writing(asked.files):
            part.mkdir(parents=True, exist_ok=True)
            if asked.files.exists():
                shutil.rmtree(asked.files)
            part.rename(asked.files)
        folder = asked.files
    data = text.encode("utf-8")
    write_new(asked.out, data, replace_existing=asked.overwrite)
    return Written(
        page=asked.out,
        kind=kind,
        samples=0 if album is None else len(album.entries),
        bytes=len(data),
        pictures="" if plan is None else plan.sentence(asked.files.name),
        folder=folder,
    )


def _part(asked: PageRequest) -> Path:
    return asked.files.with_name(f".{asked.files.name}.part")


def photo(pixels: Pixels, side: int) -> tuple[bytes, str]:
    """A picture for the page."""
    return jpeg(shrink(np.ascontiguousarray(pixels), side), quality=78), "jpeg"


def maps(channels: Sequence[Pixels], side: int) -> tuple[bytes, str]:
    """Up to three maps of one size as one lossless picture, one to a channel."""
    height, width = channels[0].shape
    stacked = np.zeros((height, width, 3), dtype=np.uint8)
    for i, channel in enumerate(channels):
        stacked[..., i] = channel
    return png(shrink(stacked, side)), "png"


def buckets(values: Sequence[float], edges: Sequence[float], unit: str = "") -> list[str]:
    """The name of the range that each value is in.

    >>> buckets([3.0, 12.0, 99.0], (0.0, 8.0, 12.0, float("inf")), " px")
    ['0-8 px', '12+ px', '12+ px']
    """
    names = [f"{low:g}-{high:g}{unit}" if np.isfinite(high) else f"{low:g}+{unit}" for low, high in pairwise(edges)]
    place = np.searchsorted(np.asarray(edges), np.asarray(values, dtype=np.float64), side="right") - 1
    return [names[min(max(int(p), 0), len(names) - 1)] for p in place]


def text_facets(polygons: PolygonSet) -> dict[str, list[str]]:
    """The ranges of text height and of length over height that occur among polygons, in their own frame."""
    sides = polygons.equivalent_sides()
    return {
        "text height": sorted(set(buckets(sides[:, 0].tolist(), HEIGHTS, " px"))),
        "length / height": sorted(set(buckets((sides[:, 1] / np.maximum(sides[:, 0], 1e-9)).tolist(), ASPECTS))),
    }


def size_name(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
