"""A crash leaves one whole bundle that repeats it, and stays the error it was."""

from __future__ import annotations

import json

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.debug import collect as debug_write
from ocrmaps.debug import parts as debug_parts
from ocrmaps.debug.bundles import find_bundles
from ocrmaps.debug.entries import entries
from ocrmaps.detect.trained import load_detector
from ocrmaps.errors import DataError, RunError, SpecError
from ocrmaps.pipelines import debug, notes
from ocrmaps.pipelines.train import train
from ocrmaps.training.steps.replay import replay
from ocrmaps.trust import Trusted
from tests.debug.conftest import Boom
from tests.training.conftest import small_run

QUIET = {"watch__pictures": 0}


class Raise(Callback):
    """Raises from a hook at a step, or from inside the network."""

    def __init__(self, step, *, hook="network", error=None):
        self.step, self.hook, self.error = step, hook, error or Boom("the layer gave up")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and self.hook == "network":

            def fail(module, given):
                raise self.error

            pl_module.detector.decoder.register_forward_pre_hook(fail)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step and self.hook == "end":
            raise self.error


def crash(cache, out, callback, **changes):
    with pytest.raises((RuntimeError, ZeroDivisionError)) as caught:
        train(small_run(**QUIET, **changes), out=out, cache=cache, extra=(callback,))
    return caught.value


def test_a_crash_in_a_step_leaves_a_bundle_and_the_error_as_it_was(cache, tmp_path):
    error = crash(cache, tmp_path / "o", Raise(2))
    assert isinstance(error, Boom)
    (bundle,) = find_bundles(tmp_path / "o")
    assert bundle.state == "whole" and bundle.name.endswith("Z_boom")
    assert any(str(bundle.path) in note for note in error.__notes__)
    assert str(bundle.path) in (tmp_path / "o" / "run.log").read_text()
    expected = {
        "debug.jsonl", "run.log.txt", "traceback.txt", "run.json", "git.json", "environment.json", "store.json",
        "step.pt", "batch.json", "batch.png", "predictions.pt", "predictions.json", "predictions.png",
    }  # fmt: skip
    assert expected <= set(bundle.facts["files"]), expected - set(bundle.facts["files"])
    assert json.loads((bundle.path / "batch.json").read_text())["step"] == 2
    assert "the layer gave up" in (bundle.path / "traceback.txt").read_text()


def test_a_crash_that_needs_more_than_the_step_does_not_reproduce_and_says_so(cache, tmp_path):
    crash(cache, tmp_path / "o", Raise(2))  # the hook that raises is not part of the model
    (bundle,) = find_bundles(tmp_path / "o")
    report = debug.replay_bundle(bundle, cache=cache)
    assert not report.ok and report.replay.why.startswith("then Boom: the layer gave up; now loss ")
    assert report.store == "equal"


def test_an_error_beside_the_step_repeats_the_sound_step(cache, tmp_path):
    crash(cache, tmp_path / "o", Raise(2, hook="end"))
    (bundle,) = find_bundles(tmp_path / "o")
    report = debug.replay_bundle(bundle)
    assert report.ok and "the error was not in this step" in report.replay.why


class Poison(Callback):
    """Spoils the weights before a step, as a bad gradient would."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 4:
            next(pl_module.detector.head.parameters()).data.fill_(float("nan"))


class Scorch(Callback):
    """Weights from which every loss is infinite or none, before the guard takes its first copy of them."""

    def on_fit_start(self, trainer, pl_module):
        for weight in pl_module.detector.head.parameters():
            weight.data.fill_(3e38)


def test_the_guard_names_the_samples_and_its_bundle(cache, tmp_path):
    error = crash(cache, tmp_path / "o", Poison())
    assert isinstance(error, RunError) and "found loss nan on 2 samples: train/" in str(error)
    (bundle,) = find_bundles(tmp_path / "o")
    assert bundle.name.endswith("_nonfinite-loss") and str(bundle.path) in error.hint
    assert notes.grep("loss=nan and level=error", [tmp_path]).hits


FAULTY = """
from ocrmaps.model import DBLoss

class Picky(DBLoss):
    def forward(self, logits, targets):
        raise ZeroDivisionError("no pixel of that kind")
