"""What a run's folder says of itself, read without a checkpoint or a store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrmaps.detect.trained import LAST
from ocrmaps.errors import DataError, RunError
from ocrmaps.text import number
from ocrmaps.training.callbacks.log import METRICS, read_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run's folder says, before any checkpoint is looked at."""

    folder: Path
    settings: Mapping[str, Any]
    """run.json"""
    environment: Mapping[str, Any]
    result: Mapping[str, Any]
    """result.json; empty for a run that did not come to its end."""
    rows: tuple[Mapping[str, Any], ...]
    """metrics.csv"""

    @property
    def name(self) -> str:
        return str(self.settings.get("name", self.folder.name))

    @property
    def finished(self) -> bool:
        return bool(self.result)

    @property
    def budget(self) -> dict[str, int]:
        """Steps and samples of the last epoch that is written down."""
        last = self._last
        return {"steps": int(last.get("steps", last.get("step", 0))), "samples": int(last.get("samples", 0))}

    @property
    def root_digest(self) -> str | None:
        """Of the stored bytes that it learnt from; None where no epoch has ended."""
        found = self._last.get("root_digest")
        return None if found is None else str(found)

    @property
    def _last(self) -> Mapping[str, Any]:
        return self.result or (self.rows[-1] if self.rows else {})

    @property
    def identity(self) -> str:
        """The line that belongs beside every number of the run."""
        return (
            f"{number(self.budget['steps'])} steps, {number(self.budget['samples'])} samples, "
            f"root {(self.root_digest or 'unknown')[:12]}, seed {self.settings.get('seed', 'unknown')}, "
            f"{self.settings.get('precision', 'unknown precision')}"
        )

    def checkpoint(self) -> Path:
        """The best checkpoint, else the last. Folders may have been moved since, so only names are trusted."""
        folder = self.folder / "checkpoints"
        names = [Path(str(self.result[key])).name for key in ("best", "last") if self.result.get(key)]
        best = sorted((p.name for p in folder.glob("best-*.ckpt")), key=_score, reverse=True) if folder.is_dir() else []
        for name in (*names, *best, LAST):
            if (folder / name).is_file():
                return folder / name
        raise RunError(f"{folder}: no checkpoint", hint="a run writes its first one at the end of its first epoch")


def _score(name: str) -> str:
    return name.rpartition("hmean")[2]


def read_run(folder: Path) -> Run:
    """What the folder says; a run that was interrupted has no result."""
    settings = _json(folder / "run.json")
    if settings is None:
        raise RunError(f"{folder}: no run.json, so this is no run's folder", hint="`ocrmaps train` makes run folders")
    return Run(
        folder=folder,
        settings=settings,
        environment=_json(folder / "environment.json") or {},
        result=_json(folder / "result.json") or {},
        rows=tuple(read_metrics(folder / METRICS)),
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: found {type(content).__name__}, expected an object")
    return content
