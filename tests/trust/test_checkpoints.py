"""A checkpoint of a stranger takes no more memory than it is long, and no more time than its values take."""

from __future__ import annotations

import io
import itertools
import struct
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
    for _ in range(7):  # ten million
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


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _archive(path: Path, pickled: bytes, **values: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", **values}.items():
            archive.writestr(f"archive/{name}", data)
    return path


def _doubled() -> bytes:
    start = b"c_codecs\nencode\nq\x00" + _text("A" * 100) + _text("latin1") + b"\x86R"
    return b"\x80\x02" + start + (b"q\x01h\x00h\x01" + _text("hex") + b"\x86R") * 12 + b"."


def _copied() -> bytes:
    pairs = b"".join(b"K" + bytes([number]) + b"K\x00\x86" for number in range(100))
    return b"\x80\x02ccollections\nOrderedDict\nq\x00](" + pairs + b"e\x85q\x02](" + b"h\x00h\x02R" * 100 + b"e."


def _spelt(key: str) -> bytes:
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + b"K\x04tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x04\x85K\x01\x85\x89}tR"


def test_a_small_pickle_builds_nothing_large(tmp_path):
    """Each of these is read by torch, and takes as much memory as its writer wants."""
    spellings = [_spelt("".join(key)) for key in itertools.product("aA", "bB", "cC")]
    packed = _archive(tmp_path / "spelt.ckpt", b"\x80\x02](" + b"".join(spellings) + b"e.", **{"data/abc": bytes(16)})
    files = [packed, _archive(tmp_path / "doubled.ckpt", _doubled()), _archive(tmp_path / "copied.ckpt", _copied())]
    files.append(_archive(tmp_path / "case.ckpt", b"\x80\x02}.", **{"DATA.PKL": _doubled()}))
    for path in files[:3]:
        torch.load(path, weights_only=True)
    for path in files:
        with pytest.raises(DataError, match=r"cannot be read as a checkpoint \(UnpicklingError\)"):
            read_checkpoint(path)
        with pytest.raises(DataError, match="cannot be read as weights"):
            load_encoder_weights(torch.nn.Identity(), path)


def test_layouts_of_before_2020_are_looked_through_too(tmp_path):
    path = tmp_path / "x.pth"
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    assert read_checkpoint(path)["ocrmaps"] == {"format": FORMAT}
    path.write_bytes(_doubled())
    with pytest.raises(DataError, match=r"it names _codecs\.encode, expected tensors and plain data"):
        load_encoder_weights(torch.nn.Identity(), path)
    path.write_bytes(b"\x80\x02R.")
    with pytest.raises(DataError, match="its pickle is damaged"):
        load_encoder_weights(torch.nn.Identity(), path)


@pytest.mark.parametrize("decoy", ["end", "place"])
def test_an_archive_that_torch_reads_in_another_way_is_refused(decoy, tmp_path):
    """What is looked at and what torch reads are found from the end, and one of them looked further."""
    path = again(
        tmp_path / "x.ckpt", checkpoint_bytes(content()),
        lambda new, name, data: new.writestr(name, data, compress_type=zipfile.ZIP_DEFLATED),
    )  # fmt: skip
    data = path.read_bytes()
    if decoy == "end":
        path.write_bytes(data + b"PK\5\6")
        assert not zipfile.is_zipfile(path)
    else:
        *_, count, nbytes, start, _ = struct.unpack("<4s4H2LH", data[-22:])
        record = struct.Struct("<4sQ2H2L4Q")
        head = b"PK\6\6", 44, 45, 45, 0, 0
        other = data[:-22] + record.pack(*head, count, count, nbytes, start)
        ends = record.pack(*head, 0, 0, 0, len(other)) + struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
        path.write_bytes(other + ends + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0))
        assert not zipfile.ZipFile(path).namelist()
    assert "ocrmaps" in torch.load(path, weights_only=True)
    with pytest.raises(DataError, match="its list of entries is not at its end"):
        read_checkpoint(path)
