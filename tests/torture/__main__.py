"""The full reliability loops: `python -m tests.torture`. Prints counts and writes them as a JSON record.

Takes a while on two cores; `--quick` is about what the test suite runs. Ends with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture import cluster, kills, mutations, network, power, sources, steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the counts of the test suite")
    parser.add_argument("--record", type=Path, default=None, help="write the counts here as JSON")
    parser.add_argument(
        "--only", choices=["steps", "kills", "power", "mutations", "cluster", "network", "sources"], default=None
    )
    chosen = parser.parse_args()
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    quick = chosen.quick
    loops: dict[str, Callable[[Path], Any]] = {
        "steps": lambda d: _steps(d, 41 if quick else 1),
        "kills": lambda d: kills.kill_clients(d, 20 if quick else 2000),
        "power": lambda d: power.cut_power(d, 60 if quick else 5000),
        "mutations": lambda d: mutations.mutate_many(d, 1200 if quick else 50_000),
        "network": lambda d: network.through_faults(d, 300 if quick else 10_000),
        "sources": lambda d: sources.drawn_through_faults(d, 20 if quick else 1_000),
        "cluster": lambda d: cluster.kill_cluster(d, 2 if quick else 60),
    }
    record: dict[str, Any] = {"machine": platform.platform(), "python": platform.python_version()}
    try:
        for name, loop in loops.items():
            if chosen.only in (None, name):
                print(name, flush=True)
                start = time.perf_counter()
                record[name] = {**loop(root / name), "seconds": round(time.perf_counter() - start, 1)}
                print(f"  {record[name]}", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if chosen.record is not None:
        chosen.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return int(any(faults(record)))


def faults(record: dict[str, Any]) -> list[str]:
    """Every count that must be zero and is not."""
    bad = ("wrong", "lost_receipts", "lost_versions", "wrong_reads", "wrong_digests", "unnoticed", "left_over")
    loops = {name: counts for name, counts in record.items() if isinstance(counts, dict)}
    return [f"{name}.{key}" for name, counts in loops.items() for key in bad if counts.get(key)]


def _steps(root: Path, stride: int) -> dict[str, Any]:
    tried, wrong = steps.break_all(root, stride=stride)
    return {"faults": tried, "wrong": len(wrong)}


if __name__ == "__main__":
    sys.exit(main())
