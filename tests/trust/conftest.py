"""A small run with its checkpoints, and what strangers make of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrmaps.cli.app import main
from ocrmaps.pipelines.debug import bundle_run
from ocrmaps.pipelines.train import train
from ocrmaps.training.report import TrainReport
from ocrmaps.training.spec import load_run
from tests.training.conftest import world  # noqa: F401  # fixtures

RUN_FILE = """
device = "cpu"
budget = { epochs = 1 }
watch = { pictures = 1 }
data = { store = "tiny", batch_size = 2 }
[model]
encoder = "light"
encoder_options = { channels = [8, 8, 16, 16] }
decoder_options = { width = 16 }
"""
NAME = "os:mkdir"
"""What hostile files name as a part: importable everywhere, and it leaves a trace where it is called."""


class Evil:
    """An object whose pickle makes a folder when it is read by Python's own reader."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.fixture(scope="session")
def ran(world: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:  # noqa: F811
    file = tmp_path_factory.mktemp("run-file") / "run.toml"
    file.write_text(RUN_FILE, encoding="utf-8")
    return train(load_run(file), out=tmp_path_factory.mktemp("trust") / "run", cache=world / "cache")


@pytest.fixture(scope="session")
def bundled(ran: TrainReport, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The run's folder with a bundle inside."""
    folder = shutil.copytree(ran.folder, tmp_path_factory.mktemp("bundled") / "run")
    bundle_run(folder, reason="sound", cache=world / "cache")
    return folder


@pytest.fixture
def run(bundled: Path, tmp_path: Path) -> Path:
    """A copy of the run's folder to spoil, its run file beside it and a bundle inside."""
    (tmp_path / "run.toml").write_text(RUN_FILE, encoding="utf-8")
    return shutil.copytree(bundled, tmp_path / "run")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What is there after somebody's code has run."""
    return tmp_path / "trace"


@pytest.fixture
def ocrmaps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command: its exit code and all that it said."""

    def command(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["ocrmaps", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return command


def _named_model(content: dict[str, Any], trace: Path) -> Any:
    content["ocrmaps"]["model"] |= {"encoder": NAME, "encoder_options": {"path": str(trace)}}
    return content


def _named_loss(content: dict[str, Any], trace: Path) -> Any:
    content["ocrmaps"]["run"]["loss"] = {"name": NAME, "options": {"path": str(trace)}}
    return content


def _pickled(content: dict[str, Any], trace: Path) -> Any:
    return content | {"extra": Evil(trace)}


SPOILT: dict[str, Callable[[dict[str, Any], Path], Any]] = {
    "named model": _named_model,
    "named loss": _named_loss,
    "pickled object": _pickled,
}


def spoil(run: Path, how: str, trace: Path) -> None:
    """Every checkpoint and captured step of a run's folder as a stranger would send it, digests and all."""
    for path in [*run.glob("checkpoints/*.ckpt"), *run.glob("debug/*/step.pt")]:
        buffer = io.BytesIO()
        torch.save(SPOILT[how](torch.load(path, weights_only=True), trace), buffer)
        path.unlink()  # the best one and the latest share their bytes
        path.write_bytes(buffer.getvalue())
    for head in run.glob("debug/*/bundle.json"):
        facts, data = json.loads(head.read_text()), (head.parent / "step.pt").read_bytes()
        facts["files"]["step.pt"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        head.write_text(json.dumps(facts))
