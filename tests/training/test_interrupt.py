"""Ctrl-C and SIGTERM: the state is saved, the way back is said, nothing goes on running, and back is the same run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.cli.app import main
from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.pipelines import train as training
from ocrmaps.pipelines.train import train
from ocrmaps.training.callbacks.stop import Interrupted, Stop
from ocrmaps.training.checkpoint import Keeper
from ocrmaps.training.folder import read_metrics
from tests.forks import Fork
from tests.known import SEED
from tests.training.conftest import small_run

RUN = f"""
name = "small"
seed = {SEED}
ema = 0.9
device = "cpu"
[data]
store = "tiny"
batch_size = 2
[model]
encoder = "light"
encoder_options = {{channels = [8, 8, 16, 16]}}
decoder_options = {{width = 16}}
[budget]
epochs = 3
[watch]
pictures = 0
"""


class Wait(Callback):
    """Says by a file that the fifth step begins, and waits there until another says that the signal was sent."""

    def __init__(self, here: Path) -> None:
        self.here, self.sent = here, here.with_suffix(".sent")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 4:
            self.here.touch()
            end = time.monotonic() + 600
            while not self.sent.exists() and time.monotonic() < end:
                time.sleep(0.01)


def command(here: Path, *words: str) -> None:
    """The command line, in a process of its own, with somebody at the terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    training.train = partial(train, extra=(Wait(here),))
    sys.argv = ["ocrmaps", *words]
    main()


class Press(Callback):
    """Presses Ctrl-C, or sends another signal, at a moment of the run: to this process or to those forked beside it."""

    def __init__(
        self, *, step: int = -1, validation: int = -1, times: int = 1, signal: int = signal.SIGINT, beside: bool = False
    ) -> None:
        self.step, self.validation, self.times = step, validation, times
        self.signal, self.beside = signal, beside
        self.pressed = False

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            self._press()

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == self.validation:
            self._press()

    def _press(self) -> None:
        whom = [child.pid for child in multiprocessing.active_children()] if self.beside else [os.getpid()]
        assert whom
        for pid in () if self.pressed else whom * self.times:
            os.kill(pid, self.signal)
        self.pressed = True


@pytest.fixture(autouse=True)
def a_terminal():
    """A shell may have started the tests deaf to interruptions."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def spec(**changes):
    return small_run(ema=0.9, budget={"epochs": 3}, watch__pictures=0, **changes)


@pytest.fixture(scope="module")
def straight(world, tmp_path_factory):
    """The run that nobody interrupted."""
    return train(spec(), out=tmp_path_factory.mktemp("straight") / "o", cache=world / "cache")


def assert_same(a, b) -> None:
    first, second = read_checkpoint(a.last), read_checkpoint(b.last)
    assert first["state_dict"].keys() == second["state_dict"].keys()
    assert all(torch.equal(v, second["state_dict"][k]) for k, v in first["state_dict"].items())
    for k, v in first["optimizer_states"][0]["state"].items():
        assert all(torch.equal(v[n], second["optimizer_states"][0]["state"][k][n]) for n in v)
    same = ("epoch", "step", "samples", "lr", "train/loss", "val/hmean", "val/loss", "gradient_p50", "gradient_p95")
    rows = [[{n: r[n] for n in same} for r in read_metrics(x.folder / "metrics.csv")] for x in (a, b)]
    assert rows[0] == rows[1]


def test_a_stopped_command_says_how_to_go_on_and_going_on_is_the_same_run(world, straight, tmp_path):
    (tmp_path / "r.toml").write_text(RUN)
    wait, out, said = Wait(tmp_path / "here"), tmp_path / "out", tmp_path / "said"
    words = ["train", str(tmp_path / "r.toml"), "--out", str(out), "--root", str(world / "cache")]
    process = Fork(said, command, wait.here, *words)
    try:
        end = time.monotonic() + 600
        while not wait.here.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        wait.sent.touch()
        process.wait(600)  # ends only if no thread is left
    finally:
        process.kill()
    lines = said.read_text(encoding="utf-8")
    assert process.returncode == 130, lines
    assert f"interrupted after step 5; the state is in {out / 'checkpoints' / 'last.ckpt'}" in lines
    assert lines.count("interrupted after step 5") == 1
    assert f"--out {out} --resume auto" in lines and "Traceback" not in lines
    assert read_checkpoint(out / "checkpoints" / "last.ckpt")["ocrmaps"]["steps"] == 5
    assert not (out / "debug").exists() and "interrupted after step 5" in (out / "run.log").read_text()
    assert_same(straight, train(spec(), out=out, cache=world / "cache", resume="auto"))


@pytest.mark.parametrize(
    ("press", "steps"), [({"step": 1}, 2), ({"step": 2}, 3), ({"validation": 1}, 6)],
    ids=["within an epoch", "in its last step", "in a validation"],
)  # fmt: skip
def test_wherever_it_is_pressed_nothing_is_lost_and_no_thread_stays(cache, straight, tmp_path, press, steps):
    before, handler = set(threading.enumerate()), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=f"interrupted after step {steps}; the state is in"):
        train(spec(), out=tmp_path / "o", cache=cache, extra=(Press(**press),))
    assert set(threading.enumerate()) <= before and signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "o" / "debug").exists() and not (tmp_path / "o" / "result.json").exists()
    assert_same(straight, train(spec(), out=tmp_path / "o", cache=cache, resume="auto"))


def test_pressed_twice_it_ends_at_once_with_the_checkpoint_there_was(cache, straight, tmp_path):
    before = set(threading.enumerate())
    with pytest.raises(Interrupted, match="interrupted at once; the state is in"):
        train(spec(), out=tmp_path / "o", cache=cache, extra=(Press(step=4, times=2),))
    assert set(threading.enumerate()) <= before
    assert read_checkpoint(tmp_path / "o" / "checkpoints" / "last.ckpt")["ocrmaps"]["steps"] == 3
    assert_same(straight, train(spec(), out=tmp_path / "o", cache=cache, resume="auto"))


def test_a_scheduler_that_repeats_itself_gets_the_same_orderly_end(cache, straight, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="terminated after step 5; the state is in") as caught:
        train(spec(), out=tmp_path / "o", cache=cache, extra=(Press(step=4, times=3, signal=signal.SIGTERM),))
    assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert_same(straight, train(spec(), out=tmp_path / "o", cache=cache, resume="auto"))


def test_a_job_that_ignores_the_terminal_goes_on_ignoring_it(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stop(Keeper(tmp_path)).listening():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)


def test_gradients_that_are_still_added_up_are_finished_first(cache, tmp_path):
    changes = {"optimizer": {"accumulate": 2}, "data__batch_size": 1}
    whole = train(spec(**changes), out=tmp_path / "whole", cache=cache)
    with pytest.raises(Interrupted, match="interrupted after step 2"):
        train(spec(**changes), out=tmp_path / "o", cache=cache, extra=(Press(step=1),))
    assert_same(whole, train(spec(**changes), out=tmp_path / "o", cache=cache, resume="auto"))


def test_an_error_leaves_no_thread_behind_either(cache, tmp_path):
    class Fails(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            raise ZeroDivisionError

    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        train(spec(), out=tmp_path / "o", cache=cache, extra=(Fails(),))
    assert set(threading.enumerate()) <= before
