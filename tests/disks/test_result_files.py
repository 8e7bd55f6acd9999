"""Result files appear whole or not at all, and replace nothing that nobody agreed to replace."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ocrmaps.errors import RunError, SpecError
from ocrmaps.files import refuse_existing, refuse_filled, replacing, write_json, write_new


def test_a_result_file_is_replaced_only_if_agreed(tmp_path: Path):
    out = tmp_path / "out.json"
    write_new(out, b"first", replace_existing=False)
    with pytest.raises(SpecError, match="exists already"):
        write_new(out, b"second", replace_existing=False)
    assert out.read_bytes() == b"first"
    write_new(out, b"second", replace_existing=True)
    assert out.read_bytes() == b"second"


def test_a_folder_is_no_result_file(tmp_path: Path):
    with pytest.raises(SpecError, match="is a folder"):
        refuse_existing(tmp_path, replace_existing=True)


def test_a_folder_is_written_into_only_while_it_is_empty(tmp_path: Path):
    refuse_filled(tmp_path / "new")
    refuse_filled(tmp_path)
    (tmp_path / "mine").touch()
    for taken in (tmp_path, tmp_path / "mine"):
        with pytest.raises(SpecError, match="is not an empty folder"):
            refuse_filled(taken)


def test_a_full_disk_is_one_message_and_the_old_file_stays(tmp_path: Path):
    out = tmp_path / "out.json"
    write_json(out, {"old": True})
    before = out.read_bytes()

    def write() -> None:
        with replacing(out) as part:
            part.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"out\.json cannot be written: No space left"):
        write()
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]