"""


def test_a_loss_that_fails_on_a_batch_reproduces_from_the_bundle_alone(cache, tmp_path, monkeypatch):
    (tmp_path / "somebodys_losses.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    crash(cache, tmp_path / "o", Callback(), loss__name="somebodys_losses:Picky")
    (bundle,) = find_bundles(tmp_path / "o")
    with pytest.raises(SpecError, match="loss somebodys_losses:Picky: this is code from outside"):
        debug.replay_bundle(bundle)
    report = debug.replay_bundle(bundle, trusted=Trusted.of(["somebodys_losses:Picky"]))
    assert report.ok and report.replay.now.error == "ZeroDivisionError: no pixel of that kind"


def test_weights_that_had_gone_wrong_before_do_not_reproduce(cache, tmp_path):
    crash(cache, tmp_path / "o", Poison())
    report = debug.replay_bundle(find_bundles(tmp_path)[0])
    assert not report.ok and report.replay.then.loss != report.replay.then.loss
    assert report.replay.now.loss is not None and 0 < report.replay.now.loss < 20


def test_a_loss_that_these_weights_make_infinite_reproduces(cache, tmp_path):
    crash(cache, tmp_path / "o", Scorch(), watch__guard_every=1)
    report = debug.replay_bundle(find_bundles(tmp_path)[0])
    assert report.ok, report.replay.why


def test_refusals_before_the_first_step_leave_no_bundle(cache, tmp_path):
    with pytest.raises(SpecError):
        train(small_run(data__batch_size=50, data__drop_last=True), out=tmp_path / "o", cache=cache)
    assert not (tmp_path / "o" / "debug").exists()


def test_an_interruption_is_no_crash(cache, tmp_path):
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(small_run(**QUIET), out=tmp_path / "o", cache=cache, extra=(Raise(1, error=KeyboardInterrupt()),))
    assert not (tmp_path / "o" / "debug").exists()


def test_a_bundle_that_fails_does_not_hide_the_error(cache, tmp_path, monkeypatch):
    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(debug_write.BundleDraft, "commit", full)
    error = crash(cache, tmp_path / "o", Raise(2))
    assert isinstance(error, Boom)
    assert any("could not be written: OSError" in note and "No space" in note for note in error.__notes__)
    assert find_bundles(tmp_path) == [] and list((tmp_path / "o" / "debug").iterdir()) == []


def test_neither_a_log_that_cannot_be_written_nor_an_error_without_words_hides_the_error(tmp_path):
    class Mute(RuntimeError):
        def __str__(self):
            raise ZeroDivisionError

    def tell(line):
        raise OSError(28, "No space left on device")

    run = small_run(**QUIET).as_dict()
    with pytest.raises(Mute) as caught, debug_write.on_crash(run, tmp_path, None, None, tell):
        raise Mute
    (bundle,) = find_bundles(tmp_path)
    assert "without words" in bundle.facts["message"]
    assert any(str(bundle.path) in note for note in caught.value.__notes__)


def test_a_part_that_fails_is_told_and_the_rest_is_there(cache, tmp_path, monkeypatch):
    def broken(*args, **settings):
        raise ValueError("no ink left")

    monkeypatch.setattr(debug_parts.train_pictures, "draw_batch", lambda batch, path, side=0: broken())
    monkeypatch.setattr(debug_parts, "git_state", broken)
    crash(cache, tmp_path / "o", Raise(2))
    (bundle,) = find_bundles(tmp_path)
    told = [e["message"] for e in entries(bundle) if e["kind"] == "absent"]
    assert [t.split(":")[0] for t in told] == ["git", "picture of the batch"]
    assert "step.pt" in bundle.facts["files"] and "git.json" not in bundle.facts["files"]


def test_only_plain_data_is_inside(cache, tmp_path):
    crash(cache, tmp_path / "o", Raise(2))
    (bundle,) = find_bundles(tmp_path)
    for path in bundle.path.glob("*.pt"):
        torch.load(path, weights_only=True)
    assert load_detector(bundle.path / "step.pt").detector is not None


def test_a_run_without_trouble_leaves_none(ran):
    assert not (ran.folder / "debug").exists()


def test_a_checkpoint_is_no_captured_step(ran):
    with pytest.raises(DataError, match="this is a checkpoint, not a captured step"):
        replay(ran.last)
