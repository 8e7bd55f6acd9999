"""Rooms can be entered without their heavy part: a door imports some of its names only when they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def on_demand(door: str, *modules: str) -> Callable[[str], Any]:
    """The `__getattr__` of a door: a name of its `__all__` that it lacks is taken from the first module that has it.

    A door tells type checkers where its names are, and everybody else that they come when they are asked for:

        if TYPE_CHECKING:
            from ocrmaps.extract.reading import extract
        else:
            __getattr__ = on_demand(__name__, "ocrmaps.extract.reading")
    """

    def given(name: str) -> Any:
        room = sys.modules[door]
        if name in room.__all__:
            for module in map(import_module, modules):
                if hasattr(module, name):
                    value = getattr(module, name)
                    setattr(room, name, value)
                    return value
        raise AttributeError(f"module {door!r} has no attribute {name!r}; it offers {', '.join(room.__all__)}")

    return given
