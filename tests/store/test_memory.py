"""A worker of a build needs no more memory than `build --dry-run` states for it, measured by the kernel."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.pipelines.build import memory_per_worker
from ocrmaps.store.writing.tasks import build_shard
from tests.store.world import make_world

SIZE = (2500, 3500)
"""Shares of what 10 000 x 14 000 pixels need are the same: of those, too, the peak is 8 bytes a pixel in CMYK."""
KINDS = {"scan.jpg": "RGB", "print.jpg": "CMYK", "cut.png": "RGBA", "page.tif": "L", "png.jpg": "RGBA"}
SLACK = 4_000_000
"""What an interpreter takes besides."""


def measure(root: str) -> None:
    """In a process of its own: each picture drawn alone, its peak of memory and the promise, in bytes."""
    warm = make_world(Path(root) / "warm", samples=1)
    warm.build()  # compiles and imports
    found = {}
    for name, mode in KINDS.items():
        world = make_world(Path(root) / name, samples=0)
        path = world.add("train", name, size=(16, 16))
        kind = "PNG" if name == "png.jpg" else None
        _noise(mode).save(path, format=kind, quality=95, compress_level=0, exif=_turned())
        plan = world.plan()
        with world.building(plan) as building:
            (task,) = building.tasks()
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before = _status("VmRSS")
            receipt = build_shard(task)
            peak = _status("VmHWM") - before
        assert [row["how"] for row in receipt["rows"]] == ["drawn"], receipt
        found[name] = peak, memory_per_worker(plan)
    print(json.dumps(found))


def _noise(mode: str) -> Image.Image:
    """A picture that no codec makes small: its file counts, too."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, bands), dtype=np.uint8)
    return Image.frombytes(mode, SIZE[::-1], pixels.tobytes())


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _status(name: str) -> int:
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's own account of memory")
def test_a_worker_needs_no_more_memory_than_is_stated(tmp_path):
    code = f"from tests.store.test_memory import measure; measure({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.keys() == KINDS.keys()
    for name, (peak, stated) in found.items():
        assert peak <= stated + SLACK, f"{name}: {peak / 1e6:.0f} MB, stated {stated / 1e6:.0f} MB"
        assert peak > 0.2 * SIZE[0] * SIZE[1], f"{name}: {peak / 1e6:.0f} MB measure nothing"
