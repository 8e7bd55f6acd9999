"""A page in windows takes the memory that the guide states, measured by the kernel."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrmaps.detect.predict import predict_pictures
from ocrmaps.detect.view import PageView
from tests.predict.bright import bright

SIDE, TILE = 4500, 512
BYTES = {"L": 6, "RGB": 8}
"""Of the peak, for each pixel of a page."""
SLACK = 50_000_000
"""What one window takes in the network, and the file."""


def measure(root: str) -> None:
    """In a process of its own: the peak of memory of two equal pages one after the other, in bytes."""
    trained, view, found = bright(), PageView(tile=TILE), {}
    for mode in BYTES:
        path = Path(root) / f"{mode}.png"
        Image.new(mode, (SIDE, SIDE)).save(path, compress_level=1)
        list(predict_pictures(trained, [_small(Path(root), mode)], view=view))  # compiles and imports
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        # An iterator that is asked for the next page while the last one is still held, as commands do.
        for page in predict_pictures(trained, [path, path], view=view):
            assert page.size == (SIDE, SIDE)
        found[mode] = _status("VmHWM") - before
    print(json.dumps(found))


def _small(root: Path, mode: str) -> Path:
    path = root / f"small-{mode}.png"
    Image.fromarray(np.zeros((600, 600), dtype=np.uint8)).convert(mode).save(path)
    return path


def _status(name: str) -> int:
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's own account of memory")
def test_a_page_in_windows_takes_no_more_memory_than_is_stated(tmp_path):
    code = f"from tests.predict.test_memory import measure; measure({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for mode, peak in json.loads(done.stdout).items():
        stated = BYTES[mode] * SIDE**2 + SLACK
        assert peak <= stated, f"{mode}: {peak / 1e6:.0f} MB, stated {stated / 1e6:.0f} MB"
        assert peak > 4 * SIDE**2, f"{mode}: {peak / 1e6:.0f} MB measure nothing"
