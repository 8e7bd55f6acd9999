"""Going on after the worst: damaged checkpoints, a save cut short, a kill between two files, weights that are gone."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from ocrmaps.detect.trained import read_checkpoint
from ocrmaps.errors import DataError, RunError, SpecError
from ocrmaps.model import build_detector
from ocrmaps.pipelines.train import train
from ocrmaps.training.checkpoint import Keeper
from ocrmaps.training.resume import find_checkpoint
from tests.training.conftest import small_run

QUIET = {"watch__pictures": 0}


def cut(path: Path) -> None:
    """Leaves half of the file, under a name of its own: kept checkpoints may share their bytes with the latest."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    return train(small_run(**QUIET), out=tmp_path_factory.mktemp("whole") / "o", cache=world / "cache")


class HaltAfterOne(Callback):
    """Ends the process, as it were, right after the first epoch was saved."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise KeyError("halted")


@pytest.fixture(scope="module")
def killed(world, tmp_path_factory) -> Path:
    """The folder of a run that was killed after its first epoch."""
    out = tmp_path_factory.mktemp("killed") / "o"
    with pytest.raises(KeyError):
        train(small_run(**QUIET, keep__top=2), out=out, cache=world / "cache", extra=(HaltAfterOne(),))
    return out


@pytest.fixture
def halted(killed, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(killed, tmp_path / "h")
    return tmp_path / "h"


@pytest.fixture
def copied(whole, tmp_path) -> Path:
    """A copy of the finished run's folder."""
    shutil.copytree(whole.folder, tmp_path / "o")
    return tmp_path / "o"


def test_where_the_latest_is_damaged_the_newest_whole_one_is_taken_and_said(whole, halted, cache):
    cut(halted / "checkpoints" / "last.ckpt")
    lines: list[str] = []
    again = train(small_run(**QUIET, keep__top=2), out=halted, cache=cache, resume="auto", say=lines.append)
    said = [line for line in lines if line.startswith("WARNING")]
    assert said == [
        "WARNING: not resumed from the latest state: last.ckpt: cannot be read as a checkpoint: its list of entries is "
        "not at its end"
    ]
    assert any(re.fullmatch(r"resumed from .*best-.*\.ckpt, step 3", line) for line in lines)
    first, second = (read_checkpoint(r.last)["state_dict"] for r in (whole, again))
    assert all(torch.equal(v, second[k]) for k, v in first.items())
    assert [r["step"] for r in again.rows] == [3, 6]


def test_where_none_can_be_read_nothing_begins_anew(copied, cache):
    for path in (copied / "checkpoints").iterdir():
        cut(path)
    with pytest.raises(RunError, match="none of the checkpoints") as caught:
        train(small_run(**QUIET), out=copied, cache=cache, resume="auto")
    assert [p.loc[:4] for p in caught.value.problems] == ["last", "best"]


