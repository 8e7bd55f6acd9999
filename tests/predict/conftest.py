"""Painted pictures and the detector that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ocrmaps.detect.trained import Trained
from tests.predict.bright import bright, paint, write_checkpoint


@pytest.fixture(scope="session")
def trained() -> Trained:
    return bright()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "bright.ckpt", trained)


@pytest.fixture(scope="session")
def painted() -> Image.Image:
    return Image.fromarray(paint())
