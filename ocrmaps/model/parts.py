"""Finding the parts of a model by name and building them with nothing asked for left unused."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ocrmaps.errors import SpecError
from ocrmaps.trust import NOTHING, Trusted, is_own


def find_part(
    kind: str, name: str, known: Mapping[str, Callable[..., Any]], trusted: Trusted = NOTHING
) -> Callable[..., Any]:
    """The constructor called `name`: a key of the registry, or a `package.module:Name` that is trusted.

    >>> find_part("decoder", "fnp", {"fpn": dict, "pan": dict})
    Traceback (most recent call last):
    ocrmaps.errors.SpecError: found decoder 'fnp', expected one of fpn, pan, or package.module:Name
    """
    if name in known:
        return known[name]
    if not is_own(name):
        raise SpecError(f"found {kind} {name!r}, expected one of {', '.join(sorted(known))}, or package.module:Name")
    check_trusted(kind, name, trusted)
    module_name, _, attribute = name.partition(":")
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


def check_trusted(kind: str, name: str, trusted: Trusted) -> None:
    """Refuse a `package.module:Name` that nobody trusts, without importing it."""
    if is_own(name) and name not in trusted.names:
        raise SpecError(
            f"{kind} {name}: this is code from outside ocrmaps, and a name in a file is no reason to run it",
            hint=f"if you know and trust that code: --trust {name}; a training takes it from its run file",
        )


def build_part(
    kind: str,
    name: str,
    known: Mapping[str, Callable[..., Any]],
    *given: Any,
    options: Mapping[str, Any],
    trusted: Trusted = NOTHING,
) -> Any:
    """Call the constructor `name` with what the model gives and the user's options; every option must be taken."""
    part = find_part(kind, name, known, trusted)
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
