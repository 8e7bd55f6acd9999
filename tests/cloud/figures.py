"""How much of a slow link the loader uses: `python -m tests.cloud.figures [--record FILE]`.

A version of 640x640 rows lies on an S3 server on loopback, behind a proxy that caps bandwidth and adds latency. For
each link one epoch is read into an empty stand-in, then a second one from it. The yardstick is the smaller of two: the
bytes a second of the link, and those of the same loader over the disk. `share` is what is reached of it after the
first batch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ocrmaps.loader import MapLoader
from ocrmaps.machine import machine
from ocrmaps.pipelines.bench.cases.rows import recipe_of
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.build import build
from ocrmaps.store.far import version as far_version
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.push import push
from tests.cloud.server import BUCKET, Proxy, environment, s3_server

LINKS = ((10e6, 0.02), (25e6, 0.02), (50e6, 0.02), (25e6, 0.1))
"""(bytes a second, seconds of latency)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, default=None, help="write the figures here as JSON")
    parser.add_argument("--rows", type=int, default=256)
    chosen = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="ocrmaps-figures-"))
    try:
        asked, what = material(None, room / "source", chosen.rows)
        folder = build(recipe_of(asked), room / "cache").folder
        with s3_server() as port:
            os.environ |= {**environment(port), "OCRMAPS_CACHE": str(room / "near")}
            start = time.perf_counter()
            sent = push(folder, ObjectPlace(f"s3://{BUCKET}/maps"))
            pushed = time.perf_counter() - start
            figures = [link(port, folder, room, *capped) for capped in LINKS]
        record = {
            "what": f"{what}, {chosen.rows} rows of 640x640, {sum(sent.nbytes.values()) / 1e6:.0f} MB",
            "push_seconds": round(pushed, 1), "links": figures, "machine": machine(),
        }  # fmt: skip
        if chosen.record is not None:
            chosen.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(room, ignore_errors=True)


def link(port: int, folder: Path, room: Path, bandwidth: float, latency: float) -> dict[str, Any]:
    """The figures of one link."""
    shutil.rmtree(room / "near", ignore_errors=True)
    far_version._opened.clear()
    proxy = Proxy(port)
    os.environ |= environment(proxy.port)
    proxy.bandwidth, proxy.latency = bandwidth, latency
    url = f"s3://{BUCKET}/maps/{folder.parent.name}/{folder.name}"
    with Reader(folder) as near:
        nbytes = near.rows["chunk_nbytes"].sum(axis=1)
    disk = epoch(folder, nbytes)
    far = epoch(url, nbytes)
    requests, most = dict(proxy.requests), proxy.most_in_flight
    second = epoch(url, nbytes)
    proxy.close()
    best = min(bandwidth, disk["bytes_per_second"])
    figures = {
        "bandwidth_mb": bandwidth / 1e6, "latency_ms": latency * 1e3,
        "first_batch_s": round(far["first_batch"], 3),
        "first_batch_bytes": far["first_bytes"],
        "mb_per_second": round(far["bytes_per_second"] / 1e6, 1),
        "share_of_min_link_decode": round(far["bytes_per_second"] / best, 3),
        "second_epoch_of_disk": round(second["bytes_per_second"] / disk["bytes_per_second"], 3),
        "second_epoch_first_batch_s": round(second["first_batch"], 3),
        "disk_mb_per_second": round(disk["bytes_per_second"] / 1e6, 1),
        "requests": requests, "most_in_flight": most,
    }  # fmt: skip
    print(json.dumps(figures), flush=True)
    return figures


def epoch(version: str | Path, nbytes: Any) -> dict[str, Any]:
    """Seconds to the first batch, and packed bytes a second after it."""
    start = time.perf_counter()
    with MapLoader(version, split="train", batch_size=8, shuffle=True) as loader:
        batches = iter(loader)
        first = next(batches)
        at = time.perf_counter()
        read = sum(int(nbytes[batch.row.numpy()].sum()) for batch in batches)
        end = time.perf_counter()
    return {
        "first_batch": at - start, "first_bytes": int(nbytes[first.row.numpy()].sum()),
        "bytes_per_second": read / (end - at),
    }  # fmt: skip


if __name__ == "__main__":
    main()
