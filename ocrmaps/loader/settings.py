"""What a loader is told, looked at before anything is opened."""

from __future__ import annotations

import numpy as np
import torch

from ocrmaps.errors import Problem, SpecError
from ocrmaps.machine import cores


def default_threads() -> int:
    """Threads to read with where nothing is said: one for each core this process may use, at most eight."""
    return cores(most=8)


def check_settings(*, rank: int, world: int, seed: int, **at_least_one: int) -> None:
    """Refuse settings that mean nothing, all of them at once."""
    at_least_one["world"] = world
    problems = [
        Problem(loc=name, message=f"found {value!r}, expected a whole number of at least 1")
        for name, value in at_least_one.items()
        if not _whole(value) or value < 1
    ]
    if not _whole(seed) or seed < 0:
        problems.append(Problem(loc="seed", message=f"found {seed!r}, expected a whole number of at least 0"))
    if not _whole(rank) or (not problems and not 0 <= rank < world):
        problems.append(Problem(loc="rank", message=f"found {rank!r}, expected 0 to {world} - 1"))
    if problems:
        raise SpecError("the loader's settings are wrong", problems=problems)


def device_of(device: torch.device | str | None) -> torch.device | None:
    """None for host memory; a CUDA device must be there."""
    if device is None:
        return None
    found = torch.device(device)
    if found.type == "cpu":
        return None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise SpecError(f"found device {found}, but torch sees no CUDA device here", hint="device=None, or cpu")
    return found


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
