"""Finding the parts of a model by name and building them with nothing asked for left unused."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ocrmaps.errors import SpecError


def find_part(kind: str, name: str, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The constructor called `name`: a key of the registry, or `package.module:Name` for one's own.

    >>> find_part("decoder", "fnp", {"fpn": dict, "pan": dict})
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: found decoder 'fnp', expected one of fpn, pan, or package.module:Name
    """
    if name in known:
        return known[name]
    module_name, colon, attribute = name.partition(":")
    if not colon or not attribute or not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise SpecError(f"found {kind} {name!r}, expected one of {', '.join(sorted(known))}, or package.module:Name")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise SpecError(f"{kind} {name}: {module_name} needs {error.name}, which is not installed") from error
        raise SpecError(
            f"{kind} {name}: there is no module {error.name}",
            hint=f"it must be importable: try `python -c 'import {module_name}'`, with its folder on PYTHONPATH",
        ) from error
    part = getattr(module, attribute, None)
    if not callable(part):
        public = ", ".join(sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))[:12])
        raise SpecError(f"{kind} {name}: module {module_name} has no class or function {attribute}; it has {public}")
    return part


def build_part(
    kind: str, name: str, known: Mapping[str, Callable[..., Any]], *given: Any, options: Mapping[str, Any]
) -> Any:
    """Call the constructor `name` with what the model gives and the user's options; every option must be taken."""
    part = find_part(kind, name, known)
    parameters = list(inspect.signature(part).parameters.values())
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        own = [p.name for p in parameters[len(given) :] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        unused = [option for option in options if option not in own]
        if unused:
            raise SpecError(
                f"{kind} {name!r} takes no option {', '.join(map(repr, unused))}; it takes {', '.join(own) or 'none'}"
            )
    try:
        inspect.signature(part).bind(*given, **options)
    except TypeError as error:
        raise SpecError(f"{kind} {name!r} cannot be called as {kind} ({error})") from error
    return part(*given, **options)
