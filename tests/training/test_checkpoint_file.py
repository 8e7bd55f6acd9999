"""The checkpoint as a file: it appears whole and durable, and says for whom it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ocrmaps.detect.trained import FORMAT, LAST, read_checkpoint
from ocrmaps.errors import DataError, RunError
from ocrmaps.training.checkpoint import Keeper, keep_copy
from ocrmaps.training.module import DetectorModule
from ocrmaps.training.report import report


def trainer(save) -> SimpleNamespace:
    return SimpleNamespace(global_step=3, is_global_zero=True, save_checkpoint=save)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told: list[tuple[str, str, bytes]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        told.append(("sync", path.name, path.read_bytes()))
        fsync(handle)

    def replaced(source, target) -> None:
        told.append(("name", Path(source).name, Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    path = Keeper(tmp_path / "checkpoints").save_last(trainer(lambda to: Path(to).write_bytes(b"the state")))
    assert path.read_bytes() == b"the state"
    assert told == [("sync", f".{LAST}.part", b"the state"), ("name", f".{LAST}.part", b"the state")]


def test_a_checkpoint_of_another_format_is_refused_by_its_number(tmp_path):
    torch.save({"ocrmaps": {"format": FORMAT + 1}, "state_dict": {}}, tmp_path / "new.ckpt")
    with pytest.raises(DataError, match=f"checkpoint format {FORMAT + 1}, this ocrmaps reads {FORMAT}"):
        read_checkpoint(tmp_path / "new.ckpt")


def _full(to) -> None:
    Path(to).write_bytes(b"half of the st")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(to))


def test_a_full_disk_while_saving_leaves_the_old_checkpoint_and_nothing_else(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.save_last(trainer(lambda to: Path(to).write_bytes(b"the old state")))
    with pytest.raises(RunError, match="cannot be saved") as refused:
        keeper.save_last(trainer(_full))
    assert [p.name for p in tmp_path.iterdir()] == [LAST]
    assert (tmp_path / LAST).read_bytes() == b"the old state"
    assert "\n" not in str(refused.value)


def test_a_full_disk_while_keeping_a_best_one_leaves_no_part(tmp_path, monkeypatch):
    (tmp_path / LAST).write_bytes(b"state")

    def no_links(*given) -> None:
        raise OSError(errno.EPERM, "no second names here")

    def full(source, target) -> None:
        Path(target).write_bytes(b"st")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr("ocrmaps.training.checkpoint.shutil.copyfile", full)
    with pytest.raises(RunError, match=r"best\.ckpt: cannot be saved"):
        keep_copy(tmp_path / LAST, tmp_path / "best.ckpt")
    assert [p.name for p in tmp_path.iterdir()] == [LAST]


def validated(keeper: Keeper, epoch: int, hmean: float, loss: float) -> None:
    """The end of an epoch with a complete validation."""
    module = DetectorModule.__new__(DetectorModule)
    module.__dict__.update(score=SimpleNamespace(complete=True, hmean=lambda: hmean), val_loss=loss)
    at = trainer(lambda to: Path(to).write_bytes(f"epoch {epoch}".encode()))
    at.current_epoch, at.global_step = epoch - 1, epoch
    keeper.on_train_epoch_end(at, module)


def test_while_nothing_is_found_the_lowest_loss_is_the_best(tmp_path):
    keeper = Keeper(tmp_path)
    for epoch, loss in enumerate([2.0, 1.5, float("nan"), 1.6], start=1):
        validated(keeper, epoch, 0.0, loss)
    assert keeper.best_path is not None and keeper.best_path.read_bytes() == b"epoch 2"
    # A resumed run knows the losses of before.
    again = Keeper(tmp_path)
    again.load_state_dict(keeper.state_dict())
    validated(again, 5, 0.0, 1.55)
    assert again.best_path == keeper.best_path
    validated(again, 6, 0.25, 9.0)
    validated(again, 7, 0.25, 9.0)
    assert again.best_path.read_bytes() == b"epoch 6" and len(again.losses) == 1


def test_a_state_of_before_losses_were_kept_is_read(tmp_path):
    (tmp_path / "best-epoch001.ckpt").write_bytes(b"old")
    keeper = Keeper(tmp_path)
    keeper.load_state_dict({"best": [[0.0, "best-epoch001.ckpt"]]})
    validated(keeper, 2, 0.0, 3.0)
    assert keeper.best_path is not None and keeper.best_path.read_bytes() == b"epoch 2"


@pytest.mark.parametrize(("hmean", "words"), [(0.0, "ocrmaps debug doctor RUN"), (0.5, "best val hmean 0.5000")])
def test_a_run_that_finds_nothing_names_the_doctor_instead_of_a_best_score(hmean, words, tmp_path):
    told: list[str] = []
    run = SimpleNamespace(
        out=tmp_path, first=False, card={"store": {"root_digest": "0" * 16}, "seed": 0, "precision": "float32"}
    )
    fitted = SimpleNamespace(best=tmp_path / "best.ckpt", hmean=hmean, rows=(), steps=1, samples=1)
    report(run, fitted, told.append)  # type: ignore[arg-type]
    assert len(told) == 1 and words.replace("RUN", str(tmp_path)) in told[0]
    assert ("best val" in told[0]) == bool(hmean)
