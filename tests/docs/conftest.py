"""The small project that pages start from: what the tutorial leaves behind, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.running import run

RECIPE = """
[[sources]]
path = "receipts/train"
split = "train"

[[sources]]
path = "receipts/val"
split = "val"

[canonical]
canvases = [[192, 192], [192, 96]]
side = 192
"""
RUN = """
[data]
store = "receipts"
batch_size = 4

[model]
encoder = "light"

[optimizer]
lr = 4e-3

[budget]
epochs = 1
"""
PICTURES = (
    "ocrmaps data synth receipts/train --num {} --seed 1 --height 640 --width 320",
    "ocrmaps data synth receipts/val --num {} --seed 2 --height 640 --width 320",
)
MAKE = (
    PICTURES[0].format(8),
    PICTURES[1].format(4),
    "ocrmaps build receipts.toml",
    "ocrmaps train receipts-run.toml --out runs/first",
)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with receipts/train, receipts/val, receipts.toml, receipts-run.toml, the store and runs/first."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    folder.mkdir()
    (folder / "receipts.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "receipts-run.toml").write_text(RUN, encoding="utf-8")
    for command in MAKE:
        code, said = run(command, folder)
        assert code == 0, f"{command}: {said}"
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train` and `val` of two pictures each: a page that trains as long as is recommended has no more."""
    folder = tmp_path_factory.mktemp("docs")
    for command in PICTURES:
        code, said = run(command.format(2), folder)
        assert code == 0, f"{command}: {said}"
    return folder / "receipts"
