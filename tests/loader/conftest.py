"""A small version on two canvases, built once, and a private copy for tests that damage it."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.world import make_world


@pytest.fixture(scope="session")
def folder(on_disk: Path) -> Path:
    """20 rows: train has 10 of 64x64 and 3 of 64x32, val the rest; three rows to a shard. Nobody changes it."""
    world = make_world(on_disk / "loader", samples=20)
    world.build()
    return world.folder


@pytest.fixture
def own_folder(folder: Path, tmp_path: Path) -> Path:
    """The same version for one test to damage."""
    copy = tmp_path / folder.parent.name / folder.name
    shutil.copytree(folder, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Whatever a test does with a loader, its threads end with it."""
    yield
    if loading():
        gc.collect()  # a failed test may hold its loader in a cycle
    assert loading() == []


def loading() -> list[str]:
    """Names of the loader threads that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith("ocrmaps-loader")]
