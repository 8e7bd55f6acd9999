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
