"""Processes of a run that torchrun or srun started: which rank each is, how they meet, and who failed first."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from ocrmaps.errors import OcrmapsError, Problem, RunError, SpecError
from ocrmaps.training.callbacks.stop import Interrupted
from ocrmaps.training.ranks import AFTERTHOUGHT, TIMEOUT, Rank, backend
from ocrmaps.training.spec import HardwareSpec

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_NUM_NODES", "SLURM_STEP_NODELIST")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How this process was started as one of several."""

    by: str
    """torchrun or srun."""
    place: Rank
    address: str
    port: int
    meeting: str = ""
    """Tells one start of the processes from another where they meet in the same place."""
    hosted: bool = False
    """Whether the launcher keeps the place where they meet; else the first rank does."""


def launched(environ: Mapping[str, str]) -> Launch | None:
    """The launch that the environment tells of; None where this process was started alone.

    >>> launched({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a",
    ...           "MASTER_PORT": "29500"}).place
    Rank(rank=3, world=4, local=1, node=1, nodes=2)
    >>> launched({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
    True
    """
    if "RANK" in environ and "WORLD_SIZE" in environ:
        rank, world, local, each = _numbers(environ, "torchrun", *TORCHRUN[:4])
        return Launch(
            by="torchrun", place=_place("torchrun", rank, world, local, each), address=_said(environ, "MASTER_ADDR"),
            port=_numbers(environ, "torchrun", "MASTER_PORT")[0],
            meeting=environ.get("TORCHELASTIC_RESTART_COUNT", "0"),
            hosted=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        )  # fmt: skip
    # A batch script has the numbers of its job; only what srun starts has those of a step.
    if environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        rank, world, local, nodes = _numbers(environ, "srun", *SLURM[:4])
        job = re.sub(r"\D", "", environ.get("SLURM_JOB_ID", "0"))
        port = environ.get("MASTER_PORT", str(20_000 + int(job or "0") % 20_000))
        return Launch(
            by="srun", place=_place("srun", rank, world, local, world // max(1, nodes)),
            port=_numbers({"MASTER_PORT": port}, "srun", "MASTER_PORT")[0],
            address=environ.get("MASTER_ADDR") or first_host(_said(environ, "SLURM_STEP_NODELIST")),
            meeting=environ.get("SLURM_STEP_ID", "0"),
        )  # fmt: skip
    return None


def _numbers(environ: Mapping[str, str], by: str, *names: str) -> list[int]:
    wrong = [Problem(name, f"found {environ.get(name)!r}") for name in names if not environ.get(name, "").isdecimal()]
    if wrong:
        raise SpecError(
            f"this process was started by {by}, whose variables must be whole numbers:",
            problems=wrong,
            hint="docs/how-to/several-hosts.md shows the commands; unset them to start one process alone",
        )
    return [int(environ[name]) for name in names]


def _said(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise SpecError(f"{name} is not set, so the processes of this run do not know where to meet")
    return environ[name]


def _place(by: str, rank: int, world: int, local: int, each: int) -> Rank:
    if not (0 <= rank < world and 0 <= local < each and world % each == 0 and rank % each == local):
        raise SpecError(
            f"{by} says rank {rank} of {world}, {local} of {each} on this machine: expected as many processes on every "
            "machine, with ranks that follow each other",
            hint="docs/how-to/several-hosts.md shows the commands",
        )
    return Rank(rank=rank, world=world, local=local, node=rank // each, nodes=world // each)


def first_host(names: str) -> str:
    """The first host of a list as SLURM writes it.

    >>> first_host("gpu[03-05,9],cpu1"), first_host("a1,b2")
    ('gpu03', 'a1')
    """
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", names)
    if found is None:
        raise SpecError(f"SLURM_STEP_NODELIST: found {names!r}, expected names of hosts")
    return found[1] + (found[2] or "")


def check_launch(hardware: HardwareSpec, launch: Launch, device: str) -> None:
    """Refuse a launch of other processes than the run file says, and more devices than there are here."""
    place, each = launch.place, launch.place.world // launch.place.nodes
    if (hardware.devices, hardware.nodes) != (each, place.nodes):
        raise SpecError(
            f"{launch.by} started {each} processes on each of {place.nodes} machines; the run says hardware.devices = "
            f"{hardware.devices} and hardware.nodes = {hardware.nodes}",
            hint=f"--set hardware.devices={each} --set hardware.nodes={place.nodes}, or another launch",
        )
    if device == "cuda" and place.local >= torch.cuda.device_count():
        raise SpecError(
            f"hardware.devices: found {hardware.devices}, torch sees {torch.cuda.device_count()} CUDA devices on "
            f"{platform.node()}",
            hint="with SLURM, --gpus-per-node=N lets every process see all devices of its machine",
        )


@contextmanager
def joined(launch: Launch, device: str) -> Iterator[None]:
    """The other processes are there for as long as this lasts. Whoever fails first is what is raised, by its name."""
    place = launch.place
    if device == "cuda":
        torch.cuda.set_device(place.local)
    try:
        store = torch.distributed.TCPStore(
            launch.address, launch.port, None if launch.hosted else place.world,
            is_master=place.first and not launch.hosted, timeout=TIMEOUT, wait_for_workers=False,
        )  # fmt: skip
        shared = torch.distributed.PrefixStore(f"ocrmaps-{launch.meeting}", store)
        torch.distributed.init_process_group(
            backend(device), store=shared, rank=place.rank, world_size=place.world, timeout=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"rank {place.rank} on {platform.node()} did not meet the other {place.world - 1} processes at "
            f"{launch.address}:{launch.port}: {str(error).splitlines()[0]}",
            hint="can this machine reach that one, and is the port free there? MASTER_ADDR and MASTER_PORT name others",
        ) from error
    try:
        yield
        torch.distributed.barrier()
    except (Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:
        told = _first_failure(shared, place, error)
        if told is None:
            raise
        raise RunError(f"one of {place.world} processes failed: {told}") from error
    finally:
        with suppress(RuntimeError):  # the others may be gone
            torch.distributed.destroy_process_group()


def _first_failure(shared: Any, place: Rank, error: BaseException) -> str | None:
    """What the process said that failed first; None where this one did, or where nobody can be asked any more."""
    try:
        if shared.add("failures", 1) == 1:
            words = error if isinstance(error, OcrmapsError) else f"{type(error).__name__}: {error}"
            shared.set("failed", f"rank {place.rank} on {platform.node()}: {words}")
            # The others find that this one is gone, and ask what it said.
            time.sleep(AFTERTHOUGHT)
            return None
        return bytes(shared.get("failed")).decode()
    except (RuntimeError, ValueError):
        return None


def agree(launch: Launch, said: Mapping[str, Any]) -> None:
    """Refuse processes that see other data, another run or another checkpoint than the first one does."""
    everyone: list[Any] = [None] * launch.place.world
    torch.distributed.all_gather_object(everyone, {**said, "host": platform.node()})
    first = everyone[0]
    problems = [
        Problem(f"rank {rank} on {mine['host']}", f"{key} {mine[key]!r}, the first rank has {first[key]!r}")
        for rank, mine in enumerate(everyone)
        for key in said
        if mine[key] != first[key]
    ]
    if problems:
        raise RunError(
            "the processes of this run do not mean the same:",
            problems=problems,
            hint="all machines need the same run file, the same version of the store and the same --out folder",
        )
