"""A run whose processes torchrun or srun started: each takes its place, and they train what one machine trains."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed.run

import ocrmaps
from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import RunError, SpecError
from ocrmaps.pipelines.train import train
from ocrmaps.settings.files import dump
from ocrmaps.training import launch as launching
from ocrmaps.training import ranks
from ocrmaps.training.launch import Launch, agree, check_launch, launched
from ocrmaps.training.ranks import Rank, check_ranks
from ocrmaps.training.resume import check_same_run
from ocrmaps.training.sharing import devices_of
from ocrmaps.training.spec import HardwareSpec
from tests.forks import Fork, fork_rank
from tests.training.conftest import small_run
from tests.training.test_stores import several, two  # noqa: F401

TORCHRUN = {
    "RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29400", "TORCHELASTIC_USE_AGENT_STORE": "True",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07,09]", "SLURM_JOB_ID": "41234", "SLURM_STEP_ID": "0",
}  # fmt: skip


@contextmanager
def held_port() -> Iterator[str]:
    """A free port that the system gives to nobody else meanwhile; who listens there shares it, as servers do."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield str(holder.getsockname()[1])


def torchrun(*words: str) -> None:
    """What the command `torchrun` does, where everything is imported already: its workers are forked, too."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.distributed.run.main(words)


def test_torchrun_and_srun_say_which_rank_this_is():
    assert launched({}) is None
    found = launched(TORCHRUN)
    assert (found.place, found.address, found.port, found.hosted) == (
        Rank(rank=2, world=4, local=0, node=1, nodes=2), "10.0.0.1", 29400, True
    )  # fmt: skip
    found = launched(SRUN)
    assert (found.by, found.place) == ("srun", Rank(rank=3, world=4, local=1, node=1, nodes=2))
    assert (found.address, found.hosted) == ("gpu07", False) and 20_000 <= found.port < 40_000
    assert launched(SRUN | {"MASTER_ADDR": "h", "MASTER_PORT": "7"}).port == 7
    assert launched({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None  # within the batch script itself
    assert launched(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (TORCHRUN | {"RANK": "x"}, "RANK: found 'x'"),
        ({k: v for k, v in TORCHRUN.items() if k != "MASTER_ADDR"}, "MASTER_ADDR is not set"),
        (TORCHRUN | {"RANK": "9"}, "rank 9 of 4, 0 of 2 on this machine"),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS: found 'many'"),
        (SRUN | {"MASTER_PORT": "http"}, "MASTER_PORT: found 'http'"),
        (SRUN | {"SLURM_PROCID": "2"}, "rank 2 of 4, 1 of 2 on this machine"),  # --distribution=cyclic
    ],
)
def test_a_launch_that_makes_no_sense_is_refused(environ, words):
    with pytest.raises(SpecError, match=words):
        launched(environ)


def test_a_launch_of_other_processes_than_the_run_says_is_refused():
    check_launch(HardwareSpec(devices=2, nodes=2), launched(TORCHRUN), "cpu")
    with pytest.raises(SpecError, match="torchrun started 2 processes on each of 2 machines; the run says") as caught:
        check_launch(HardwareSpec(devices=4), launched(TORCHRUN), "cpu")
    assert "--set hardware.devices=2 --set hardware.nodes=2" in caught.value.hint
    with pytest.raises(SpecError, match=r"hardware\.nodes: found 2, and this process was started alone"):
        check_ranks(1, "cpu", nodes=2)


def test_machines_count_as_devices_when_a_run_goes_on():
    hardware = {"devices": 2, "nodes": 2}
    assert devices_of({"hardware": hardware}) == HardwareSpec(**hardware).world == 4
    card = {"run": small_run(hardware=hardware).as_dict(), "store": {"root_digest": "a"}}
    check_same_run(card, card | {"run": small_run(hardware={"devices": 4}).as_dict()}, "x.ckpt")
    before = {k: v for k, v in small_run().as_dict()["hardware"].items() if k != "nodes"}
    check_same_run(card | {"run": small_run().as_dict() | {"hardware": before}},
                   card | {"run": small_run().as_dict()}, "x.ckpt")  # fmt: skip


def test_processes_that_mean_different_runs_are_refused(monkeypatch):
    def gather(everyone, mine):
        everyone[:] = [mine | {"resumed step": 6}, mine]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    place = Launch(by="srun", place=Rank(rank=1, world=2), address="a", port=1)
    agree(place, {"root digest": "r"})
    with pytest.raises(RunError, match=r"rank 1 on .*: resumed step None, the first rank has 6"):
        agree(place, {"resumed step": None})


def test_who_fails_first_is_named(monkeypatch):
    monkeypatch.setattr(launching, "AFTERTHOUGHT", 0.0)
    shared = torch.distributed.HashStore()
    assert launching._first_failure(shared, Rank(rank=1, world=2), RunError("the disk is full")) is None
    told = launching._first_failure(shared, Rank(world=2), RuntimeError("connection closed by peer"))
    assert told == f"rank 1 on {platform.node()}: the disk is full"


@pytest.mark.slow
def test_two_machines_train_what_one_with_two_devices_trains(two, tmp_path, monkeypatch):  # noqa: F811
    """Two torchrun launches over loopback; several stores, so that their order is shared out, too."""
    monkeypatch.setattr(ranks, "_start", fork_rank)
    settings = {"ema": 0.9, "budget": {"epochs": 1}}
    one = train(several(**settings, hardware={"devices": 2}), out=tmp_path / "one", cache=two)
    run = tmp_path / "run.toml"
    run.write_text(dump(several(**settings, hardware={"nodes": 2})), encoding="utf-8")
    with held_port() as port:
        hosts = [
            Fork(
                tmp_path / f"said-{node}", torchrun, "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(node),
                "--master-addr", "127.0.0.1", "--master-port", port, "--run-path", "--start-method", "fork",
                str(Path(ocrmaps.__file__).with_name("__main__.py")), "train", str(run), "--root", str(two),
                "--out", str(tmp_path / "two"),
            )
            for node in range(2)
        ]  # fmt: skip
        codes = [host.wait() for host in hosts]
    said = [(tmp_path / f"said-{node}").read_text(encoding="utf-8") for node in range(2)]
    assert codes == [0, 0], said
    assert "devices: 2 on 2 machines" in said[0] and "epoch 1/1" not in said[1]
    mine, theirs = (read_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("two", "one"))
    assert all(torch.equal(mine["state_dict"][name], value) for name, value in theirs["state_dict"].items())
    assert mine["ocrmaps"]["samples"] == one.identity["samples"]
    assert sorted(p.name for p in (tmp_path / "two").rglob("*")) == sorted(p.name for p in one.folder.rglob("*"))
