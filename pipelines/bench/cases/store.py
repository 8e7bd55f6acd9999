"""How fast a store proves its bytes, against bare reading of them, and how much of it a rebuild takes over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ocrmaps.errors import StoreCorrupt
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.bench.times import figure, seconds
from ocrmaps.pipelines.build import build
from ocrmaps.recipe import default_recipe
from ocrmaps.scratch import scratch
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.verify import verify

SAMPLES = 96
BLOCK = 8 << 20


def bench_store(repeats: int = 5, *, quick: bool = False, source: Path | None = None) -> list[dict[str, Any]]:
    """Shares of the reading rate and of unchanged rows. Files are in the page cache, so no disk hides the digests."""
    with scratch("bench") as room:
        asked, what = material(source, room / "source", 6 if quick else SAMPLES)
        recipe = default_recipe([asked], name="bench")
        folder = build(recipe, room / "cache").folder
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        nbytes = sum(path.stat().st_size for path in files)
        _read(files)
        reading, proving, opening = [], [], []
        for _ in range(max(1, repeats)):
            reading.append(seconds(lambda: _read(files)))
            proving.append(seconds(lambda: _verify(folder)))
            opening.append(seconds(lambda: Reader(folder).close()) * 1e3)
        rows, reused = _after_a_change(recipe, asked.pictures or asked.path, room / "cache")
    on = f"{rows} rows, {nbytes / 1e6:.0f} MB, {what}, page cache warm"
    shares = [r / p for r, p in zip(reading, proving, strict=True)]
    return [
        figure("store/verify_vs_read", shares, "share", f"rate of bare reading, {on}"),
        figure("store/verify_gb_s", [nbytes / s / 1e9 for s in proving], "GB/s", f"verify --level digest, {on}"),
        figure("store/read_gb_s", [nbytes / s / 1e9 for s in reading], "GB/s", f"bare reading, {on}"),
        figure("store/reused_share", [reused / (rows - 1)], "share", f"rows taken over, 1 of {rows} pictures changed"),
        figure("store/open_ms", opening, "ms", f"opening a version, {on}"),
    ]


def _read(files: list[Path]) -> None:
    scratch = memoryview(bytearray(BLOCK))
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        try:
            while os.readv(handle, [scratch]):
                pass
        finally:
            os.close(handle)


def _verify(folder: Path) -> None:
    report = verify(folder, level="digest")
    if not report.ok:
        raise StoreCorrupt(f"{folder.name}: a store built a moment ago does not verify", problems=report.problems)


def _after_a_change(recipe: Any, pictures: Path, cache: Path) -> tuple[int, int]:
    """(rows, rows reused) of a build after one picture was drawn on."""
    path = min(p for p in pictures.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with Image.open(path) as image:
        changed = image.convert("RGB")
        exif = image.getexif()
    ImageDraw.Draw(changed).rectangle((5, 5, 60, 30), fill=(200, 30, 30))
    changed.save(path, quality=90, exif=exif)
    again = build(recipe, cache)
    return int(again.counts["rows"]), int(again.counts["reused"])