def test_a_run_that_was_killed_before_its_first_save_begins_again(cache, tmp_path):
    """So that a job which may be killed at any moment can always be started with --resume auto."""

    class Kill(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            raise KeyError("killed")

    with pytest.raises(KeyError):
        train(small_run(**QUIET), out=tmp_path / "o", cache=cache, extra=(Kill(),))
    with pytest.raises(SpecError, match="is not empty"):
        train(small_run(**QUIET), out=tmp_path / "o", cache=cache)
    assert train(small_run(**QUIET), out=tmp_path / "o", cache=cache, resume="auto").identity["steps"] == 6


def test_a_folder_of_something_else_is_no_run_to_go_on_with(cache, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SpecError, match="is not empty"):
        train(small_run(**QUIET), out=tmp_path, cache=cache, resume="auto")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_kept_ones_are_tried_by_their_steps(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in (
        "epoch009-step000090-hmean0.9000",
        "epoch010-step000100-hmean0.1000",
        "epoch002-step000020-hmean0.9999",
    ):
        (folder / f"best-{name}.ckpt").write_bytes(b"x")
    with pytest.raises(RunError) as caught:
        find_checkpoint(tmp_path, "auto")
    assert [p.loc.split("-")[2] for p in caught.value.problems] == ["step000100", "step000090", "step000020"]


@pytest.mark.parametrize("content", [b"", b"epoch,step\n1,3\n", b"\x80\x02.", b"PK\x03\x04 and then nothing"])
def test_a_file_of_another_kind_is_refused_whatever_is_in_it(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.ckpt"):
        find_checkpoint(tmp_path, str(tmp_path / "x.ckpt"))


def test_a_save_that_is_cut_short_leaves_the_state_there_was(tmp_path):
    class Full:
        global_step, is_global_zero = 7, True

        def save_checkpoint(self, path):
            Path(path).write_bytes(b"half")
            raise OSError("no space left")

    (tmp_path / "last.ckpt").write_bytes(b"whole")
    with pytest.raises(RunError, match="no space"):
        Keeper(tmp_path).save_last(Full())  # type: ignore[arg-type]
    assert (tmp_path / "last.ckpt").read_bytes() == b"whole"


def test_killed_between_the_latest_and_the_best_the_best_is_named_after_all(halted, whole, cache):
    """What a kill right after the first epoch's save leaves: the state says it is a best one, no file does."""
    (best,) = (halted / "checkpoints").glob("best-*")
    best.replace(halted / "checkpoints" / "last.ckpt")
    again = train(small_run(**QUIET, keep__top=2), out=halted, cache=cache, resume="auto")
    assert best.is_file() and read_checkpoint(best)["ocrmaps"]["steps"] == 3
    assert again.best is not None and again.best.name == whole.best.name


def test_killed_there_in_the_last_epoch_the_best_is_named_though_nothing_is_left_to_train(copied, cache):
    (best,) = (copied / "checkpoints").glob("best-*")
    steps = read_checkpoint(best)["ocrmaps"]["steps"]  # those of the last epoch, unless another seed says otherwise
    best.replace(copied / "checkpoints" / "last.ckpt")
    (copied / "result.json").unlink()
    again = train(small_run(**QUIET), out=copied, cache=cache, resume="auto")
    assert (again.best, again.identity["steps"]) == (best, 6)
    assert read_checkpoint(best)["ocrmaps"]["steps"] == steps


def test_a_run_that_patience_ended_is_finished(cache, tmp_path):
    spec = small_run(**QUIET, budget={"epochs": 9, "patience": 1}, optimizer={"lr": 1e-6})
    first = train(spec, out=tmp_path / "o", cache=cache)
    assert len(first.rows) == 2
    again = train(spec, out=tmp_path / "o", cache=cache, resume="auto")
    assert (len(again.rows), again.identity["steps"], again.best) == (2, 6, first.best)


def test_patience_goes_on_counting_where_it_was(cache, tmp_path):
    class Halt(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise KeyError("halt")

    spec = small_run(**QUIET, budget={"epochs": 9, "patience": 3}, optimizer={"lr": 1e-6})
    with pytest.raises(KeyError):
        train(spec, out=tmp_path / "o", cache=cache, extra=(Halt(),))
    assert len(train(spec, out=tmp_path / "o", cache=cache, resume="auto").rows) == 4


def test_published_weights_may_be_gone_and_no_place_of_this_machine_is_kept(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "maps").symlink_to(cache)
    plain = small_run(**QUIET)
    weights = build_detector(plain.model).encoder.state_dict()
    torch.save(weights, tmp_path / "published.pth")
    model = replace(plain.model, encoder_weights=str(tmp_path / "published.pth"))
    spec = replace(plain, model=model, data=replace(plain.data, cache=tmp_path / "maps"))
    first = train(spec, out=tmp_path / "runs" / "o")
    card = read_checkpoint(first.last)["ocrmaps"]
    assert str(tmp_path) not in str(card)
    assert card["run"]["data"]["cache"] == "~/maps" and card["run"]["model"]["encoder_weights"] == "published.pth"
    (tmp_path / "published.pth").unlink()
    assert train(spec, out=tmp_path / "runs" / "o", resume="auto").identity["steps"] == 6
