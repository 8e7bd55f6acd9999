"""`ocrmaps bench all`: ceilings first, then every stage, each in a process of its own, in one record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.errors import reason
from ocrmaps.machine import CHECKOUT
from ocrmaps.pipelines.bench.asked import asked_source
from ocrmaps.pipelines.bench.ceilings import of_ceilings
from ocrmaps.pipelines.bench.load import Watch
from ocrmaps.pipelines.bench.record import Result, record_of, refuse_unknown
from ocrmaps.scratch import scratch

ALL = (
    "machine", "decode", "maps", "extract", "metrics", "build", "store", "loader", "break-even", "step", "validation",
    "predict", "cli", "counts",
)  # fmt: skip
"""What `all` measures, in this order. `oracle` and `diagnose` give scores, not times, `page` needs a browser and
`scale` 1.5 GB of disk: they are asked for by their names."""
LIMIT = 180.0
"""Seconds after which a benchmark, which should take 60, is ended and counted as failed."""
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """One benchmark's process and what came of it."""

    name: str
    seconds: float
    results: tuple[Result, ...] = ()
    load: dict[str, Any] | None = None
    peak_mb: float | None = None
    problem: str = ""
    """Why there are no results; empty when there are."""

    def as_dict(self) -> dict[str, Any]:
        """Its line in the record's `runs`."""
        found = {"bench": self.name, "seconds": round(self.seconds, 1), "peak_mb": self.peak_mb}
        if self.load is not None:
            found |= {"others_cores": self.load["others_cores"], "busy": self.load["busy"]}
        return found | ({"problem": self.problem} if self.problem else {})


def measure_all(
    names: Sequence[str] = ALL,
    *,
    repeats: int = 5,
    quick: bool = False,
    source: Path | None = None,
    limit: float = LIMIT,
    announce: Announce | None = None,
) -> dict[str, Any]:
    """The record of these benchmarks: `results`, one line for each process in `runs`, and names of those that `failed`.

    A benchmark that fails or hangs is named and the others go on. `source` is what most are measured on.
    """
    refuse_unknown(names)
    source, watch, found = asked_source(source), Watch(), []
    for number, name in enumerate(names):
        if announce is not None:
            announce(f"{name} ({number + 1} of {len(names)})")
        found.append(in_own_process(name, repeats=repeats, quick=quick, source=source, limit=limit))
        if announce is not None:
            one = found[-1]
            announce(f"  {one.problem or f'{len(one.results)} figures'}, {one.seconds:.0f} s")
    results = [result for one in found for result in one.results]
    record = record_of([*results, *of_ceilings(results)], watch, quick=quick, source=source)
    record["runs"] = [one.as_dict() for one in found]
    record["failed"] = [one.name for one in found if one.problem]
    return record


def in_own_process(name: str, *, repeats: int, quick: bool, source: Path | None, limit: float) -> BenchRun:
    """Measure one benchmark in a new process group, which is ended with all it started after `limit` seconds."""
    root = str(CHECKOUT)
    start = time.perf_counter()
    with scratch("bench") as folder:
        answer, said = folder / "answer.json", folder / "said.txt"
        request = {
            "name": name,
            "repeats": repeats,
            "quick": quick,
            "source": None if source is None else str(source.absolute()),
            "answer": str(answer),
        }
        # TMPDIR makes what an ended process leaves behind go away with the folder.
        env = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
        env["TMPDIR"] = str(folder)
        command = [sys.executable, "-m", "ocrmaps.pipelines.bench.child", json.dumps(request)]
        with said.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=env, cwd=folder, start_new_session=True)
            try:
                code = process.wait(limit)
                problem = "" if code == 0 else _reason(name, code, said)
            except subprocess.TimeoutExpired:
                problem = f"{name}: did not end within {limit:.0f} s"
            finally:
                _end(process)
        seconds = time.perf_counter() - start
        if problem:
            return BenchRun(name=name, seconds=seconds, problem=problem)
        try:
            found = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return BenchRun(name=name, seconds=seconds, problem=f"{name}: ended without an answer ({reason(error)})")
    return BenchRun(
        name=name,
        seconds=seconds,
        results=tuple(found["results"]),
        load=found["load"],
        peak_mb=found["peak_mb"],
    )


def _reason(name: str, code: int, said: Path) -> str:
    if code < 0:
        return f"{name}: ended by signal {signal.Signals(-code).name}"
    lines = [line for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{name}: exit {code}: {lines[-1] if lines else 'it said nothing'}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started; those that have ended already are fine."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
