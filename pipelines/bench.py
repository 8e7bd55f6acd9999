"""Benchmarks as records: what was measured, against what, where and with which code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ocrmaps.errors import SpecError

Result = dict[str, Any]
"""name, value, unit, reference, spread (of the repeats, same unit), and whatever else explains the value."""


def _decode(repeats: int) -> list[Result]:
    from pipelines.bench_decode import bench_decode

    return bench_decode(repeats)


def _maps(repeats: int) -> list[Result]:
    from pipelines.bench_maps import bench_maps

    return bench_maps(repeats=repeats)


def _extract(repeats: int) -> list[Result]:
    from pipelines.bench_extract import bench_extract

    return bench_extract(repeats=repeats)


def _metrics(repeats: int) -> list[Result]:
    from pipelines.bench_metrics import bench_metrics

    return bench_metrics(repeats=repeats)


def _oracle(repeats: int) -> list[Result]:
    from pipelines.bench_oracle import bench_oracle

    return bench_oracle()


def _build(repeats: int) -> list[Result]:
    from pipelines.bench_build import bench_build

    return bench_build(repeats=min(repeats, 3))  # three full builds a figure are what fits in a minute


def _loader(repeats: int) -> list[Result]:
    from pipelines.bench_loader import bench_loader

    return bench_loader(repeats)


def _step(repeats: int) -> list[Result]:
    from pipelines.bench_step import bench_step

    return bench_step(repeats=min(repeats, 3))


BENCHES: dict[str, Callable[[int], list[Result]]] = {
    "decode": _decode,
    "maps": _maps,
    "extract": _extract,
    "metrics": _metrics,
    "oracle": _oracle,
    "build": _build,
    "loader": _loader,
    "step": _step,
}


def run(names: Sequence[str], *, repeats: int) -> dict[str, Any]:
    """The record of these benchmarks: results, machine, command and commit."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise SpecError(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    results = [result for name in names for result in BENCHES[name](repeats)]
    return {
        "results": results,
        "machine": machine(),
        "command": " ".join(["ocrmaps", *sys.argv[1:]]),
        "commit": commit(),
    }


def machine() -> dict[str, Any]:
    """What a reader of the figures needs to know about the hardware and the libraries."""
    import psutil

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {
            name: metadata.version(name)
            for name in ("numpy", "numba", "opencv-python-headless", "pillow", "pyclipper", "shapely", "torch", "zarr")
        },
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def commit() -> str:
    """The commit of the checkout that runs, with `+changes` when files differ; `unknown` outside a checkout."""
    here = Path(__file__).resolve().parents[1]
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def table(record: dict[str, Any]) -> str:
    """The record for people: one line a figure."""
    rows = [("figure", "value", "unit", "spread", "reference")]
    rows += [
        (r["name"], f"{r['value']:.4g}", r["unit"], f"{r['spread']:.2g}", r["reference"]) for r in record["results"]
    ]
    name, value, unit, spread = (max(len(row[i]) for row in rows) for i in range(4))
    lines = [f"{r[0]:{name}}  {r[1]:>{value}}  {r[2]:{unit}}  {r[3]:>{spread}}  {r[4]}" for r in rows]
    m = record["machine"]
    lines.append(f"{m['processor']}, {m['cores']} cores, {m['system']}, commit {record['commit']}")
    return "\n".join(lines)
