"""A small version, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.world import make_world


@pytest.fixture(scope="session")
def loader_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = make_world(tmp_path_factory.mktemp("adapters"), samples=8)
    world.build()
    return world.folder
