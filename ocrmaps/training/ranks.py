"""One run on several devices of this machine: the processes beside the first, how they meet and end together.

The first process is the one that was started by a person; it checks, writes and says everything. The others are
started by it, get the resolved run, and say something only if they fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ocrmaps.errors import OcrmapsError, Problem, RunError, SpecError
from ocrmaps.scratch import scratch
from ocrmaps.training.callbacks.stop import Interrupted

TIMEOUT = timedelta(minutes=10)
"""Ranks wait so long for each other; a validation or a save of one must fit in."""
GRACE, AFTERTHOUGHT = 20.0, 0.5
"""Seconds that the others have to end by themselves: when asked to, and to be seen dead after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Which of the processes of its machine: the device that it takes."""
    node: int = 0
    """Which of the machines."""
    nodes: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


class KnownRanks(ClusterEnvironment):
    """Tells Lightning what we decided, instead of it reading the environment or starting processes."""

    def __init__(self, place: Rank) -> None:
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        raise RunError("the processes of a run meet by a file, not by a port")

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.place.world

    def set_world_size(self, size: int) -> None:
        assert size == self.place.world

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self.place.rank

    def local_rank(self) -> int:
        return self.place.local

    def node_rank(self) -> int:
        return self.place.node


def strategy(place: Rank, device: str) -> DDPStrategy:
    """Gradients averaged over the ranks; running statistics are the first rank's everywhere."""
    return DDPStrategy(cluster_environment=KnownRanks(place), process_group_backend=backend(device), timeout=TIMEOUT)


def check_ranks(devices: int, device: str, *, nodes: int = 1) -> None:
    """Refuse more devices than there are, and runs that somebody else already started several times."""
    if device == "cuda" and devices > torch.cuda.device_count():
        raise SpecError(f"hardware.devices: found {devices}, torch sees {torch.cuda.device_count()} CUDA devices here")
    if nodes > 1:
        raise SpecError(
            f"hardware.nodes: found {nodes}, and this process was started alone",
            hint="torchrun or srun starts `ocrmaps train` on every machine: docs/how-to/several-hosts.md",
        )
    started = [name for name in ("LOCAL_RANK", "TORCHELASTIC_RUN_ID") if name in os.environ]
    if started:
        raise SpecError(
            f"this process was started as one of several ({', '.join(started)} set), and each would be a run",
            hint="`ocrmaps train` takes its place among them; anything else is started once, and hardware.devices = N "
            "starts the others",
        )
    if devices > 1 and not torch.distributed.is_available():
        raise SpecError("hardware.devices: this build of torch has no distributed training")


def join(place: Rank, meeting: Path, device: str) -> None:
    """Meet the others; returns when all are there."""
    if device == "cuda":
        torch.cuda.set_device(place.rank)
    torch.distributed.init_process_group(
        backend(device), init_method=f"file://{meeting / 'meeting'}", rank=place.rank, world_size=place.world,
        timeout=TIMEOUT,
    )  # fmt: skip


@contextmanager
def beside(world: int, device: str, job: Mapping[str, Any]) -> Iterator[Rank]:
    """The other processes of a run, for as long as this lasts; with a world of one there are none.

    `job` is what `train_rank` takes, as plain data. Whoever fails first is what is raised.
    """
    if world == 1:
        yield Rank()
        return
    threads = torch.get_num_threads()
    share = max(1, threads // world)
    with scratch("ranks") as meeting:
        file = meeting / "job.json"
        file.write_text(
            json.dumps({**job, "world": world, "device": device, "meeting": str(meeting), "threads": share}),
            encoding="utf-8",
        )
        children = {rank: _start(file, rank) for rank in range(1, world)}
        try:
            _await_ready(meeting, children)
            place = Rank(world=world)
            join(place, meeting, device)
            torch.set_num_threads(share)
            yield place
        except BaseException as error:
            failed = time.time()
            # Ranks that were asked to stop do so at the same step; others may be waiting for this one for ever.
            stopping = isinstance(error, Interrupted) and not error.at_once
            _end(children, GRACE) if stopping else time.sleep(AFTERTHOUGHT)
            # What this process found by itself is no consequence of another's end without a word.
            problems = _failures(meeting, children, before=failed, wordless=not isinstance(error, OcrmapsError))
            if problems and not isinstance(error, Interrupted | KeyboardInterrupt):
                raise RunError(f"{len(problems)} of {world} processes failed:", problems=problems) from error
            raise
        else:
            _end(children, TIMEOUT.total_seconds())
            problems = _failures(meeting, children)
            if problems:
                raise RunError(f"{len(problems)} of {world} processes failed at the end:", problems=problems)
        finally:
            _end(children, 0.0)
            torch.set_num_threads(threads)
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _start(file: Path, rank: int) -> subprocess.Popen[bytes]:
    with (file.parent / f"said-{rank}").open("wb") as said:
        return subprocess.Popen(
            # What this process imports from, and no folder more: -m alone would look into the working folder first.
            [sys.executable, "-P", "-m", "ocrmaps.pipelines.rank", str(file), str(rank)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            start_new_session=True,  # Ctrl-C of a terminal reaches the first process, which tells the others
        )


def _await_ready(meeting: Path, children: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Return when all others are about to join; one that ended before will never come."""
    end = time.monotonic() + TIMEOUT.total_seconds()
    while not all((meeting / f"ready-{rank}").exists() for rank in children):
        gone = [rank for rank, child in children.items() if child.poll() is not None]
        if gone or time.monotonic() > end:
            problems = _failures(meeting, children)
            raise RunError(f"{len(gone)} of the processes of this run ended before it began:", problems=problems)
        time.sleep(0.05)


def _failures(
    meeting: Path, children: Mapping[int, subprocess.Popen[bytes]], before: float = float("inf"), wordless: bool = True
) -> list[Problem]:
    """What processes said that failed by themselves, up to a moment, rather than because another had; `wordless`
    counts those that ended and left no report, too."""
    problems = []
    for rank, child in children.items():
        report = meeting / f"failed-{rank}.json"
        if report.exists():
            found = json.loads(report.read_text(encoding="utf-8"))
            if found["time"] <= before:
                problems.append(Problem(f"rank {rank}", found["message"]))
        elif wordless and child.poll():
            lines = (meeting / f"said-{rank}").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it said nothing"
            problems.append(Problem(f"rank {rank}", f"ended with code {child.returncode} ({last})"))
    return problems


def _end(children: Mapping[int, subprocess.Popen[bytes]], grace: float) -> None:
    """Wait for them, and after `grace` seconds no longer: they hold nothing that must be put in order."""
    end = time.monotonic() + grace
    for child in children.values():
        try:
            child.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def backend(device: str) -> str:
    """What the processes of a run speak."""
    return "nccl" if device == "cuda" else "gloo"
