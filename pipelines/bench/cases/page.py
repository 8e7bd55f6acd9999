"""How soon a page with a sample browser is seen: first contentful paint in headless Chromium, as it measures itself.

Pages of 1 000 samples have their pictures inside, as a store's page of that size has; those of 10 000 beside them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from ocrmaps.errors import RunError
from ocrmaps.geometry import PolygonSet
from ocrmaps.pagekit import explorer
from ocrmaps.pagekit import page as html
from ocrmaps.pagekit.explorer import Album, DrawnOutlines, Entry, Kind
from ocrmaps.pagekit.pictures import jpeg, png
from ocrmaps.pipelines.bench.times import figure
from ocrmaps.report.layers import MAPS, PICTURE
from ocrmaps.report.store import TRUTH
from ocrmaps.scratch import scratch

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {1_000: True, 10_000: False}
"""Samples of each page, and whether their pictures are inside it."""
OUTLINES = 40
LIMIT = 60.0
"""Seconds after which a page counts as never seen."""
_PROBE = """
;(() => {
  const tell = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const visit = performance.getEntriesByType("navigation")[0];
    if (!paint || !visit.loadEventEnd) { setTimeout(tell, 10); return; }
    fetch("/told", { method: "POST", body: JSON.stringify({
      paint: paint.startTime, ready: visit.loadEventEnd, rows: document.querySelectorAll(".x-row").length }) });
  };
  addEventListener("load", () => setTimeout(tell, 0));
})();
"""


def bench_page(repeats: int = 5, *, quick: bool = False) -> list[dict[str, Any]]:
    """Milliseconds from the navigation to the first paint, and until the list can be used; `quick` with 40 samples."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise RunError(
            f"no browser to open pages in: found none of {', '.join(BROWSERS)}",
            hint="Debian: apt-get install chromium",
        )
    version = subprocess.run([browser, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    out = []
    for samples, inside in ({40: True} if quick else SIZES).items():
        with scratch("bench") as room:
            page = write_page(room, samples, inside=inside)
            seen = [visit(browser, page, room / f"profile-{i}") for i in range(max(1, repeats))]
            where = (
                f"{samples} samples of {OUTLINES} outlines, {page.stat().st_size / 1e6:.1f} MB, pictures "
                f"{'inside' if inside else 'beside it'}; {version or 'unknown browser'}, headless, no GPU"
            )
            for name, key in (("first_paint", "paint"), ("ready", "ready")):
                out.append(figure(f"page/{name}_{samples}_ms", [one[key] for one in seen], "ms", where))
    return out


def write_page(folder: Path, samples: int, *, inside: bool) -> Path:
    """A page like a store's; its script also tells what the browser measured."""
    beside = None if inside else folder / "page-files"
    album = Album(
        (PICTURE, TRUTH, *MAPS),
        (Kind(code="t", name="text", color="#1f6feb"),),
        worst={"polygons": "high", "smallest text": "low"},
        folder=beside,
        address="page-files",
    )
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (16, 12, 3), dtype=np.uint8).repeat(28, axis=0).repeat(28, axis=1)
    pictures = {"image": (jpeg(coarse, quality=60), "jpeg"), "maps": (png(coarse // 128 * 255), "png")}
    corners = np.array([[0, 0], [90, 0], [90, 12], [0, 12]], dtype=np.float64)
    for i in range(samples):
        boxes = corners + rng.uniform(0, 400, (OUTLINES, 1, 2))
        entry = Entry(
            name=f"receipt-{i:06d}.jpg",
            size=(640, 480),
            figures={"polygons": OUTLINES - i % 7, "smallest text": 4.0 + i % 13},
            facets={
                "canvas": ["640x480" if i % 3 else "640x640"],
                "EXIF orientation": [str(1 + i % 8)],
                "ledger": ["no entry" if i % 11 else "masked: outline too small"],
            },
            outlines={
                "truth": DrawnOutlines(
                    polygons=PolygonSet.of(list(boxes), frame="canonical"),
                    kinds="t" * OUTLINES,
                    words=[f"word {k}, 12.0 px high" for k in range(OUTLINES)],
                )
            },
        )
        album.add(entry, pictures)
    text = html.page(
        "Store",
        [html.Section(title="Pictures", body=(album.html("Rows with the most polygons"),))],
        script=explorer.script() + _PROBE,
        style=explorer.style(),
        data=album.data(),
        files=not inside,
    )
    path = folder / "page.html"
    # The page as it is allows no connections; this one may tell what was measured to the server that it came from.
    path.write_text(text.replace("default-src 'none'", "default-src 'none'; connect-src 'self'", 1), encoding="utf-8")
    return path


def visit(browser: str, page: Path, profile: Path) -> dict[str, float]:
    """What one visit with a browser of its own measured."""
    with _serving(page.parent) as (port, told, there):
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
            f"http://127.0.0.1:{port}/{page.name}",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            if not there.wait(LIMIT):
                raise RunError(f"{browser} did not show the page within {LIMIT:.0f} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    found = json.loads(told[0])
    if not found["rows"]:
        raise RunError("the page was painted without its list")
    return {"paint": float(found["paint"]), "ready": float(found["ready"])}


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[int, list[bytes], threading.Event]]:
    """A server of this folder on this machine only: its port, what pages told it, and whether they have."""
    told: list[bytes] = []
    there = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            there.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], told, there
    finally:
        server.shutdown()
        server.server_close()
