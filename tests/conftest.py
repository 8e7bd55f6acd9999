"""Fixtures shared by all rooms."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as profile

from ocrmaps.machine import prepare_process

# How long an example takes says nothing but how busy the machine is. Examples are the same in every run, so that a run
# tells of the code alone; OCRMAPS_TEST_RANDOM=1 draws others.
profile.register_profile(
    "ocrmaps", deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("OCRMAPS_TEST_RANDOM") != "1",
)  # fmt: skip
profile.load_profile("ocrmaps")

# Modules and collected tests live as long as the process. Python need not search them for garbage while they are made,
# nor again and again afterwards: that was a fifth of all time. Torch's threads that wait take another tenth.
prepare_process()
gc.disable()


# Tests write tens of thousands of small files. In memory none waits for a disk: a room of them ends in half the time.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 << 30 and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    if "torch" in sys.modules:
        # Two workers share the cores, and networks are tiny: threads would mostly wait for each other.
        sys.modules["torch"].set_num_threads(1)
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def on_disk() -> Iterator[Path]:
    """A folder on the disk, whose system says what of a file is in memory: loaders read otherwise where none does."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference outputs that may stand beside the checkout."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("needs ../shared (real data and reference outputs), which is not beside this checkout")
    return SHARED


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """(exit code, stdout, stderr) of a command line, in this process."""
    from ocrmaps.cli.app import main

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call
