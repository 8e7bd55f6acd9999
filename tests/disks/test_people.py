"""Odd disks, names, clocks and rights of the people who use this: each ends well or in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrmaps.annotations import scan
from ocrmaps.annotations.records import Source
from ocrmaps.errors import DataError, OcrmapsError, PictureError, RunError
from ocrmaps.files import replacing, write_json
from ocrmaps.pictures import decode
from ocrmaps.store.places import posix
from ocrmaps.store.upkeep.verify import verify
from tests.store.world import make_world

NAMES = ["with blank", "two\nlines", "tab\there", "quote\"'", "\u00e9 \u202e", "-dash", "%s{0}$x"]
RAW = os.fsdecode(b"\xff\xfe raw")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_store_below_a_folder_of_an_odd_name_is_built_and_verified(tmp_path: Path, name):
    world = make_world(tmp_path / name, samples=2)
    world.build()
    assert verify(world.folder).ok


def test_pictures_below_a_folder_whose_name_is_no_text_are_refused_in_one_sentence(tmp_path: Path):
    world = make_world(tmp_path / RAW, samples=2)
    with pytest.raises(DataError, match=r"udcff.*expected one in UTF-8"):
        world.build()


@pytest.mark.parametrize("name", [*NAMES, RAW], ids=ascii)
def test_a_result_file_of_an_odd_name_is_written_and_a_refusal_can_be_printed(tmp_path: Path, name):
    out = tmp_path / name
    write_json(out, {"a": 1})
    assert out.read_bytes() and [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(PictureError) as refused:
        decode(out)
    str(refused.value).encode("utf-8", "backslashreplace")


def test_names_that_differ_in_case_alone_are_two_samples(tmp_path: Path):
    world = make_world(tmp_path, samples=2)
    world.add("train", "A.png")
    world.add("train", "a.png")
    world.build()
    assert verify(world.folder).ok


def test_an_annotation_folder_that_vanishes_is_one_sentence(tmp_path: Path):
    reading = scan(Source(annotations=tmp_path / "gone", pictures=tmp_path / "gone", format="icdar"))
    assert [problem.kind for problem in reading.problems] == ["missing-file"]


def test_a_folder_that_vanishes_while_a_result_is_written_is_one_sentence(tmp_path: Path):
    out = tmp_path / "out" / "r.json"

    def write() -> None:
        with replacing(out) as part:
            part.write_bytes(b"{}")
            part.unlink()
            part.parent.rmdir()

    with pytest.raises(RunError, match=r"r\.json cannot be written"):
        write()


def test_a_file_in_a_folders_place_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_json(tmp_path / "file" / "r.json", {})
    with pytest.raises(OcrmapsError):
        posix.make_folder(tmp_path / "file" / "store")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_the_umask_changes_no_digest_and_locks_nobody_out_of_ones_own_files(tmp_path: Path, mask):
    before = os.umask(mask)
    try:
        world = make_world(tmp_path / "a", samples=2)
        digest = world.build().root_digest
        write_json(tmp_path / "r.json", {})
    finally:
        os.umask(before)
    assert verify(world.folder).ok and digest == make_world(tmp_path / "b", samples=2).build().root_digest
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_clock_that_was_set_back_hides_no_edit(tmp_path: Path, monkeypatch):
    world = make_world(tmp_path, samples=2)
    first = world.build().version
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)  # years before the files' own stamps
    world.add("train", "01.png", size=(64, 30), seed=9)
    assert world.build().version != first
    assert verify(world.folder).ok


def test_windows_is_refused_in_one_sentence_before_anything_is_imported():
    code = "import os, sys; os.name = 'nt'; sys.modules['fcntl'] = None; import ocrmaps.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ocrmaps: this is Windows") and "  try: run it in WSL" in done.stderr
    assert "Traceback" not in done.stderr
