"""Benchmarks as records: what was measured, against what, where and with which code."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ocrmaps.errors import SpecError
from pipelines.bench_load import Watch
from pipelines.bench_times import TIMES, spelled

RECEIPTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "sroie" / "train"
"""Real receipts, which most benchmarks use where they stand beside the checkout."""
Result = dict[str, Any]
"""name, value, unit, reference, spread (of the repeats, same unit), and whatever else explains the value."""


def _machine(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_machine import bench_machine

    return bench_machine(repeats, quick=quick)


def _decode(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_decode import bench_decode

    return bench_decode(repeats)


def _maps(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_maps import bench_maps

    return bench_maps(repeats=repeats)


def _extract(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_extract import bench_extract

    return bench_extract(repeats=repeats)


def _metrics(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_metrics import bench_metrics

    return bench_metrics(repeats=repeats, quick=quick)


def _oracle(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_oracle import bench_oracle

    return bench_oracle()


def _build(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_build import bench_build

    return bench_build(repeats=min(repeats, 3), quick=quick)  # three full builds a figure are what fits in a minute


def _store(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_store import bench_store

    return bench_store(repeats, quick=quick)


def _loader(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_loader import bench_loader

    return bench_loader(repeats, quick=quick)


def _break_even(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_break_even import bench_break_even

    return bench_break_even(repeats=min(repeats, 3), quick=quick)


def _step(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_step import bench_step

    return bench_step(repeats=min(repeats, 3), quick=quick)


def _validation(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_validation import bench_validation

    return bench_validation(repeats=1 if quick else min(repeats, 5), quick=quick)


def _page(repeats: int, quick: bool = False) -> list[Result]:
    from pipelines.bench_page import bench_page

    return bench_page(repeats, quick=quick)


BENCHES: dict[str, Callable[[int, bool], list[Result]]] = {
    "machine": _machine,
    "decode": _decode,
    "maps": _maps,
    "extract": _extract,
    "metrics": _metrics,
    "oracle": _oracle,
    "build": _build,
    "store": _store,
    "loader": _loader,
    "break-even": _break_even,
    "step": _step,
    "validation": _validation,
    "page": _page,
}
"""What can be measured, in the order in which `all` measures: (repeats, quick) -> figures."""


def run(names: Sequence[str], *, repeats: int, quick: bool = False) -> dict[str, Any]:
    """The record of these benchmarks, measured in this process."""
    refuse_unknown(names)
    watch = Watch()
    results = [result for name in names for result in BENCHES[name](repeats, quick)]
    return record_of(results, watch, quick=quick)


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise for names that are no benchmark."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise SpecError(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHES)}")


def record_of(results: Sequence[Result], watch: Watch, *, quick: bool) -> dict[str, Any]:
    """What `--json` prints: figures, where, how and with which code they were measured, and who else was busy."""
    return {
        "results": list(results),
        "machine": machine(),
        "load": watch.finish().as_dict(),
        "quick": quick,
        "data": "receipts beside the checkout" if RECEIPTS.is_dir() else "invented",
        "command": command(sys.argv[1:], Path.cwd()),
        "commit": commit(),
    }


def command(words: Sequence[str], here: Path) -> str:
    """The command line as it may be published: paths below `here` relative to it, others by their last part only.

    >>> command(["bench", "all", "--out", "/home/ann/work/new", "--source=/data/mine.toml"], Path("/home/ann/work"))
    'ocrmaps bench all --out new --source=.../mine.toml'
    """
    from pipelines.debug_write import this_machine

    return this_machine().text(shlex.join(["ocrmaps", *(_public(word, here) for word in words)]))


def _public(word: str, here: Path) -> str:
    name, mark, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value).expanduser() if value.startswith("~") else Path(value)
    if not path.is_absolute():
        return word
    below = path.relative_to(here).as_posix() if path.is_relative_to(here) else f".../{path.name}"
    return f"{name}{mark}{below}"


def machine() -> dict[str, Any]:
    """What a reader of the figures needs to know about the hardware and the libraries."""
    import psutil

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": _libraries(),
    }


LIBRARIES = ("lightning", "numba", "numcodecs", "numpy", "pillow", "pyclipper", "shapely", "torch", "zarr")
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
"""Distributions that bring the same module; which one is the user's choice."""
ABSENT = "not installed"


def _libraries() -> dict[str, str]:
    found = {name: _version(name) for name in (*LIBRARIES, *OPENCV)}
    absent = [name for name in OPENCV if found[name] == ABSENT]
    if len(absent) == len(OPENCV):
        found["opencv"] = f"no distribution of {', '.join(OPENCV)}"
    return dict(sorted((name, version) for name, version in found.items() if name not in absent))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


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
        if Path(_git(here, "rev-parse", "--show-toplevel")).resolve() != here:
            return "unknown"  # installed somewhere inside another project's checkout
        head, changes = _git(here, "rev-parse", "--short=12", "HEAD"), _git(here, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changes else "")


def _git(here: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout.strip()


def table(record: dict[str, Any]) -> str:
    """The record for people: one line a figure, then how single times are spread."""
    rows = [("figure", "value", "unit", "spread", "reference")]
    rows += [
        (r["name"], spelled(r["value"]), r["unit"], spelled(r["spread"], 2), r["reference"]) for r in record["results"]
    ]
    name, value, unit, spread = (max(len(row[i]) for row in rows) for i in range(4))
    lines = [f"{r[0]:{name}}  {r[1]:>{value}}  {r[2]:{unit}}  {r[3]:>{spread}}  {r[4]}" for r in rows]
    lines += _single_times(record["results"])
    m = record["machine"]
    lines.append(f"{m['processor']}, {m['cores']} cores, {m['system']}, commit {record['commit']}")
    lines.append(record["load"]["note"])
    return "\n".join(lines)


def _single_times(results: Sequence[Result]) -> list[str]:
    known = [r for r in results if "times" in r]
    if not known:
        return []
    width = max(len(r["name"]) for r in known)
    head = f"{'single times':{width}}  {'count':>7}" + "".join(f"  {name:>9}" for name in TIMES.values())
    rows = [
        f"{r['name']:{width}}  {r['times']['count']:>7}" + "".join(f"  {spelled(r['times'][key]):>9}" for key in TIMES)
        for r in known
    ]
    return ["", head, *rows, ""]
