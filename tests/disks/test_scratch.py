"""What a killed process leaves is found and removed by the next; what a living one uses is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrmaps.pipelines.data import synth
from ocrmaps.scratch import OWNER, beside, scratch, sweep

HOLD = """
import sys
from pathlib import Path
from ocrmaps.scratch import beside, scratch
with {how} as folder:
    (folder / "half").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder(how: str, temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has such a folder open until it is killed, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(how=how)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_folder_is_empty_and_goes_with_its_block(temporary):
    with scratch("test") as folder:
        assert folder.is_relative_to(temporary) and not list(folder.iterdir())
        (folder / "x").touch()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_goes_when_the_next_begins_and_what_a_living_one_has_stays(temporary):
    dead, theirs = holder('scratch("one")', temporary)
    alive, ours = holder('scratch("two")', temporary)
    try:
        end(dead)
        assert (theirs / "half").exists()
        with scratch("three"):
            assert not theirs.parent.exists() and (ours / "half").exists()
    finally:
        end(alive)
    assert [path.parent for path in (ours,)] == sweep(temporary)
    assert not list(temporary.iterdir())


def test_folders_of_people_stay_however_they_are_called(temporary):
    (temporary / "ocrmaps-receipts").mkdir()
    (temporary / ".ocrmaps-x").mkdir()
    (temporary / ".ocrmaps-x" / OWNER).mkdir()
    (temporary / "ocrmaps-pipe").mkdir()
    os.mkfifo(temporary / "ocrmaps-pipe" / OWNER)
    (temporary / "mine").mkdir()
    (temporary / "mine" / OWNER).touch()
    (temporary / "ocrmaps-link").symlink_to(temporary / "mine")
    (temporary / "ocrmaps-file").touch()
    assert sweep(temporary) == []
    assert len(list(temporary.iterdir())) == 6 and (temporary / "mine" / OWNER).exists()


def test_a_command_that_was_killed_leaves_nothing_after_the_next_one(tmp_path):
    out = tmp_path / "data" / "set"
    command = [sys.executable, "-m", "ocrmaps", "data", "synth", str(out), "--num", "100000", "--height", "320"]
    process = subprocess.Popen([*command, "--width", "320"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("data/.ocrmaps-*/work/set/images/*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in out.parent.iterdir()] != []
    synth(out.with_name("other"), format="ufo", num=1, size=(320, 320), lines=(2, 3))
    assert [path.name for path in out.parent.iterdir()] == ["other"]


def test_a_folder_beside_a_result_is_on_its_disk(tmp_path):
    with beside(tmp_path / "new" / "x.json") as folder:
        assert folder.parent.parent == tmp_path / "new"
        os.replace(folder, tmp_path / "new" / "x")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x"]
