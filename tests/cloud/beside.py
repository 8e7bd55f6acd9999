"""Loaders of other projects beside ours from one object store: `python -m tests.cloud.beside [--record FILE]`.

The same 640x640 rows (a picture and three maps each) lie on one S3 server on loopback as a version, as chunks of
litData and as shards of WebDataset, behind a proxy that caps bandwidth, adds latency and counts what passes. Each
loader reads them twice, shuffled, in a process of its own: an epoch with nothing on this machine, and one more. What is
not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ocrmaps.loader import ARRAYS, MapLoader
from ocrmaps.machine import machine
from ocrmaps.pipelines.bench.cases.peers import BATCH, _as_npy, _as_png, _tensors, _version
from ocrmaps.pipelines.bench.cases.rows import recipe_of
from ocrmaps.pipelines.bench.source import material
from ocrmaps.pipelines.build import build
from ocrmaps.store.places.objects import ObjectPlace
from ocrmaps.store.reader import Reader
from ocrmaps.store.upkeep.exchange.push import push
from tests.cloud.server import BUCKET, Proxy, environment, s3_server

WORKERS = 2
"""Worker processes of the others; ours has threads."""
SHARD = 32
"""Rows in a shard of WebDataset."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, default=None, help="write the figures here as JSON")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bandwidth", type=float, default=25.0, help="MB a second")
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds")
    parser.add_argument(
        "--one", nargs=3, metavar=("LOADER", "PLACE", "FOLDER"), help="what the parent process asks for"
    )
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(_read(*chosen.one)))
        return
    room = Path(tempfile.mkdtemp(prefix="ocrmaps-beside-"))
    try:
        asked, what = material(None, room / "source", chosen.rows)
        folder = build(recipe_of(asked), room / "cache").folder
        with s3_server() as port:
            os.environ |= environment(port)
            places = _publish(folder, room, port)
            proxy = Proxy(port)
            os.environ |= environment(proxy.port)
            proxy.bandwidth, proxy.latency = chosen.bandwidth * 1e6, chosen.latency / 1e3
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in places}
            for _ in range(chosen.rounds):
                for name, place in places.items():
                    found[name].append(_turn(name, place, proxy, room))
                    print(name, json.dumps(found[name][-1]), flush=True)
            proxy.close()
        sums = {turn["sum"] for turns in found.values() for turn in turns}
        if len(sums) != 1:
            raise AssertionError(f"the loaders saw other pixels: sums {sums}")
        record = {
            "what": f"{what}, {chosen.rows} rows of 640x640, batches of {BATCH}",
            "bandwidth_mb": chosen.bandwidth, "latency_ms": chosen.latency, "rounds": chosen.rounds,
            "workers_of_others": WORKERS, "not_installed": [name for name in LOADERS if name not in places],
            "loaders": {name: _middle(name, turns) for name, turns in found.items()}, "machine": machine(),
        }  # fmt: skip
        if chosen.record is not None:
            chosen.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _turn(name: str, place: str, proxy: Proxy, room: Path) -> dict[str, Any]:
    """Two epochs of one loader in a new process with an empty folder, and what went over the link for them."""
    near = room / "near"
    shutil.rmtree(near, ignore_errors=True)
    near.mkdir()
    proxy.forget()
    command = [sys.executable, "-W", "ignore", "-m", "tests.cloud.beside", "--one", name, place, str(near)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        epochs = []
        before = 0
        for line in process.stdout:
            if line.startswith("epoch"):
                epochs.append(round((proxy.nbytes - before) / 1e6, 1))
                before = proxy.nbytes
            elif line.startswith("{"):
                said = json.loads(line)
        if process.wait():
            raise RuntimeError(f"{name} ended with {process.returncode}")
    kept = sum(path.stat().st_blocks * 512 for path in near.rglob("*") if path.is_file())
    return {**said, "mb": epochs, "mb_kept": round(kept / 1e6, 1), "requests": dict(proxy.requests)}


def _middle(name: str, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds, and the rounds themselves."""

    def median(key: str, epoch: int) -> float:
        return round(statistics.median(turn[key][epoch] for turn in turns), 3)

    figures = {key: [median(key, epoch) for epoch in (0, 1)] for key in ("first_batch_s", "rows_per_second", "mb")}
    return {"version": _version(LOADERS[name][0]), **figures, "requests": turns[-1]["requests"], "rounds": turns}


def _read(name: str, place: str, folder: str) -> dict[str, Any]:
    """Seconds to the first batch and rows a second of two epochs."""
    first, rates, total = [], [], 0
    for _ in range(2):
        start, seen = time.perf_counter(), 0
        for images in LOADERS[name][1](place, folder):
            if not seen:
                first.append(time.perf_counter() - start)
            seen += len(images)
            total += int(images[:, ::64, ::64].sum())
        rates.append(seen / (time.perf_counter() - start))
        print("epoch", seen, flush=True)
    return {"first_batch_s": first, "rows_per_second": rates, "sum": total}


def _ours(place: str, folder: str) -> Iterable[Any]:
    os.environ["OCRMAPS_CACHE"] = folder
    with MapLoader(place, split="train", batch_size=BATCH, shuffle=True) as loader:
        for batch in loader:
            yield batch.image


def _litdata(place: str, folder: str) -> Iterable[Any]:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import downloader

    # It fetches chunks by obstore with options of its own, which allow https alone; the environment is not asked.
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True
    options = {
        "endpoint_url": os.environ["AWS_ENDPOINT"], "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"], "region_name": os.environ["AWS_REGION"],
    }  # fmt: skip
    rows = StreamingDataset(place, cache_dir=folder, shuffle=True, storage_options=options)
    for batch in StreamingDataLoader(rows, batch_size=BATCH, num_workers=WORKERS):
        yield batch["image"]


def _webdataset(ending: str) -> Callable[[str, str], Iterable[Any]]:
    def read(place: str, folder: str) -> Iterable[Any]:
        import webdataset
        from torch.utils.data import DataLoader

        rows = webdataset.WebDataset(
            f"{os.environ['AWS_ENDPOINT']}/{place}", shardshuffle=100, empty_check=False
        ).shuffle(64)
        # Its decoder of pictures makes three channels of maps, so PNG is decoded in `_tensors`.
        decoded = rows if ending == "png" else rows.decode()
        items = decoded.to_tuple(*(f"{array}.{ending}" for array in ARRAYS)).map(_tensors)
        for batch in DataLoader(items, batch_size=BATCH, num_workers=WORKERS):
            yield batch[0]

    return read


LOADERS: dict[str, tuple[str, Callable[[str, str], Iterable[Any]]]] = {
    "ocrmaps": ("ocrmaps", _ours),
    "litdata": ("litdata", _litdata),
    "litdata zstd": ("litdata", _litdata),
    "webdataset npy": ("webdataset", _webdataset("npy")),
    "webdataset png": ("webdataset", _webdataset("png")),
}
"""Name -> its package, and what gives the pictures of each batch: (its place, an empty folder of this machine)."""
NEEDS = {"litdata zstd": "zstd"}


def _publish(folder: Path, room: Path, port: int) -> dict[str, str]:
    """The rows in every form that a loader is here for: name -> where they are."""
    push(folder, ObjectPlace(f"s3://{BUCKET}/maps"))
    places = {"ocrmaps": f"s3://{BUCKET}/maps/{folder.parent.name}/{folder.name}"}
    with Reader(folder) as reader:
        rows = [dict(reader.read_row(row)) for row in range(len(reader))]
    for name, (module, _) in LOADERS.items():
        if name == "ocrmaps" or any(find_spec(each) is None for each in (module, NEEDS.get(name, module))):
            continue
        made = room / name.replace(" ", "-")
        made.mkdir()
        (_write_litdata if module == "litdata" else _write_webdataset)(rows, made, name)
        for path in made.iterdir():
            url = f"http://127.0.0.1:{port}/{BUCKET}/{made.name}/{path.name}"
            # The server waits for ever for a form; WebDataset asks by curl, without a signature.
            head = {"content-type": "application/octet-stream", "x-amz-acl": "public-read"}
            urlopen(Request(url, data=path.read_bytes(), headers=head, method="PUT")).close()
        shards = f"{{000000..{-(-len(rows) // SHARD) - 1:06}}}.tar"
        places[name] = f"s3://{BUCKET}/{made.name}" if module == "litdata" else f"{BUCKET}/{made.name}/{shards}"
        shutil.rmtree(made)
    return places


def _write_litdata(rows: list[dict[str, Any]], folder: Path, name: str) -> None:
    import torch
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="64MB", compression="zstd" if "zstd" in name else None)
    for number, row in enumerate(rows):
        writer[number] = {array: torch.from_numpy(row[array]) for array in ARRAYS}
    writer.done()
    writer.merge(1)


def _write_webdataset(rows: list[dict[str, Any]], folder: Path, name: str) -> None:
    import webdataset

    pack = _as_png if name.endswith("png") else _as_npy
    with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=SHARD, verbose=0) as writer:
        for number, row in enumerate(rows):
            writer.write({"__key__": f"{number:06}", **pack(row)})


if __name__ == "__main__":
    main()
