"""A module in the working folder is a file like any other: processes that ours start do not import it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocrmaps.pipelines.executors import _imports_of_this_process
from ocrmaps.training import ranks


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is there after a `json.py` in the working folder has run."""
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return tmp_path / "trace"


def test_workers_of_a_build_import_what_the_build_imports(trace):
    with _imports_of_this_process():
        subprocess.run([sys.executable, "-c", "import json"], check=True)
    assert not trace.exists() and "PYTHONSAFEPATH" not in os.environ
    subprocess.run([sys.executable, "-c", "import json"], check=True)
    assert trace.exists()


def test_processes_of_a_run_import_what_the_first_imports(trace, tmp_path, monkeypatch):
    started: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: started.append((words, how)))
    ranks._start(tmp_path / "job.json", 1)
    monkeypatch.undo()
    ((words, how),) = started
    words = [*words[: words.index("-m")], "-c", "import json"]
    subprocess.run(words, check=True, cwd=tmp_path, env=how["env"])
    assert not trace.exists()
