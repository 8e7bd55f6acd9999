"""A checkpoint of a stranger takes no more memory than it is long, and no more time than its values take."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrmaps.detect.trained import FORMAT, checkpoint_bytes, read_checkpoint
from ocrmaps.errors import DataError
from ocrmaps.model import plain
from ocrmaps.model.encoders.registry import load_encoder_weights


def content(**extra: Any) -> dict[str, Any]:
    return {"ocrmaps": {"format": FORMAT}, "state_dict": {"detector.x": torch.zeros(4)}, **extra}


def again(path: Path, data: bytes, change: Callable[[zipfile.ZipFile, str, bytes], None]) -> Path:
    """The archive with every entry written by `change`."""
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            change(new, name, old.read(name))
    return path


def keep(new: zipfile.ZipFile, name: str, data: bytes) -> None:
    new.writestr(zipfile.ZipInfo(name), data)


def test_an_archive_that_was_written_again_is_read(tmp_path):
    path = again(tmp_path / "x.ckpt", checkpoint_bytes(content()), keep)
    assert torch.equal(read_checkpoint(path)["state_dict"]["detector.x"], torch.zeros(4))


def test_packed_entries_are_refused_before_torch_unpacks_them(tmp_path):
    """A thousand times as many zeros as the file has bytes: torch would read them."""
    data = checkpoint_bytes(content(bomb=torch.zeros(2_500_000)))
    path = again(
        tmp_path / "x.ckpt", data, lambda new, name, data: new.writestr(name, data, compress_type=zipfile.ZIP_DEFLATED)
    )
    assert path.stat().st_size < 20_000 and "bomb" in torch.load(path, weights_only=True)
    for read in (read_checkpoint, lambda path: load_encoder_weights(torch.nn.Identity(), path)):
        with pytest.raises(DataError, match="its entries are compressed"):
            read(path)


def test_entries_that_lie_over_each_other_are_refused(tmp_path):
    """Two names of one piece of the file: each may be as long as the whole."""
    path = again(tmp_path / "x.ckpt", checkpoint_bytes(content()), keep)
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        for number in range(100):
            archive.filelist.append(_named(largest, f"archive/data/{number + 10}"))
        archive._didModify = True
    with pytest.raises(DataError, match=r"its entries state \d+ bytes, the file has"):
        read_checkpoint(path)


def _named(entry: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    other = zipfile.ZipInfo(name)
    for field in ("header_offset", "file_size", "compress_size", "CRC"):
        setattr(other, field, getattr(entry, field))
    other.file_size = other.compress_size = 10_000
    return other


def test_entries_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "MAX_ENTRIES", 5)
    path = tmp_path / "x.ckpt"
    path.write_bytes(checkpoint_bytes(content()))
    with pytest.raises(DataError, match="entries, expected at most 5"):
        read_checkpoint(path)


def _laughs() -> Any:
    value: Any = "ha"
    for _ in range(30):
        value = [value] * 10
    return value


def _itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def _deep() -> Any:
    value: Any = {}
    for _ in range(plain.MAX_DEPTH + 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_laughs, "more than 1000000 values"),
        (_itself, "nested more than 64 levels"),
        (_deep, "nested more than 64 levels"),
        (lambda: torch.zeros(1).expand(100_000, 100_000), "a tensor of"),
    ],
)
def test_what_holds_itself_over_and_over_is_refused(made, words, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(checkpoint_bytes(content(extra=made())))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=words):
        read_checkpoint(path)
