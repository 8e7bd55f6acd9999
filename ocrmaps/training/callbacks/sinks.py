"""Where the rows of metrics.csv also go when a run asks for it: TensorBoard, Weights & Biases.

Asking for one whose library is missing is refused before the first step. metrics.csv stays the record.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ocrmaps.errors import SpecError

Row = Mapping[str, Any]


class Sink(Protocol):
    """Takes the row of an epoch; `close` after the last one."""

    def write(self, row: Row) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run's folder; a resumed run hides what an interrupted one wrote behind `step`."""

    def __init__(self, folder: Path, *, step: int) -> None:
        writer: Any = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, row: Row) -> None:
        for name, value in numbers(row).items():
            self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of a project, with the optimizer step as its own axis: rows of other things never reorder it."""

    def __init__(self, folder: Path, *, project: str, name: str, config: Mapping[str, Any]) -> None:
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(project=project, name=name, dir=str(folder), config=dict(config))
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, row: Row) -> None:
        self._run.log({"step": row["step"], **numbers(row)})

    def close(self) -> None:
        self._run.finish()


def numbers(row: Row) -> dict[str, float]:
    """The columns that can be drawn; those that only say where a row belongs are left out.

    >>> numbers({"step": 3, "epoch": 1, "lr": 0.1, "root_digest": "ab", "seed": 0, "val/state": "complete"})
    {'lr': 0.1}
    """
    return {
        name: value
        for name, value in row.items()
        if isinstance(value, int | float) and math.isfinite(value) and name not in ("step", "epoch", "seed")
    }


def check_sinks(*, tensorboard: bool, wandb: str) -> None:
    """Refuse a logger whose library is not there."""
    asked = (("tensorboard", tensorboard, "tensorboard"), ("wandb", bool(wandb), "wandb"))
    for library, wanted, setting in asked:
        if not wanted:
            continue
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise SpecError(
                f"watch.{setting}: needs {library}, which is not installed ({error})",
                hint=f"install it with the extra: pip install 'ocrmaps[{library}]'; metrics.csv is written anyway",
            ) from error


def open_sinks(
    folder: Path, *, tensorboard: bool, wandb: str, name: str, config: Mapping[str, Any], step: int
) -> list[Sink]:
    """Those that the run asks for; `step` is where a resumed run goes on."""
    possible: dict[str, tuple[bool, Callable[[], Sink]]] = {
        "tensorboard": (tensorboard, lambda: TensorBoard(folder, step=step)),
        "wandb": (bool(wandb), lambda: WandB(folder, project=wandb, name=name, config=config)),
    }
    return [make() for wanted, make in possible.values() if wanted]
