"""torch.compile in a run: a backend that is here, what it made of the network, and its failures by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ocrmaps.errors import RunError, SpecError
from ocrmaps.training.spec import RunSpec

Say = Callable[[str], None]


def check_compile(spec: RunSpec) -> None:
    """Refuse a backend that torch.compile does not have here."""
    if not spec.hardware.compile:
        return
    known = torch._dynamo.list_backends(exclude_tags=())
    if spec.hardware.compile not in known:
        raise SpecError(
            f"hardware.compile: found {spec.hardware.compile!r}, torch.compile here has {', '.join(known)}",
            hint="inductor is the usual one",
        )


class Compiled:
    """Counts what torch.compile made of a run, and names its failures; does nothing where nothing is compiled."""

    def __init__(self, backend: str) -> None:
        self.backend, self.graphs, self.breaks = backend, 0, 0

    def _count(self) -> tuple[int, int]:
        counters = torch._dynamo.utils.counters
        return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())

    def __enter__(self) -> None:
        if self.backend:
            self._before = self._count()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not self.backend:
            return
        self.graphs, self.breaks = (now - then for now, then in zip(self._count(), self._before, strict=True))
        if isinstance(error, torch._dynamo.exc.TorchDynamoException):
            lines = str(error).strip().splitlines()
            raise RunError(
                f"hardware.compile: {self.backend} could not compile this model ({lines[0] if lines else error!r})",
                hint="inductor needs a C++ compiler; leave the setting out to run without",
            ) from error

    def tell(self, say: Say) -> None:
        if self.backend:
            say(f"compiled by {self.backend}: {self.graphs} graphs, {self.breaks} breaks")
