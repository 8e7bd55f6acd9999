"""What a run file is refused for: types, unknown keys, values, contradictions; and how each refusal is said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from ocrmaps.errors import Problem

PROFILE_MOST, DEVICES_MOST = 20, 64
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def file_model(record: type[Any], leave_out: Sequence[str] = ()) -> type[BaseModel]:
    """The strict pydantic model of a record and the records in it, so that a field is declared once."""
    hints = get_type_hints(record)
    declared: dict[str, Any] = {}
    for f in fields(record):
        if f.name in leave_out:
            continue
        kind: Any = hints[f.name]
        default: Any = ...
        if is_dataclass(kind):
            kind = file_model(hints[f.name])
            default = ... if f.default_factory is MISSING else Field(default_factory=kind)
        elif f.default is not MISSING:
            default = f.default
        elif f.default_factory is not MISSING:
            default = Field(default_factory=f.default_factory)
        declared[f.name] = (kind, default)
    return create_model(record.__name__, __config__=_STRICT, **declared)


def rules(run: Any) -> list[Problem]:
    """Values out of their range, and settings that contradict each other or would have no effect.

    `run` has the tables and keys of a `RunSpec`, each of the right type.
    """
    data, budget, keep, watch, hardware = run.data, run.budget, run.keep, run.watch, run.hardware
    found = (
        (bool(_NAME.fullmatch(run.name)), "name", run.name, "letters, digits, '.', '_' and '-', at most 64"),
        (0 <= run.seed < 2**32, "seed", run.seed, "a whole number from 0 to 4294967295"),
        (run.average is None or 0 < run.average < 1, "average", run.average, "a decay between 0 and 1"),
        (bool(data.store), "data.store", data.store, "the name of a store"),
        (data.train != data.val, "data.val", data.val, "another split than data.train"),
        (data.batch >= 1, "data.batch", data.batch, "a whole number of 1 or more"),
        (budget.epochs >= 1, "budget.epochs", budget.epochs, "a whole number of 1 or more"),
        (budget.steps is None or budget.steps >= 1, "budget.steps", budget.steps, "a whole number of 1 or more"),
        (
            budget.validate_every >= 1 and budget.epochs % max(1, budget.validate_every) == 0,
            "budget.validate_every",
            budget.validate_every,
            f"a whole number that divides the {budget.epochs} epochs",
        ),
        (budget.patience is None or budget.patience >= 1, "budget.patience", budget.patience, "1 or more"),
        (budget.patience_delta >= 0, "budget.patience_delta", budget.patience_delta, "0 or more"),
        (
            budget.patience is not None or budget.patience_delta == _default(budget, "patience_delta"),
            "budget.patience_delta",
            budget.patience_delta,
            "budget.patience beside it: alone it has no effect",
        ),
        (keep.top >= 1, "keep.top", keep.top, "a whole number of 1 or more"),
        (keep.every_steps >= 0, "keep.every_steps", keep.every_steps, "a whole number of 0 or more"),
        (watch.guard_every >= 1, "watch.guard_every", watch.guard_every, "a whole number of 1 or more"),
        (
            watch.guard or watch.guard_every == _default(watch, "guard_every"),
            "watch.guard_every",
            watch.guard_every,
            "watch.guard = true beside it",
        ),
        (watch.pictures >= 0, "watch.pictures", watch.pictures, "a whole number of 0 or more"),
        (
            0 <= watch.profile_steps <= PROFILE_MOST,
            "watch.profile_steps",
            watch.profile_steps,
            f"a whole number from 0 to {PROFILE_MOST}, for the size of the trace",
        ),
        (watch.profile_from >= 0, "watch.profile_from", watch.profile_from, "a whole number of 0 or more"),
        (
            watch.profile_steps > 0 or watch.profile_from == _default(watch, "profile_from"),
            "watch.profile_from",
            watch.profile_from,
            "watch.profile_steps beside it: alone it has no effect",
        ),
        (
            budget.steps is None or not watch.profile_steps or watch.profile_from + watch.profile_steps <= budget.steps,
            "watch.profile_from",
            watch.profile_from,
            f"a last traced step among the {budget.steps} of the budget",
        ),
        (
            hardware.devices >= 1 and hardware.devices <= DEVICES_MOST,
            "hardware.devices",
            hardware.devices,
            f"a whole number from 1 to {DEVICES_MOST}",
        ),
    )
    return [Problem(name, f"found {value!r}, expected {expected}") for good, name, value, expected in found if not good]


def _default(table: Any, name: str) -> Any:
    return type(table).model_fields[name].default


def problem_of(error: Any, known: Mapping[str, Sequence[str]]) -> Problem:
    """One error of pydantic in our words; `known` are the keys of each table, those of the file under ""."""
    path = [str(part) for part in error["loc"]]
    loc = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    message = error["msg"]
    if error["type"] == "extra_forbidden":
        message = _unknown(path, known)
    elif error["type"] == "missing":
        message = "missing, and it has no default"
    elif error["type"] in ("model_type", "model_attributes_type"):
        message = f"found {error['input']!r}, expected a table"
    elif not isinstance(error["input"], dict | list):
        message = f"{message}, found {error['input']!r}"
    return Problem(loc=loc, message=message)


def _unknown(path: Sequence[str], known: Mapping[str, Sequence[str]]) -> str:
    """What could be meant by an unknown key: one written like it here, or the same one in another table.

    >>> _unknown(["lr"], {"": ["seed", "optimiser"], "optimiser": ["lr", "clip"]})
    'unknown key, did you mean optimiser.lr? known here: seed, optimiser'
    >>> _unknown(["optimiser", "clips"], {"": ["seed", "optimiser"], "optimiser": ["lr", "clip"]})
    'unknown key, did you mean optimiser.clip? known here: lr, clip'
    """
    *table, key = path
    here = known.get(table[0] if table else "", ())
    near = [".".join([*table, name]) for name in difflib.get_close_matches(key, here, n=2)]
    near += [f"{name}.{key}".lstrip(".") for name, keys in known.items() if key in keys]
    meant = f", did you mean {' or '.join(dict.fromkeys(near))}?" if near else ";"
    return f"unknown key{meant} known here: {', '.join(here)}"
